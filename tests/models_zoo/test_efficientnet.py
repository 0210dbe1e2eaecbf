"""EfficientNetB0 is the network of the published weights, however they come in."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import models_zoo
from models_zoo.rescaling import TORCH_DEVIATIONS, TORCH_MEANS


@pytest.fixture(scope="module")
def donor():
    """keras.applications' network as it is without weights, all its numbers random."""
    network = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(40, 40, 3))
    generator = np.random.default_rng(8)
    for layer in network.layers:
        values = layer.get_weights()
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([generator.uniform(0.3, 0.6, 3), generator.uniform(0.2, 0.3, 3), np.array(0)])
            layer.finalize_state()
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.8, 1.2, value.shape) for value in values])
    return network


def reference(donor: keras.Model, grey: np.ndarray) -> np.ndarray:
    """What keras.applications computes with weights="imagenet": its first layers written out, and its own tail."""
    mean, variance, _ = (np.asarray(value, "float64") for value in donor.get_layer(index=2).get_weights())
    pixels = (np.repeat(grey, 3, axis=-1) / 255 - mean) / np.sqrt(variance) / np.sqrt(TORCH_DEVIATIONS)
    tail = keras.Model(donor.get_layer("stem_conv_pad").input, donor.output)
    return np.asarray(tail(pixels.astype("float32")))


def assert_equals(model: keras.Model, donor: keras.Model) -> None:
    grey = np.random.default_rng(9).integers(0, 256, (2, 40, 40, 1)).astype("float32")
    expected = reference(donor, grey)
    found = np.asarray(models_zoo.base_model(model)(grey))
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1.0, np.abs(expected).max()), rtol=0)


def test_downloaded_weights_reach_the_normalisation(donor, monkeypatch):
    monkeypatch.setattr(models_zoo.applications, "download", lambda *arguments: donor)
    assert_equals(models_zoo.build("efficientnet_b0", (40, 40), 3, weights="imagenet"), donor)


def test_weights_of_a_saved_model_reach_the_normalisation(donor, monkeypatch, tmp_path):
    monkeypatch.setattr(models_zoo.applications, "download", lambda *arguments: donor)
    model = models_zoo.build("efficientnet_b0", (40, 40), 3, weights="imagenet")
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    for file in ("model.keras", "model.weights.h5"):
        assert_equals(models_zoo.build("efficientnet_b0", (40, 40), 3, weights=tmp_path / file), donor)


def test_layers_are_those_of_keras_and_one_more(small_model):
    model = small_model("efficientnet_b0")
    names = [layer.name for layer in models_zoo.base_layers(model)]
    assert names[:7] == ["image", "pixel_range", "rescaling", "normalization", "deviation_rescaling", "stem_conv_pad", "stem_conv"]
    network = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    assert names[5:-1] == [layer.name for layer in network.layers[3:]]
    assert models_zoo.base_model(model).count_params() == network.count_params()


def test_random_weights_start_with_standardised_pixels(small_model):
    model = small_model("efficientnet_b0")
    levels = np.array([0, 128, 255], "float32").reshape(3, 1, 1, 1)
    found = keras.Model(model.inputs[0], model.get_layer("deviation_rescaling").output)(np.tile(levels, (1, 32, 32, 1)))
    expected = (np.repeat(levels, 3, axis=-1) / 255 - TORCH_MEANS) / TORCH_DEVIATIONS
    np.testing.assert_allclose(np.asarray(found)[:, :1, :1], expected, atol=1e-5)
