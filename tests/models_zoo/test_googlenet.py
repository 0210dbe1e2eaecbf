"""GoogLeNet in its forms, and what auxiliary heads promise."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

import models_zoo

PAPER = {"wide_kernel": 5, "normalisation": "local_response"}


def trainable(model: keras.Model) -> int:
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


@pytest.fixture(scope="module")
def with_auxiliary():
    return models_zoo.build("googlenet", (33, 40), 3, auxiliary=True)


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({}, 6_624_904),  # torchvision, aux_logits=False
        ({"auxiliary": True}, 13_004_888),  # torchvision
        (
            {"wide_kernel": 5, "normalisation": "none"},
            6_998_552,
        ),  # Szegedy et al. 2015, table 1 with biases: "6.8M" without the last layer's share
        (PAPER, 6_998_552),
        (PAPER | {"auxiliary": True}, 13_378_280),  # Caffe's bvlc_googlenet in training
    ],
)
def test_parameter_counts_at_1000_classes(parameters, count):
    assert trainable(models_zoo.build("googlenet", (32, 32), 1000, **parameters)) == count


@pytest.mark.parametrize("parameters", [{}, PAPER])
def test_maps_have_the_sizes_of_table_1(parameters):
    base = models_zoo.build_base("googlenet", (224, 224), **parameters)
    sizes = {name: base.get_layer(name).output.shape[1:] for name in ("maxpool1", "maxpool2", "maxpool3", "maxpool4", "inception5b")}
    assert sizes == {
        "maxpool1": (56, 56, 64),
        "maxpool2": (28, 28, 192),
        "maxpool3": (14, 14, 480),
        "maxpool4": (7, 7, 832),
        "inception5b": (7, 7, 1024),
    }


def test_normalisation_is_where_it_is_asked_for():
    kinds = {}
    for choice in ("batch", "local_response", "none"):
        base = models_zoo.build_base("googlenet", (32, 32), normalisation=choice)
        kinds[choice] = {type(layer).__name__ for layer in base.layers}, base.get_layer("conv1_conv").use_bias
        if choice == "local_response":
            order = [layer.name for layer in base.layers]
            assert order.index("maxpool1") + 1 == order.index("maxpool1_norm") < order.index("conv2_conv")
            assert order.index("conv3_relu") + 1 == order.index("conv3_norm") < order.index("maxpool2")
        if choice == "batch":
            assert {(layer.epsilon, layer.momentum) for layer in models_zoo.batch_norm_layers(base)} == {(1e-3, 0.9)}
    assert "BatchNormalization" in kinds["batch"][0] and not kinds["batch"][1]
    assert "LocalResponseNormalization" in kinds["local_response"][0] and "BatchNormalization" not in kinds["local_response"][0]
    assert not {"BatchNormalization", "LocalResponseNormalization"} & kinds["none"][0] and kinds["none"][1]


def test_wide_kernel_is_that_of_the_third_branch_and_the_fourth_pooling():
    for kernel, pooling in ((3, 2), (5, 3)):
        base = models_zoo.build_base("googlenet", (32, 32), wide_kernel=kernel)
        assert base.get_layer("inception4c_branch3_1_conv").kernel_size == (kernel, kernel)
        assert base.get_layer("inception4c_branch2_1_conv").kernel_size == (3, 3)
        assert base.get_layer("maxpool4").pool_size == (pooling, pooling)


def test_auxiliary_outputs_are_probabilities(with_auxiliary, grey_images):
    assert with_auxiliary.output_names == ["probabilities", "auxiliary_1", "auxiliary_2"]
    outputs = [np.asarray(output) for output in with_auxiliary(grey_images(with_auxiliary))]
    assert [output.shape for output in outputs] == [(2, 3)] * 3
    assert {output.dtype for output in outputs} == {np.dtype("float32")}
    for output in outputs:
        np.testing.assert_allclose(output.sum(axis=1), 1, atol=1e-6)
    assert not np.allclose(outputs[1], outputs[2])
    assert with_auxiliary.get_layer("auxiliary_1_dropout").rate == 0.7


def test_losses_have_the_weights_of_the_paper(with_auxiliary, small_model):
    assert models_zoo.loss_weights(with_auxiliary) == [1.0, 0.3, 0.3]
    assert models_zoo.loss_weights(small_model("googlenet")) == [1.0]


def test_prediction_model_has_one_output_and_the_same_layers(with_auxiliary, small_model, grey_images):
    plain = small_model("googlenet")
    assert models_zoo.prediction_model(plain) is plain
    single = models_zoo.prediction_model(with_auxiliary)
    assert single.name == "googlenet" and len(single.outputs) == 1
    assert single.get_layer("logits") is with_auxiliary.get_layer("logits")
    assert not [layer.name for layer in single.layers if layer.name.startswith("auxiliary")]
    images = grey_images(with_auxiliary)
    np.testing.assert_array_equal(np.asarray(single(images)), np.asarray(with_auxiliary(images)[0]))


def test_auxiliary_heads_are_part_of_the_head(with_auxiliary):
    names = [layer.name for layer in models_zoo.head_layers(with_auxiliary)]
    assert {"auxiliary_1", "auxiliary_2", "auxiliary_1_conv_conv", "logits"} <= set(names)
    assert not [layer.name for layer in models_zoo.base_layers(with_auxiliary) if layer.name.startswith("auxiliary")]


def test_a_step_with_auxiliary_losses_reaches_all_heads(grey_images):
    keras.utils.set_random_seed(3)
    model = models_zoo.build("googlenet", (32, 32), 2, auxiliary=True)
    model.compile(
        keras.optimizers.SGD(0.1), ["categorical_crossentropy"] * 3, loss_weights=models_zoo.loss_weights(model), run_eagerly=True
    )
    names = ("logits", "auxiliary_1_fc2", "auxiliary_2_fc2", "conv1_conv")
    before = {name: np.array(model.get_layer(name).kernel) for name in names}
    model.train_on_batch(grey_images(model), [np.eye(2)] * 3)
    for name in names:
        assert np.abs(np.array(model.get_layer(name).kernel) - before[name]).max() > 0


@pytest.mark.parametrize("file", ["model.keras", "single.weights.h5"])
def test_base_of_a_model_with_auxiliary_heads_loads(with_auxiliary, file, tmp_path, grey_images):
    if file == "model.keras":
        with_auxiliary.save(tmp_path / file)
        again = keras.models.load_model(tmp_path / file, safe_mode=True)
        images = grey_images(with_auxiliary)
        for expected, found in zip(with_auxiliary(images), again(images)):
            np.testing.assert_array_equal(np.asarray(expected), np.asarray(found))
    else:
        models_zoo.prediction_model(with_auxiliary).save_weights(tmp_path / file)
    new = models_zoo.build("googlenet", (32, 32), 5, weights=tmp_path / file)
    for layer in models_zoo.base_layers(with_auxiliary):
        for expected, found in zip(layer.get_weights(), new.get_layer(layer.name).get_weights()):
            np.testing.assert_array_equal(expected, found)


def test_the_form_of_the_paper_is_saved_and_loaded(tmp_path, grey_images):
    model = models_zoo.build("googlenet", (32, 32), 2, **PAPER)
    model.save(tmp_path / "model.keras")
    images = grey_images(model)
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(np.asarray(again(images)), np.asarray(model(images)))


def test_imagenet_weights_need_a_converted_checkpoint():
    for name in ("googlenet", "densenet161", "alexnet"):
        with pytest.raises(
            ValueError, match=f"{name} has no ImageNet weights to fetch. Convert .*cxr weights convert {name} CHECKPOINT --out"
        ):
            models_zoo.build(name, (224, 224), 2, weights="imagenet")
