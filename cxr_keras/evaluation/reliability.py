"""How often an image of a class occurs among images that were given a certain probability of it: what a calibration curve shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cxr_keras.evaluation.intervals import DRAWS, group_draws, percentile_interval
from cxr_keras.evaluation.predictions import PROBABILITY_PREFIX, class_names

BINS = 10
"""Equal-width bins of one class's probability; the calibration error has 15 of the highest probability, which would be too thin here."""


def reliability(table: pd.DataFrame, *, draws: int = DRAWS, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Compare predicted and observed shares of a class, bin by bin.

    Args:
        table: a checked predictions table.
        draws: bootstrap resamples of patients.
        seed: of the resamples.

    Returns:
        For each class (of two the last) a row for each bin that holds images: from and to (probability; a bin holds its upper end, the
        first also 0), images, predicted (mean probability), observed (share of images of the class), low and high of that share, None
        without an interval.
    """
    classes = class_names(table)
    groups = np.unique(table["group_id"].to_numpy(dtype=str), return_inverse=True)[1]
    shown = classes[-1:] if len(classes) == 2 else classes
    sums = np.stack([_sums(table, name, groups) for name in shown], axis=1)
    counted = group_draws(len(sums), draws=draws, seed=seed) if len(sums) > 1 and draws else ()
    # Images and images of the class in each bin are all that an interval needs; the probabilities would make it half as fast again.
    drawn = sums[:, :, :2].reshape(len(sums), -1)
    blocks = [_shares((weights @ drawn).reshape(-1, len(shown), 2, BINS)) for weights in counted]
    samples = np.concatenate(blocks) if blocks else np.empty((0, len(shown), BINS))
    totals = sums.sum(axis=0)
    return {name: [_row(totals[k], samples[:, k], b) for b in range(BINS) if totals[k, 0, b]] for k, name in enumerate(shown)}


def _sums(table: pd.DataFrame, name: str, groups: np.ndarray) -> np.ndarray:
    """Per group the images, those of the class, and the probabilities in each bin: float64 (g, 3, bins)."""
    probability = table[PROBABILITY_PREFIX + name].to_numpy(float)
    bins = np.clip(np.ceil(probability * BINS).astype(np.int64) - 1, 0, BINS - 1)
    sums = np.zeros((groups.max() + 1, 3, BINS))
    for offset, values in enumerate((np.ones(len(table)), (table["label"] == name).to_numpy(float), probability)):
        np.add.at(sums[:, offset], (groups, bins), values)
    return sums


def _shares(sums: np.ndarray) -> np.ndarray:
    """Share of images of the class in each bin, nan for an empty one: float64 (draws, classes, 2, bins) to (draws, classes, bins)."""
    images = sums[:, :, 0]
    return np.divide(sums[:, :, 1], images, out=np.full(images.shape, np.nan), where=images > 0)


def _row(totals: np.ndarray, samples: np.ndarray, index: int) -> dict[str, Any]:
    images, of_class, probability = totals[:, index]
    low, high, _ = percentile_interval(samples[:, index])
    return {
        "from": index / BINS,
        "to": (index + 1) / BINS,
        "images": int(images),
        "predicted": float(probability / images),
        "observed": float(of_class / images),
        "low": low,
        "high": high,
    }
