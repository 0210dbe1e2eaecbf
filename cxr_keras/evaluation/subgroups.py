"""The same scores for parts of the images: by source, view, sex and age band, where the manifest knows them.

A subgroup that lacks a class has none of the scores that average over classes, which is itself a finding: there the attribute says much
about the class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxr_keras.evaluation.calls import score_calls
from cxr_keras.evaluation.intervals import DRAWS
from cxr_keras.evaluation.predictions import PROBABILITY_PREFIX
from cxr_keras.evaluation.scores import score_predictions

AGE_BANDS = ((0, 18, "under 18"), (18, 45, "18 to 44"), (45, 65, "45 to 64"), (65, 200, "65 and over"))
"""Years from (included) to (excluded) and name; the bands are this project's choice."""

ATTRIBUTES = ("source", "view", "sex", "age")
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
UNKNOWN = "not stated"


def attributes_of(manifest: pd.DataFrame) -> pd.DataFrame:
    """Take from a manifest what subgroups are made of.

    Args:
        manifest: image_id, source and perhaps view, sex, age (years, as text).

    Returns:
        A table indexed by image_id with the columns of `ATTRIBUTES` that are there and hold two values or more; age as bands.
    """
    table = manifest.set_index("image_id")
    found = table[[name for name in ATTRIBUTES if name in table]].fillna("").astype(str).apply(lambda column: column.str.strip())
    if "age" in found:
        years = pd.to_numeric(found["age"], errors="coerce").to_numpy(float)
        names = np.full(len(found), "", dtype=object)
        for low, high, name in AGE_BANDS:
            names[(years >= low) & (years < high)] = name
        found["age"] = names
    found = found.replace("", UNKNOWN)
    return found[[name for name in found if found[name].nunique() > 1]]


def score_subgroups(
    predictions: pd.DataFrame,
    attributes: pd.DataFrame,
    *,
    points: Sequence[Mapping[str, Any]] = (),
    draws: int = DRAWS,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Score every subgroup of a predictions table.

    Args:
        predictions: a checked predictions table.
        attributes: from `attributes_of`; holds every predicted image.
        points: operating points of a binary problem with their thresholds (fold -> threshold), chosen on other rows.
        draws: bootstrap resamples of patients in each subgroup.
        seed: of the resamples.

    Returns:
        For each attribute and value: attribute, value, n_images, n_groups, images (class -> count), scores {name: {value, low, high, …}},
        the value None where undefined: an average over classes needs images of each; and points, [{name, scores}], sensitivity and
        specificity at each point that has a threshold. An attribute that does not vary among the predicted images is left out.
    """
    rows = []
    values_of = attributes.loc[predictions["image_id"]]
    for attribute in attributes:
        values = values_of[attribute].to_numpy()
        if len(set(values)) < 2:
            continue
        for value in sorted(set(values)):
            part = predictions[values == value]
            scored = score_predictions(part, draws=draws, seed=seed)
            images = {name: scored["per_class"][name]["support"] for name in scored["classes"]}
            scores = {name: scored["scores"][name] for name in SCORES}
            rows.append(
                {
                    "attribute": attribute,
                    "value": value,
                    "n_images": scored["n_images"],
                    "n_groups": scored["n_groups"],
                    "images": images,
                    "scores": scores,
                    "points": [
                        {"name": point["name"], "scores": _at(point, part, positive=scored["classes"][-1], draws=draws, seed=seed)}
                        for point in points
                        if point["scores"] is not None
                    ],
                }
            )
    return rows


def _at(point: Mapping[str, Any], part: pd.DataFrame, *, positive: str, draws: int, seed: int) -> dict[str, Any]:
    """Sensitivity and specificity of a part of the rows at an operating point."""
    thresholds = part["fold"].astype(str).map(point["thresholds"]).to_numpy(float)
    called = part[PROBABILITY_PREFIX + positive].to_numpy() >= thresholds
    found = score_calls(part, called, positive=positive, draws=draws, seed=seed)
    return {name: found[name] for name in ("sensitivity", "specificity")}
