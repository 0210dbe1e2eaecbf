"""Names of numbered layers, and ImageNet weights where there is no network."""

from __future__ import annotations

import keras
import pytest

import models_zoo
from models_zoo.applications import name_layers_as_new


def fail_to_fetch(**arguments):
    """Stand in for a constructor of keras.applications: get_file raises this class and text when offline."""
    assert arguments["weights"] == "imagenet" and arguments["include_top"] is False
    raise Exception("URL fetch failure on https://host.invalid/x_notop.h5: None -- [Errno -2] Name or service not known")


@pytest.mark.parametrize("name", ["xception", "inception_v3"])
def test_second_build_in_a_process_has_the_same_layer_names(name, small_model):
    first = small_model(name)
    second = models_zoo.build(name, first.inputs[0].shape[1:3], 3)
    assert [layer.name for layer in second.layers] == [layer.name for layer in first.layers]
    assert "conv2d" in {layer.name for layer in second.layers}


def test_given_names_are_left_alone():
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, name="conv2d_97")(image)
    x = keras.layers.Conv2D(2, 3, name="mine")(x)
    network = keras.Model(image, keras.layers.Conv2D(2, 3, name="conv2d_104")(x))
    name_layers_as_new(network)
    assert [layer.name for layer in network.layers[1:]] == ["conv2d", "mine", "conv2d_1"]


def test_offline_imagenet_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(ValueError) as caught:
        models_zoo.applications.download("resnet50", fail_to_fetch, 32)
    message = str(caught.value)
    assert "weights 'imagenet' of resnet50 could not be downloaded" in message
    assert "Is there a network?" in message and "https://host.invalid/x_notop.h5" in message
    assert str(tmp_path / "models") in message
    assert "weights=PATH" in message and "weights=null" in message


def test_other_errors_of_the_constructor_pass():
    def broken(**arguments):
        raise MemoryError("too large")

    with pytest.raises(MemoryError):
        models_zoo.applications.download("resnet50", broken, 32)


def test_imagenet_weights_reach_the_base(monkeypatch):
    donor = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    monkeypatch.setattr(models_zoo.applications, "download", lambda *arguments: donor)
    model = models_zoo.build("vgg16", (48, 32), 2, weights="imagenet")
    convolutions = [layer for layer in donor.layers if layer.weights]
    assert len(convolutions) == 13
    for layer in convolutions:
        for expected, found in zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True):
            assert (expected == found).all()


def test_mini_vgg_has_no_imagenet_weights():
    with pytest.raises(ValueError, match="mini_vgg has no ImageNet weights to fetch. Give a file"):
        models_zoo.build("mini_vgg", (64, 64), 2, weights="imagenet")
