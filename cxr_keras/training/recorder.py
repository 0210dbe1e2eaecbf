"""What a training leaves after each epoch: its history, and from time to time the state that a killed run goes on from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from cxr_keras.runs.files import write_csv
from cxr_keras.training.checkpoint import TrainingState, save_state

HISTORY_FILE = "history.csv"
STATE_FILE = "state.npz"


class EpochRecorder:
    """Writes the history after each epoch, tells it, and writes the resumable state when its time has come."""

    def __init__(
        self,
        folder: Path,
        state: TrainingState,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        seconds_between_states: float,
        tracker: Any | None = None,
    ) -> None:
        """Remember what to write where and whom to tell."""
        self.folder = folder
        self.state = state
        self.model = model
        self.optimizer = optimizer
        self.seconds_between_states = seconds_between_states
        self.tracker = tracker
        self.last_state = time.monotonic()

    def __call__(self) -> None:
        """Record the epoch just finished."""
        write_csv(self.folder / HISTORY_FILE, pd.DataFrame(self.state.history))
        if self.tracker is not None:
            self.tracker.epoch_done(self.state.history[-1])
        if time.monotonic() - self.last_state >= self.seconds_between_states:
            save_state(self.folder / STATE_FILE, self.state, self.model, optimizer=self.optimizer)
            self.last_state = time.monotonic()
