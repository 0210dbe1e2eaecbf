"""A fitted linear support vector machine with probabilities, as plain arrays.

One machine for each pair of classes, as scikit-learn's SVC makes them; their decisions become one score a class, and Platt's sigmoid
(Platt 1999, "Probabilistic outputs for support vector machines"), fitted on out-of-fold scores, turns scores into probabilities.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cxr_keras.features.gram import Representation
from cxr_keras.features.model_files import class_faults, number_faults
from cxr_keras.features.search import Search


@dataclass(frozen=True)
class SupportVectorModel:
    """Machines of all pairs of classes and the sigmoid of each class.

    Attributes:
        coefficients: float64 (m, d), m = k (k − 1) / 2 pairs in the order (0, 1), (0, 2) …, in the units of the features as they are
            stored. Above 0 speaks for the first class of the pair; with two classes for the second one.
        intercept: float64 (m,).
        slope: float64 (k,), or (1,) with two classes.
        offset: float64, as `slope`; the probability of a class before normalising is 1 / (1 + exp(slope · score + offset)).
        classes: k names.
        inverse_penalty: C of the fit, on features divided by `scale`.
        scale: the constant that the features were divided by; the coefficients already hold it.
    """

    coefficients: np.ndarray
    intercept: np.ndarray
    slope: np.ndarray
    offset: np.ndarray
    classes: tuple[str, ...]
    inverse_penalty: float
    scale: float = 1.0

    @property
    def dimensions(self) -> int:
        """Number of features d."""
        return int(self.coefficients.shape[1])

    def probabilities(self, block: np.ndarray) -> np.ndarray:
        """Predict a block of features (b, d): float64 (b, k)."""
        decisions = block @ self.coefficients.T + self.intercept
        scores = decisions if len(self.classes) == 2 else class_scores(decisions, len(self.classes))
        # The logistic function through tanh, which does not overflow.
        each = (1 + np.tanh(-(self.slope * scores + self.offset) / 2)) / 2
        if len(self.classes) == 2:
            return np.concatenate([1 - each, each], axis=1)
        total = each.sum(axis=1, keepdims=True)
        return np.divide(each, total, out=np.full_like(each, 1 / len(self.classes)), where=total > 0)

    def arrays(self) -> dict[str, np.ndarray]:
        """The content of a file."""
        return {name: np.asarray(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, content: Mapping[str, np.ndarray]) -> SupportVectorModel:
        """Rebuild a model.

        Raises:
            ValueError: the arrays do not fit each other.
        """
        fault = class_faults(content["classes"])
        if not fault:
            k = len(content["classes"])
            pairs, sigmoids = k * (k - 1) // 2, 1 if k == 2 else k
            shapes = {name: content[name].shape for name in ("coefficients", "intercept", "slope", "offset")}
            fits = content["coefficients"].ndim == 2 and len(content["coefficients"]) == pairs and shapes["intercept"] == (pairs,)
            if not fits or shapes["slope"] != (sigmoids,) or shapes["offset"] != (sigmoids,):
                fault = f"the shapes {shapes} do not fit {k} classes"
        if fault := fault or number_faults(content, single=("inverse_penalty", "scale")):
            raise ValueError(fault)
        return cls(
            coefficients=content["coefficients"],
            intercept=content["intercept"],
            slope=content["slope"],
            offset=content["offset"],
            classes=tuple(content["classes"].tolist()),
            inverse_penalty=float(content["inverse_penalty"]),
            scale=float(content["scale"]),
        )


def class_scores(decisions: np.ndarray, count: int) -> np.ndarray:
    """Turn decisions of pairs (n, m) into scores of classes (n, count), as scikit-learn's decision_function does.

    A class gets its votes, and less than half a vote more or less by the sum of its decisions, so that votes that are equal are told apart.
    """
    votes, sums = np.zeros((2, len(decisions), count))
    for column, (first, second) in zip(decisions.T, itertools.combinations(range(count), 2), strict=True):
        votes[:, first] += column >= 0
        votes[:, second] += column < 0
        sums[:, first] += column
        sums[:, second] -= column
    return votes + sums / (3 * (np.abs(sums) + 1))


def support_vector_model(found: Search, representation: Representation, training_rows: np.ndarray) -> SupportVectorModel:
    """Write the machines of a search on inner products in the original features.

    Args:
        found: of `search.search` with classifier "linear_svm", on inner products of `training_rows` divided by `found.scale`².
        representation: of the features.
        training_rows: int (m,), the rows it was fitted on.
    """
    calibrated = found.estimator.calibrated_classifiers_[0]
    machine = calibrated.estimator
    duals = pair_weights(machine.dual_coef_, machine.n_support_)
    support = representation.rows[np.asarray(training_rows)[machine.support_]]
    coefficients = representation.coefficients(duals @ support / found.scale**2)
    return SupportVectorModel(
        coefficients,
        representation.intercept(coefficients, machine.intercept_),
        np.array([sigmoid.a_ for sigmoid in calibrated.calibrators], dtype=np.float64),
        np.array([sigmoid.b_ for sigmoid in calibrated.calibrators], dtype=np.float64),
        found.classes,
        float(found.best),
        float(found.scale),
    )


def pair_weights(dual: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Unfold libsvm's weights of support vectors to one row a pair of classes.

    libsvm keeps, for a vector of class i, its weight in the machine against class j in row j − 1 where j > i and in row j where j < i.

    Args:
        dual: float64 (k − 1, s), the support vectors ordered by class.
        counts: int (k,), support vectors a class.

    Returns:
        float64 (k (k − 1) / 2, s).
    """
    ends = np.cumsum(counts)
    of_class = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    pairs = list(itertools.combinations(range(len(counts)), 2))
    weights = np.zeros((len(pairs), dual.shape[1]))
    for row, (first, second) in enumerate(pairs):
        weights[row, of_class[first]] = dual[second - 1, of_class[first]]
        weights[row, of_class[second]] = dual[first, of_class[second]]
    return weights
