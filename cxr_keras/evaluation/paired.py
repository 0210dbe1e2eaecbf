"""Differences between runs on the same images: both are scored on the same resamples of patients, so what they share cancels.

Two intervals that overlap say little about a difference; images that are hard for both move both scores together. Here each
resample gives one difference, and the interval is that of the differences.
"""

from __future__ import annotations

import itertools
import math
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
    tables: Mapping[str, pd.DataFrame], pairs: Sequence[tuple[str, str]], *, draws: int | None = None, seed: int = 0
) -> list[Difference]:
    """Compare runs on the same images.

    Args:
        tables: name to checked predictions table, all of the same classes.
        pairs: (run, run it is held against), names of `tables`; both of the same images and patients, in whatever order.
        draws: bootstrap resamples of patients, the same for both runs of a pair; by default `draws_for` the pairs.
        seed: seed of the resamples.

    Returns:
        A row for each pair and score, pair by pair.

    Raises:
        ValueError: the tables differ in classes, or a pair in images, labels or patients.
    """
    check_same_classes(tables)
    for run, against in pairs:
        if why := why_unpaired(tables[against], tables[run]):
            raise ValueError(f"{run} cannot be paired with {against}: {why}. Compare runs on the same images.")
    classes = class_names(next(iter(tables.values())))
    draws = draws_for(len(pairs)) if draws is None else draws
    sampled = {name: _sample(tables[name], classes, draws=draws, seed=seed) for name in dict.fromkeys(itertools.chain(*pairs))}
    rows = []
    for run, against in pairs:
        labels = tables[run]["label"]
        rarest = min((labels == label).sum() for label in classes)
        for score in SCORES:
            (own, own_samples), (other, other_samples) = sampled[run][score], sampled[against][score]
            differences = own_samples - other_samples
            low, high, dropped = percentile_interval(differences)
            value = None if np.isnan(own - other) else own - other
            p_value = None if low is None else two_sided_p(differences[~np.isnan(differences)])
            smallest = len(labels) if score == "accuracy" else len(classes) * rarest
            one_image = float(1 / smallest) if smallest else float("inf")
            rows.append(Difference(run, against, score, value, low, high, dropped, p_value, None, one_image, "", ""))
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


def draws_for(n_pairs: int) -> int:
    """Resamples that leave room for Holm's correction: the least p-value, corrected for all scores of all pairs, is a quarter of .05.

    With too few, 2 / (draws + 1) times the number of differences would reach .05, and nothing could ever be told apart.
    """
    return max(DRAWS, math.ceil(2 * n_pairs * len(SCORES) / (SIGNIFICANCE / 4)))


def check_draws(draws: int, n_pairs: int) -> None:
    """Make sure that so many resamples can tell anything apart.

    Raises:
        ValueError: even the least p-value would be corrected to .05 or more.
    """
    differences = n_pairs * len(SCORES)
    least = min(1.0, 2 * differences / (draws + 1))
    if least >= SIGNIFICANCE:
        raise ValueError(
            f"draws is {draws:,}: none of {differences} differences could be told apart after Holm's correction, the least p would be "
            f"{least:.3f}. Give {draws_for(n_pairs):,} or more, or leave it out."
        )


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


def _sample(table: pd.DataFrame, classes: tuple[str, ...], *, draws: int, seed: int) -> dict[str, tuple[float, np.ndarray]]:
    """Each score of one run on all images, and on every resample, float64 (draws,).

    The resamples follow from the number of patients and the seed, and patients are numbered by their sorted names; so runs on the same
    patients are scored on the same ones.
    """
    terms = terms_of(table, classes)
    whole = weighted_scores(terms, np.ones((1, terms.n_groups))).overall
    # With one patient all resamples are alike and would feign certainty.
    counted = group_draws(terms.n_groups, draws=draws, seed=seed) if terms.n_groups > 1 else ()
    blocks = [weighted_scores(terms, counts).overall for counts in counted]
    return {score: (float(whole[score][0]), np.concatenate([np.empty(0), *(block[score] for block in blocks)])) for score in SCORES}


def _judged(row: Difference) -> Difference:
    """The row with its verdict in words."""
    if row.value is None or row.low is None or row.high is None or row.p_holm is None:
        return replace(row, verdict="undefined", reason="no score or one patient")
    if row.low <= 0 <= row.high:
        return replace(row, verdict="tie", reason="interval holds 0")
    # A difference of just one image is one; 1e-12 forgives the last bits of the subtraction.
    if abs(row.value) < row.one_image - 1e-12:
        return replace(row, verdict="tie", reason="below one image")
    if row.p_holm >= SIGNIFICANCE:
        return replace(row, verdict="tie", reason="p (Holm) too high")
    return replace(row, verdict="higher" if row.value > 0 else "lower")
