"""`cxr train`: one split, by patient or by the source's own folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.data.folds import official_halves, official_split, split_by_group
from cxr_keras.evaluation.ledger import append_test_reading, image_ids_digest
from cxr_keras.evaluation.scores import score_predictions
from cxr_keras.recipes.run import finish_run, fold_job, open_run
from cxr_keras.runs.directory import hold_run_directory
from cxr_keras.runs.files import read_json, write_json
from cxr_keras.runs.jobs import run_jobs

LEDGER_FILE = "test_readings.csv"
HEADLINE = ("accuracy", "macro_f1", "macro_auroc")


def train(config: RunConfig, folder: str | Path) -> dict[str, Any]:
    """Train on one split and score its test part; the same call continues an interrupted run.

    Args:
        config: all settings; `split` says how the parts are made.
        folder: the run directory.

    Returns:
        The scores of the test part, as in `metrics.json`.

    Raises:
        ValueError: the images, parts or settings cannot be used, or the directory holds another run.
    """
    folder = Path(folder)
    with hold_run_directory(folder):
        manifest = open_run(config, folder, verb="train")
        if (folder / "split.json").exists():
            parts = pd.Series(read_json(folder / "split.json"))
        else:
            parts = parts_of_split(manifest, config)
            write_json(folder / "split.json", parts.to_dict())
        job = fold_job(folder / "split", folder, parts, fold=0, label=config.name)
        run_jobs([job])
        scores = finish_run(config, folder, [job.folder], verb="train", manifest=manifest)
        if config.split.kind != "grouped":
            ledger = Path(config.evaluation.ledger or folder.parent / LEDGER_FILE)
            _record_readings(folder, parts, scores, ledger=ledger, validation=config.split.kind == "official_halves")
        return scores


def parts_of_split(manifest: pd.DataFrame, config: RunConfig) -> pd.Series:
    """Part of each image, by image_id: train, test and, if asked for, validation taken from the training patients."""
    split = config.split
    if split.kind == "official":
        parts = official_split(manifest)
    elif split.kind == "official_halves":
        parts = official_halves(manifest, seed=config.seed_of_splits)
    else:
        parts = split_by_group(manifest, fractions={"train": 1 - split.test, "test": split.test}, seed=config.seed_of_splits)
    if split.validation > 0:
        training = manifest[manifest["image_id"].map(parts) == "train"]
        inner = {"train": 1 - split.validation, "validation": split.validation}
        parts.update(split_by_group(training, fractions=inner, seed=config.seed_of_splits + 1))
    return parts


def _record_readings(folder: Path, parts: pd.Series, scores: dict[str, Any], *, ledger: Path, validation: bool) -> None:
    """Note in the ledger that official test labels were read, once a run.

    Args:
        folder: the run directory.
        parts: part of each image, by image_id.
        scores: the scores of the test part.
        ledger: the CSV file.
        validation: whether the validation part is of the official test folder too; its labels were read after every epoch.
    """
    note = folder / "test_reading.json"
    if note.exists():
        return
    headline = {name: scores["scores"][name]["value"] for name in HEADLINE}
    readings = {"test": ("official test" if not validation else "official test, half for testing", headline)}
    if validation:
        read = pd.read_csv(folder / "split" / "validation_predictions.csv", dtype={"image_id": str, "group_id": str})
        found = score_predictions(read, draws=0)["scores"]
        epochs = len(pd.read_csv(folder / "split" / "history.csv"))
        where = f"official test, half for choosing the epoch, read after each of {epochs} epochs"
        readings["validation"] = (where, {name: found[name]["value"] for name in HEADLINE})
    counts = {}
    for part, (where, values) in readings.items():
        images = parts.index[parts == part]
        counts[part] = append_test_reading(
            ledger,
            run=f"{folder.parent.name}/{folder.name}",
            split_name=where,
            n_images=len(images),
            image_ids_digest=image_ids_digest(images),
            scores=values,
        )
    write_json(note, {"readings_of_these_images": counts, "ledger": str(ledger)})
    print(f"Reading {counts['test']} of these official test labels, recorded in {ledger}")
