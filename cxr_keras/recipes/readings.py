"""Readings of official test labels, noted where they happen."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cxr_keras.config.schema import RunConfig
from cxr_keras.evaluation import append_test_reading, image_ids_digest

LEDGER_FILE = "test_readings.csv"
HEADLINE = ("accuracy", "macro_f1", "macro_auroc")


def ledger_of(config: RunConfig, run: Path) -> Path:
    """The ledger of a run: the one that its config names, or the one beside it."""
    return Path(config.evaluation.ledger or _whole(run).parent / LEDGER_FILE)


def with_lasting_ledger(config: RunConfig) -> RunConfig:
    """The config with the whole path of its ledger, which from another folder would be another file."""
    if config.evaluation.ledger is None:
        return config
    ledger = str(Path(config.evaluation.ledger).expanduser().absolute())
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"ledger": ledger})})


def note_reading(ledger: Path, *, run: Path, where: str, image_ids: Iterable[str], scores: Mapping[str, Any], once: bool = False) -> int:
    """Add a reading to the ledger.

    Args:
        ledger: the CSV file.
        run: the run directory.
        where: which official images were read, and for what.
        image_ids: their ids.
        scores: name -> {value}, as `score_predictions` gives them.
        once: as in `append_test_reading`.

    Returns:
        How many readings of these very images the ledger holds.
    """
    names, run = list(image_ids), _whole(run)
    return append_test_reading(
        ledger,
        run=f"{run.parent.name}/{run.name}",
        split_name=where,
        n_images=len(names),
        image_ids_digest=image_ids_digest(names),
        scores={name: scores[name]["value"] for name in HEADLINE},
        once=once,
    )


def _whole(path: Path) -> Path:
    """The path from the root and without dots, so that the run `.` has a name."""
    return Path(os.path.abspath(path))
