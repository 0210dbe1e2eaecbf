"""Range layers against the preprocessing of keras.applications."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from models_zoo.rescaling import PixelRange, caffe_range, symmetric_range, unit_range

PIXELS = np.random.default_rng(3).uniform(0, 255, (2, 4, 5, 1)).astype("float32")


@pytest.mark.parametrize(
    ("layer", "module"),
    [
        (caffe_range, keras.applications.resnet50),
        (caffe_range, keras.applications.vgg16),
        (symmetric_range, keras.applications.inception_v3),
        (symmetric_range, keras.applications.inception_resnet_v2),
        (symmetric_range, keras.applications.xception),
    ],
)
def test_three_channels_equal_those_of_keras(layer, module):
    expected = module.preprocess_input(np.repeat(PIXELS, 3, axis=-1))
    np.testing.assert_array_equal(np.asarray(layer()(PIXELS)), expected)


def test_unit_range():
    values = np.asarray(unit_range()(np.array([[[[0.0], [255.0]]]], "float32")))
    np.testing.assert_array_equal(values.ravel(), [0, 1])


def test_layer_survives_its_config():
    layer = caffe_range()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, PixelRange) and again.name == "pixel_range"
    np.testing.assert_array_equal(np.asarray(again(PIXELS)), np.asarray(layer(PIXELS)))
    assert layer.compute_output_shape((None, 4, 5, 1)) == (None, 4, 5, 3)


def test_half_precision_policy_does_not_round_pixels():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = caffe_range()
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.asarray(layer(PIXELS)).dtype == np.float32
