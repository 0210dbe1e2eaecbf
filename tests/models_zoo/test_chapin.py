"""cnn_94 and cnn_v2 against tables I and II of Chapin et al., row by row."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import models_zoo

TABLES = {
    "cnn_94": """
Conv2d (3x3)	98 x 98 x 12
MaxPool2d	49 x 49 x 12
BatchNorm2d	49 x 49 x 12
Conv2d (3x3)	47 x 47 x 18
MaxPool2d	23 x 23 x 18
Conv2d (3x3)	21 x 21 x 24
Linear	1000
BatchNorm1d	1000
Dropout(30%)	1000
Linear	100
Dropout(30%)	100
Linear	10
Linear	2
""",
    "cnn_v2": """
Conv2d (5x5)	96 x 96 x 12
MaxPool2d	48 x 48 x 12
BatchNorm2d	48 x 48 x 12
Conv2d (3x3)	46 x 46 x 12
Conv2d (3x3)	44 x 44 x 16
Conv2d (3x3)	42 x 42 x 12
Conv2d (3x3)	40 x 40 x 12
Dropout (30%)	40 x 40 x 12
MaxPool2d	20 x 20 x 12
Linear	1000
BatchNorm1d	1000
Linear	100
Dropout(30%)	100
Linear	10
Linear	2
""",
}


def row(layer: keras.layers.Layer) -> tuple[str, str] | None:
    """Write a layer as the paper does; None for those that it has no row for."""
    shape = " x ".join(str(side) for side in layer.output.shape[1:])
    match layer:
        case layers.Conv2D():
            return f"Conv2d ({layer.kernel_size[0]}x{layer.kernel_size[1]})", shape
        case layers.MaxPooling2D():
            return "MaxPool2d", shape
        case layers.BatchNormalization():
            return f"BatchNorm{len(layer.output.shape) // 2}d", shape
        case layers.Dense():
            return "Linear", shape
        case layers.Dropout():
            return f"Dropout({layer.rate:.0%})", shape
    return None


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_those_of_the_paper(name):
    model = models_zoo.build(name, (100, 100), 2)
    expected = [tuple(line.replace("Dropout (", "Dropout(").split("\t")) for line in TABLES[name].strip().splitlines()]
    assert [found for layer in model.layers if (found := row(layer))] == expected
    assert models_zoo.get_spec(name).default_image_size == (100, 100)
    assert model.get_layer("embedding").output.shape == (None, 10)
    assert model.get_layer("pixel_range").output.shape == (None, 100, 100, 1)


@pytest.mark.parametrize("name", TABLES)
def test_leaky_relu_follows_every_convolution_and_dense_layer_but_the_last(name):
    names = [layer.name for layer in models_zoo.build(name, (100, 100), 2).layers]
    model = models_zoo.build(name, (100, 100), 2)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense) and layer.name != "logits":
            follower = model.get_layer(names[names.index(layer.name) + 1])
            assert isinstance(follower, layers.LeakyReLU) and follower.negative_slope == 0.01
            assert layer.activation is keras.activations.linear
    assert [(norm.momentum, norm.epsilon) for norm in models_zoo.batch_norm_layers(model)] == [(0.9, 1e-5)] * 2


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # Weights and biases of convolutions and dense layers, and 4 numbers a channel of batch normalisation.
        ("cnn_94", 120 + 48 + 1_962 + 3_912 + 10_585_000 + 4_000 + 100_100 + 1_010 + 22),
        ("cnn_v2", 312 + 48 + 1_308 + 1_744 + 1_740 + 1_308 + 4_801_000 + 4_000 + 100_100 + 1_010 + 22),
    ],
)
def test_parameter_counts_at_100_pixels(name, count):
    assert models_zoo.build(name, (100, 100), 2).count_params() == count


def test_features_of_cnn_v2_come_before_its_dropout(small_model, grey_images):
    model = small_model("cnn_v2")
    assert [layer.name for layer in models_zoo.head_layers(model)][:2] == ["conv5_dropout", "pool2"]
    base = models_zoo.base_model(model)
    images = grey_images(model)
    model_in_training = keras.Model(model.inputs[0], model.get_layer("features").output)
    assert not [layer for layer in base.layers if isinstance(layer, layers.Dropout)]
    np.testing.assert_array_equal(np.asarray(model_in_training(images)), np.asarray(base(images)))


def test_dropout_and_slope_are_parameters():
    model = models_zoo.build("cnn_v2", (24, 24), 2, conv_dropout=0, hidden_dropout=0, negative_slope=0.3)
    assert not [layer for layer in model.layers if isinstance(layer, layers.Dropout)]
    assert {layer.negative_slope for layer in model.layers if isinstance(layer, layers.LeakyReLU)} == {0.3}
    model = models_zoo.build("cnn_94", (18, 18), 2, hidden_dropout=0, negative_slope=0.3)
    assert not [layer for layer in model.layers if isinstance(layer, layers.Dropout)]
