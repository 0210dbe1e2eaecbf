"""What every architecture of the registry promises."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import models_zoo
from cxr_keras.weights.check import HEAD_LAYER

ALL = models_zoo.list_models()

# Weights of the bases without top: the counts that keras.applications publishes for three channels; mini_vgg by hand,
# 3 · 3 · in · out + out for the six convolutions on one channel.
BASE_COUNTS = {
    "resnet50": 23_587_712,
    "inception_v3": 21_802_784,
    "inception_resnet_v2": 54_336_736,
    "xception": 20_861_480,
    "vgg16": 14_714_688,
    "mini_vgg": 320 + 9_248 + 18_496 + 36_928 + 73_856 + 147_584,
}
FEATURE_CHANNELS = {
    "resnet50": 2048,
    "inception_v3": 2048,
    "inception_resnet_v2": 1536,
    "xception": 2048,
    "vgg16": 512,
    "mini_vgg": 128,
}


def test_every_architecture_is_pinned():
    assert set(ALL) == set(BASE_COUNTS) == set(FEATURE_CHANNELS)


@pytest.mark.parametrize("name", ALL)
def test_parameter_counts(name, small_model):
    model = small_model(name)
    assert models_zoo.base_model(model).count_params() == BASE_COUNTS[name]
    channels = FEATURE_CHANNELS[name]
    hidden = 128 * 512 + 512 if name == "mini_vgg" else channels * 256 + 256  # mini_vgg at 8 px: 1 · 1 · 128 flattened
    logits = (512 if name == "mini_vgg" else 256) * 3 + 3
    assert model.count_params() == BASE_COUNTS[name] + hidden + logits


@pytest.mark.parametrize("name", ALL)
def test_named_layers_have_their_shapes(name, small_model, grey_images):
    model = small_model(name)
    images = grey_images(model)
    names = ("features", "embedding", "logits", "probabilities")
    outputs = keras.Model(model.inputs[0], [model.get_layer(layer).output for layer in names])(images)
    features, embedding, logits, probabilities = (np.asarray(output) for output in outputs)
    assert features.ndim == 4 and features.shape[-1] == FEATURE_CHANNELS[name]
    assert embedding.shape == (2, 512 if name == "mini_vgg" else 256)
    assert logits.shape == probabilities.shape == (2, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(probabilities, exponents / exponents.sum(axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_array_equal(probabilities, np.asarray(model(images)))


@pytest.mark.parametrize("name", ALL)
def test_graph_is_flat(name, small_model):
    model = small_model(name)
    assert model.inputs[0].name == "image" and model.inputs[0].shape[-1] == 1 and model.inputs[0].dtype == "float32"
    assert not [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    assert not [layer.name for layer in model.layers if isinstance(layer, keras.layers.Lambda)]


@pytest.mark.parametrize("name", ALL)
def test_base_and_head_share_out_all_layers(name, small_model, grey_images):
    model = small_model(name)
    base, head = models_zoo.base_layers(model), models_zoo.head_layers(model)
    assert base[0].name == "image" and base[-1].name == "features" and head[-1].name == "probabilities"
    assert [layer.name for layer in base + head] == [layer.name for layer in model.layers]
    images = grey_images(model)
    in_two_steps = models_zoo.head_model(model)(models_zoo.base_model(model)(images))
    np.testing.assert_allclose(np.asarray(in_two_steps), np.asarray(model(images)), atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_weighted_head_layers_have_the_names_by_which_files_leave_them_out(name, small_model):
    head = models_zoo.head_layers(small_model(name))
    assert all(HEAD_LAYER.fullmatch(layer.name) for layer in head if layer.weights)
    assert not [layer for layer in models_zoo.base_layers(small_model(name)) if HEAD_LAYER.fullmatch(layer.name)]


@pytest.mark.parametrize("name", ALL)
def test_save_and_reload_gives_equal_outputs(name, small_model, grey_images, tmp_path):
    model = small_model(name)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    images = grey_images(model)
    np.testing.assert_array_equal(np.asarray(again(images)), np.asarray(model(images)))
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert models_zoo.head_layers(again)[-2].name == "logits"


@pytest.mark.parametrize("name", [spec.name for spec in models_zoo.ARCHITECTURES])
def test_spec_tells_defaults_that_build(name):
    spec = models_zoo.get_spec(name)
    assert spec.name == name and spec.description and spec.paper
    assert min(spec.default_image_size) >= spec.minimum_image_size
    shared = set(models_zoo.spec.keyword_defaults(spec.base)) & set(models_zoo.spec.keyword_defaults(spec.head))
    for parameter in shared:  # a name that base and head both take has one default
        base_default = models_zoo.spec.keyword_defaults(spec.base)[parameter]
        assert base_default == models_zoo.spec.keyword_defaults(spec.head)[parameter]


def test_batch_norm_layers_are_found(small_model):
    assert len(models_zoo.batch_norm_layers(small_model("resnet50"))) == 53  # He et al.: one after each convolution
    assert models_zoo.batch_norm_layers(small_model("vgg16")) == []


def test_training_a_head_model_trains_the_model(grey_images):
    model = models_zoo.build("mini_vgg", (8, 8), 2, conv_dropout=0, dense_dropout=0)
    before = np.array(model.get_layer("logits").kernel)
    head = models_zoo.head_model(model)
    head.compile("sgd", "categorical_crossentropy")
    head.train_on_batch(np.asarray(models_zoo.base_model(model)(grey_images(model))), np.eye(2))
    assert np.abs(np.array(model.get_layer("logits").kernel) - before).max() > 0


def test_mixed_precision_ends_in_float32(grey_images):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = models_zoo.build("mini_vgg", (8, 8), 2)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("block1_conv1").compute_dtype == "float16"
    assert model.get_layer("pixel_range").compute_dtype == "float32"
    assert np.asarray(model(grey_images(model))).dtype == np.float32
