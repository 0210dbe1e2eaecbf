"""Differences between runs on the same images: both are scored on the same resamples of patients, so what they share cancels.

Two intervals that overlap say little about a difference; images that are hard for both move both scores together. Here each
resample gives one difference, and the interval is that of the differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxr_keras.evaluation.intervals import DRAWS, LEVEL, group_draws, percentile_interval
from cxr_keras.evaluation.predictions import class_names
from cxr_keras.evaluation.scores import terms_of
from cxr_keras.evaluation.weighted import weighted_scores

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")
"""The scores that runs are compared by."""

SIGNIFICANCE = round(1 - LEVEL, 9)
"""A corrected p-value from here on counts as a tie."""

PAIRED_DEFINITIONS = {
    "difference": "score of the run minus score of the run it is held against, both on all images",
    "interval": f"{LEVEL:.0%} percentile interval of the difference; every resample of patients scores both runs on the same patients",
    "p": "two-sided: twice the smaller of the shares of resamples with a difference <= 0 and >= 0, each counted as (k + 1) / (draws + 1), "
    "at most 1; so its least value is 2 / (draws + 1)",
    "p (Holm)": "Holm's step-down correction (1979) over all differences of the table, valid however they depend on each other",
    "one image": "what one image can move: 1 / images for accuracy, 1 / (classes × images of the rarest class) for the others",
    "tie": f"the interval holds 0, or the difference is smaller than one image is worth, or p (Holm) is {SIGNIFICANCE:g} or more",
    "scope": "these are differences between trained networks; the spread of training again with another seed is not in them",
}
"""What the columns mean, written beside them."""


@dataclass(frozen=True)
class Difference:
    """One score of one run minus that of another.

    Attributes:
        run: name of the run.
        against: name of the run that it is held against.
        score: one of `SCORES`.
        value: the difference on all images, `None` if a score is undefined.
        low: low end of its interval, `None` without one.
        high: high end.
        dropped_draws: resamples in which a score is undefined.
        p_value: two-sided bootstrap p-value, `None` without an interval.
        p_holm: the same after Holm's correction over all differences.
        one_image: the sample's resolution, what one image can move.
        verdict: "higher", "lower", "tie" or "undefined".
        reason: why a tie is one, or "".
    """

    run: str
    against: str
    score: str
    value: float | None
    low: float | None
    high: float | None
    dropped_draws: int
    p_value: float | None
    p_holm: float | None
    one_image: float
    verdict: str
    reason: str


def check_same_classes(tables: Mapping[str, pd.DataFrame]) -> None:
    """Make sure that all predictions tables are of the same classes, in whatever order.

    Raises:
        ValueError: they are not; the message tells the classes of each.
    """
    classes = {name: tuple(sorted(class_names(table))) for name, table in tables.items()}
    if len(set(classes.values())) > 1:
        listed = "\n".join(f"  - {name}: {', '.join(found)}" for name, found in classes.items())
        raise ValueError(f"These runs tell different classes apart and have no common scores:\n{listed}\nCompare runs of the same classes.")


def why_unpaired(first: pd.DataFrame, other: pd.DataFrame) -> str:
    """Tell why two predictions tables cannot be paired, image by image; "" where they can.

    Args:
        first: columns image_id, group_id, label and perhaps sha256 (digest of the image file).
        other: the same of the other run.

    Returns:
        A sentence with the number of shared images.
    """
    first, other = (table.set_index("image_id") for table in (first, other))
    shared = first.index.intersection(other.index)
    if len(shared) < max(len(first), len(other)):
        return f"{len(shared):,} images are in both, of {len(first):,} and {len(other):,}"
    kinds = {"sha256": "are other files", "label": "carry other labels", "group_id": "are of other patients"}
    for column, words in kinds.items():
        if column in first and column in other:
            differing = int((first.loc[shared, column] != other.loc[shared, column]).sum())
            if differing:
                return f"{len(shared):,} images of the same names are in both, but {differing:,} of them {words}"
    return ""


def paired_differences(
    tables: Mapping[str, pd.DataFrame], pairs: Sequence[tuple[str, str]], *, draws: int = DRAWS, seed: int = 0
) -> list[Difference]:
    """Compare runs on the same images.

    Args:
        tables: name to checked predictions table; all of the same images, patients and classes, in whatever order.
        pairs: (run, run it is held against), names of `tables`.
        draws: bootstrap resamples of patients, the same for all runs.
        seed: seed of the resamples.

    Returns:
        A row for each pair and score, pair by pair.

    Raises:
        ValueError: the tables differ in images, labels, patients or classes.
    """
    check_same_classes(tables)
    reference = next(iter(tables))
    for name, table in tables.items():
        if why := why_unpaired(tables[reference], table):
            raise ValueError(f"{name} cannot be paired with {reference}: {why}. Compare runs on the same images.")
    first = tables[reference]
    classes = class_names(first)
    plain, sampled = _sample(tables, classes, draws=draws, seed=seed)
    rarest = min((first["label"] == label).sum() for label in classes)
    of_rarest = 1 / (len(classes) * rarest) if rarest else float("inf")
    rows = []
    for run, against in pairs:
        for score in SCORES:
            differences = sampled[run][score] - sampled[against][score]
            low, high, dropped = percentile_interval(differences)
            value = plain[run][score] - plain[against][score]
            p_value = None if low is None else two_sided_p(differences[~np.isnan(differences)])
            resolution = float(1 / len(first) if score == "accuracy" else of_rarest)
            known = None if np.isnan(value) else float(value)
            rows.append(Difference(run, against, score, known, low, high, dropped, p_value, None, resolution, "", ""))
    corrected = holm([row.p_value for row in rows])
    return [_judged(replace(row, p_holm=p_value)) for row, p_value in zip(rows, corrected, strict=True)]


def two_sided_p(differences: np.ndarray) -> float:
    """Two-sided bootstrap p-value of "no difference", the one that goes with a percentile interval.

    Args:
        differences: float64 (draws,), the difference in each resample, without nan.

    Returns:
        min(1, 2 · min(#{d <= 0} + 1, #{d >= 0} + 1) / (draws + 1)); the added one keeps it above 0, as a finite number of
        resamples cannot show more (Davison and Hinkley 1997, Bootstrap Methods and their Application, section 4.2).
    """
    fewer = min((differences <= 0).sum(), (differences >= 0).sum())
    return float(min(1.0, 2 * (fewer + 1) / (len(differences) + 1)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for their number by Holm's step-down method (Holm 1979, Scandinavian Journal of Statistics 6).

    Args:
        p_values: one a comparison; `None` is no comparison and stays so.

    Returns:
        Corrected p-values in the same order, at most 1.
    """
    order = sorted((p_value, index) for index, p_value in enumerate(p_values) if p_value is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p_value, index) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_value))
        corrected[index] = largest
    return corrected


def _sample(
    tables: Mapping[str, pd.DataFrame], classes: tuple[str, ...], *, draws: int, seed: int
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, np.ndarray]]]:
    """Scores of each run on all images, and on every resample: name to score to value, or to float64 (draws,)."""
    terms = {name: terms_of(table, classes) for name, table in tables.items()}
    n_groups = next(iter(terms.values())).n_groups
    whole = {name: weighted_scores(found, np.ones((1, n_groups))).overall for name, found in terms.items()}
    plain = {name: {score: float(found[score][0]) for score in SCORES} for name, found in whole.items()}
    blocks: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in tables}
    # With one patient all resamples are alike and would feign certainty.
    for counts in group_draws(n_groups, draws=draws, seed=seed) if n_groups > 1 else ():
        for name, found in terms.items():
            blocks[name].append(weighted_scores(found, counts).overall)
    sampled = {
        name: {score: np.concatenate([np.empty(0), *(block[score] for block in found)]) for score in SCORES}
        for name, found in blocks.items()
    }
    return plain, sampled


def _judged(row: Difference) -> Difference:
    """The row with its verdict in words."""
    if row.value is None or row.low is None or row.high is None or row.p_holm is None:
        return replace(row, verdict="undefined", reason="a score is undefined, or there is one patient only")
    if row.low <= 0 <= row.high:
        return replace(row, verdict="tie", reason="the interval holds 0")
    # A difference of just one image is one; 1e-12 forgives the last bits of the subtraction.
    if abs(row.value) < row.one_image - 1e-12:
        return replace(row, verdict="tie", reason="smaller than one image is worth")
    if row.p_holm >= SIGNIFICANCE:
        return replace(row, verdict="tie", reason="not separated after Holm's correction")
    return replace(row, verdict="higher" if row.value > 0 else "lower")
