"""A fitted linear classifier as plain arrays, and predictions from features in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_keras.features.model_files import class_faults, number_faults


@dataclass(frozen=True)
class LinearModel:
    """Probabilities are the softmax of `features @ coefficients.T + intercept`.

    Two classes have two rows as well, −w/2 and w/2 of scikit-learn's one row w, so that nothing depends on the number of classes.

    Attributes:
        coefficients: float64 (k, d), in the units of the features as they are stored.
        intercept: float64 (k,).
        classes: k names, in the order of the rows.
        inverse_penalty: C of the fit, on features divided by `scale`.
        scale: the constant that the features were divided by for the fit; the coefficients already hold it.
    """

    coefficients: np.ndarray
    intercept: np.ndarray
    classes: tuple[str, ...]
    inverse_penalty: float
    scale: float = 1.0

    @property
    def dimensions(self) -> int:
        """Number of features d."""
        return int(self.coefficients.shape[1])

    def probabilities(self, block: np.ndarray) -> np.ndarray:
        """Predict a block of features (b, d): float64 (b, k)."""
        return softmax(block @ self.coefficients.T + self.intercept)

    def arrays(self) -> dict[str, np.ndarray]:
        """The content of a file."""
        return {name: np.asarray(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, content: Mapping[str, np.ndarray]) -> LinearModel:
        """Rebuild a model.

        Raises:
            ValueError: the arrays do not fit each other.
        """
        coefficients, intercept, classes = content["coefficients"], content["intercept"], content["classes"]
        fault = class_faults(classes)
        if not fault and (coefficients.ndim != 2 or len(coefficients) != len(classes) or intercept.shape != classes.shape):
            fault = f"coefficients {coefficients.shape} and intercept {intercept.shape} do not fit {len(classes)} classes"
        if fault := fault or number_faults(content, single=("inverse_penalty", "scale")):
            raise ValueError(fault)
        return cls(coefficients, intercept, tuple(classes.tolist()), float(content["inverse_penalty"]), float(content["scale"]))


def linear_model(
    coefficients: np.ndarray, intercept: np.ndarray, classes: Sequence[str], *, inverse_penalty: float, scale: float = 1.0
) -> LinearModel:
    """Make a model from what scikit-learn gives: (1, d) and (1,) of the second class for two classes, else (k, d) and (k,)."""
    if len(classes) == 2:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    return LinearModel(coefficients, intercept, tuple(str(name) for name in classes), float(inverse_penalty), float(scale))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (n, k) of logits (n, k), without overflow."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
