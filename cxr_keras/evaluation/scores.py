"""Every score of a predictions table, with patient-level intervals and the spread over folds, as one plain dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxr_keras.evaluation.intervals import DRAWS, LEVEL, group_draws, groups_of_rates, interval_of_rate, interval_or_none
from cxr_keras.evaluation.predictions import class_names, probability_columns, validate_predictions
from cxr_keras.evaluation.weighted import CALIBRATION_BINS, PER_CLASS, WITHOUT_INTERVAL, Scores, Terms, prepare, weighted_scores

DEFINITIONS = {
    "decision": "class of highest probability; of equal ones the first in class order",
    "sensitivity": "recall; balanced_accuracy is the mean sensitivity of the classes",
    "auroc": "one class against the rest, ties count half; in a binary problem the plain one is of the last class",
    "auprc": "average precision: steps, no interpolation",
    "brier": "mean over images of the squared error summed over all classes, 0 to 2 (Brier 1950); in a binary problem "
    "twice the one-column form",
    "log_loss": "mean of -log of the true class's probability, in nats; a probability below 2.2e-16 counts as that",
    "expected_calibration_error": f"{CALIBRATION_BINS} equal-width bins of the highest probability, weighted by images; "
    "no interval, because chance in the bins counts as error and resampling adds to it; beside it, under calibration, stands what a "
    "calibrated model would have",
    "undefined": "null: a score without a denominator (precision of a class never predicted, AUROC with one class) and any "
    "macro mean over such a score; scikit-learn would put 0",
    "interval": "percentiles over bootstrap resamples of patients; resamples where the score is undefined are dropped and "
    "counted, and above half dropped there is no interval",
    "interval of a perfect score": "where accuracy, sensitivity, specificity or precision is 0 or 1 every resample says the same, and the "
    "open end is the exact (Clopper-Pearson) bound, counted in patients; other scores have no interval where every resample says the same",
    "folds": "mean and sample standard deviation (n - 1) of the scores of single folds, over the folds where it is defined",
}
"""What the numbers mean, written beside them into metrics.json."""


def score_predictions(table: pd.DataFrame, *, draws: int = DRAWS, seed: int = 0, classes: Sequence[str] | None = None) -> dict[str, Any]:
    """Score a predictions table.

    Args:
        table: columns image_id, group_id, fold, label, p_<class> …; checked here.
        draws: bootstrap resamples; 0 leaves the intervals out.
        seed: seed of the resamples.
        classes: the classes in their order; by default the order of the columns.

    Returns:
        Plain values only, `None` for what is undefined:
        n_images, n_groups, classes, positive_class (the last of two, else None), interval (level, draws, seed),
        scores {name: {value, low, high, dropped_draws}}, per_class {class: {support, name: {…}}},
        confusion_matrix (rows true, columns predicted, images),
        folds {count, per_fold [{fold, n_images, n_groups, scores, per_class}], scores {name: {mean, standard_deviation,
        undefined_folds}}, per_class {class: {name: {…}}}}, and definitions.

    Raises:
        ValueError: the table has faults (all listed), or `draws` is negative.
    """
    if draws < 0:
        raise ValueError(f"draws is {draws}; give 0 for no intervals or a positive number such as {DRAWS}.")
    table = validate_predictions(table, classes=classes)
    names = tuple(classes) if classes is not None else class_names(table)
    terms = terms_of(table, names)
    plain = weighted_scores(terms, np.ones((1, terms.n_groups)))
    sampled = _resample(terms, draws=draws, seed=seed)
    of_all, of_classes = _groups_of_rates(terms)
    confusion = plain.confusion[0].astype(int)
    return {
        "n_images": len(table),
        "n_groups": terms.n_groups,
        "classes": list(names),
        "positive_class": names[-1] if len(names) == 2 else None,
        "interval": {"method": "patient-level percentile bootstrap", "level": LEVEL, "draws": draws, "seed": seed},
        "scores": {
            name: _entry(plain.overall[name][0], samples[:0] if name in WITHOUT_INTERVAL else samples, groups=of_all.get(name))
            for name, samples in sampled.overall.items()
        },
        "per_class": {
            label: {"support": int(confusion[index].sum())}
            | {
                name: _entry(plain.per_class[name][0, index], sampled.per_class[name][:, index], groups=of_classes[index].get(name))
                for name in PER_CLASS
            }
            for index, label in enumerate(names)
        },
        "confusion_matrix": confusion.tolist(),
        "folds": _fold_scores(table, names),
        "definitions": DEFINITIONS,
    }


def terms_of(table: pd.DataFrame, classes: tuple[str, ...]) -> Terms:
    """Prepare a checked predictions table for weighing; tables of the same patients give them the same numbers."""
    truth = pd.Index(classes).get_indexer(pd.Index(table["label"]))
    # Sorted names give each group the same number, and so the same draws, whatever the order of the rows.
    groups = np.unique(table["group_id"].to_numpy(dtype=str), return_inverse=True)[1]
    return prepare(truth, table[probability_columns(classes)].to_numpy(), groups)


def _resample(terms: Terms, *, draws: int, seed: int) -> Scores:
    """Scores of all resamples; none with a single group, where every resample is the same and would feign certainty."""
    if terms.n_groups < 2 or draws == 0:
        blocks = [weighted_scores(terms, np.ones((1, terms.n_groups)))]
        draws = 0
    else:
        blocks = [weighted_scores(terms, counts) for counts in group_draws(terms.n_groups, draws=draws, seed=seed)]
    first = blocks[0]
    return Scores(
        {name: np.concatenate([block.overall[name] for block in blocks])[:draws] for name in first.overall},
        {name: np.concatenate([block.per_class[name] for block in blocks])[:draws] for name in first.per_class},
        np.concatenate([block.confusion for block in blocks])[:draws],
    )


def _groups_of_rates(terms: Terms) -> tuple[dict[str, int], list[dict[str, int]]]:
    """Groups in the denominator of the overall rates, and of those of each class; other scores are no rates and are left out."""
    k = terms.n_classes
    counted = groups_of_rates(terms.sums[:, : k * k].reshape(-1, k, k))
    # Weighted by how often the classes occur, their sensitivities are the accuracy.
    overall = dict.fromkeys(("accuracy", "weighted_sensitivity"), terms.n_groups)
    return overall, [{name: int(of_classes[index]) for name, of_classes in counted.items()} for index in range(k)]


def _entry(value: float, samples: np.ndarray, *, groups: int | None) -> dict[str, Any]:
    low, high, dropped = interval_or_none(samples) if groups is None else interval_of_rate(value, samples, groups=groups)
    return {"value": _plain(value), "low": low, "high": high, "dropped_draws": dropped}


def _fold_scores(table: pd.DataFrame, classes: tuple[str, ...]) -> dict[str, Any]:
    per_fold: list[dict[str, Any]] = []
    for fold in sorted(set(table["fold"])):
        rows = table[table["fold"] == fold]
        terms = terms_of(rows, classes)
        scores = weighted_scores(terms, np.ones((1, terms.n_groups)))
        per_fold.append(
            {
                "fold": int(fold),
                "n_images": len(rows),
                "n_groups": terms.n_groups,
                "scores": {name: _plain(values[0]) for name, values in scores.overall.items()},
                "per_class": {
                    label: {name: _plain(scores.per_class[name][0, index]) for name in PER_CLASS} for index, label in enumerate(classes)
                },
            }
        )
    return {
        "count": len(per_fold),
        "per_fold": per_fold,
        "scores": {name: _spread([fold["scores"][name] for fold in per_fold]) for name in per_fold[0]["scores"]},
        "per_class": {
            label: {name: _spread([fold["per_class"][label][name] for fold in per_fold]) for name in PER_CLASS} for label in classes
        },
    }


def _spread(values: list[float | None]) -> dict[str, Any]:
    """Mean and sample standard deviation of the defined values; a deviation needs two."""
    defined = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(defined)) if defined else None,
        "standard_deviation": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        "undefined_folds": len(values) - len(defined),
    }


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
