"""Progress of a training for a person: fold, phase, epoch, loss and time left."""

from __future__ import annotations

import sys
import time
from typing import Any

from cxr_keras.training.strategies import Phase


class TrainingDisplay:
    """Shows one fold's training: a bar that moves with each batch on a terminal, one line an epoch elsewhere."""

    def __init__(self, label: str) -> None:
        """Remember what is trained, e.g. "fold 2 of 5"."""
        self.label = label
        self.on_terminal = sys.stderr.isatty()
        self.phase: Phase | None = None
        self.epoch = 0
        self.steps = 1
        self.started = time.monotonic()
        self.batches = 0

    def note(self, text: str) -> None:
        """Print one line of news."""
        print(f"{self.label}: {text}", file=sys.stderr, flush=True)

    def phase_started(self, phase: Phase, *, first_epoch: int, steps: int) -> None:
        """A phase begins (or goes on) at the epoch `first_epoch`, counted from 0 inside the phase, of `steps` batches each."""
        self.phase, self.epoch, self.steps = phase, first_epoch, steps
        self.started, self.batches = time.monotonic(), 0

    def batch_done(self, batch: int, logs: dict[str, Any]) -> None:
        """A batch is done; `logs` holds the running mean of the loss."""
        self.batches += 1
        if self.on_terminal and self.phase is not None:
            filled = 24 * batch // self.steps
            bar = "█" * filled + "░" * (24 - filled)
            text = f"{self._where(self.epoch + 1)} {bar} {batch}/{self.steps} loss {float(logs.get('loss', 0.0)):.4f}, {self._left()}"
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    def epoch_done(self, row: dict[str, Any]) -> None:
        """An epoch is done; `row` is its row of `history.csv`."""
        self.epoch += 1
        scores = [f"{key} {row[key]:.4f}" for key in ("loss", "accuracy", "val_loss", "val_accuracy", "val_auroc") if key in row]
        clear = "\r\x1b[K" if self.on_terminal else ""
        text = f"{self._where(self.epoch)} {', '.join(scores)}, {row['seconds']:.0f} s, {self._left()}"
        print(f"{clear}{text}", file=sys.stderr, flush=True)

    def _where(self, epoch: int) -> str:
        assert self.phase is not None
        return f"{self.label}, phase {self.phase.name}, epoch {epoch}/{self.phase.epochs}:"

    def _left(self) -> str:
        """The most time that this phase can still take; early stopping may end it sooner."""
        assert self.phase is not None
        if self.batches == 0:
            return "time left unknown"
        first_epoch_batches = self.epoch * self.steps + self.batches % self.steps
        per_batch = (time.monotonic() - self.started) / self.batches
        left = max(self.phase.epochs * self.steps - first_epoch_batches, 0) * per_batch
        minutes, seconds = divmod(int(left), 60)
        return f"at most {minutes}:{seconds:02d} left in this phase"
