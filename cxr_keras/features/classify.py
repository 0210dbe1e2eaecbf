"""Classifiers on stored features: a grid search with patient-grouped folds on some of the images, and predictions of others.

All folds and all values of the grid share one exact representation of the features, see `gram.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_keras.features.gram import Representation, represent
from cxr_keras.features.inner_folds import grouped_splits
from cxr_keras.features.linear_model import LinearModel, linear_model
from cxr_keras.features.rows import FeatureMatrix
from cxr_keras.features.search import C_GRID, CLASSIFIERS, SCORES, Classifier, FitSettings, Search, search
from cxr_keras.features.support_vectors import SupportVectorModel, support_vector_model

DEFAULT_FIT = FitSettings()

MOST_ROWS_OF_PRODUCTS = 20_000
"""Largest number of training images for a classifier on inner products: their matrix is n² float64, 3.2 GB here."""


@dataclass(frozen=True)
class SearchSettings:
    """What is searched for, and how.

    Attributes:
        classifier: "logistic_regression"; "nearest_neighbours" (Euclidean, probabilities are shares of votes); or "linear_svm" (hinge
            loss, probabilities by Platt's sigmoid on out-of-fold scores of the inner folds), the latter two for comparison.
        grid: values of C, or numbers of neighbours; None takes those of the classifier.
        folds: inner folds of the search.
        seed: of dealing the patients into them.
        choose_by: "log_loss" or "auroc", mean over the folds; None takes log loss for logistic regression and AUROC for the others.
        fit: settings of the fits.
    """

    classifier: str = "logistic_regression"
    grid: Sequence[float] | None = None
    folds: int = 5
    seed: int = 0
    choose_by: str | None = None
    fit: FitSettings = DEFAULT_FIT

    def __post_init__(self) -> None:
        if self.classifier not in CLASSIFIERS:
            near = difflib.get_close_matches(self.classifier, CLASSIFIERS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"classifier is {self.classifier!r}; expected one of {', '.join(CLASSIFIERS)}{hint}")
        faults = []
        if self.score not in SCORES:
            faults.append(f"choose_by is {self.choose_by!r}; expected one of {', '.join(SCORES)}")
        elif self.classifier == "linear_svm" and self.score == "log_loss":
            faults.append("choose_by is 'log_loss', but linear_svm has decision scores only while it is tuned; take 'auroc'")
        if not self.values or min(self.values) <= 0:
            faults.append(f"grid is {self.values}; expected positive values")
        if faults:
            raise ValueError("classifier on features: " + "; ".join(faults) + ".")

    @property
    def kind(self) -> Classifier:
        """Facts about the classifier."""
        return CLASSIFIERS[self.classifier]

    @property
    def values(self) -> tuple[float, ...]:
        """The values that are tried; numbers of neighbours are whole."""
        values = self.kind.grid if self.grid is None else tuple(self.grid)
        return tuple(int(value) for value in values) if self.kind.parameter == "n_neighbors" else values

    @property
    def score(self) -> str:
        """The score that chooses."""
        return self.kind.choose_by if self.choose_by is None else self.choose_by


@dataclass(frozen=True)
class Fitted:
    """A classifier fitted on some rows of a representation.

    Attributes:
        representation: of all images.
        settings: what was searched for.
        training_rows: int64 (m,), the rows that it was fitted on.
        labels: text (m,), their labels.
        search: what the grid search found.
    """

    representation: Representation
    settings: SearchSettings
    training_rows: np.ndarray
    labels: np.ndarray
    search: Search

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the columns of probabilities."""
        return self.search.classes

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities of these rows of the representation, float64 (len(rows), k)."""
        inputs = _inputs(self.representation.rows, rows, self.training_rows, self.search.scale, self.settings.kind)
        return self.search.estimator.predict_proba(inputs)

    def model(self) -> LinearModel | SupportVectorModel:
        """Give the classifier in the original features, which are read once.

        Raises:
            ValueError: nearest neighbours, which are no formula but the training images themselves.
        """
        found, representation = self.search, self.representation
        if self.settings.classifier == "nearest_neighbours":
            raise ValueError("nearest neighbours have no coefficients; keep the features of their training images, see neighbours.py.")
        if self.settings.classifier == "linear_svm":
            return support_vector_model(found, representation, self.training_rows)
        coefficients = representation.coefficients(found.estimator.coef_ / found.scale)
        intercept = representation.intercept(coefficients, found.estimator.intercept_)
        return linear_model(coefficients, intercept, found.classes, inverse_penalty=found.best, scale=found.scale)


def fit_rows(
    representation: Representation,
    labels: Sequence[str] | np.ndarray,
    groups: Sequence[str] | np.ndarray,
    *,
    training_rows: np.ndarray,
    settings: SearchSettings,
    on_fit: Callable[[], None] | None = None,
) -> Fitted:
    """Search on the training rows alone and fit the best value on them.

    That the representation is of all rows is no leak: it sees no labels, and a model fitted on training rows in its coordinates is the
    model fitted on those rows of the features alone (`gram.py` says why, a test shows it). The constant of scale "rms" is of the training
    rows.

    Args:
        representation: of all rows.
        labels: text (n,), in the order of the rows; those of other rows have no say.
        groups: text (n,), patients.
        training_rows: int (m,), the rows to learn from.
        settings: what to search for.
        on_fit: called after each fit of the search.

    Returns:
        The fitted classifier. The scores of its search are of the value they chose, so they flatter.

    Raises:
        ValueError: faults of labels or groups, too few patients for the inner folds, a search that `check_sizes` refuses, or no convergence
            at the best C.
    """
    rows = np.asarray(training_rows, dtype=np.int64)
    names, patients = np.asarray(labels, dtype=str), np.asarray(groups, dtype=str)
    _check(representation.rows.shape[0], names, patients, rows, settings)
    splits = grouped_splits(names[rows], patients[rows], folds=settings.folds, seed=settings.seed)
    check_sizes(settings, rows=len(rows), smallest=min(len(training) for training, _ in splits))
    scale = _root_mean_square(representation, rows) if settings.fit.scale == "rms" else 1.0
    found = search(
        _inputs(representation.rows, rows, rows, scale, settings.kind),
        names[rows],
        splits,
        classifier=settings.classifier,
        grid=settings.values,
        choose_by=settings.score,
        fit=settings.fit,
        scale=scale,
        on_fit=on_fit,
    )
    return Fitted(representation, settings, rows, names[rows], found)


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
    """Fit logistic regression with the best C of patient-grouped folds on all rows: lbfgs, L2, multinomial for more than two classes.

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
        The model fitted with the best C, and what the search found; honest scores come from images that it has not seen.

    Raises:
        ValueError: faults of features, labels, groups or settings, or no convergence at the best C.
    """
    settings = SearchSettings("logistic_regression", tuple(grid), folds, seed, choose_by, fit)
    names, patients = np.asarray(labels, dtype=str), np.asarray(groups, dtype=str)
    shape = features.rows.shape if isinstance(features, Representation) else getattr(features, "shape", (len(names),))
    rows = np.arange(len(names))
    # What does not need the features read is refused before they are.
    _check(shape[0], names, patients, rows, settings)
    grouped_splits(names, patients, folds=folds, seed=seed)
    representation = features if isinstance(features, Representation) else represent(features)
    fitted = fit_rows(representation, names, patients, training_rows=rows, settings=settings)
    model = fitted.model()
    assert isinstance(model, LinearModel)
    return model, fitted.search


def _inputs(matrix: np.ndarray, rows: np.ndarray, training_rows: np.ndarray, scale: float, kind: Classifier) -> np.ndarray:
    """What an estimator takes for `rows`: a copy of them, or their inner products with its training rows."""
    chosen = matrix[rows]
    if kind.on_products:
        return chosen @ matrix[training_rows].T / scale**2
    if scale != 1:
        chosen /= scale
    return chosen


def check_sizes(settings: SearchSettings, *, rows: int, smallest: int) -> None:
    """Refuse a search on too few or too many images.

    Args:
        settings: of the search.
        rows: training images.
        smallest: of them those that the smallest inner fold trains on.

    Raises:
        ValueError: more neighbours than training images of an inner fold, or more images than products of all pairs can be held of.
    """
    if settings.kind.parameter == "n_neighbors" and max(settings.values) > smallest:
        raise ValueError(
            f"the grid asks for {max(settings.values):g} neighbours, a fold trains on {smallest} images. Leave out the values above."
        )
    if settings.kind.on_products and rows > MOST_ROWS_OF_PRODUCTS:
        raise ValueError(
            f"{settings.classifier} holds n² products: {rows} images are above {MOST_ROWS_OF_PRODUCTS}; take a sample "
            "(data.at_most_per_class) or another classifier."
        )


def _root_mean_square(representation: Representation, rows: np.ndarray) -> float:
    """Root mean square deviation of all entries of `rows` from their column means; the same in both coordinates."""
    chosen = representation.rows[rows]
    deviations = np.square(chosen).sum() - len(rows) * np.square(chosen.mean(axis=0)).sum()
    return float(np.sqrt(deviations / (len(rows) * len(representation.mean))))


def _check(count: int, names: np.ndarray, patients: np.ndarray, rows: np.ndarray, settings: SearchSettings) -> None:
    faults = []
    if not len(names) == len(patients) == count:
        faults.append(f"{count} rows of features, {len(names)} labels and {len(patients)} groups; expected one of each an image")
    elif not len(rows) or rows.min() < 0 or rows.max() >= count or len(np.unique(rows)) != len(rows):
        faults.append(f"training_rows: expected different numbers from 0 to {count - 1}")
    else:
        weights, learnt = settings.fit.class_weight, set(names[rows].tolist())
        if isinstance(weights, Mapping) and set(weights) != learnt:
            faults.append(f"class_weight names {sorted(weights)}, the classes are {sorted(learnt)}")
    if faults:
        raise ValueError("classifier on features: " + "; ".join(faults) + ".")
