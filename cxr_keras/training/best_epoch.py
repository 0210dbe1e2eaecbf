"""Which epoch was best, and whether to go on: a small state that can be saved and restored exactly.

Keras's EarlyStopping keeps its count in memory and starts it anew after a restart, so a resumed run would stop at another epoch.
"""

from __future__ import annotations

import dataclasses
import math

HIGHER_IS_BETTER = {"val_loss": False, "val_accuracy": True, "val_auroc": True, "loss": False, "accuracy": True}
"""The values of `history.csv` that can be monitored, and their direction."""


@dataclasses.dataclass
class BestEpoch:
    """Follows one monitored value over the epochs of one phase.

    Attributes:
        monitor: a column of `history.csv`, a key of `HIGHER_IS_BETTER`.
        patience: epochs without a better value after which training stops; `None` never stops.
        best_value: the best value so far, `None` before the first epoch.
        best_epoch: its epoch, counted from 1 over the whole run.
        epochs_since_best: epochs run after it.
    """

    monitor: str
    patience: int | None = None
    best_value: float | None = None
    best_epoch: int = 0
    epochs_since_best: int = 0

    def __post_init__(self) -> None:
        if self.monitor not in HIGHER_IS_BETTER:
            raise ValueError(f"Cannot monitor {self.monitor!r}. Known values: {', '.join(HIGHER_IS_BETTER)}.")

    def update(self, epoch: int, value: float) -> bool:
        """Take the value of one finished epoch.

        Args:
            epoch: the epoch's number.
            value: the monitored value; a nan is never better.

        Returns:
            Whether this epoch is the best so far. The first epoch always is.
        """
        if self.best_value is None or math.isnan(self.best_value):
            better = self.best_value is None or not math.isnan(value)
        else:
            better = value > self.best_value if HIGHER_IS_BETTER[self.monitor] else value < self.best_value
        if better:
            self.best_value, self.best_epoch, self.epochs_since_best = value, epoch, 0
            return True
        self.epochs_since_best += 1
        return False

    @property
    def stop(self) -> bool:
        """Whether patience is used up."""
        return self.patience is not None and self.epochs_since_best >= max(self.patience, 1)
