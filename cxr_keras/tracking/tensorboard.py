"""TensorBoard: an event file in each fold's folder, and one in `results/` of the run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto import event_pb2

from cxr_keras.tracking.events import hyperparameters, image, record, replace_events, scalars
from cxr_keras.tracking.trackers import Row, RunResults, epoch_ends, measured

RESULTS_FOLDER = "results"
"""Scores, figures and hyperparameters of the run. Not the run's own folder, as the HParams tab takes all series below for metrics."""


COMPARED = ("macro_auroc", "accuracy", "macro_f1")
"""Scores of the run, each a column of the HParams tab; all others are in the folds."""


class TensorBoard:
    """A `Tracker` that writes event files; `tensorboard --logdir` above them shows each fold as a line of the same charts."""

    name = "TensorBoard"

    def __init__(self, run_directory: Path) -> None:
        """Remember the run's directory; nothing is written yet."""
        self.run_directory = run_directory
        self.live: Path | None = None

    def begin_fold(self, folder: Path, rows: Sequence[Row], *, ended: float) -> None:
        """Replace the fold's event file by its history so far.

        A killed training may have told epochs that are trained again, or have been stopped within a record.
        """
        self.live = replace_events(folder, _history(rows, ended))

    def epoch_done(self, row: Row) -> None:
        """Append the epoch; the file is closed after it, so that a viewer sees it at once."""
        assert self.live is not None
        [event] = _history([row], time.time())
        with open(self.live, "ab") as file:
            file.write(record(event))

    def end_run(self, results: RunResults) -> None:
        """Write every fold's file anew with its scores, and that of the run."""
        for fold in results.folds:
            last = int(fold.rows[-1]["epoch"]) if fold.rows else 0
            replace_events(fold.folder, [*_history(fold.rows, fold.ended), scalars(_scores(fold.scores), step=last, when=fold.ended)])
        started = min(fold.ended - sum(float(row["seconds"]) for row in fold.rows) for fold in results.folds)
        ended = max(fold.ended for fold in results.folds)
        replace_events(
            self.run_directory / RESULTS_FOLDER,
            [
                *hyperparameters(results.hyperparameters, started=started, ended=ended),
                scalars(_scores({name: results.scores[name] for name in COMPARED if name in results.scores}), step=0, when=ended),
                *(image(f"figures/{path.stem}", path, when=ended) for path in results.figures),
            ],
        )


def _history(rows: Sequence[Row], ended: float) -> list[event_pb2.Event]:
    """One event an epoch, its tags `epoch/<column of history.csv>`."""
    return [
        scalars({f"epoch/{name}": value for name, value in measured(row).items()}, step=int(row["epoch"]), when=when)
        for row, when in zip(rows, epoch_ends(rows, ended), strict=True)
    ]


def _scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores under tags of their own, as an epoch has an accuracy too."""
    return {f"test/{name}": value for name, value in scores.items()}
