"""`cxr train`: one split, by patient or by the source's own folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.data.folds import official_split, split_by_group
from cxr_keras.evaluation.ledger import append_test_reading, image_ids_digest
from cxr_keras.recipes.run import finish_run, fold_job, open_run
from cxr_keras.runs.directory import hold_run_directory
from cxr_keras.runs.files import read_json, write_json
from cxr_keras.runs.jobs import run_jobs

LEDGER_FILE = "test_readings.csv"


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
        if config.split.kind == "official":
            _record_reading(folder, parts.index[parts == "test"], scores)
        return scores


def parts_of_split(manifest: pd.DataFrame, config: RunConfig) -> pd.Series:
    """Part of each image, by image_id: train, test and, if asked for, validation taken from the training patients."""
    split = config.split
    if split.kind == "official":
        parts = official_split(manifest)
    else:
        parts = split_by_group(manifest, fractions={"train": 1 - split.test, "test": split.test}, seed=config.seed)
    if split.validation > 0:
        training = manifest[manifest["image_id"].map(parts) == "train"]
        inner = {"train": 1 - split.validation, "validation": split.validation}
        parts.update(split_by_group(training, fractions=inner, seed=config.seed + 1))
    return parts


def _record_reading(folder: Path, image_ids: pd.Index, scores: dict[str, Any]) -> None:
    """Note in the ledger beside the runs that the official test labels were read, once a run."""
    note = folder / "test_reading.json"
    if note.exists():
        return
    headline = {name: scores["scores"][name]["value"] for name in ("accuracy", "macro_f1", "macro_auroc")}
    readings = append_test_reading(
        folder.parent / LEDGER_FILE,
        run=folder.name,
        split_name="official test",
        n_images=len(image_ids),
        image_ids_digest=image_ids_digest(image_ids),
        scores=headline,
    )
    write_json(note, {"readings_of_these_images": readings, "ledger": LEDGER_FILE})
    print(f"Reading {readings} of these official test labels, recorded in {folder.parent / LEDGER_FILE}")
