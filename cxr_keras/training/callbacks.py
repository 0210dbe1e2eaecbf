"""What happens at the ends of epochs and batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from cxr_keras.training.checkpoint import TrainingState
from cxr_keras.training.schedules import EPOCH_RATES
from cxr_keras.training.strategies import Phase
from cxr_keras.training.validation import validation_scores


class EpochRate(keras.callbacks.Callback):
    """Sets the learning rate before each epoch; a function of the epoch, so it needs no state to resume."""

    def __init__(self, phase: Phase, *, epochs_before: int) -> None:
        """Remember the phase and how many epochs ran before it."""
        super().__init__()
        self.phase = phase
        self.epochs_before = epochs_before

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate of the epoch that starts."""
        settings = self.phase.optimizer
        rate = EPOCH_RATES[settings.decay](settings.learning_rate, self.phase.epochs, epoch - self.epochs_before)
        self.model.optimizer.learning_rate = rate


class EpochEnd(keras.callbacks.Callback):
    """Scores the validation part, follows the best epoch, records the epoch and stops when patience is used up.

    One callback and not four, because the state on disk must hold all of it after the same epoch.
    """

    def __init__(
        self,
        state: TrainingState,
        phase: Phase,
        *,
        scored: keras.Model,
        validation: Any | None,
        record: Callable[[], None],
        display: Any,
        keep_best: bool,
    ) -> None:
        """Remember what to update and where to report; `scored` is the trained model without auxiliary outputs."""
        super().__init__()
        self.state = state
        self.phase = phase
        self.scored = scored
        self.validation = validation
        self.record = record
        self.display = display
        self.keep_best = keep_best
        self.started = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self.started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Pass the running loss to the display."""
        self.display.batch_done(batch + 1, _plain_names(logs or {}))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Score, follow, record, show, and stop if it is time."""
        logs = _plain_names(logs or {})
        if not np.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"The training loss became {logs['loss']} in epoch {epoch + 1} (phase {self.phase.name!r}). Lower "
                f"training.phases.{self.phase.name}.learning_rate (now {self.phase.optimizer.learning_rate:g}) and start again."
            )
        row = {
            "phase": self.phase.name,
            "epoch": epoch + 1,
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "loss": float(logs["loss"]),
            "accuracy": float(logs["accuracy"]),
        }
        if self.validation is not None:
            row |= validation_scores(self.scored, self.validation)
        row["seconds"] = round(time.monotonic() - self.started, 2)
        state = self.state
        state.history.append(row)
        state.epoch = epoch + 1
        state.epochs_in_phase += 1
        if state.best is not None and state.best.update(epoch + 1, row[state.best.monitor]) and self.keep_best:
            state.best_weights = [np.array(weight) for weight in self.model.get_weights()]
        self.record()
        self.display.epoch_done(row)
        if state.best is not None and state.best.stop:
            self.model.stop_training = True


def _plain_names(logs: dict[str, Any]) -> dict[str, Any]:
    """Name the accuracy alike with and without auxiliary outputs, where Keras puts the output's name before it."""
    return {"accuracy" if name == "probabilities_accuracy" else name: value for name, value in logs.items()}
