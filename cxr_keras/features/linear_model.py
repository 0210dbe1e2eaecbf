"""A fitted linear classifier as plain arrays: predict from features, save without pickle, load with every check."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from cxr_keras.features.rows import BLOCK_BYTES, FeatureMatrix, matrix_shape, read_block, row_blocks
from cxr_keras.runs.files import write_atomically

FILE_FORMAT = 1

# AttributeError and TypeError: np.load gives a bare array for a .npy file, which is no archive. The last three: what zipfile raises for a
# damaged archive, NotImplementedError among them where a changed byte asks for a compression that it does not know.
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error, NotImplementedError)


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


def linear_model(
    coefficients: np.ndarray, intercept: np.ndarray, classes: Sequence[str], *, inverse_penalty: float, scale: float = 1.0
) -> LinearModel:
    """Make a model from what scikit-learn gives: (1, d) and (1,) of the second class for two classes, else (k, d) and (k,)."""
    if len(classes) == 2:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    return LinearModel(coefficients, intercept, tuple(str(name) for name in classes), float(inverse_penalty), float(scale))


def predict_probabilities(model: LinearModel, features: FeatureMatrix, *, block_bytes: int = BLOCK_BYTES) -> np.ndarray:
    """Predict in blocks of rows, so that the features may be larger than memory.

    Args:
        model: fitted.
        features: matrix (n, d), as the model was fitted on.
        block_bytes: as `row_blocks`.

    Returns:
        float64 (n, k), rows sum to 1, columns in the order of `model.classes`.

    Raises:
        ValueError: another number of features than the model's, or rows with nan or infinity (numbered).
    """
    n_rows, n_columns = matrix_shape(features)
    expected = model.coefficients.shape[1]
    if n_columns != expected:
        raise ValueError(
            f"features: {n_columns} per image came, the model was fitted on {expected}. Extract with the network, layer and image size "
            "of the model."
        )
    probabilities = np.empty((n_rows, len(model.classes)))
    for block in row_blocks(n_rows, n_columns, block_bytes=block_bytes):
        probabilities[block] = softmax(read_block(features, block) @ model.coefficients.T + model.intercept)
    return probabilities


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (n, k) of logits (n, k), without overflow."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def save_linear_model(path: str | Path, model: LinearModel, *, feature_key: str) -> None:
    """Write a model as `.npz`, whole or not at all; nothing in it is code.

    Args:
        path: the file.
        model: fitted.
        feature_key: what names the features it reads (weights, layer, decode settings); `load_linear_model` compares it.
    """
    content = {field.name: np.asarray(getattr(model, field.name)) for field in fields(model)}
    with write_atomically(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, allow_pickle=False, file_format=np.array(FILE_FORMAT), feature_key=np.array(feature_key), **content)


def load_linear_model(path: str | Path, *, feature_key: str) -> LinearModel:
    """Read a model that `save_linear_model` wrote.

    Args:
        path: the file.
        feature_key: of the features it shall read.

    Raises:
        ValueError: no such file, no file of this kind or format, a damaged one, or a model of other features.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"No linear model at {path}. Give the .npz file that a run on stored features leaves.")
    try:
        # Opened here: np.load leaves its own handle open when it fails.
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        raise ValueError(f"{path} is no readable linear model ({type(error).__name__}: {error}). {_AGAIN}") from error
    expected = {"file_format", "feature_key", *(field.name for field in fields(LinearModel))}
    if "file_format" not in content or content["file_format"].tolist() != FILE_FORMAT:
        came = content["file_format"].tolist() if "file_format" in content else "none"
        raise ValueError(f"{path} has file format {came}, expected {FILE_FORMAT}. {_AGAIN}")
    if set(content) != expected:
        raise ValueError(f"{path} holds {', '.join(sorted(content)) or 'nothing'}; expected {', '.join(sorted(expected))}. {_AGAIN}")
    fault = _fault(content)
    if fault:
        raise ValueError(f"{path} is damaged: {fault}. {_AGAIN}")
    if str(content["feature_key"]) != feature_key:
        raise ValueError(
            f"{path} was fitted on features {str(content['feature_key'])!r}, these are {feature_key!r}: other weights, layer or decode "
            "settings. Extract the features that it was fitted on, or fit it again."
        )
    return LinearModel(
        content["coefficients"],
        content["intercept"],
        tuple(content["classes"].tolist()),
        float(content["inverse_penalty"]),
        float(content["scale"]),
    )


_AGAIN = "Fit the model again, or give the file of such a run."


def _fault(content: dict[str, np.ndarray]) -> str:
    """What is wrong with the arrays of a file, or an empty text."""
    coefficients, intercept, classes = content["coefficients"], content["intercept"], content["classes"]
    if classes.dtype.kind != "U" or classes.ndim != 1 or len(set(classes.tolist())) != len(classes) or len(classes) < 2:
        return f"classes are {classes.dtype} {classes.shape}, expected two or more different names"
    if coefficients.ndim != 2 or len(coefficients) != len(classes) or intercept.shape != classes.shape:
        return f"coefficients {coefficients.shape} and intercept {intercept.shape} do not fit {len(classes)} classes"
    for name in ("coefficients", "intercept", "inverse_penalty", "scale"):
        values = content[name]
        if values.dtype != np.float64 or not np.isfinite(values).all():
            return f"{name} holds {values.dtype} or numbers that are not finite, expected finite float64"
    if content["inverse_penalty"].shape or content["scale"].shape or content["feature_key"].shape:
        return "inverse_penalty, scale and feature_key must be single values"
    return ""
