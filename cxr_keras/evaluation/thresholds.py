"""Operating points of a binary problem: where the probability of the positive class becomes the word "positive".

A threshold is chosen on rows that it is never scored on: those of a validation part, or in cross-validation for each fold those of the
other folds. Its own uncertainty is not in the intervals, which draw the scored patients again and keep the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cxr_keras.evaluation.intervals import DRAWS, group_draws, percentile_interval
from cxr_keras.evaluation.predictions import PROBABILITY_PREFIX, class_names

SENSITIVITY = 0.95
"""What the operating point of high sensitivity must reach where it is chosen; a missed pneumonia weighs more than a false alarm."""

CRITERIA = {
    "youden": "highest sensitivity + specificity",
    "sensitive": f"highest specificity with a sensitivity of {SENSITIVITY:.2f} or more",
}

SCORES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "f1")


def choose_threshold(positive: np.ndarray, probabilities: np.ndarray, *, criterion: str) -> float:
    """Choose the probability from which an image is called positive.

    Candidates lie half-way between neighbouring probabilities that occur, and at 0; so no image sits on the threshold. Of
    equally good ones the nearest to 0.5 is taken.

    Args:
        positive: bool (n,), whether the image is of the positive class.
        probabilities: float (n,), of the positive class.
        criterion: one of `CRITERIA`.

    Returns:
        The threshold t in [0, 1]; positive means p >= t.

    Raises:
        ValueError: unknown criterion, or rows of one class only.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion is {criterion!r}; expected one of {', '.join(CRITERIA)}.")
    if positive.all() or not positive.any():
        raise ValueError("a threshold cannot be chosen on images of one class; give images of both.")
    values, inverse = np.unique(probabilities, return_inverse=True)
    candidates = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2])
    # Candidate i calls positive every image whose distinct value has the number i or more.
    found = np.cumsum(np.bincount(inverse, weights=positive, minlength=len(values))[::-1])[::-1]
    alarms = np.cumsum(np.bincount(inverse, weights=~positive, minlength=len(values))[::-1])[::-1]
    sensitivity, specificity = found / found[0], 1 - alarms / alarms[0]
    merit = sensitivity + specificity if criterion == "youden" else np.where(sensitivity >= SENSITIVITY, specificity, -1.0)
    best = np.flatnonzero(merit >= merit.max() - 1e-12)
    return float(candidates[best[np.argmin(np.abs(candidates[best] - 0.5))]])


def operating_points(
    table: pd.DataFrame, validation: pd.DataFrame | None = None, *, draws: int = DRAWS, seed: int = 0
) -> list[dict[str, Any]] | None:
    """Score a binary predictions table at 0.5 and at thresholds that were chosen elsewhere.

    Args:
        table: predictions of held-out images, as `validate_predictions` gives them. With several folds each fold's thresholds are chosen
            on the rows of the others.
        validation: predictions of a validation part, for a table of one fold; without it only 0.5 is scored there.
        draws: bootstrap resamples of patients.
        seed: of the resamples.

    Returns:
        None for more than two classes. Else for each operating point: name, criterion, chosen_on, thresholds (fold -> threshold),
        locked (the threshold for images of elsewhere: the validation part's, or the one of all out-of-fold rows), and scores
        {name: {value, low, high}}. Only 0.5 where the rows to choose on are of one class.
    """
    classes = class_names(table)
    if len(classes) != 2:
        return None
    folds = sorted(set(table["fold"]))
    half: dict[str, Any] = {
        "name": "0.5",
        "criterion": "fixed",
        "chosen_on": "nothing",
        "thresholds": dict.fromkeys(folds, 0.5),
        "locked": 0.5,
    }
    points = [half]
    others = [table[table["fold"] != fold] for fold in folds] if len(folds) > 1 else [table if validation is None else validation]
    choosable = all(rows["label"].nunique() == 2 for rows in others)
    for criterion in CRITERIA if choosable else ():
        if len(folds) > 1:
            chosen = {fold: _chosen_on(table[table["fold"] != fold], criterion) for fold in folds}
            points.append(_point(criterion, "the other folds", chosen, _chosen_on(table, criterion)))
        elif validation is not None:
            threshold = _chosen_on(validation, criterion)
            points.append(_point(criterion, "the validation part", dict.fromkeys(folds, threshold), threshold))
    for point in points:
        called = table[PROBABILITY_PREFIX + classes[1]].to_numpy() >= table["fold"].map(point["thresholds"]).to_numpy()
        point["scores"] = score_calls(table, called, positive=classes[1], draws=draws, seed=seed)
        point["thresholds"] = {str(fold): threshold for fold, threshold in point["thresholds"].items()}
    return points


def score_calls(table: pd.DataFrame, called: np.ndarray, *, positive: str, draws: int, seed: int) -> dict[str, dict[str, float | None]]:
    """Score yes-or-no calls with patient-level bootstrap intervals.

    Args:
        table: group_id and label of each image.
        called: bool (n,), whether the image is called positive.
        positive: name of the positive class.
        draws: resamples.
        seed: of the resamples.

    Returns:
        Each of `SCORES` -> value, low, high, dropped_draws; None where undefined.
    """
    truth = (table["label"] == positive).to_numpy()
    groups = np.unique(table["group_id"].to_numpy(dtype=str), return_inverse=True)[1]
    cells = np.stack([truth & called, truth & ~called, ~truth & called, ~truth & ~called], axis=1)
    counts = np.zeros((groups.max() + 1, 4))
    np.add.at(counts, groups, cells)
    plain = _scores_of_counts(counts.sum(axis=0, keepdims=True))
    several = len(counts) > 1 and draws
    samples = [_scores_of_counts(drawn @ counts) for drawn in group_draws(len(counts), draws=draws, seed=seed)] if several else []
    result = {}
    for name in SCORES:
        low, high, dropped = percentile_interval(np.concatenate([block[name] for block in samples])) if samples else (None, None, 0)
        value = float(plain[name][0])
        result[name] = {"value": None if np.isnan(value) else value, "low": low, "high": high, "dropped_draws": dropped}
    return result


def _scores_of_counts(counts: np.ndarray) -> Mapping[str, np.ndarray]:
    """Scores of float64 (d, 4): found, missed, false alarms, rightly left alone; nan where there is no denominator."""
    found, missed, alarms, alone = counts.T
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity, specificity = found / (found + missed), alone / (alone + alarms)
        return {
            "accuracy": (found + alone) / counts.sum(axis=1),
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "precision": found / (found + alarms),
            "f1": 2 * found / (2 * found + missed + alarms),
        }


def _point(criterion: str, chosen_on: str, thresholds: dict[int, float], locked: float) -> dict[str, Any]:
    return {"name": criterion, "criterion": CRITERIA[criterion], "chosen_on": chosen_on, "thresholds": thresholds, "locked": locked}


def _chosen_on(table: pd.DataFrame, criterion: str) -> float:
    """Choose on the rows of a predictions table."""
    positive = class_names(table)[1]
    return choose_threshold(
        (table["label"] == positive).to_numpy(), table[PROBABILITY_PREFIX + positive].to_numpy(float), criterion=criterion
    )
