"""Why the accuracy on one set of images differs from that on another: the share of sick, the threshold, and the rest.

Two yardsticks often give two answers for one network, such as patients held out of the training folder and an official test folder of
another look. The difference of accuracies is taken apart into three parts that add up to it:

- prevalence: what remains of the first set's sensitivity and specificity when they are weighed with the second set's share of sick;
- threshold: what the second set would gain at the threshold that is best for itself. This one is found on the labels that it
  is scored on, so it is an upper bound and no result; it says how much a better choice of threshold could give at most;
- rest: what even that threshold does not give back. The network ranks these images worse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxr_keras.evaluation.intervals import DRAWS, group_draws, percentile_interval
from cxr_keras.evaluation.predictions import PROBABILITY_PREFIX, class_names

PARTS = ("first", "second", "gap", "prevalence", "threshold", "rest")


@dataclass(frozen=True)
class Gap:
    """The parts of a difference of accuracies at the threshold 0.5.

    Attributes:
        values: each of `PARTS` -> (value, low, high); first and second are the accuracies, gap = first - second = prevalence + threshold +
            rest. The ends are percentiles over resamples of the patients of both sets, None without resamples.
        prevalences: share of the positive class in the first and the second set.
        best_threshold: the threshold that is best for the second set's own accuracy.
    """

    values: dict[str, tuple[float, float | None, float | None]]
    prevalences: tuple[float, float]
    best_threshold: float


def take_gap_apart(first: pd.DataFrame, second: pd.DataFrame, *, draws: int = DRAWS, seed: int = 0) -> Gap:
    """Take the difference of two accuracies apart.

    Args:
        first: checked binary predictions, of several folds or one part.
        second: those of other images, with the same classes.
        draws: resamples of patients, of both sets in each.
        seed: of the resamples.

    Returns:
        The gap.

    Raises:
        ValueError: other than two classes, different ones, or a set of one class only.
    """
    classes = class_names(first)
    if class_names(second) != classes or len(classes) != 2:
        raise ValueError(f"a gap is taken apart for two classes, the same in both sets; got {classes} and {class_names(second)}.")
    for table in (first, second):
        if table["label"].nunique() < 2:
            raise ValueError("a gap cannot be taken apart on images of one class; give images of both.")
    sets = [_Set(table, classes[1]) for table in (first, second)]
    whole = _parts(*(each.rates(np.ones((1, each.groups))) for each in sets))
    drawn = {name: np.zeros(0) for name in PARTS}
    if draws and min(each.groups for each in sets) > 1:
        streams = zip(*(group_draws(each.groups, draws=draws, seed=seed + number) for number, each in enumerate(sets)), strict=True)
        blocks = [_parts(sets[0].rates(weights), sets[1].rates(others)) for weights, others in streams]
        drawn = {name: np.concatenate([block[name] for block in blocks]) for name in PARTS}
    return Gap(
        {name: (float(whole[name][0]), *percentile_interval(drawn[name])[:2]) for name in PARTS},
        (sets[0].prevalence, sets[1].prevalence),
        sets[1].best_threshold(),
    )


class _Set:
    """One set of images in the order of their probability, ready to be weighed."""

    def __init__(self, table: pd.DataFrame, positive: str) -> None:
        order = np.argsort(table[PROBABILITY_PREFIX + positive].to_numpy(float), kind="stable")
        self.probabilities = table[PROBABILITY_PREFIX + positive].to_numpy(float)[order]
        self.truth = (table["label"] == positive).to_numpy()[order]
        self.group = np.unique(table["group_id"].to_numpy(dtype=str), return_inverse=True)[1][order]
        self.groups = int(self.group.max()) + 1
        # A threshold may lie below all images, or above the last of those with one probability.
        self.cuts = np.concatenate([[0], np.flatnonzero(np.diff(self.probabilities)) + 1, [len(order)]])

    @property
    def prevalence(self) -> float:
        """Share of the positive class."""
        return float(self.truth.mean())

    def rates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Weigh images by their patients' weights (d, groups).

        Returns:
            `prevalence`, `sensitivity` and `specificity` at 0.5, and `best`, the highest accuracy at any threshold, each (d,).
        """
        images = weights[:, self.group].astype(float)
        sick, healthy = images * self.truth, images * ~self.truth
        called = self.probabilities >= 0.5
        with np.errstate(divide="ignore", invalid="ignore"):
            sensitivity = sick[:, called].sum(axis=1) / sick.sum(axis=1)
            specificity = healthy[:, ~called].sum(axis=1) / healthy.sum(axis=1)
        total = images.sum(axis=1)
        best = self._right_at_cuts(sick, healthy).max(axis=1) / total
        return {"sensitivity": sensitivity, "specificity": specificity, "prevalence": sick.sum(axis=1) / total, "best": best}

    def _right_at_cuts(self, sick: np.ndarray, healthy: np.ndarray) -> np.ndarray:
        """Weight of the images that are called rightly when those from each cut on are called positive, (d, cuts)."""
        nothing = np.zeros((len(sick), 1))
        below = np.concatenate([nothing, np.cumsum(healthy, axis=1)], axis=1)[:, self.cuts]
        missed = np.concatenate([nothing, np.cumsum(sick, axis=1)], axis=1)[:, self.cuts]
        return below + sick.sum(axis=1, keepdims=True) - missed

    def best_threshold(self) -> float:
        """Find the threshold of the highest accuracy; of equally good ones the nearest to 0.5."""
        right = self._right_at_cuts(self.truth[None].astype(float), (~self.truth)[None].astype(float))[0]
        ends = np.concatenate([[0.0], self.probabilities, [1.0]])
        thresholds = (ends[self.cuts] + ends[self.cuts + 1]) / 2
        best = np.flatnonzero(right == right.max())
        return float(thresholds[best[np.argmin(np.abs(thresholds[best] - 0.5))]])


def _parts(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`PARTS` of rates, each (d,)."""

    def accuracy(rates: dict[str, np.ndarray], prevalence: np.ndarray) -> np.ndarray:
        return prevalence * rates["sensitivity"] + (1 - prevalence) * rates["specificity"]

    one, other = accuracy(first, first["prevalence"]), accuracy(second, second["prevalence"])
    weighed = accuracy(first, second["prevalence"])
    return {
        "first": one,
        "second": other,
        "gap": one - other,
        "prevalence": one - weighed,
        "threshold": second["best"] - other,
        "rest": weighed - second["best"],
    }
