"""What a run of two folds has left, without the run."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from cxr_keras.tracking import FoldResults, RunResults


@pytest.fixture
def history():
    """Makes the rows of epochs."""

    def rows(epochs):
        return [
            {"phase": "all", "epoch": epoch, "learning_rate": 0.1, "loss": 1 / epoch, "accuracy": 0.5, "val_loss": 0.7, "seconds": 2.0}
            for epoch in range(1, epochs + 1)
        ]

    return rows


@pytest.fixture
def run_results(history):
    """Makes what a run in a folder has left."""

    def results(run, *, names=("fold-0", "fold-1"), epochs=3, scores=None):
        cv2.imwrite(str(run / "roc.png"), np.zeros((20, 30), np.uint8))
        folds = [FoldResults(run / name, history(epochs), time.time(), {"accuracy": 0.75}) for name in names]
        return RunResults(folds, scores or {"macro_auroc": 0.9}, {"model.name": "m", "seed": 1, "flip": True}, [run / "roc.png"])

    return results
