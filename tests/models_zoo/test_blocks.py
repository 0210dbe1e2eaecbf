"""Shared pieces against their definitions, written out with loops."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from models_zoo.blocks import LocalResponseNormalization, max_pool_ceil, torch_batch_norm


def test_local_response_normalization_is_its_formula():
    values = np.random.default_rng(4).normal(0, 20, (2, 3, 2, 7)).astype("float32")
    expected = np.empty_like(values)
    for channel in range(7):
        beside = values[..., max(0, channel - 2) : channel + 3]
        expected[..., channel] = values[..., channel] / (1 + 0.01 / 5 * (beside**2).sum(axis=-1)) ** 0.75
    layer = LocalResponseNormalization(5, 0.01, 0.75)
    np.testing.assert_allclose(np.asarray(layer(values)), expected, rtol=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    np.testing.assert_array_equal(np.asarray(again(values)), np.asarray(layer(values)))
    assert layer.compute_output_shape((None, 3, 2, 7)) == (None, 3, 2, 7)


def test_local_response_normalization_does_not_overflow_under_half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = LocalResponseNormalization(5, 1e-4, 0.75)
    finally:
        keras.config.set_dtype_policy("float32")
    values = np.full((1, 1, 1, 3), 1000, "float32")
    np.testing.assert_allclose(np.asarray(layer(values)), 1000 / (1 + 1e-4 / 5 * 3e6) ** 0.75, rtol=1e-5)


def maxima(values: np.ndarray, kernel: int) -> np.ndarray:
    """Windows with stride 2 that begin inside and cover the last row and column where a window's start reaches them."""
    starts = [[start for start in range(0, side, 2) if start + kernel <= side + 1] for side in values.shape[1:3]]
    rows = [[values[:, y : y + kernel, x : x + kernel].max(axis=(1, 2)) for x in starts[1]] for y in starts[0]]
    return np.array(rows).transpose(2, 0, 1, 3)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("size", [(6, 6), (7, 7), (6, 7), (9, 4), (2, 3), (112, 57)])
def test_max_pool_ceil_covers_the_edges(kernel, size):
    values = np.random.default_rng(1).uniform(0, 1, (2, *size, 3)).astype("float32")
    inputs = keras.Input((*size, 3))
    model = keras.Model(inputs, max_pool_ceil(inputs, kernel, name="pool"))
    found = np.asarray(model(values))
    assert found.shape[1:3] == tuple(-(-(side - kernel) // 2) + 1 for side in size)
    np.testing.assert_array_equal(found, maxima(values, kernel))


def test_batch_norm_has_the_constants_of_pytorch():
    layer = torch_batch_norm("norm")
    assert (layer.name, layer.momentum, layer.epsilon) == ("norm", 0.9, 1e-5)
