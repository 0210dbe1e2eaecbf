"""What a user gets wrong, and what the message says."""

from __future__ import annotations

import keras
import pytest

import models_zoo


def test_unknown_model_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"unknown model 'resnet5'\. Did you mean 'resnet50'\?.*Known models:.*vgg16"):
        models_zoo.build("resnet5", (32, 32), 2)


def test_unknown_parameters_come_in_one_message():
    with pytest.raises(ValueError) as caught:
        models_zoo.build("vgg16", (32, 32), 2, droput=0.5, depth=3)
    message = str(caught.value)
    assert "'droput' is unknown. Did you mean 'dropout'?" in message
    assert "'depth' is unknown." in message
    assert "Known parameters: pooling, dense, activation, negative_slope, dropout, hidden_dropout" in message


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("vgg16", {"dropout": 1.5}, "dropout: got 1.5, expected a number from 0"),
        ("vgg16", {"dropout": True}, "dropout: got True"),
        ("vgg16", {"dense": 256}, "dense: got 256, expected a list"),
        ("vgg16", {"dense": [256, 0]}, r"dense: got \[256, 0\], expected a list"),
        ("vgg16", {"activation": "rellu"}, "activation: got 'rellu', expected the name of a Keras activation"),
        ("vgg16", {"pooling": "mean"}, "pooling: got 'mean', expected 'average' or 'max' or 'flatten'"),
        ("vgg16", {"hidden_dropout": 1}, "hidden_dropout: got 1, expected a number from 0"),
        ("vgg16", {"negative_slope": 0.2}, "negative_slope: got 0.2 for activation 'relu', which has no slope"),
        ("vgg16", {"negative_slope": -1}, "negative_slope: got -1, expected a number from 0"),
        ("vgg16", {"auxiliary": True}, "'auxiliary' is unknown"),
        ("vgg16", {"largest_map": 0}, "largest_map: got 0, expected a positive whole number"),
        ("mini_resnet", {"normalise_image": 1}, "normalise_image: got 1, expected True or False"),
        ("mini_resnet", {"widths": [8, 0]}, r"widths: got \[8, 0\], expected a list"),
        ("mini_resnet", {"dropout": False}, "dropout: got False"),
        ("googlenet", {"auxiliary": "yes"}, "auxiliary: got 'yes', expected True or False"),
        ("googlenet", {"wide_kernel": 7}, "wide_kernel: got 7, expected 3 or 5"),
        ("googlenet", {"normalisation": True}, "normalisation: got True, expected 'batch' or 'local_response' or 'none'"),
        ("cnn_94", {"negative_slope": 2}, "negative_slope: got 2, expected a number from 0"),
        ("cnn_v2", {"conv_dropout": 2}, "conv_dropout: got 2, expected a number from 0"),
        ("mini_vgg", {"batch_norm": "before_relu"}, "batch_norm: got 'before_relu', expected 'none' or 'after_relu'"),
        ("mini_vgg", {"conv_dropout": "half"}, "conv_dropout: got 'half'"),
        ("mini_vgg", {"dense_dropout": -0.1}, "dense_dropout: got -0.1"),
    ],
)
def test_wrong_values_are_named(name, parameters, message):
    with pytest.raises(ValueError, match=message):
        models_zoo.build(name, (32, 32), 2, **parameters)
    with pytest.raises(ValueError, match=message):
        models_zoo.check_values(name, parameters)


@pytest.mark.parametrize("shape", [(74, 75), (75,), (75, 75, 1), (75.0, 75)])
def test_wrong_image_shape(shape):
    with pytest.raises(ValueError, match=r"expected \(height, width\) in pixels, each at least 75 for inception_v3"):
        models_zoo.build("inception_v3", shape, 2)


@pytest.mark.parametrize("num_classes", [1, 2.0, "2", True])
def test_wrong_number_of_classes(num_classes):
    with pytest.raises(ValueError, match="num_classes: got .*, expected a whole number of at least 2"):
        models_zoo.build("mini_vgg", (8, 8), num_classes)


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="'channels_first', expected 'channels_last'"):
            models_zoo.build("mini_vgg", (8, 8), 2)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", models_zoo.list_models())
def test_defaults_and_choices_are_accepted(name):
    spec = models_zoo.get_spec(name)
    models_zoo.check_values(name, spec.parameters)
    for parameter, values in spec.choices.items():
        assert spec.parameters[parameter] in values
        for value in values:
            models_zoo.check_values(name, {parameter: value})


def test_choices_are_those_that_the_signatures_name():
    assert models_zoo.get_spec("googlenet").choices == {
        "wide_kernel": (3, 5),
        "normalisation": ("batch", "local_response", "none"),
        "pooling": ("average", "max", "flatten"),
        "auxiliary": (True, False),
    }


def test_check_parameters_accepts_the_known():
    models_zoo.check_parameters("mini_vgg", {"batch_norm": "none", "conv_dropout": 0, "dense_dropout": 0})
