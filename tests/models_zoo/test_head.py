"""The head that the architectures share, and the published ones made from it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import models_zoo
from models_zoo.head import dense_head


def head_names(**parameters):
    features = keras.Input((2, 3, 5))
    return [layer.name for layer in keras.Model(features, dense_head(features, 4, **parameters)).layers[1:]]


def published(name):
    return [layer.name for layer in models_zoo.head_layers(models_zoo.build(name, (64, 64), 4))]


def test_dropout_stands_between_pooling_and_hidden_layer():
    expected = ["pooled", "pooled_dropout", "hidden_1", "embedding", "logits", "probabilities"]
    assert head_names(dense=[8], dropout=0.5) == expected
    assert head_names(dense=[8]) == [name for name in expected if name != "pooled_dropout"]


def test_hidden_layers_are_a_parameter():
    assert head_names(dense=[64, 32]) == ["pooled", "hidden_1", "hidden_2", "embedding", "logits", "probabilities"]
    model = models_zoo.build("vgg16", (32, 32), 4, dense=[64, 32], activation="gelu")
    assert model.get_layer("embedding").output.shape == (None, 32)
    assert model.get_layer("hidden_1").activation is keras.activations.gelu


def test_hidden_dropout_follows_each_hidden_layer_and_the_embedding_stands_before_it():
    assert head_names(dense=[64, 32], dropout=0.2, hidden_dropout=0.3)[1:] == [
        *("pooled_dropout", "hidden_1", "hidden_1_dropout", "hidden_2", "embedding", "hidden_2_dropout"),
        *("logits", "probabilities"),
    ]
    features = keras.Input((2, 3, 5))
    model = keras.Model(features, dense_head(features, 4, dense=[64], dropout=0.2, hidden_dropout=0.3))
    assert (model.get_layer("pooled_dropout").rate, model.get_layer("hidden_1_dropout").rate) == (0.2, 0.3)


@pytest.mark.parametrize(("pooling", "reduce"), [("average", np.mean), ("max", np.max)])
def test_without_hidden_layers_the_embedding_is_the_pooled_map(pooling, reduce, grey_images):
    assert head_names(pooling=pooling, dropout=0.5) == ["pooled", "embedding", "pooled_dropout", "logits", "probabilities"]
    model = models_zoo.build("resnet50", (64, 64), 4, pooling=pooling)
    layers = [model.get_layer(name).output for name in ("features", "embedding")]
    features, embedding = keras.Model(model.inputs[0], layers)(grey_images(model))
    np.testing.assert_allclose(reduce(np.asarray(features), axis=(1, 2)), np.asarray(embedding), rtol=1e-5, atol=1e-6)


def test_a_map_larger_than_the_largest_is_averaged_down_before_flattening():
    features = keras.Input((4, 4, 1))
    model = keras.Model(features, dense_head(features, 4, pooling="flatten", largest_map=2))
    windows = np.arange(16, dtype=np.float32).reshape(2, 2, 2, 2).swapaxes(1, 2).reshape(4, 4)
    values = keras.Model(features, model.get_layer("flatten").output)(windows.reshape(1, 4, 4, 1))
    whole = windows.reshape(2, 2, 2, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(np.asarray(values)[0], whole.ravel())
    assert "flatten_pool" not in head_names(pooling="flatten", largest_map=3) and "flatten_pool" not in head_names(largest_map=2)


@pytest.mark.parametrize(("size", "flattened"), [((224, 224), 25088), ((320, 320), 25088), ((64, 64), 2048), ((32, 320), 25088)])
def test_vgg16_needs_no_more_weights_for_larger_images(size, flattened):
    with keras.StatelessScope():
        assert models_zoo.build("vgg16", size, 2).get_layer("flatten").output.shape == (None, flattened)


def test_flattening_keeps_every_position():
    features = keras.Input((2, 3, 5))
    model = keras.Model(features, dense_head(features, 4, pooling="flatten"))
    assert model.get_layer("embedding").output.shape == (None, 30) and model.layers[1].name == "flatten"


@pytest.mark.parametrize("slope", [None, 0.2])
def test_leaky_relu_has_the_slope_of_pytorch_unless_told(slope):
    features = keras.Input((1, 1, 3))
    parameters = {} if slope is None else {"negative_slope": slope}
    model = keras.Model(features, dense_head(features, 4, dense=[6], activation="leaky_relu", **parameters))
    kernel, bias = model.get_layer("hidden_1").get_weights()
    values = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    linear = values @ kernel + bias
    found = keras.Model(features, model.get_layer("embedding").output)(values[:, None, None])
    np.testing.assert_allclose(np.asarray(found), np.where(linear < 0, (slope or 0.01) * linear, linear), atol=1e-6)
    assert (linear < 0).any()


@pytest.mark.parametrize("dropout", [0, 0.0])
def test_zero_switches_dropout_off(dropout):
    assert head_names(dropout=dropout, dense=[3], hidden_dropout=dropout) == head_names(dense=[3])


@pytest.mark.parametrize("name", ["vgg16", "alexnet"])
def test_published_head_of_two_wide_layers(name):
    assert published(name) == [
        *("flatten", "hidden_1", "hidden_1_dropout", "hidden_2", "embedding", "hidden_2_dropout"),
        *("logits", "probabilities"),
    ]
    model = models_zoo.build(name, (64, 64), 4)
    assert [model.get_layer(f"hidden_{number}_dropout").rate for number in (1, 2)] == [0.5, 0.5]
    assert [model.get_layer(f"hidden_{number}").units for number in (1, 2)] == [4096, 4096]
    assert model.get_layer("hidden_1").activation is keras.activations.relu


@pytest.mark.parametrize("name", ["googlenet", "efficientnet_b0"])
def test_published_head_with_dropout_before_the_last_layer(name):
    assert published(name) == ["pooled", "embedding", "pooled_dropout", "logits", "probabilities"]
    assert models_zoo.get_spec(name).parameters["dropout"] == 0.2


def test_published_head_of_most_networks(small_model):
    for name in ("resnet50", "resnet152", "inception_v3", "inception_resnet_v2", "xception", "densenet161"):
        names = [layer.name for layer in models_zoo.head_layers(small_model(name))]
        assert names == ["pooled", "embedding", "logits", "probabilities"]


def test_given_parameters_go_over_the_published_ones():
    model = models_zoo.build("vgg16", (32, 32), 4, dense=[16], pooling="average", hidden_dropout=0)
    assert [layer.name for layer in models_zoo.head_layers(model)] == ["pooled", "hidden_1", "embedding", "logits", "probabilities"]
