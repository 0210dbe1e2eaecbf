"""mini_vgg against the paper's numbers, computed by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import models_zoo


def convolution(channels: int, filters: int) -> int:
    return 3 * 3 * channels * filters + filters


CONVOLUTIONS = sum(convolution(*pair) for pair in [(1, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)])
DENSE = 8 * 8 * 128 * 512 + 512 + 512 * 2 + 2
NORMALISATION = 4 * (32 + 32 + 64 + 64 + 128 + 128 + 512)


@pytest.mark.parametrize(("choice", "count"), [("none", 0), ("after_relu", NORMALISATION)])
def test_parameter_count_at_64_pixels(choice, count):
    model = models_zoo.build("mini_vgg", (64, 64), 2, batch_norm=choice)
    assert model.count_params() == CONVOLUTIONS + DENSE + count
    assert model.get_layer("flatten").output.shape == (None, 8192)
    assert model.get_layer("features").output.shape == (None, 8, 8, 128)
    assert model.get_layer("embedding").output.shape == (None, 512)
    assert len(models_zoo.batch_norm_layers(model)) == (7 if count else 0)


def test_order_with_batch_norm_is_that_of_the_paper():
    model = models_zoo.build("mini_vgg", (64, 64), 2, batch_norm="after_relu")
    block = ["conv1", "bn1", "conv2", "bn2", "pool", "dropout"]
    base = ["image", "pixel_range", *(f"block{number}_{layer}" for number in (1, 2, 3) for layer in block)]
    base.insert(-1, "features")  # before the last dropout, which belongs to the head
    head = ["flatten", "hidden_1", "hidden_1_bn", "embedding", "embedding_dropout", "logits", "probabilities"]
    assert [layer.name for layer in model.layers] == base + head
    for name in ("block1_conv1", "block3_conv2", "hidden_1"):
        assert model.get_layer(name).activation is keras.activations.relu


def test_dropout_shares_are_those_asked_for():
    model = models_zoo.build("mini_vgg", (64, 64), 2)
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.25, 0.25, 0.25, 0.5]
    model = models_zoo.build("mini_vgg", (64, 64), 2, conv_dropout=0, dense_dropout=0)
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]


def test_features_are_the_last_pooling_before_its_dropout(grey_images):
    model = models_zoo.build("mini_vgg", (16, 16), 2)
    images = grey_images(model)
    pooled, features = keras.Model(model.inputs[0], [model.get_layer(name).output for name in ("block3_pool", "features")])(
        images, training=True
    )
    np.testing.assert_array_equal(np.asarray(pooled), np.asarray(features))
    assert models_zoo.head_layers(model)[0].name == "block3_dropout"
