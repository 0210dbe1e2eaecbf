"""Predictions that several tests of figures draw."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

FOUR = ("bacterial", "covid19", "normal", "viral")
TWO = ("normal", "pneumonia")


@pytest.fixture
def predictions():
    """Makes a predictions table: predictions(classes, n=80, folds=4, seed=0)."""

    def make(classes=FOUR, *, n=80, folds=4, seed=0) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        truth = np.arange(n) % len(classes)
        logits = random.normal(size=(n, len(classes))) + np.eye(len(classes))[truth]
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        names = [f"i{k}" for k in range(n)]
        columns = {"image_id": names, "group_id": names, "fold": np.arange(n) // len(classes) % folds}
        columns["label"] = [classes[index] for index in truth]
        return pd.DataFrame(columns | {f"p_{name}": probabilities[:, index] for index, name in enumerate(classes)})

    return make
