"""The interface of all trackers, and several of them as one that never stops a training."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

Row = Mapping[str, Any]
"""One row of `history.csv`: phase, epoch (from 1), learning_rate, loss, accuracy, perhaps val_*, seconds."""

NOT_MEASURED = ("phase", "epoch")
"""Columns of a row that are no series of their own."""


@dataclasses.dataclass(frozen=True)
class FoldResults:
    """What one fold has left.

    Attributes:
        folder: the fold's folder; its name is the fold's.
        rows: its history; empty for a classifier on stored features, which has no epochs.
        ended: when the last epoch ended, seconds since 1970.
        scores: name to value, of the fold's test part.
    """

    folder: Path
    rows: Sequence[Row]
    ended: float
    scores: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class RunResults:
    """What a whole run has left.

    Attributes:
        folds: its folds.
        scores: name to value, over all folds.
        hyperparameters: name to what was set.
        figures: PNG files that the run has drawn.
    """

    folds: Sequence[FoldResults]
    scores: Mapping[str, float]
    hyperparameters: Mapping[str, bool | float | str]
    figures: Sequence[Path]


class Tracker(Protocol):
    """One program that is told how a run goes."""

    name: str

    def begin_fold(self, folder: Path, rows: Sequence[Row], *, ended: float) -> None:
        """Hold exactly the epochs `rows` of the fold in `folder`, the last of which ended at `ended`, and await further ones."""

    def epoch_done(self, row: Row) -> None:
        """Add an epoch of the fold that was begun; a viewer sees it at once."""

    def end_run(self, results: RunResults) -> None:
        """Hold exactly these results, whatever was told before."""


class Trackers:
    """Several trackers as one. What fails is told once, loudly, and left out from then on; the training goes on.

    Attributes:
        failures: a sentence for each tracker that failed.
    """

    def __init__(self, trackers: Sequence[Tracker], *, label: str) -> None:
        """Take the trackers; `label` begins the message about a failure."""
        self.trackers = list(trackers)
        self.label = label
        self.failures: list[str] = []

    def begin_fold(self, folder: Path, rows: Sequence[Row], *, ended: float) -> None:
        """See `Tracker.begin_fold`."""
        self._tell(lambda tracker: tracker.begin_fold(folder, rows, ended=ended))

    def epoch_done(self, row: Row) -> None:
        """See `Tracker.epoch_done`."""
        self._tell(lambda tracker: tracker.epoch_done(row))

    def end_run(self, results: RunResults) -> None:
        """See `Tracker.end_run`."""
        self._tell(lambda tracker: tracker.end_run(results))

    def _tell(self, tell: Callable[[Tracker], None]) -> None:
        """Tell every tracker that still works; whatever a server or a disk throws must not cost the training."""
        for tracker in list(self.trackers):
            try:
                tell(tracker)
            except Exception as error:
                self.trackers.remove(tracker)
                self.note_failure(tracker.name, error)

    def note_failure(self, name: str, error: Exception) -> None:
        """Remember and say that a tracker failed."""
        self.failures.append(f"{name} failed ({first_line(error)})")
        print(f"WARNING: {self.label}: {self.failures[-1]}; the run goes on without it.", file=sys.stderr, flush=True)


def open_trackers(*, tensorboard: bool, mlflow: str | None, run_directory: Path, label: str) -> Trackers:
    """The trackers that are switched on.

    Args:
        tensorboard: whether event files are written.
        mlflow: the address of an MLflow store in which `mlflow_store.begin_run` has begun this run, or None.
        run_directory: the run's directory.
        label: begins the message about a failure, that of opening a store included.
    """
    trackers = Trackers((), label=label)
    if tensorboard:
        from cxr_keras.tracking.tensorboard import TensorBoard

        trackers.trackers.append(TensorBoard(run_directory))
    if mlflow:
        from cxr_keras.tracking.mlflow_store import MLflow

        try:
            trackers.trackers.append(MLflow(mlflow, run_directory))
        except Exception as error:
            trackers.note_failure(MLflow.name, error)
    return trackers


def epoch_ends(rows: Sequence[Row], ended: float) -> list[float]:
    """When each epoch ended, if they ran one after another and the last ended at `ended`; pauses between two starts are left out."""
    times = [ended]
    for row in reversed(rows[1:]):
        times.insert(0, times[0] - float(row["seconds"]))
    return times[: len(rows)]


def measured(row: Row) -> dict[str, float]:
    """The numbers of a row that make series; a score that is not defined in an epoch is left out."""
    numbers = {name: float(value) for name, value in row.items() if name not in NOT_MEASURED and value is not None}
    return {name: value for name, value in numbers.items() if value == value}


def first_line(error: Exception) -> str:
    """Kind and first line of an error, as libraries put whole pages into theirs."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
