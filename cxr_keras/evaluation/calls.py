"""Scores of yes-or-no calls, with patient-level intervals, and predictive values at the prevalence of another place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cxr_keras.evaluation.intervals import group_draws, groups_of_rates, interval_of_rate, interval_or_none

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

    Intervals are percentiles over resamples of patients, the same as those of `score_predictions`. A rate near 0 or 1 reaches as far as its
    exact interval (`interval_of_rate`), and predictive values of 1 get the end that follows from it; balanced accuracy and F1 have none
    there.

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
    check_prevalence(prevalence)
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
    # Healthy first, as in a confusion matrix: left alone, alarms, missed, found.
    patients = {name: int(of_class[1]) for name, of_class in groups_of_rates(counts[:, [3, 2, 1, 0]].reshape(-1, 2, 2)).items()}
    patients["accuracy"] = len(counts)
    result = {}
    for name, values in plain.items():
        samples = np.concatenate([block[name] for block in drawn]) if drawn else np.empty(0)
        value = None if np.isnan(values[0]) else float(values[0])
        low, high, dropped = interval_of_rate(value, samples, groups=patients[name]) if name in patients else interval_or_none(samples)
        result[name] = {"value": value, "low": low, "high": high, "dropped_draws": dropped}
    if drawn and prevalence is not None:
        _bound_predictive_values(result, prevalence)
    return result


def check_prevalence(prevalence: float | None) -> None:
    """Raise ValueError unless a prevalence, if there is one, lies between 0 and 1, both left out."""
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"the prevalence is {prevalence}; give the share of sick among those tested, between 0 and 1, for example 0.1.")


def refuse_idle_prevalence(prevalence: float | None, classes: Sequence[str]) -> None:
    """Raise ValueError where a prevalence would have no effect: predictive values are of two classes."""
    if prevalence is not None and len(classes) != 2:
        raise ValueError(f"a prevalence is of two classes, normal and sick; these are {', '.join(classes)}. Leave it out.")


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


def _bound_predictive_values(result: dict[str, Entry], prevalence: float) -> None:
    """Give predictive values of 1 the low end that follows from the exact end of the rate they depend on."""
    sensitivity, specificity = (result[name] for name in ("sensitivity", "specificity"))
    if sensitivity["value"] and specificity["value"] == 1.0 and specificity["low"] is not None:
        low = predictive_values(np.array([sensitivity["value"]]), np.array([specificity["low"]]), prevalence)[0][0]
        result[AT_PREVALENCE[0]] |= {"low": float(low), "high": 1.0}
    if specificity["value"] and sensitivity["value"] == 1.0 and sensitivity["low"] is not None:
        low = predictive_values(np.array([sensitivity["low"]]), np.array([specificity["value"]]), prevalence)[1][0]
        result[AT_PREVALENCE[1]] |= {"low": float(low), "high": 1.0}
