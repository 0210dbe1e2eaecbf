"""Do the probabilities mean what they say, and temperature scaling, which makes them mean it better.

Temperature scaling (Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2) divides the logits by one number T. It
changes no class that is highest, and in a binary problem no order of the images. Predictions keep probabilities and no logits, but the
softmax of log p / T is the softmax of logits / T, because log p differs from the logits by a constant in each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from cxr_keras.evaluation.fitting import Fitted, FittingRows, check_rows, fitting_rows
from cxr_keras.evaluation.intervals import DRAWS, group_draws, percentile_interval
from cxr_keras.evaluation.predictions import class_names, probability_columns
from cxr_keras.evaluation.reliability import reliability
from cxr_keras.evaluation.scores import terms_of
from cxr_keras.evaluation.weighted import CALIBRATION_BINS, LEAST_PROBABILITY, WITHOUT_INTERVAL, bins_of, calibration_scores

SCORES = ("expected_calibration_error", "brier", "log_loss")

LABELINGS = 200
"""Times that labels are drawn for the calibration error of a calibrated model; its mean is then known within about 2 %."""

LOWEST, HIGHEST = 0.05, 20.0
"""Range of temperatures. Rows that are all told right would want T = 0, which makes every probability 0 or 1."""

METHOD = "temperature scaling: softmax of log p / T, T of least log loss on the rows it is fitted on (Guo et al. 2017)"

NOTHING_TO_FIT = "one fold and no validation part: there are no rows to fit a temperature on"


def fit_temperature(rows: FittingRows) -> Fitted:
    """Fit the temperature of least log loss.

    Log loss is convex in 1 / T, so there is one minimum; it is looked for between `LOWEST` and `HIGHEST`.

    Args:
        rows: predictions of two classes or more.

    Returns:
        The temperature T; above 1 the probabilities were too sure, below 1 not sure enough.

    Raises:
        TypeError: `rows` is a bare table.
    """
    check_rows(rows)
    classes = class_names(rows.table)
    logits = _logits(rows.table[probability_columns(classes)].to_numpy(float))
    truth = pd.Index(classes).get_indexer(pd.Index(rows.table["label"]))
    of_truth = logits[np.arange(len(logits)), truth]

    def log_loss(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        return float(np.mean(logsumexp(inverse * logits, axis=1) - inverse * of_truth))

    found = minimize_scalar(log_loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-8})
    return Fitted(float(np.exp(found.x)), rows)


def apply_temperature(table: pd.DataFrame, temperature: float | np.ndarray) -> pd.DataFrame:
    """Give a predictions table with other temperature.

    Args:
        table: a checked predictions table.
        temperature: T, above 0; one number or one a row.

    Returns:
        The table with new probabilities, each row with the sum 1; a probability below 2.2e-16 counts as that.

    Raises:
        ValueError: a temperature is not above 0.
    """
    temperature = np.broadcast_to(np.asarray(temperature, float), len(table))
    if not (np.isfinite(temperature) & (temperature > 0)).all():
        raise ValueError("a temperature is not above 0; give the value that `fit_temperature` found, 1 to change nothing.")
    columns = probability_columns(class_names(table))
    logits = _logits(table[columns].to_numpy(float)) / temperature[:, None]
    scaled = table.copy()
    scaled[columns] = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    return scaled


def calibrate(table: pd.DataFrame, validation: pd.DataFrame | None = None) -> tuple[pd.DataFrame, dict[str, float], float] | None:
    """Scale a predictions table by temperatures that were fitted elsewhere.

    Args:
        table: predictions of held-out images. With several folds each fold's temperature is fitted on the rows of the others.
        validation: predictions of a validation part, for a table of one fold.

    Returns:
        The scaled table, the temperature of each fold, and the one for images of elsewhere (of all out-of-fold rows, or of the validation
        part); `None` where there are no rows to fit on.

    Raises:
        ValueError: the validation part shares images or patients with the table.
    """
    rows = fitting_rows(table, validation)
    if rows is None:
        return None
    of_folds, of_all = rows
    found = {fold: fit_temperature(part).for_rows(table[table["fold"] == fold]) for fold, part in of_folds.items()}
    scaled = apply_temperature(table, table["fold"].map(found).to_numpy(float))
    return scaled, {str(fold): value for fold, value in found.items()}, fit_temperature(of_all).value


def calibration(
    table: pd.DataFrame, validation: pd.DataFrame | None = None, *, flaw: str = "", draws: int = DRAWS, seed: int = 0
) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """Score the probabilities themselves, as they came and after temperature scaling.

    Args:
        table: predictions of held-out images.
        validation: see `calibrate`.
        flaw: of the rows that are fitted on, from `cxr_keras.evaluation.fitting.flaw_of`; a remark tells it.
        draws: bootstrap resamples of patients.
        seed: of the resamples.

    Returns:
        What `describe_calibration` tells, with the method, the temperature of each fold and the locked one, or the reason why there is
        none; and the scaled table, `None` where there is none.
    """
    rows, found = fitting_rows(table, validation, flaw=flaw), calibrate(table, validation)
    if found is None or rows is None:
        return describe_calibration(table, None, draws=draws, seed=seed) | {"reason": NOTHING_TO_FIT}, None
    scaled, temperatures, locked = found
    fitted_on = next(iter(rows[0].values()))
    told = {
        "method": METHOD,
        "fitted_on": fitted_on.origin,
        "temperatures": temperatures,
        "locked": locked,
    }
    remarks = [fitted_on.remark] if fitted_on.remark else []
    if not all(LOWEST * 1.01 < value < HIGHEST / 1.01 for value in (*temperatures.values(), locked)):
        remarks.append(
            f"a temperature lies at an end of the range {LOWEST:g} to {HIGHEST:g}: the rows it was fitted on say too little about how sure "
            "the model may be"
        )
    if remarks:
        told["remark"] = "; ".join(remarks)
    return describe_calibration(table, scaled, draws=draws, seed=seed) | told, scaled


def describe_calibration(table: pd.DataFrame, scaled: pd.DataFrame | None, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """Score a table and the same table with other temperatures, on the same resamples of patients.

    Args:
        table: a checked predictions table.
        scaled: the same rows after temperature scaling; `None` where there is none.
        draws: bootstrap resamples.
        seed: of the resamples.

    Returns:
        fitted_on, temperatures and locked, all None here; scores {before, after, difference -> {name of `SCORES`: {value, low, high,
        dropped_draws}}}, after and difference only with `scaled`, the calibration error without low and high; error_if_calibrated {before,
        after -> as `error_if_calibrated` gives it}; reliability {before, after -> as `reliability` gives it}.
    """
    classes = class_names(table)
    samples = {"before": _sampled(table, classes, draws=draws, seed=seed)}
    shown = {"before": reliability(table, draws=draws, seed=seed)}
    expected = {"before": error_if_calibrated(table, seed=seed)}
    if scaled is not None:
        samples["after"] = _sampled(scaled, classes, draws=draws, seed=seed)
        samples["difference"] = {name: samples["after"][name] - samples["before"][name] for name in SCORES}
        shown["after"] = reliability(scaled, draws=draws, seed=seed)
        expected["after"] = error_if_calibrated(scaled, seed=seed)
    scores = {when: {name: _entry(name, values) for name, values in found.items()} for when, found in samples.items()}
    nothing_fitted = {"method": None, "fitted_on": None, "temperatures": None, "locked": None}
    return nothing_fitted | {"scores": scores, "error_if_calibrated": expected, "reliability": shown}


def error_if_calibrated(table: pd.DataFrame, *, seed: int = 0) -> float:
    """The calibration error to expect of probabilities that mean what they say: what chance in the bins makes of a true error of 0.

    The calibration error is a mean of distances, so it is above 0 for every finite number of images, the more the fewer they are. Labels
    are drawn from the probabilities, for each image alone; where images of one patient agree, chance makes more of it.

    Args:
        table: a checked predictions table.
        seed: of the draws.

    Returns:
        Mean over `LABELINGS` draws, 0 to 1.
    """
    top = table[probability_columns(class_names(table))].to_numpy(float).max(axis=1)
    bins, random = bins_of(top), np.random.default_rng(seed)
    # Only whether the highest class is the label counts, and that it is with the highest probability. A draw at a time, for the memory.
    errors = [
        np.abs(np.bincount(bins, (random.random(len(top)) < top) - top, minlength=CALIBRATION_BINS)).sum() / len(top)
        for _ in range(LABELINGS)
    ]
    return float(np.mean(errors))


def score_locked_temperature(
    found: Mapping[str, Any] | None, tables: Sequence[pd.DataFrame], *, draws: int = DRAWS, seed: int = 0
) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """Score the temperature that a run has locked on images from elsewhere; nothing is fitted here.

    The temperature is one of single models, so it scales each model's probabilities before they are averaged.

    Args:
        found: from `calibration`, as it lies in a run's metrics.json; `None` where a run has none.
        tables: predictions of the same images by each model of the run, in the same order. None of them served to fit; the caller makes
            sure of that, because the file holds no rows.
        draws: bootstrap resamples of patients.
        seed: of the resamples.

    Returns:
        As `calibration`: before is the plain mean of the models, after the mean of their scaled probabilities, which comes second.
    """
    columns = probability_columns(class_names(tables[0]))
    mean = tables[0].assign(**dict(zip(columns, np.mean([table[columns].to_numpy() for table in tables], axis=0).T, strict=True)))
    locked = None if found is None else found["locked"]
    if found is None or locked is None:
        reason = "the run has no locked temperature" if found is None else found["reason"]
        return describe_calibration(mean, None, draws=draws, seed=seed) | {"reason": reason}, None
    scaled = np.mean([apply_temperature(table, locked)[columns].to_numpy() for table in tables], axis=0)
    after = mean.assign(**dict(zip(columns, scaled.T, strict=True)))
    told = {
        "method": found["method"],
        "fitted_on": f"the run's own images ({found['fitted_on']}); locked",
        "temperatures": {str(fold): locked for fold in sorted(set(mean["fold"]))},
        "locked": locked,
    }
    return describe_calibration(mean, after, draws=draws, seed=seed) | told, after


def _sampled(table: pd.DataFrame, classes: tuple[str, ...], *, draws: int, seed: int) -> dict[str, np.ndarray]:
    """Each score on all images and then on every resample, float64 (1 + draws,)."""
    terms = terms_of(table, classes)
    counted = group_draws(terms.n_groups, draws=draws, seed=seed) if terms.n_groups > 1 else ()
    blocks = [calibration_scores(terms, np.ones((1, terms.n_groups))), *(calibration_scores(terms, weights) for weights in counted)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in SCORES}


def _entry(name: str, values: np.ndarray) -> dict[str, float | int | None]:
    low, high, dropped = percentile_interval(values[:0] if name in WITHOUT_INTERVAL else values[1:])
    return {"value": float(values[0]), "low": low, "high": high, "dropped_draws": dropped}


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, LEAST_PROBABILITY))
