"""Fitted classifiers of every kind: into files, out of them, and predictions in blocks of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cxr_keras.features.linear_model import LinearModel
from cxr_keras.features.model_files import damaged, read_arrays, write_arrays
from cxr_keras.features.neighbours import NeighboursModel
from cxr_keras.features.rows import BLOCK_BYTES, FeatureMatrix, matrix_shape, read_block, row_blocks
from cxr_keras.features.support_vectors import SupportVectorModel

SavedClassifier = LinearModel | SupportVectorModel | NeighboursModel

KINDS: dict[str, type[LinearModel] | type[SupportVectorModel] | type[NeighboursModel]] = {
    "logistic_regression": LinearModel,
    "linear_svm": SupportVectorModel,
    "nearest_neighbours": NeighboursModel,
}


def save_classifier(path: str | Path, model: SavedClassifier, *, feature_key: str) -> None:
    """Write a classifier as `.npz`, whole or not at all.

    Args:
        path: the file.
        model: fitted.
        feature_key: of the features it reads, see `model_files.feature_key`; `load_classifier` compares it.
    """
    kind = next(name for name, made in KINDS.items() if type(model) is made)
    write_arrays(path, model.arrays(), kind=kind, feature_key=feature_key)


def load_classifier(path: str | Path, *, feature_key: str) -> SavedClassifier:
    """Read a classifier that `save_classifier` wrote.

    Args:
        path: the file.
        feature_key: of the features it shall read.

    Raises:
        ValueError: no such file, none of this kind or format, a damaged one, or a classifier of other features.
    """
    names = {kind: frozenset(made.__dataclass_fields__) for kind, made in KINDS.items()}
    kind, content = read_arrays(path, names, feature_key=feature_key)
    try:
        return KINDS[kind].from_arrays(content)
    except ValueError as error:
        raise damaged(path, str(error)) from error


def predict_probabilities(
    model: LinearModel | SupportVectorModel, features: FeatureMatrix, *, block_bytes: int = BLOCK_BYTES
) -> np.ndarray:
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
    if n_columns != model.dimensions:
        raise _other_width(n_columns, model.dimensions)
    probabilities = np.empty((n_rows, len(model.classes)))
    for block in row_blocks(n_rows, n_columns, block_bytes=block_bytes):
        probabilities[block] = model.probabilities(read_block(features, block))
    return probabilities


def predict_by_neighbours(
    model: NeighboursModel, features: FeatureMatrix, training: FeatureMatrix, *, block_bytes: int = BLOCK_BYTES
) -> np.ndarray:
    """Predict by votes of the nearest training images, two blocks of rows in memory at a time.

    Args:
        model: fitted.
        features: matrix (n, d).
        training: matrix (m, d), features of the training images in the order of `model.image_ids`.
        block_bytes: as `row_blocks`.

    Returns:
        float64 (n, k).

    Raises:
        ValueError: the matrices do not fit the model or each other, or rows with nan or infinity (numbered).
    """
    n_rows, n_columns = matrix_shape(features)
    n_training, expected = matrix_shape(training)
    if n_columns != expected:
        raise _other_width(n_columns, expected)
    if n_training != len(model.image_ids):
        raise ValueError(f"training: {n_training} rows came for {len(model.image_ids)} training images; expected one of each.")
    blocks = row_blocks(n_training, n_columns, block_bytes=block_bytes)
    # Distances have more digits near 0; any constant does, as it changes none of them.
    centre = read_block(training, blocks[0]).mean(axis=0)
    votes = np.empty((n_rows, len(model.classes)))
    for rows in row_blocks(n_rows, n_columns, block_bytes=block_bytes):
        asked = read_block(features, rows)
        asked -= centre
        distances = np.empty((len(asked), n_training))
        for block in blocks:
            known = read_block(training, block)
            known -= centre
            # Squared, less the squares of the asked, which change no order.
            distances[:, block] = np.einsum("ij,ij->i", known, known) - 2 * (asked @ known.T)
        votes[rows] = model.votes(distances)
    return votes


def _other_width(came: int, expected: int) -> ValueError:
    return ValueError(
        f"features: {came} per image came, the model was fitted on {expected}. Extract with the network, layer and image size of the model."
    )
