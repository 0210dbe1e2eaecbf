"""The head of the application bases."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import models_zoo


def head_names(**parameters):
    model = models_zoo.build("vgg16", (32, 32), 4, **parameters)
    return [layer.name for layer in models_zoo.head_layers(model)]


def test_dropout_stands_between_pooling_and_hidden_layer():
    expected = ["pooled", "pooled_dropout", "hidden_1", "embedding", "logits", "probabilities"]
    assert head_names(dropout=0.5) == expected
    assert head_names() == [name for name in expected if name != "pooled_dropout"]


def test_hidden_layers_are_a_parameter():
    assert head_names(dense=[64, 32]) == ["pooled", "hidden_1", "hidden_2", "embedding", "logits", "probabilities"]
    model = models_zoo.build("vgg16", (32, 32), 4, dense=[64, 32], activation="gelu")
    assert model.get_layer("embedding").output.shape == (None, 32)
    assert model.get_layer("hidden_1").activation is keras.activations.gelu


def test_without_hidden_layers_the_embedding_is_the_pooled_map(grey_images):
    assert head_names(dense=(), dropout=0.5) == ["pooled", "embedding", "pooled_dropout", "logits", "probabilities"]
    model = models_zoo.build("vgg16", (64, 64), 4, dense=())
    layers = [model.get_layer(name).output for name in ("features", "embedding")]
    features, embedding = keras.Model(model.inputs[0], layers)(grey_images(model))
    np.testing.assert_allclose(np.asarray(features).mean(axis=(1, 2)), np.asarray(embedding), rtol=1e-5)


@pytest.mark.parametrize("dropout", [0, 0.0])
def test_zero_switches_dropout_off(dropout):
    assert "pooled_dropout" not in head_names(dropout=dropout)
