"""Weights from files of this package, and what is refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import models_zoo


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A mini_vgg with batch normalisation and its two files: whole model, and weights alone."""
    folder = tmp_path_factory.mktemp("saved")
    model = models_zoo.build("mini_vgg", (16, 16), 4, batch_norm="after_relu")
    generator = np.random.default_rng(5)
    model.set_weights([generator.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    models_zoo.base_model(model).save_weights(folder / "base.weights.h5")
    return model, folder


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5", "base.weights.h5"])
def test_base_is_taken_and_head_left(saved, file):
    model, folder = saved
    new = models_zoo.build("mini_vgg", (24, 24), 2, batch_norm="after_relu", weights=folder / file)
    for layer in models_zoo.base_layers(model):
        for expected, found in zip(layer.get_weights(), new.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(expected, found)
    assert not new.get_layer("logits").get_weights()[1].any()
    assert np.abs(new.get_layer("hidden_1").get_weights()[0]).max() < 0.1  # glorot: at most sqrt(6 / (1152 + 512))


def test_keras_file_of_a_frozen_model_loads(saved, tmp_path):
    model, _ = saved
    frozen = keras.models.clone_model(model)
    frozen.set_weights(model.get_weights())
    for layer in models_zoo.base_layers(frozen):
        layer.trainable = False
    frozen.save(tmp_path / "frozen.keras")
    new = models_zoo.build("mini_vgg", (16, 16), 2, batch_norm="after_relu", weights=tmp_path / "frozen.keras")
    moving = [weight for layer in models_zoo.batch_norm_layers(model)[:6] for weight in layer.get_weights()]
    found = [weight for layer in models_zoo.batch_norm_layers(new)[:6] for weight in layer.get_weights()]
    assert all((one == other).all() for one, other in zip(moving, found, strict=True))
    assert models_zoo.batch_norm_layers(new)[0].trainable


def test_keras_file_of_other_parameters_names_the_layers(saved):
    _, folder = saved
    with pytest.raises(ValueError) as caught:
        models_zoo.build("mini_vgg", (16, 16), 2, weights=folder / "model.keras")
    message = str(caught.value)
    assert "differs from that of mini_vgg in 6 layers" in message and "block1_bn1: in the file only" in message
    assert "model.keras" in message and "same parameters" in message


def test_keras_file_of_another_architecture_names_both(saved):
    _, folder = saved
    with pytest.raises(ValueError, match=r"hold 'mini_vgg', whose base differs from that of vgg16 in \d+ layers"):
        models_zoo.build("vgg16", (32, 32), 2, weights=folder / "model.keras")


def test_keras_file_of_another_program_is_refused(tmp_path):
    image = keras.Input((4,))
    keras.Model(image, keras.layers.Dense(2)(image), name="foreign").save(tmp_path / "foreign.keras")
    with pytest.raises(ValueError, match="the model 'foreign' has no layer 'features'"):
        models_zoo.build("mini_vgg", (16, 16), 2, weights=tmp_path / "foreign.keras")


@pytest.mark.parametrize("file", ["broken.keras", "broken.h5", "broken.weights.h5"])
def test_damaged_file_is_named(tmp_path, file):
    (tmp_path / file).write_bytes(b"no weights")
    with pytest.raises(ValueError, match=f"weights .*{file}"):
        models_zoo.build("mini_vgg", (16, 16), 2, weights=tmp_path / file)


@pytest.mark.filterwarnings("ignore:Skipping nested container")  # Keras says so before it raises
def test_other_shapes_in_hdf5_are_named(saved, tmp_path):
    _, folder = saved
    with pytest.raises(ValueError, match=r"(?s)base.weights.h5 do not fit the base of vgg16.*no-top"):
        models_zoo.build("vgg16", (32, 32), 2, weights=folder / "base.weights.h5")


def test_missing_file_and_wrong_suffix(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        models_zoo.build("mini_vgg", (16, 16), 2, weights=tmp_path / "none.h5")
    with pytest.raises(ValueError, match=r"expected null, 'imagenet' or a file ending in \.weights\.h5, \.h5, \.keras"):
        models_zoo.build("mini_vgg", (16, 16), 2, weights=tmp_path / "model.pth")
