"""Constants of an export, and the networks inside it."""

import numpy as np
import pytest

from cxr_keras.explain.maps import class_activation_map
from cxr_keras.export.serving import MAPS, Serving, network_of, network_of_classifiers
from cxr_keras.features.linear_model import softmax
from cxr_keras.pixels.decode import DecodeSettings

from .conftest import CLASSES, tiny_model


def test_settings_that_do_not_fit_are_refused_together():
    with pytest.raises(ValueError, match=r"threshold None for 2 classes.*temperature 0.*image_size \(20, 8\) is larger"):
        Serving(CLASSES, DecodeSettings(12, 12), (20, 8), 0.0, None)
    with pytest.raises(ValueError, match="more have none"):
        Serving(("a", "b", "c"), DecodeSettings(8, 8), (8, 8), None, 0.5)
    with pytest.raises(ValueError, match="expected a probability"):
        Serving(CLASSES, DecodeSettings(8, 8), (8, 8), None, 1.5)


def test_equalised_images_cannot_be_exported_and_the_reason_is_told():
    with pytest.raises(ValueError, match=r"data\.clahe.*not in a graph"):
        Serving(CLASSES, DecodeSettings(8, 8, clahe=2.0), (8, 8), None, 0.5)


def test_a_network_gives_the_logits_and_maps_of_its_model(models):
    images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 1)).astype(np.float32)
    found = network_of(models[0], maps=True).predict_on_batch(images)
    assert found["logits"].shape == (3, 1, 2)
    for column in (0, 1):
        maps, _, logits = class_activation_map(models[0])(images, np.full(3, column))
        np.testing.assert_allclose(found[MAPS][..., column], maps, atol=1e-5)
        np.testing.assert_allclose(found["logits"][:, 0], logits, atol=1e-6)
        bias = np.asarray(models[0].get_layer("logits").bias)[column]
        np.testing.assert_allclose(found[MAPS][..., column].mean(axis=(1, 2)) + bias, logits[:, column], atol=1e-5)


def test_a_network_without_maps_has_none():
    assert set(network_of(tiny_model(0, dense=[3]), maps=False).output) == {"logits"}


def test_classifiers_of_several_folds_become_one_layer_on_their_network(models):
    import keras

    random = np.random.default_rng(1)
    base = keras.Model(models[0].inputs[0], models[0].get_layer("features").output)
    images = random.uniform(0, 255, (4, 8, 8, 1)).astype(np.float32)
    features = base.predict_on_batch(images).reshape(4, -1)
    weights = [random.normal(0, 0.1, (2, features.shape[1])) for _ in range(3)]
    biases = [random.normal(size=2) for _ in range(3)]
    found = network_of_classifiers(base, weights, biases).predict_on_batch(images)["logits"]
    assert found.shape == (4, 3, 2)
    for number in range(3):
        expected = softmax(features.astype(np.float64) @ weights[number].T + biases[number])
        np.testing.assert_allclose(softmax(found[:, number].astype(np.float64)), expected, atol=1e-5)
