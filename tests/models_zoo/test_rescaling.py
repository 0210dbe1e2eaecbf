"""Range layers against the preprocessing of keras.applications."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from models_zoo.rescaling import PixelRange, caffe_range, symmetric_range, three_channels, torch_range, unit_range

PIXELS = np.random.default_rng(3).uniform(0, 255, (2, 4, 5, 1)).astype("float32")


@pytest.mark.parametrize(
    ("layer", "module"),
    [
        (caffe_range, keras.applications.resnet),
        (three_channels, keras.applications.efficientnet),
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


def test_torch_range_is_that_of_torchvision():
    expected = keras.applications.densenet.preprocess_input(np.repeat(PIXELS, 3, axis=-1))
    np.testing.assert_allclose(np.asarray(torch_range()(PIXELS)), expected, atol=1e-6)
    black = np.asarray(torch_range()(np.zeros((1, 1, 1, 1), "float32"))).ravel()
    np.testing.assert_allclose(black, [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6)


@pytest.mark.parametrize("make", [caffe_range, torch_range])
def test_layer_survives_its_config(make):
    layer = make()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, PixelRange) and again.name == "pixel_range"
    np.testing.assert_array_equal(np.asarray(again(PIXELS)), np.asarray(layer(PIXELS)))
    assert layer.compute_output_shape((None, 4, 5, 1)) == (None, 4, 5, 3)


def test_config_of_one_divisor_stays_a_number():
    config = symmetric_range().get_config()
    assert config["divisor"] == 127.5 and config["offsets"] == [-1.0, -1.0, -1.0]
    np.testing.assert_array_equal(np.asarray(PixelRange.from_config(config)(PIXELS)), np.asarray(symmetric_range()(PIXELS)))


def test_as_many_divisors_as_offsets():
    with pytest.raises(ValueError, match="got 2 divisors for 3 offsets"):
        PixelRange((1.0, 2.0), (0.0, 0.0, 0.0))


def test_half_precision_policy_does_not_round_pixels():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = caffe_range()
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.asarray(layer(PIXELS)).dtype == np.float32
