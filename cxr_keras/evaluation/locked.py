"""Thresholds that a run has locked, on images from elsewhere; nothing is chosen here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cxr_keras.evaluation.calls import score_calls
from cxr_keras.evaluation.intervals import DRAWS
from cxr_keras.evaluation.predictions import PROBABILITY_PREFIX, class_names


def score_locked(
    points: Sequence[Mapping[str, Any]],
    table: pd.DataFrame,
    *,
    models: int = 1,
    prevalence: float | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Score locked thresholds.

    Args:
        points: from `cxr_keras.evaluation.thresholds.operating_points`, as they lie in a run's metrics.json.
        table: predictions of images of which none served to choose; the caller makes sure of that, because the file holds no rows.
        models: how many models' mean the probabilities are. Thresholds are chosen for single models, and on the mean of several, which
            is spread otherwise, they are another operating point, of which nothing is promised.
        prevalence: share of sick among those who will be tested, for predictive values; `None` leaves these out.
        draws: bootstrap resamples of patients.
        seed: of the resamples.

    Returns:
        The points in the same form, with the scores of these images; a point that has no threshold keeps its reason. For several models
        the criterion says that it was met by single ones, and there is no promise.
    """
    positive = class_names(table)[-1]
    scored = []
    for point in points:
        told = {key: value for key, value in point.items() if key != "prevalence"}
        told |= {} if prevalence is None else {"prevalence": prevalence}
        if models > 1 and point["criterion"] != "fixed":
            told.pop("promise", None)
            told["criterion"] = (
                f"threshold of single models ({point['criterion']}) on the mean of {models}, which is another operating point; nothing is "
                "promised of it"
            )
        if point["locked"] is not None:
            called = table[PROBABILITY_PREFIX + positive].to_numpy() >= point["locked"]
            told["scores"] = score_calls(table, called, positive=positive, prevalence=prevalence, draws=draws, seed=seed)
            told["thresholds"] = {str(fold): point["locked"] for fold in sorted(set(table["fold"]))}
            told["chosen_on"] = "nothing" if point["chosen_on"] == "nothing" else "the run's own images by its single models; locked"
        scored.append(told)
    return scored
