"""Reading layers and shapes out of the three layouts."""

from __future__ import annotations

import h5py
import keras
import pytest

import models_zoo
from cxr_keras.weights import StoredLayer, read_stored_layers


@pytest.fixture(scope="module")
def model():
    return models_zoo.build("mini_vgg", (8, 8), 2)


def test_legacy_layout(vgg16_file):
    layers = read_stored_layers(vgg16_file)
    assert len(layers) == 13
    assert layers[0] == StoredLayer("block1_conv1", "block1_conv1", ((3, 3, 3, 64), (64,)))
    assert layers[-1].name == "block5_conv3"


def test_legacy_file_of_a_whole_model_as_keras_writes_it(model, tmp_path):
    model.save(tmp_path / "whole.h5")
    layers = read_stored_layers(tmp_path / "whole.h5")
    assert [layer.name for layer in layers] == [layer.name for layer in model.layers if layer.weights]


def test_long_lists_of_names_are_cut_into_numbered_attributes(tmp_path):
    with h5py.File(tmp_path / "long.h5", "w") as file:
        for name in ("a", "b", "c"):
            file.create_group(name).attrs["weight_names"] = [b"kernel"]
            file[name]["kernel"] = [[1.0, 2.0]]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"a", b"b"], [b"c"]
    assert [layer.key for layer in read_stored_layers(tmp_path / "long.h5")] == ["a", "b", "c"]


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_layouts_of_keras_3(model, tmp_path, file):
    if file == "model.keras":
        model.save(tmp_path / file)
    else:
        model.save_weights(tmp_path / file)
    layers = {layer.name: layer for layer in read_stored_layers(tmp_path / file)}
    assert set(layers) == {layer.name for layer in model.layers if layer.weights}
    assert layers["block2_conv1"] == StoredLayer("conv2d_2", "block2_conv1", ((3, 3, 32, 64), (64,)))


def test_ending_that_hides_the_layout_is_refused(model, vgg16_file, tmp_path):
    legacy = tmp_path / "legacy.weights.h5"
    legacy.symlink_to(vgg16_file)
    with pytest.raises(ValueError, match=r"layout inside is the legacy one. Rename the file to legacy\.h5"):
        read_stored_layers(legacy)
    model.save_weights(tmp_path / "new.weights.h5")
    (tmp_path / "new.weights.h5").rename(tmp_path / "new.h5")
    with pytest.raises(ValueError, match=r"layout inside is that of Keras 3. Rename the file to new\.weights\.h5"):
        read_stored_layers(tmp_path / "new.h5")


@pytest.mark.parametrize("file", ["bad.h5", "bad.weights.h5", "bad.keras"])
def test_damaged_file(tmp_path, file):
    (tmp_path / file).write_bytes(b"not a weights file")
    with pytest.raises(ValueError, match=f"{file}: not a weights file of Keras, or a damaged one"):
        read_stored_layers(tmp_path / file)


def test_hdf5_file_of_something_else(tmp_path):
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["features"] = [1.0]
    with pytest.raises(ValueError, match="no layer with weights found"):
        read_stored_layers(tmp_path / "features.h5")


def test_reading_needs_no_known_classes(tmp_path):
    image = keras.Input((2,))
    keras.Model(image, keras.layers.Dense(3, name="only")(image)).save(tmp_path / "foreign.keras")
    assert read_stored_layers(tmp_path / "foreign.keras") == [StoredLayer("dense", "only", ((2, 3), (3,)))]
