"""Grid search with patient-grouped folds on rows in memory: the classifiers, their scores, and scikit-learn's GridSearchCV around them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight

C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
NEIGHBOURS_GRID = (1, 3, 5, 9, 15, 25, 51)

SCORES = {"log_loss": "neg_log_loss", "auroc": "auroc"}
"""What may choose the best value -> the name that GridSearchCV maximises."""

SCALES = ("none", "rms")


@dataclass(frozen=True)
class FitSettings:
    """How one model is fitted.

    Attributes:
        class_weight: None, "balanced" (n / (k · n of the class), over the rows of each fit), or class -> weight.
        scale: "none", or "rms": features are divided by one constant, the root mean square of their deviations from the column means over
            all entries of the training rows. It makes one grid of C fit features of any size; dividing by s is the same as C / s².
        tol: of lbfgs, on the largest entry of the gradient of the mean loss. scikit-learn's 1e-4 lets equal problems stop at different
            points and choose another C. 1e-6 still does at large C, where the loss is small: on 300 × 2000 features at C = 100 the
            objective was off by 1.7e-3 and the AUROC by 2.5e-3; at 1e-9 by 1.2e-8 and by nothing, for 15 % more time.
        max_iter: of lbfgs. Reaching it is recorded for each C, and refused for the best.
    """

    class_weight: str | Mapping[str, float] | None = None
    scale: str = "none"
    tol: float = 1e-9
    max_iter: int = 5000

    def __post_init__(self) -> None:
        if self.scale == "standard":
            raise ValueError(
                "scale is 'standard': a scaler fitted in each fold stretches the axes differently in every fold, so one decomposition no "
                f"longer serves them all, and its answer would not be exact. Take one of {', '.join(SCALES)}; 'rms' is one constant for "
                "all features and exact."
            )
        if self.scale not in SCALES:
            raise ValueError(f"scale is {self.scale!r}; expected one of {', '.join(SCALES)}.")
        if isinstance(self.class_weight, str) and self.class_weight != "balanced":
            raise ValueError(f"class_weight is {self.class_weight!r}; expected None, 'balanced', or a weight for each class.")


@dataclass(frozen=True)
class Classifier:
    """A kind of classifier.

    Attributes:
        parameter: what the grid varies.
        grid: default values.
        choose_by: default score, a key of `SCORES`. Shares of neighbours' votes are often 0, where the log loss means nothing, and a
            support vector machine has decision scores only; both are chosen by AUROC.
        make: settings -> estimator.
        on_products: it takes inner products of rows with its training rows, not rows.
    """

    parameter: str
    grid: tuple[float, ...]
    choose_by: str
    make: Callable[[FitSettings], Any]
    on_products: bool = False


@dataclass(frozen=True)
class Search:
    """What a grid search found.

    Attributes:
        parameter: name of what was varied, "C" or "n_neighbors".
        best: its chosen value; of equal scores the smallest.
        choose_by: the score that chose.
        curve: one row a value, ascending: the parameter, then mean and sample standard deviation (n - 1) over the inner folds of log loss
            and AUROC (`log_loss`, `log_loss_sd`, `auroc`, `auroc_sd`; nan where a classifier has no probabilities), and for logistic
            regression the most iterations and whether every fold converged.
        per_fold: one row a value and inner fold, with the same scores and for logistic regression `objective`, the minimised function
            C · Σ weight · loss + ‖w‖² / 2 on the training rows of the fold.
        classes: names in the order of the columns of probabilities.
        scale: the constant that rows were divided by.
        estimator: scikit-learn's, fitted with `best` on all rows that were given.
    """

    parameter: str
    best: float
    choose_by: str
    curve: pd.DataFrame
    per_fold: pd.DataFrame
    classes: tuple[str, ...]
    scale: float
    estimator: Any


class WatchedLogisticRegression(LogisticRegression):
    """LogisticRegression that keeps whether it converged (`converged_`) where scikit-learn only warns, which GridSearchCV loses."""

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> WatchedLogisticRegression:
        """Fit as the base does; other warnings pass on."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            super().fit(X, y, sample_weight)
        self.converged_ = True
        for warning in caught:
            if issubclass(warning.category, ConvergenceWarning):
                self.converged_ = False
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        return self


def _neighbours(fit: FitSettings) -> KNeighborsClassifier:
    if fit.class_weight is not None:
        raise ValueError("class_weight has no meaning for nearest_neighbours; give None.")
    return KNeighborsClassifier(algorithm="brute")


CLASSIFIERS = {
    "logistic_regression": Classifier(
        "C",
        C_GRID,
        "log_loss",
        lambda fit: WatchedLogisticRegression(solver="lbfgs", tol=fit.tol, max_iter=fit.max_iter, class_weight=fit.class_weight),
    ),
    "nearest_neighbours": Classifier("n_neighbors", NEIGHBOURS_GRID, "auroc", _neighbours),
    # Not LinearSVC: it penalises the intercept, so centred features would give another machine than the features themselves.
    "linear_svm": Classifier("C", C_GRID, "auroc", lambda fit: SVC(kernel="precomputed", class_weight=fit.class_weight), on_products=True),
}


def search(
    inputs: np.ndarray,
    labels: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    classifier: str,
    grid: Sequence[float],
    choose_by: str,
    fit: FitSettings,
    scale: float,
    on_fit: Callable[[], None] | None = None,
) -> Search:
    """Try every value of a grid on the given folds and fit the best on all rows.

    Args:
        inputs: float64 (m, r) rows, or (m, m) inner products for a classifier `on_products`; already divided by `scale`.
        labels: text (m,).
        splits: as `grouped_splits`.
        classifier: key of `CLASSIFIERS`.
        grid: values of its parameter.
        choose_by: key of `SCORES`.
        fit: settings of the fits.
        scale: handed on to the result.
        on_fit: called after each of the fits on inner folds, values times folds in all.

    Raises:
        ValueError: the fit with the best value did not converge.
    """
    kind = CLASSIFIERS[classifier]
    values = sorted(set(grid))
    logistic = classifier == "logistic_regression"
    scored: list[Any] = [None]

    def score(estimator: Any, rows: np.ndarray, names: np.ndarray) -> dict[str, float]:
        if on_fit is not None and estimator is not scored[0]:  # each is scored on training rows too
            on_fit()
        scored[0] = estimator
        return fold_scores(estimator, rows, names)

    # One process: the folds share the matrix, and the products inside a fit use every core already.
    tried = GridSearchCV(
        kind.make(fit), {kind.parameter: values}, scoring=score, refit=SCORES[choose_by], cv=splits, return_train_score=logistic
    )
    tried.set_params(error_score="raise").fit(inputs, labels)
    best = tried.best_params_[kind.parameter]
    estimator = tried.best_estimator_
    if logistic and not estimator.converged_:
        raise ValueError(
            f"logistic regression did not converge at the chosen C = {best:g} within max_iter = {fit.max_iter} and tol = {fit.tol:g}. "
            "Raise max_iter, leave out the largest values of C, or take scale 'rms'."
        )
    if kind.on_products:
        estimator = _with_probabilities(estimator, inputs, labels, splits)
    per_fold = per_fold_table(tried.cv_results_, parameter=kind.parameter, folds=len(splits))
    return Search(
        kind.parameter, best, choose_by, curve_of(per_fold), per_fold, tuple(str(name) for name in tried.classes_), scale, estimator
    )


def _with_probabilities(estimator: SVC, inputs: np.ndarray, labels: np.ndarray, splits: Sequence[tuple[np.ndarray, np.ndarray]]) -> Any:
    """Turn decision scores into probabilities by Platt's sigmoid, one class against the rest, fitted on out-of-fold scores of the splits.

    Platt 1999, "Probabilistic outputs for support vector machines". The machine itself stays the one fitted on all rows.
    """
    return CalibratedClassifierCV(estimator, method="sigmoid", cv=list(splits), ensemble=False).fit(inputs, labels)


def fold_scores(estimator: Any, inputs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Score one fit as GridSearchCV asks: higher is better for what may choose, the rest is for the record."""
    scores = {}
    probabilities = estimator.predict_proba(inputs) if hasattr(estimator, "predict_proba") else None
    if probabilities is not None:
        scores["neg_log_loss"] = -log_loss(labels, probabilities, labels=estimator.classes_)
    if probabilities is not None and (len(estimator.classes_) > 2 or not hasattr(estimator, "decision_function")):
        scores["auroc"] = mean_auroc(labels, probabilities, estimator.classes_)
    else:
        # Of two classes the logit ranks as the probability does, and has no ties where the probability has reached 1.
        scores["auroc"] = mean_auroc(labels, estimator.decision_function(inputs), estimator.classes_)
    if isinstance(estimator, LogisticRegression):
        scores["iterations"] = float(np.max(estimator.n_iter_))
        scores["converged"] = float(getattr(estimator, "converged_", np.nan))
        weights = compute_sample_weight(estimator.class_weight, labels)
        losses = log_loss(labels, probabilities, labels=estimator.classes_, normalize=False, sample_weight=weights)
        scores["objective"] = float(estimator.C * losses + np.square(estimator.coef_, dtype=np.float64).sum() / 2)
    return scores


def mean_auroc(labels: np.ndarray, scores: np.ndarray, classes: Sequence[str]) -> float:
    """AUROC of two classes, from the second one's score (n,) or from (n, 2); of more, from (n, k), mean of each class against the rest."""
    if len(classes) == 2:
        return float(roc_auc_score(labels == classes[1], scores if scores.ndim == 1 else scores[:, 1]))
    return float(np.mean([roc_auc_score(labels == name, scores[:, index]) for index, name in enumerate(classes)]))


def per_fold_table(results: Mapping[str, Any], *, parameter: str, folds: int) -> pd.DataFrame:
    """Turn `cv_results_` of GridSearchCV with `fold_scores` into one row a value and fold, as `Search.per_fold`."""
    rows = []
    for index, parameters in enumerate(results["params"]):
        for fold in range(folds):

            def score(name: str, part: str = "test", index: int = index, fold: int = fold) -> float:
                key = f"split{fold}_{part}_{name}"
                return float(results[key][index]) if key in results else np.nan

            row = {parameter: parameters[parameter], "fold": fold, "log_loss": -score("neg_log_loss"), "auroc": score("auroc")}
            if f"split{fold}_train_objective" in results:
                row |= {name: score(name, "train") for name in ("objective", "iterations", "converged")}
            rows.append(row)
    return pd.DataFrame(rows)


def curve_of(per_fold: pd.DataFrame) -> pd.DataFrame:
    """Summarise `Search.per_fold` to one row a value, as `Search.curve`."""
    grouped = per_fold.groupby(per_fold.columns[0])
    curve = pd.DataFrame(index=grouped.size().index)
    for name in ("log_loss", "auroc"):
        curve[name], curve[f"{name}_sd"] = grouped[name].mean(), grouped[name].std()
    if "iterations" in per_fold:
        curve["iterations"] = grouped["iterations"].max().astype(int)
        curve["converged"] = grouped["converged"].min() == 1
    return curve.reset_index()
