"""`cxr train`: one split, by patient or by the source's own folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.data.folds import official_halves, official_split, split_by_group
from cxr_keras.evaluation import read_predictions, score_predictions
from cxr_keras.recipes.classifier import classifier_jobs
from cxr_keras.recipes.readings import ledger_of, note_reading
from cxr_keras.recipes.run import close_run, finish_run, fold_job, open_run
from cxr_keras.recipes.tracking import told_to
from cxr_keras.runs.directory import hold_run_directory
from cxr_keras.runs.files import read_json, write_json
from cxr_keras.runs.jobs import run_jobs


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
        job = fold_job(folder / "split", folder, parts, fold=0, label=config.name, tracking=told_to(config, folder))
        run_jobs(classifier_jobs([job], config))
        scores = finish_run(config, folder, [job.folder], verb="train", manifest=manifest)
        if config.split.kind != "grouped":
            _note_readings(config, folder, parts, scores)
        close_run(config, folder, manifest=manifest)
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


def _note_readings(config: RunConfig, folder: Path, parts: pd.Series, scores: dict[str, Any]) -> None:
    """Note that official test labels were read, once a run.

    Args:
        config: says whether the validation part is of the official test folder too; its labels were then read after every epoch.
        folder: the run directory.
        parts: part of each image, by image_id.
        scores: the scores of the test part.
    """
    note = folder / "test_reading.json"
    if note.exists():
        return
    halved = config.split.kind == "official_halves"
    readings = {"test": ("official test, half for testing" if halved else "official test", scores["scores"])}
    if halved:
        epochs = len(pd.read_csv(folder / "split" / "history.csv"))
        chosen_on = score_predictions(read_predictions(folder / "split" / "validation_predictions.csv"), draws=0)["scores"]
        readings["validation"] = (f"official test, half for choosing the epoch, read after each of {epochs} epochs", chosen_on)
    ledger = ledger_of(config, folder)
    counts = {
        part: note_reading(ledger, run=folder, where=where, image_ids=parts.index[parts == part], scores=found, once=True)
        for part, (where, found) in readings.items()
    }
    write_json(note, {"readings_of_these_images": counts, "ledger": str(ledger)})
    print(f"Reading {counts['test']} of these official test labels, recorded in {ledger}")
