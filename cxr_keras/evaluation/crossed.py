"""One class with another look against the others as they are: what a model reads that is no disease."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cxr_keras.evaluation.paired import Difference, paired_differences
from cxr_keras.evaluation.predictions import class_names

AS_IT_IS = "as it is"

NOTABLE = 0.02
"""A fall of the macro AUROC from which on a model is said to read a look; this project's choice."""


def crossed_differences(
    plain: pd.DataFrame, changed: Mapping[str, pd.DataFrame], *, draws: int | None = None, seed: int = 0
) -> dict[tuple[str, str], dict[str, Difference]]:
    """Score each look on one class alone.

    A look that has nothing to do with a class should not move its images past those of another class. If it does so when one class
    alone has it, the model tells classes by it.

    Args:
        plain: checked predictions of images as they are.
        changed: name of a look -> predictions of the same images with it, in the same order.
        draws: bootstrap resamples of patients; by default as many as Holm's correction over all of these differences needs.
        seed: of the resamples.

    Returns:
        (look, class that has it) -> score -> difference to the images as they are; corrected for their number by Holm's method.

    Raises:
        ValueError: other images, labels or patients.
    """
    crossed = {}
    for look, table in changed.items():
        for label in class_names(plain):
            crossed[look, label] = table.where(table["label"] == label, plain).astype(plain.dtypes.to_dict())
    tables = {AS_IT_IS: plain} | {f"{look} {label}": table for (look, label), table in crossed.items()}
    found = paired_differences(tables, [(name, AS_IT_IS) for name in tables if name != AS_IT_IS], draws=draws, seed=seed)
    names = {f"{look} {label}": (look, label) for look, label in crossed}
    result: dict[tuple[str, str], dict[str, Difference]] = {key: {} for key in crossed}
    for each in found:
        result[names[each.run]][each.score] = each
    return result


def is_read(difference: Difference) -> bool:
    """Whether a fall of the macro AUROC is above chance and large enough to matter."""
    return difference.verdict == "lower" and difference.value is not None and difference.value <= -NOTABLE
