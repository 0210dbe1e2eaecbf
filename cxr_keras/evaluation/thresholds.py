"""Operating points of a binary problem: where the probability of the positive class becomes the word "positive".

A threshold is chosen on rows that it is never scored on (`cxr_keras.evaluation.fitting`): those of a validation part, or in
cross-validation for each fold those of the other folds.

The threshold "sensitive" reaches the target on the rows it is chosen on, and in about half of all studies misses it on new patients. The
threshold "guaranteed" keeps it with a stated confidence. It is an order statistic: let the sick patients of the fitting rows be n, each
with the least probability of their sick images, sorted; the threshold is at most the (m + 1)-th of them, so at most m patients lie below.
The share of all patients below that order statistic has the distribution Beta(m + 1, n - m) whatever the distribution of the
probabilities, so the promise holds with confidence 1 - P(Binomial(n, 1 - target) <= m); m is the largest number that keeps this at the
confidence or above (Wilks 1941, Determination of sample sizes for setting tolerance limits). The same m is the largest for which the
one-sided lower Clopper-Pearson bound of (n - m) / n reaches the target. As m depends on n alone and not on the probabilities, choosing
and promising on the same rows is no double use of them; ties only make the promise safer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cxr_keras.evaluation.calls import score_calls
from cxr_keras.evaluation.fitting import Fitted, FittingRows, check_rows, fitting_rows
from cxr_keras.evaluation.intervals import DRAWS
from cxr_keras.evaluation.predictions import PROBABILITY_PREFIX, class_names

SENSITIVITY = 0.95
"""Default of the sensitivity to reach, high because a missed pneumonia weighs more than a false alarm."""

CONFIDENCE = 0.95
"""In how many of all studies the guaranteed threshold keeps its promise, at least."""

CRITERIA = ("youden", "sensitive", "guaranteed")

PROMISE = (
    "what is promised is the share of patients of whom every image of the class is found, and it holds only if patients are drawn "
    "independently (images of one patient may depend on each other in any way) and those to come are of the same population and seen by "
    "the same model"
)
"""What a guaranteed threshold promises and under which conditions, written beside it."""

POOLED_FOLDS = (
    "and as the rows it is chosen on were predicted by the models of several folds, it holds for one model as far as these give alike "
    "probabilities"
)
"""What is assumed besides where the rows are those of several folds."""

USED_ONCE = "and only if the validation part it is chosen on served for nothing else, such as choosing the epoch"
"""What is assumed besides where the rows are those of a validation part."""


@dataclass(frozen=True)
class Promise:
    """How far a number of patients lets a sensitivity be promised.

    Attributes:
        target: the sensitivity that is promised, 0 to 1.
        patients: patients of the positive class, n.
        may_miss: how many of them may lie below the threshold, m; `None` where even none is too many.
        needed: patients that are needed for any promise.
    """

    target: float
    patients: int
    may_miss: int | None
    needed: int

    @property
    def lower_bound(self) -> float | None:
        """The one-sided Clopper-Pearson bound of the sensitivity where as many patients are missed as may be; `None` without a promise."""
        if self.may_miss is None:
            return None
        return float(stats.beta.ppf(1 - CONFIDENCE, self.patients - self.may_miss, self.may_miss + 1))

    @property
    def shortage(self) -> str:
        """Why no threshold can promise the target, or ""."""
        if self.may_miss is not None:
            return ""
        return (
            f"no threshold can promise a sensitivity of {self.target:g} with {CONFIDENCE:.0%} confidence: that takes {self.needed} "
            f"patients of the positive class, and there are {self.patients} to choose on"
        )


def promise_of(patients: int, *, target: float = SENSITIVITY) -> Promise:
    """Tell how many patients may lie below a threshold that promises a sensitivity.

    Args:
        patients: patients of the positive class among the rows to choose on.
        target: the sensitivity, between 0 and 1.

    Raises:
        ValueError: the target is not between 0 and 1.
    """
    check_target(target)
    # ppf gives the least m with P(X <= m) >= alpha, which is one too many unless it is met exactly.
    alpha = 1 - CONFIDENCE
    least = int(stats.binom.ppf(alpha, patients, 1 - target)) if patients else 0
    may_miss = least if stats.binom.cdf(least, patients, 1 - target) <= alpha else least - 1
    needed = math.ceil(math.log(alpha) / math.log(target) - 1e-9)
    return Promise(target, patients, may_miss if may_miss >= 0 else None, needed)


def check_target(target: float) -> None:
    """Raise ValueError unless a sensitivity lies between 0 and 1, both left out."""
    if not 0 < target < 1:
        raise ValueError(f"the target sensitivity is {target}; give a number between 0 and 1, such as {SENSITIVITY}.")


def choose_threshold(rows: FittingRows, *, criterion: str, target: float = SENSITIVITY) -> Fitted:
    """Choose the probability from which an image is called positive.

    Candidates lie half-way between neighbouring probabilities that occur, and at 0; so no image sits on the threshold.

    Args:
        rows: predictions of two classes, of which the last is the positive one.
        criterion: "youden", the highest sensitivity + specificity; "sensitive", the highest specificity among those that reach the target
            on these rows (of equally good ones the nearest to 0.5, as for "youden"); "guaranteed", the highest that promises the target.
        target: the sensitivity to reach.

    Returns:
        The threshold t in [0, 1]; positive means p >= t.

    Raises:
        TypeError: `rows` is a bare table.
        ValueError: unknown criterion, rows of one class only or of more than two classes; or a promise is wanted of too few patients or
            of rows with a flaw.
    """
    check_rows(rows)
    if criterion not in CRITERIA:
        raise ValueError(f"criterion is {criterion!r}; expected one of {', '.join(CRITERIA)}.")
    check_target(target)
    classes = class_names(rows.table)
    if len(classes) != 2:
        raise ValueError(f"a threshold is of two classes; these are {', '.join(classes)}.")
    positive = (rows.table["label"] == classes[1]).to_numpy()
    if positive.all() or not positive.any():
        raise ValueError("a threshold cannot be chosen on images of one class; give images of both.")
    probabilities = rows.table[PROBABILITY_PREFIX + classes[1]].to_numpy(float)
    values, inverse = np.unique(probabilities, return_inverse=True)
    candidates = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2])
    if criterion == "guaranteed":
        if rows.flaw:
            raise ValueError(f"{_no_promise_of(rows.flaw)}.")
        return Fitted(_highest_promising(rows, probabilities, positive, candidates=candidates, target=target), rows)
    # Candidate i calls positive every image whose distinct value has the number i or more.
    found = np.cumsum(np.bincount(inverse, weights=positive, minlength=len(values))[::-1])[::-1]
    alarms = np.cumsum(np.bincount(inverse, weights=~positive, minlength=len(values))[::-1])[::-1]
    sensitivity, specificity = found / found[0], 1 - alarms / alarms[0]
    merit = sensitivity + specificity if criterion == "youden" else np.where(sensitivity >= target, specificity, -1.0)
    best = np.flatnonzero(merit >= merit.max() - 1e-12)
    return Fitted(float(candidates[best[np.argmin(np.abs(candidates[best] - 0.5))]]), rows)


def _highest_promising(
    rows: FittingRows, probabilities: np.ndarray, positive: np.ndarray, *, candidates: np.ndarray, target: float
) -> float:
    least = least_of_patients(rows.table["group_id"].to_numpy()[positive], probabilities[positive])
    promise = promise_of(len(least), target=target)
    if promise.may_miss is None:
        raise ValueError(f"{promise.shortage}. Give more patients, or a lower target.")
    return float(candidates[candidates <= least[promise.may_miss]].max())


def _no_promise_of(flaw: str) -> str:
    return (
        f"the images to choose on {flaw}, so they are not like new ones and promise nothing of them; take out-of-fold predictions (cxr "
        "cv, cross_validation.protocol=plain) or a validation part that served for nothing else (training.keep=last, patience null, no "
        "evaluation.validation_appearance)"
    )


def least_of_patients(groups: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The least probability of each patient's images, sorted: float64 (patients,)."""
    return np.sort(pd.Series(probabilities).groupby(groups).min().to_numpy())


def operating_points(
    table: pd.DataFrame,
    validation: pd.DataFrame | None = None,
    *,
    target: float = SENSITIVITY,
    prevalence: float | None = None,
    flaw: str = "",
    draws: int = DRAWS,
    seed: int = 0,
) -> list[dict[str, Any]] | None:
    """Score a binary predictions table at 0.5 and at thresholds that were chosen elsewhere.

    Args:
        table: predictions of held-out images, as `validate_predictions` gives them. With several folds each fold's thresholds are chosen
            on the rows of the others.
        validation: predictions of a validation part, for a table of one fold; without it only 0.5 is scored there.
        target: the sensitivity of the points "sensitive" and "guaranteed".
        prevalence: share of sick among those who will be tested, for predictive values; `None` leaves these out.
        flaw: of the rows that are chosen on, from `cxr_keras.evaluation.fitting.flaw_of`; with one nothing is guaranteed, and the other
            chosen points have a remark.
        draws: bootstrap resamples of patients.
        seed: of the resamples.

    Returns:
        None for more than two classes. Else for each operating point: name, criterion, chosen_on, thresholds (fold -> threshold),
        locked (the threshold for images of elsewhere: the validation part's, or the one of all out-of-fold rows), scores
        {name: {value, low, high}}, and the prevalence if one is given. A guaranteed point also holds promise (target, confidence, patients
        and may_miss, both the least over the folds, lower_bound, the one-sided Clopper-Pearson bound of the sensitivity where so many are
        missed, and assumes). A point that cannot be chosen has a reason instead of thresholds and scores: too few patients or rows with a
        flaw for a guarantee, rows of one class for any. Only 0.5 without rows to choose on.

    Raises:
        ValueError: the validation part shares images or patients with the table, or target or prevalence are not between 0 and 1.
    """
    check_target(target)
    classes = class_names(table)
    if len(classes) != 2:
        return None
    folds = sorted(set(table["fold"]))
    fixed = {"name": "0.5", "criterion": "fixed", "chosen_on": "nothing", "thresholds": dict.fromkeys(folds, 0.5), "locked": 0.5}
    points: list[dict[str, Any]] = [fixed]
    rows = fitting_rows(table, validation, flaw=flaw)
    if rows is not None:
        points += [_point(criterion, rows, table, target=target) for criterion in CRITERIA]
    for point in points:
        if prevalence is not None:
            point["prevalence"] = prevalence
        if "reason" in point:
            continue
        called = table[PROBABILITY_PREFIX + classes[1]].to_numpy() >= table["fold"].map(point["thresholds"]).to_numpy()
        point["scores"] = score_calls(table, called, positive=classes[1], prevalence=prevalence, draws=draws, seed=seed)
        point["thresholds"] = {str(fold): threshold for fold, threshold in point["thresholds"].items()}
    return points


def _point(criterion: str, rows: tuple[dict[int, FittingRows], FittingRows], table: pd.DataFrame, *, target: float) -> dict[str, Any]:
    of_folds, of_all = rows
    words = {
        "youden": "highest sensitivity + specificity",
        "sensitive": f"highest specificity with a sensitivity of {target:g} or more where it was chosen",
        "guaranteed": f"sensitivity of {target:g} or more for new patients, with {CONFIDENCE:.0%} confidence",
    }
    point: dict[str, Any] = {
        "name": criterion,
        "criterion": words[criterion],
        "chosen_on": next(iter(of_folds.values())).origin,
        "thresholds": {},
        "locked": None,
        "scores": None,
    }
    for fold, part in of_folds.items():
        if part.table["label"].nunique() < 2:
            return point | {"reason": f"every image to choose on for fold {fold} ({part.origin}) is {part.table['label'].iloc[0]}"}
    if criterion == "guaranteed" and of_all.flaw:
        return point | {"reason": _no_promise_of(of_all.flaw)}
    if of_all.remark:
        point["remark"] = of_all.remark
    if criterion == "guaranteed":
        fewest = min((_promise(part, target) for part in (*of_folds.values(), of_all)), key=lambda promise: promise.patients)
        point["promise"] = {
            "target": target,
            "confidence": CONFIDENCE,
            "patients": fewest.patients,
            "may_miss": fewest.may_miss,
            "lower_bound": fewest.lower_bound,
            "assumes": f"{PROMISE}, {POOLED_FOLDS if len(of_folds) > 1 else USED_ONCE}",
        }
        if fewest.shortage:
            return point | {"reason": fewest.shortage}
    point["thresholds"] = {
        fold: choose_threshold(part, criterion=criterion, target=target).for_rows(table[table["fold"] == fold])
        for fold, part in of_folds.items()
    }
    # For images from elsewhere; it is scored on none of these rows.
    return point | {"locked": choose_threshold(of_all, criterion=criterion, target=target).value}


def _promise(rows: FittingRows, target: float) -> Promise:
    sick = rows.table.loc[rows.table["label"] == class_names(rows.table)[1], "group_id"]
    return promise_of(sick.nunique(), target=target)
