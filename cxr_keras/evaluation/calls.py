"""Scores of yes-or-no calls, with patient-level intervals, and predictive values at the prevalence of another place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from cxr_keras.evaluation.intervals import LEVEL, group_draws, percentile_interval

SCORES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "f1")

AT_PREVALENCE = ("ppv_at_prevalence", "npv_at_prevalence")
"""Positive and negative predictive value where the share of sick is the given one and not that of the images."""

Entry = dict[str, float | None]


def score_calls(
    table: pd.DataFrame,
    called: np.ndarray,
    *,
    positive: str,
    draws: int,
    seed: int,
    prevalence: float | None = None,
) -> dict[str, Entry]:
    """Score yes-or-no calls.

    Intervals are percentiles over resamples of patients. Where all sick are found, or all healthy left alone, every resample says the
    same, and the interval would shrink to a point; there its other end is the exact (Clopper-Pearson) bound, counted in patients.

    Args:
        table: group_id and label of each image.
        called: bool (n,), whether the image is called positive.
        positive: name of the positive class.
        draws: resamples.
        seed: of the resamples.
        prevalence: share of sick for predictive values, between 0 and 1; `None` leaves them out.

    Returns:
        Each of `SCORES`, and with a prevalence of `AT_PREVALENCE` -> value, low, high, dropped_draws; None where undefined.

    Raises:
        ValueError: the prevalence is not between 0 and 1.
    """
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"the prevalence is {prevalence}; give the share of sick among those tested, between 0 and 1, for example 0.1.")
    truth = (table["label"] == positive).to_numpy()
    groups = np.unique(table["group_id"].to_numpy(dtype=str), return_inverse=True)[1]
    cells = np.stack([truth & called, truth & ~called, ~truth & called, ~truth & ~called], axis=1)
    counts = np.zeros((groups.max() + 1, 4))
    np.add.at(counts, groups, cells)
    plain = _scores_of_counts(counts.sum(axis=0, keepdims=True), prevalence)
    several = len(counts) > 1 and draws
    drawn = (
        [_scores_of_counts(weights @ counts, prevalence) for weights in group_draws(len(counts), draws=draws, seed=seed)] if several else []
    )
    result = {}
    for name, values in plain.items():
        low, high, dropped = percentile_interval(np.concatenate([block[name] for block in drawn])) if drawn else (None, None, 0)
        value = float(values[0])
        result[name] = {"value": None if np.isnan(value) else value, "low": low, "high": high, "dropped_draws": dropped}
    if drawn:
        _widen_collapsed(result, counts, prevalence)
    return result


def _scores_of_counts(counts: np.ndarray, prevalence: float | None) -> Mapping[str, np.ndarray]:
    """Scores of float64 (d, 4): found, missed, false alarms, rightly left alone; nan where there is no denominator."""
    found, missed, alarms, alone = counts.T
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity, specificity = found / (found + missed), alone / (alone + alarms)
        scores = {
            "accuracy": (found + alone) / counts.sum(axis=1),
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "precision": found / (found + alarms),
            "f1": 2 * found / (2 * found + missed + alarms),
        }
        if prevalence is not None:
            scores |= zip(AT_PREVALENCE, predictive_values(sensitivity, specificity, prevalence), strict=True)
    return scores


def predictive_values(sensitivity: np.ndarray, specificity: np.ndarray, prevalence: float) -> tuple[np.ndarray, np.ndarray]:
    """Positive and negative predictive value by Bayes' rule.

    Args:
        sensitivity: float64 (d,).
        specificity: float64 (d,).
        prevalence: share of sick.

    Returns:
        P(sick | positive) and P(healthy | negative), float64 (d,); nan where no one is called so.
    """
    found, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    alone, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    with np.errstate(divide="ignore", invalid="ignore"):
        return found / (found + alarms), alone / (alone + missed)


def _widen_collapsed(result: dict[str, Entry], counts: np.ndarray, prevalence: float | None) -> None:
    """Give rates of 0 or 1, and the predictive values that follow from them, an exact end in place of the point."""
    for name, (hit, miss) in {"sensitivity": (0, 1), "specificity": (3, 2)}.items():
        entry = result[name]
        patients = int((counts[:, [hit, miss]].sum(axis=1) > 0).sum())
        # (1 - LEVEL) / 2 on the one open side, as the two-sided Clopper-Pearson interval has it.
        bound = float(stats.beta.ppf((1 - LEVEL) / 2, patients, 1)) if patients else None
        if bound is not None and entry["value"] == 1.0:
            entry["low"], entry["high"] = bound, 1.0
        elif bound is not None and entry["value"] == 0.0:
            entry["low"], entry["high"] = 0.0, 1 - bound
    if prevalence is None:
        return
    sensitivity, specificity = (result[name] for name in ("sensitivity", "specificity"))
    if sensitivity["value"] and specificity["value"] == 1.0 and specificity["low"] is not None:
        result[AT_PREVALENCE[0]]["low"] = float(
            predictive_values(np.array([sensitivity["value"]]), np.array([specificity["low"]]), prevalence)[0][0]
        )
    if specificity["value"] and sensitivity["value"] == 1.0 and sensitivity["low"] is not None:
        result[AT_PREVALENCE[1]]["low"] = float(
            predictive_values(np.array([sensitivity["low"]]), np.array([specificity["value"]]), prevalence)[1][0]
        )
