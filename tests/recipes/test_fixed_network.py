"""A network built as far as a layer, with weights that belong to it all the way."""

import keras
import numpy as np
import pytest

import models_zoo
from cxr_keras.config.loader import load_config
from cxr_keras.features.extract import layer_model
from cxr_keras.recipes.fixed_network import build_up_to, idle_parameters

SETTINGS = ("model.weights=null", "data.image_size=[32, 32]")
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype(np.float32)


def outputs(model, layer):
    return layer_model(model, layer).predict(IMAGES, verbose=0)


def test_random_weights_are_those_of_the_seed():
    first, again, other = (
        outputs(build_up_to(load_config("vgg16_features", [*SETTINGS, f"seed={seed}"]), layer="features", weights=None), "features")
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other) and keras.config.dtype_policy().name == "float32"


def test_the_embedding_of_a_trained_network_has_its_trained_head(tmp_path):
    keras.utils.set_random_seed(5)
    trained = models_zoo.build("vgg16", (32, 32), 3, pooling="average", dense=[8])
    trained.save(tmp_path / "model.keras")
    trained.save_weights(tmp_path / "model.weights.h5")
    config = load_config("vgg16_features", [*SETTINGS, "classifier.layer=embedding", "model.params={pooling: average, dense: [8]}"])
    built = build_up_to(config, layer="embedding", weights=tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(built, "embedding"), outputs(trained, "embedding"))
    wider = load_config("vgg16_features", [*SETTINGS, "classifier.layer=embedding", "model.params={pooling: average, dense: [9]}"])
    with pytest.raises(ValueError, match="lies behind layers of its head .* so they would stay random. Take the layer features"):
        build_up_to(wider, layer="embedding", weights=tmp_path / "model.keras")


def test_an_embedding_without_layers_of_its_own_needs_no_head(tmp_path):
    keras.utils.set_random_seed(5)
    models_zoo.build_base("vgg16", (32, 32)).save_weights(tmp_path / "base.weights.h5")
    config = load_config("vgg16_features", [*SETTINGS, "classifier.layer=embedding", "model.params={pooling: average, dense: []}"])
    built = build_up_to(config, layer="embedding", weights=tmp_path / "base.weights.h5")
    assert outputs(built, "embedding").shape == (2, 512)
    hidden = load_config("vgg16_features", [*SETTINGS, "classifier.layer=embedding", "model.params={pooling: average, dense: [8]}"])
    with pytest.raises(ValueError, match="so they would stay random"):
        build_up_to(hidden, layer="embedding", weights=tmp_path / "base.weights.h5")


@pytest.mark.parametrize(("layer", "idle"), [("features", ["pooling", "dense"]), ("pooled", ["dense"]), ("embedding", [])])
def test_parameters_behind_the_layer_are_named(layer, idle):
    config = load_config("vgg16_features", [*SETTINGS, "model.params={pooling: average, dense: [8]}"])
    assert idle_parameters(config, layer) == idle
