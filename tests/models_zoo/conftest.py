"""Models at their smallest legal sizes, each built once."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

import models_zoo


@functools.cache
def _build(name: str) -> keras.Model:
    side = models_zoo.get_spec(name).minimum_image_size
    return models_zoo.build(name, (side, side), 3)


@pytest.fixture(scope="session")
def small_model():
    """Function from a name to its model for 3 classes; tests must not change it."""
    return _build


@pytest.fixture(scope="session")
def grey_images():
    """Function from a model to 2 grey images with whole levels in [0, 255] of its size."""

    def make(model: keras.Model) -> np.ndarray:
        height, width, _ = model.inputs[0].shape[1:]
        return np.random.default_rng(7).integers(0, 256, (2, height, width, 1)).astype("float32")

    return make
