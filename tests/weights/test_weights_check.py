"""Files that do not fit are refused with layers and shapes, files that fit pass."""

from __future__ import annotations

import h5py
import keras
import pytest

import models_zoo
from cxr_keras.weights import check_weights
from cxr_keras.weights.files import read_base_names


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    model = models_zoo.build("mini_vgg", (16, 16), 4, batch_norm="after_relu")
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    models_zoo.base_model(model).save_weights(folder / "base.weights.h5")
    return folder


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5", "base.weights.h5"])
def test_files_of_this_package_pass_whatever_size_and_classes(saved, file):
    check_weights(saved / file, architecture="mini_vgg", parameters={"batch_norm": "after_relu"})


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_other_parameters_are_seen(saved, file):
    with pytest.raises(ValueError, match=r"(?s)6 differences.*block1_bn1: in the file only, \(32,\) \+ \(32,\)"):
        check_weights(saved / file, architecture="mini_vgg")


@pytest.mark.parametrize("file", ["head.keras", "head.weights.h5"])
def test_head_of_the_file_does_not_matter(tmp_path, file):
    model = models_zoo.build("vgg16", (32, 32), 5, dense=(16, 8), dropout=0.5)
    if file == "head.keras":
        model.save(tmp_path / file)
    else:
        model.save_weights(tmp_path / file)
    check_weights(tmp_path / file, architecture="vgg16")
    models_zoo.build("vgg16", (32, 32), 2, weights=tmp_path / file)


def test_keras_model_of_another_program(tmp_path):
    image = keras.Input((2,))
    keras.Model(image, keras.layers.Dense(3)(image)).save(tmp_path / "foreign.keras")
    with pytest.raises(ValueError, match="the model has no layer 'features'"):
        check_weights(tmp_path / "foreign.keras", architecture="mini_vgg")


def test_other_architecture_names_layers_shapes_file_and_remedy(vgg16_file):
    with pytest.raises(ValueError) as caught:
        check_weights(vgg16_file, architecture="resnet50")
    message = str(caught.value)
    assert str(vgg16_file) in message and "do not fit the base of resnet50" in message
    assert "conv1_conv (in the file block1_conv1): expected (7, 7, 3, 64) + (64,), got (3, 3, 3, 64) + (64,)" in message
    assert "and " in message and " more" in message
    assert "weights=null" in message and "notop.h5" in message


def test_file_with_top_says_what_is_too_much(random_network, write_legacy, tmp_path):
    network = random_network(keras.applications.VGG16, 32)
    x = keras.layers.Dense(10, name="predictions")(keras.layers.Flatten()(network.output))
    path = write_legacy(keras.Model(network.inputs[0], x), tmp_path / "vgg16_with_top.h5")
    with pytest.raises(ValueError, match=r"1 differences:\n  predictions: in the file only, \(512, 10\) \+ \(10,\)"):
        check_weights(path, architecture="vgg16")


def test_missing_layer_is_named(random_network, write_legacy, tmp_path):
    network = random_network(keras.applications.VGG16, 32)
    path = write_legacy(network, tmp_path / "short.h5", leave_out={"block5_conv3"})
    with pytest.raises(ValueError, match=r"block5_conv3: expected \(3, 3, 512, 512\) \+ \(512,\), not in the file"):
        check_weights(path, architecture="vgg16")


def test_swapped_layers_of_one_shape_are_seen(vgg16_file, tmp_path):
    path = tmp_path / "swapped.h5"
    path.write_bytes(vgg16_file.read_bytes())
    with h5py.File(path, "r+") as file:
        names = [name.decode() for name in file.attrs["layer_names"]]
        one, other = names.index("block5_conv1"), names.index("block5_conv2")
        names[one], names[other] = names[other], names[one]
        file.attrs["layer_names"] = [name.encode() for name in names if "conv" in name]  # others do not count
    with pytest.raises(ValueError, match="block5_conv1: expected in place 11, which block5_conv2 has in the file"):
        check_weights(path, architecture="vgg16")


def test_weights_file_of_another_architecture(saved):
    with pytest.raises(ValueError, match=r"block1_conv1: expected \(3, 3, 3, 64\) \+ \(64,\), got \(3, 3, 1, 32\)"):
        check_weights(saved / "base.weights.h5", architecture="vgg16")


def test_auxiliary_heads_do_not_count_to_the_base(tmp_path):
    model = models_zoo.build("googlenet", (32, 32), 3, auxiliary=True)
    model.save(tmp_path / "model.keras")
    assert read_base_names(tmp_path / "model.keras") == {layer.name for layer in models_zoo.base_layers(model)} - {"features"}
    check_weights(tmp_path / "model.keras", architecture="googlenet")
    check_weights(tmp_path / "model.keras", architecture="googlenet", parameters={"auxiliary": True})
    with pytest.raises(ValueError, match=r"conv1_conv: expected \(7, 7, 3, 64\) \+ \(64,\), got \(7, 7, 3, 64\)"):
        check_weights(tmp_path / "model.keras", architecture="googlenet", parameters={"normalisation": "none"})
