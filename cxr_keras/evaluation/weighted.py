"""All scores for many weightings of the patients at once; the plain score is the case where every weight is 1.

Scores that are made of sums (confusion matrix, Brier, calibration bins) need one matrix product with sums per patient. Rank
scores need the images in order of their probability: sorted once, then a cumulative sum of weights for each resample.
An undefined score is nan in here and `None` outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

CALIBRATION_BINS = 15
"""Equal-width bins of the expected calibration error (Guo et al. 2017, On Calibration of Modern Neural Networks)."""

WITHOUT_INTERVAL = ("expected_calibration_error",)
"""Scores whose resamples lie above them: chance in a bin counts as error, and resampling adds chance, so percentiles miss the truth."""

LEAST_PROBABILITY = float(np.finfo(np.float64).eps)
"""Floor of a probability under a logarithm, 2.2e-16, as in scikit-learn's log_loss; a saved 0 stands for what was rounded away."""

PER_CLASS = ("precision", "sensitivity", "specificity", "f1", "auroc", "auprc")
"""Scores of one class against the rest."""

_FROM_DECISIONS = PER_CLASS[:4]


@dataclass(frozen=True)
class Ranking:
    """Images in falling order of the probability of one class.

    Attributes:
        groups: int64 (n,), group of each image.
        positive: bool (n,), whether the image is of the class.
        ends: int64 (m,), position of the last image of each run of equal probabilities.
    """

    groups: np.ndarray
    positive: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class Terms:
    """What is prepared once for a set of predictions.

    Attributes:
        n_classes: number of classes k.
        n_groups: number of groups g.
        sums: float64 (g, k·k + 15 + 2): per group the confusion matrix, per bin the sum of (correct - top probability),
            the sum of squared errors, and that of -log of the true class's probability.
        rankings: one per class.
    """

    n_classes: int
    n_groups: int
    sums: np.ndarray
    rankings: tuple[Ranking, ...]


class Scores(NamedTuple):
    """Scores of d weightings.

    Attributes:
        overall: name to float64 (d,).
        per_class: name to float64 (d, k).
        confusion: float64 (d, k, k), true class by row, predicted class by column.
    """

    overall: dict[str, np.ndarray]
    per_class: dict[str, np.ndarray]
    confusion: np.ndarray


def prepare(truth: np.ndarray, probabilities: np.ndarray, groups: np.ndarray) -> Terms:
    """Prepare predictions for weighing.

    Args:
        truth: int (n,), index of the true class.
        probabilities: float64 (n, k), rows sum to 1.
        groups: int (n,), 0 … g-1, group of each image.

    Returns:
        The terms. The predicted class is the one of highest probability, the first of equals.
    """
    n, k = probabilities.shape
    n_groups = int(groups.max()) + 1
    predicted = probabilities.argmax(axis=1)
    top = probabilities[np.arange(n), predicted]
    bins = bins_of(top)
    sums = np.zeros((n_groups, k * k + CALIBRATION_BINS + 2))
    np.add.at(sums, (groups, truth * k + predicted), 1.0)
    np.add.at(sums, (groups, k * k + bins), (predicted == truth) - top)
    np.add.at(sums[:, -2], groups, ((probabilities - np.eye(k)[truth]) ** 2).sum(axis=1))
    np.add.at(sums[:, -1], groups, -np.log(np.maximum(probabilities[np.arange(n), truth], LEAST_PROBABILITY)))
    rankings = tuple(_rank(probabilities[:, index], truth == index, groups) for index in range(k))
    return Terms(n_classes=k, n_groups=n_groups, sums=sums, rankings=rankings)


def bins_of(top: np.ndarray) -> np.ndarray:
    """Bins of the calibration error: highest probability float64 (n,) to int64 (n,) from 0."""
    # Bins are (low, high], so that a probability of 1 has a bin; 0 cannot be the top one.
    return np.clip(np.ceil(top * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)


def _rank(probability: np.ndarray, positive: np.ndarray, groups: np.ndarray) -> Ranking:
    order = np.argsort(-probability, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(probability[order])), len(order) - 1)
    return Ranking(groups=groups[order], positive=positive[order], ends=ends)


def weighted_scores(terms: Terms, weights: np.ndarray) -> Scores:
    """Compute every score under each weighting of the groups.

    Args:
        terms: from `prepare`.
        weights: non-negative (d, g), how often each group counts; every row with a positive sum.

    Returns:
        The scores, nan where undefined. A score without a denominator is undefined: precision of a class never predicted,
        sensitivity of a class that does not occur, AUROC and AUPRC of a class that does not occur or is the only one, F1 of
        a class neither occurring nor predicted. A macro mean with an undefined member is undefined, and so are those of
        precision and F1 where a class does not occur; a weighted mean looks at the classes that occur.
    """
    k = terms.n_classes
    sums = weights @ terms.sums
    confusion = sums[:, : k * k].reshape(-1, k, k)
    total = confusion.sum(axis=(1, 2))
    per_class = _from_confusion(confusion, total)
    areas = [_areas(ranking, weights) for ranking in terms.rankings]
    per_class["auroc"] = np.stack([area[0] for area in areas], axis=1)
    per_class["auprc"] = np.stack([area[1] for area in areas], axis=1)

    overall = {
        "accuracy": confusion.trace(axis1=1, axis2=2) / total,
        "balanced_accuracy": per_class["sensitivity"].mean(axis=1),
    }
    if k == 2:
        overall |= {name: per_class[name][:, 1] for name in ("auroc", "auprc")}
    overall |= {f"macro_{name}": per_class[name].mean(axis=1) for name in PER_CLASS}
    support = confusion.sum(axis=2)
    # Precision and F1 of a class that is only predicted are 0 and would pull the mean down.
    absent = (support == 0).any(axis=1)
    for name in ("macro_precision", "macro_f1"):
        overall[name] = np.where(absent, np.nan, overall[name])
    for name in _FROM_DECISIONS:
        parts = np.where(support > 0, support * per_class[name], 0.0)
        overall[f"weighted_{name}"] = parts.sum(axis=1) / total
    return Scores(overall | _calibration(sums, k), per_class, confusion)


def calibration_scores(terms: Terms, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the scores of the probabilities themselves under each weighting, without the ranks, which take most of the time.

    Args:
        terms: from `prepare`.
        weights: as for `weighted_scores`.

    Returns:
        `brier`, `log_loss` (nats) and `expected_calibration_error` to float64 (d,).
    """
    return _calibration(weights @ terms.sums, terms.n_classes)


def _calibration(sums: np.ndarray, k: int) -> dict[str, np.ndarray]:
    total = sums[:, : k * k].sum(axis=1)
    return {
        "brier": sums[:, -2] / total,
        "log_loss": sums[:, -1] / total,
        "expected_calibration_error": np.abs(sums[:, k * k : -2]).sum(axis=1) / total,
    }


def _from_confusion(confusion: np.ndarray, total: np.ndarray) -> dict[str, np.ndarray]:
    hits = confusion.diagonal(axis1=1, axis2=2)
    occurring = confusion.sum(axis=2)
    predicted = confusion.sum(axis=1)
    others = total[:, None] - occurring
    return {
        "precision": _ratio(hits, predicted),
        "sensitivity": _ratio(hits, occurring),
        "specificity": _ratio(others - (predicted - hits), others),
        "f1": _ratio(2 * hits, occurring + predicted),
    }


def _areas(ranking: Ranking, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the ROC curve (trapezoids, ties count half) and precision-recall curve (steps, no interpolation)."""
    # (images, draws): rows are gathered and summed down contiguous memory, about twice as fast as the other layout.
    ordered = np.ascontiguousarray(weights.T, dtype=np.float64)[ranking.groups]
    above = np.cumsum(ordered, axis=0)[ranking.ends]
    ordered[~ranking.positive] = 0.0
    true = np.cumsum(ordered, axis=0)[ranking.ends]
    false = above - true
    true_steps = np.diff(true, axis=0, prepend=0.0)
    false_steps = np.diff(false, axis=0, prepend=0.0)
    auroc = _ratio((false_steps * (true - true_steps / 2)).sum(axis=0), true[-1] * false[-1])
    precision = np.divide(true, above, out=np.zeros_like(true), where=above > 0)
    auprc = _ratio((true_steps * precision).sum(axis=0), true[-1])
    auprc[false[-1] == 0] = np.nan
    return auroc, auprc


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator > 0)
