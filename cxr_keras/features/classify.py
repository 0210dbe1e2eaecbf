"""Classifiers on stored features: a grid search, and predictions of held-out patients with a grid search inside every fold.

All folds and all values of the grid share one exact representation of the features, see `gram.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_keras.features.gram import Representation, represent
from cxr_keras.features.linear_model import LinearModel, linear_model
from cxr_keras.features.rows import FeatureMatrix
from cxr_keras.features.search import C_GRID, CLASSIFIERS, SCORES, Classifier, FitSettings, Search, grouped_splits, search

DEFAULT_FIT = FitSettings()

MOST_ROWS_OF_PRODUCTS = 20_000
"""Largest number of images for a classifier on inner products: their matrix is n² float64, 3.2 GB here."""


@dataclass(frozen=True)
class CrossValidated:
    """Predictions of held-out rows.

    Attributes:
        probabilities: float64 (n, k), each row by the model of its fold, which saw no row of that fold.
        fold: int64 (n,), as given.
        classes: k names in the order of the columns.
        searches: fold -> its grid search, on its training rows alone.
        models: fold -> the fitted model in the original features; empty for other classifiers than logistic regression.
    """

    probabilities: np.ndarray
    fold: np.ndarray
    classes: tuple[str, ...]
    searches: dict[int, Search]
    models: dict[int, LinearModel]


def grid_search(
    features: FeatureMatrix | Representation,
    labels: Sequence[str] | np.ndarray,
    groups: Sequence[str] | np.ndarray,
    *,
    grid: Sequence[float] = C_GRID,
    folds: int = 5,
    seed: int = 0,
    choose_by: str = "log_loss",
    fit: FitSettings = DEFAULT_FIT,
) -> tuple[LinearModel, Search]:
    """Fit logistic regression with the best C of patient-grouped folds: lbfgs, L2, multinomial for more than two classes.

    Args:
        features: matrix (n, d), or the representation of one, to share it between calls.
        labels: text (n,), in the order of the rows.
        groups: text (n,), patients.
        grid: values of C.
        folds: number of inner folds.
        seed: of dealing the patients into folds.
        choose_by: "log_loss" or "auroc", mean over the folds.
        fit: settings of the fits.

    Returns:
        The model fitted with the best C on all rows, and what the search found. Its scores are of the C they chose, so they flatter;
        honest ones come from `cross_validated_predictions`.

    Raises:
        ValueError: faults of features, labels, groups or settings, or no convergence at the best C.
    """
    plan = _Plan("logistic_regression", tuple(grid), folds, seed, choose_by, fit)
    names, patients = _checked(features, labels, groups, plan)
    splits = grouped_splits(names, patients, folds=folds, seed=seed)
    representation = features if isinstance(features, Representation) else represent(features)
    found = _search_rows(representation, representation.rows, np.arange(len(names)), names, splits, plan)
    coefficients = representation.coefficients(found.estimator.coef_ / found.scale)
    return _model(representation, found, coefficients), found


def cross_validated_predictions(
    features: FeatureMatrix | Representation,
    labels: Sequence[str] | np.ndarray,
    groups: Sequence[str] | np.ndarray,
    *,
    outer_folds: Sequence[int] | np.ndarray,
    classifier: str = "logistic_regression",
    grid: Sequence[float] | None = None,
    inner_folds: int = 5,
    seed: int = 0,
    choose_by: str | None = None,
    fit: FitSettings = DEFAULT_FIT,
) -> CrossValidated:
    """Predict every row by a model that has not seen its fold, with a grid search of its own on the training rows of each fold.

    One representation of all rows serves every fold. It is no leak: it sees no labels, and a model fitted on training rows in its
    coordinates is the model fitted on those rows of the features alone (`gram.py` says why, a test shows it). The constant of scale "rms"
    is of the training rows of the fold.

    Args:
        features: matrix (n, d), or the representation of one.
        labels: text (n,), in the order of the rows.
        groups: text (n,), patients.
        outer_folds: int (n,), the fold that each row is held out in; a patient lies in one.
        classifier: "logistic_regression"; "nearest_neighbours" (Euclidean, probabilities are shares of votes); or "linear_svm" (hinge
            loss, probabilities by Platt's sigmoid on out-of-fold scores of the inner folds), the latter two for comparison.
        grid: values of C, or numbers of neighbours; by default those of the classifier.
        inner_folds: folds of the grid search.
        seed: of dealing the patients into inner folds.
        choose_by: "log_loss" or "auroc"; by default log loss for logistic regression and AUROC for the others.
        fit: settings of the fits.

    Raises:
        ValueError: faults of features, labels, groups, folds or settings, or no convergence at the best C of a fold.
    """
    if classifier not in CLASSIFIERS:
        near = difflib.get_close_matches(classifier, CLASSIFIERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"classifier is {classifier!r}; expected one of {', '.join(CLASSIFIERS)}{hint}")
    kind = CLASSIFIERS[classifier]
    plan = _Plan(classifier, tuple(grid or kind.grid), inner_folds, seed, choose_by or kind.choose_by, fit)
    names, patients = _checked(features, labels, groups, plan)
    fold_of_row = _checked_folds(outer_folds, names, patients)
    training_rows = {int(fold): np.flatnonzero(fold_of_row != fold) for fold in np.unique(fold_of_row)}
    splits = {}
    for fold, rows in training_rows.items():
        try:
            splits[fold] = grouped_splits(names[rows], patients[rows], folds=inner_folds, seed=seed)
        except ValueError as error:
            raise ValueError(f"training rows of outer fold {fold}: {error}") from error

    representation = features if isinstance(features, Representation) else represent(features)
    matrix = representation.rows @ representation.rows.T if kind.on_products else representation.rows
    searches: dict[int, Search] = {}
    probabilities = np.empty((len(names), len(np.unique(names))))
    for fold, rows in training_rows.items():
        searches[fold] = found = _search_rows(representation, matrix, rows, names, splits[fold], plan)
        held_out = np.flatnonzero(fold_of_row == fold)
        probabilities[held_out] = found.estimator.predict_proba(_inputs(matrix, held_out, rows, found.scale, kind))
    return CrossValidated(
        probabilities, fold_of_row, next(iter(searches.values())).classes, searches, _models(representation, searches, classifier)
    )


@dataclass(frozen=True)
class _Plan:
    """The settings of a search in one place."""

    classifier: str
    grid: tuple[float, ...]
    folds: int
    seed: int
    choose_by: str
    fit: FitSettings


def _search_rows(
    representation: Representation,
    matrix: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    plan: _Plan,
) -> Search:
    """Search on some rows of `matrix`, the representation's rows or their inner products."""
    scale = _root_mean_square(representation, rows) if plan.fit.scale == "rms" else 1.0
    return search(
        _inputs(matrix, rows, rows, scale, CLASSIFIERS[plan.classifier]),
        labels[rows],
        splits,
        classifier=plan.classifier,
        grid=plan.grid,
        choose_by=plan.choose_by,
        fit=plan.fit,
        scale=scale,
    )


def _inputs(matrix: np.ndarray, rows: np.ndarray, training_rows: np.ndarray, scale: float, kind: Classifier) -> np.ndarray:
    """What an estimator takes for `rows`: a copy of them, or their inner products with its training rows."""
    if kind.on_products:
        return matrix[np.ix_(rows, training_rows)] / scale**2
    chosen = matrix[rows]
    if scale != 1:
        chosen /= scale
    return chosen


def _root_mean_square(representation: Representation, rows: np.ndarray) -> float:
    """Root mean square deviation of all entries of `rows` from their column means; the same in both coordinates."""
    chosen = representation.rows[rows]
    deviations = np.square(chosen).sum() - len(rows) * np.square(chosen.mean(axis=0)).sum()
    return float(np.sqrt(deviations / (len(rows) * len(representation.mean))))


def _model(representation: Representation, found: Search, coefficients: np.ndarray) -> LinearModel:
    intercept = representation.intercept(coefficients, found.estimator.intercept_)
    return linear_model(coefficients, intercept, found.classes, inverse_penalty=found.best, scale=found.scale)


def _models(representation: Representation, searches: Mapping[int, Search], classifier: str) -> dict[int, LinearModel]:
    """Map the coefficients of all folds back at once, so that the features are read once more and not once a fold."""
    if classifier != "logistic_regression":
        return {}
    stacked = representation.coefficients(np.concatenate([found.estimator.coef_ / found.scale for found in searches.values()]))
    parts = np.split(stacked, len(searches))
    return {fold: _model(representation, found, part) for (fold, found), part in zip(searches.items(), parts, strict=True)}


def _checked(
    features: FeatureMatrix | Representation, labels: Sequence[str] | np.ndarray, groups: Sequence[str] | np.ndarray, plan: _Plan
) -> tuple[np.ndarray, np.ndarray]:
    """Check what does not need the features read; give labels and groups as text arrays."""
    shape = features.rows.shape if isinstance(features, Representation) else getattr(features, "shape", (len(labels),))
    names, patients = np.asarray(labels, dtype=str), np.asarray(groups, dtype=str)
    faults = []
    if not len(names) == len(patients) == shape[0]:
        faults.append(f"{shape[0]} rows of features, {len(names)} labels and {len(patients)} groups; expected one of each an image")
    if plan.choose_by not in SCORES:
        faults.append(f"choose_by is {plan.choose_by!r}; expected one of {', '.join(SCORES)}")
    elif plan.classifier == "linear_svm" and plan.choose_by == "log_loss":
        faults.append("choose_by is 'log_loss', but linear_svm has decision scores only while it is tuned; take 'auroc'")
    if not plan.grid or min(plan.grid) <= 0:
        faults.append(f"grid is {plan.grid}; expected positive values")
    if isinstance(plan.fit.class_weight, Mapping) and set(plan.fit.class_weight) != set(names):
        faults.append(f"class_weight names {sorted(plan.fit.class_weight)}, the classes are {sorted(set(names.tolist()))}")
    if CLASSIFIERS[plan.classifier].on_products and len(names) > MOST_ROWS_OF_PRODUCTS:
        faults.append(f"{plan.classifier} holds n² products: {len(names)} images are above {MOST_ROWS_OF_PRODUCTS}; take a sample")
    if faults:
        raise ValueError("classifier on features: " + "; ".join(faults) + ".")
    return names, patients


def _checked_folds(outer_folds: Sequence[int] | np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    folds = np.asarray(outer_folds)
    if folds.shape != labels.shape or folds.dtype.kind not in "iu":
        raise ValueError(f"outer_folds: {folds.dtype} {folds.shape} came; expected one whole number for each of {len(labels)} rows.")
    if len(np.unique(folds)) < 2:
        raise ValueError(f"outer_folds: every row is in fold {folds[0]}; expected two folds or more.")
    pairs = np.unique(np.stack([np.unique(groups, return_inverse=True)[1], folds]), axis=1)
    patients, count = np.unique(pairs[0], return_counts=True)
    torn = np.unique(groups)[patients[count > 1]]
    if len(torn):
        raise ValueError(
            f"outer_folds: {len(torn)} patients lie in several folds ({', '.join(torn[:3])}): such a model has seen its test patients. "
            "Make the folds by group."
        )
    return folds.astype(np.int64)
