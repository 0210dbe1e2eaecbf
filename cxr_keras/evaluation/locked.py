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

    What was promised of a threshold was promised of patients like those of the run, so nothing is promised of these.

    Args:
        points: from `cxr_keras.evaluation.thresholds.operating_points`, as they lie in a run's metrics.json.
        table: predictions of images of which none served to choose; the caller makes sure of that, because the file holds no rows.
        models: how many models' mean the probabilities are. Thresholds are chosen for single models, and on the mean of several, which
            is spread otherwise, they are another operating point.
        prevalence: share of sick among those who will be tested, for predictive values; `None` leaves these out.
        draws: bootstrap resamples of patients.
        seed: of the resamples.

    Returns:
        The points in the same form, with the scores of these images and without a promise; a point that has no threshold keeps its reason.
        The criterion says that it was met by the run's own images, and for several models, by single ones.
    """
    positive = class_names(table)[-1]
    scored = []
    for point in points:
        told = {key: value for key, value in point.items() if key != "prevalence"}
        told |= {} if prevalence is None else {"prevalence": prevalence}
        promised = told.pop("promise", None) is not None
        if point["criterion"] != "fixed":
            of_whom = f"threshold of single models on the mean of {models}, which is another operating point" if models > 1 else "locked"
            told["criterion"] = f"{of_whom}; chosen for: {point['criterion']}" + (
                "; that is promised for the run's own population only, not for these images" if promised else ""
            )
        if point["locked"] is not None:
            called = table[PROBABILITY_PREFIX + positive].to_numpy() >= point["locked"]
            told["scores"] = score_calls(table, called, positive=positive, prevalence=prevalence, draws=draws, seed=seed)
            told["thresholds"] = {str(fold): point["locked"] for fold in sorted(set(table["fold"]))}
            told["chosen_on"] = "nothing" if point["chosen_on"] == "nothing" else f"the run's own images ({point['chosen_on']})"
        scored.append(told)
    return scored
