"""Putting a checkpoint's arrays into a model: order of axes, names, and what is refused. No PyTorch needed."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest

import models_zoo
from cxr_keras.weights.convert import convert_checkpoint, fill_model, read_checkpoint
from cxr_keras.weights.torch_names import NAMES, TorchNames, is_ignored, our_name

TINY = TorchNames(replaced={r"^fc$": "logits", r"^aux1\b": "auxiliary_1"}, flattened={"logits": "flatten"}, optional=r"aux1\..*")


def tiny_model() -> keras.Model:
    image = keras.Input((4, 5, 2), name="image")
    x = keras.layers.Conv2D(3, 2, name="stem_conv")(image)
    x = keras.layers.BatchNormalization(epsilon=1e-5, name="stem_norm")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(image, keras.layers.Dense(4, name="logits")(x))


def tiny_checkpoint() -> dict[str, np.ndarray]:
    shapes = {
        "stem.conv.weight": (3, 2, 2, 2),
        "stem.conv.bias": (3,),
        **{f"stem.norm.{array}": (3,) for array in ("weight", "bias", "running_mean", "running_var")},
        "fc.weight": (4, 3 * 3 * 4),
        "fc.bias": (4,),
    }
    generator = np.random.default_rng(6)
    arrays = {key: generator.uniform(0.5, 1.5, shape).astype("float32") for key, shape in shapes.items()}
    return arrays | {"stem.norm.num_batches_tracked": np.array(7)}


def as_pytorch_defines_it(arrays: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Convolution, batch normalisation, flattening channel by channel and dense layer, on (N, c, h, w), by loops."""
    kernel, count = arrays["stem.conv.weight"], len(images)
    x = np.empty((count, 3, 3, 4))
    for row in range(3):
        for column in range(4):
            window = images[:, :, row : row + 2, column : column + 2]
            x[:, :, row, column] = np.einsum("ncij,ocij->no", window, kernel) + arrays["stem.conv.bias"]
    gamma, beta, mean, variance = (
        arrays[f"stem.norm.{array}"][:, None, None] for array in ("weight", "bias", "running_mean", "running_var")
    )
    x = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
    return x.reshape(count, -1) @ arrays["fc.weight"].T + arrays["fc.bias"]


def test_axes_and_flattened_maps_come_into_our_order():
    model, arrays = tiny_model(), tiny_checkpoint()
    fill_model(model, arrays, TINY)
    images = np.random.default_rng(1).normal(size=(3, 2, 4, 5))
    found = np.asarray(model(images.transpose(0, 2, 3, 1).astype("float32")))
    np.testing.assert_allclose(found, as_pytorch_defines_it(arrays, images), rtol=1e-5, atol=1e-5)


def test_half_precision_numbers_are_widened():
    arrays = tiny_checkpoint()
    arrays["fc.bias"] = arrays["fc.bias"].astype("float16")
    model = tiny_model()
    fill_model(model, arrays, TINY)
    np.testing.assert_array_equal(model.get_layer("logits").get_weights()[1], arrays["fc.bias"].astype("float32"))


def test_all_differences_are_named_and_nothing_is_changed():
    model, arrays = tiny_model(), tiny_checkpoint()
    before = model.get_weights()
    del arrays["stem.conv.bias"]
    arrays["fc.weight"] = arrays["fc.weight"][:, :-1]
    arrays["stem.norm.running_mean"][1] = np.nan
    arrays["head.extra.weight"] = np.zeros(3)
    arrays["anchors"] = np.zeros(3)
    with pytest.raises(ValueError) as caught:
        fill_model(model, arrays, TINY)
    lines = str(caught.value).splitlines()
    assert lines[0] == "5 differences:"
    assert [line.strip() for line in lines[1:]] == [
        "anchors: the network has no place for it",
        "fc.weight: expected (4, 36), got (4, 35)",
        "head.extra.weight: the network has no place for it",
        "layer stem_conv, bias: not in the checkpoint",
        "stem.norm.running_mean: holds numbers that are not finite",
    ]
    for value, other in zip(before, model.get_weights()):
        np.testing.assert_array_equal(value, other)


def test_two_keys_for_one_place_are_refused():
    arrays = tiny_checkpoint()
    arrays["stem_conv.bias"] = arrays["stem.conv.bias"]
    with pytest.raises(ValueError, match="stem_conv.bias: a second array for stem_conv, bias"):
        fill_model(tiny_model(), arrays, TINY)


def test_optional_modules_are_left_out_by_name_alone():
    arrays = tiny_checkpoint() | {"aux1.fc.weight": np.zeros((2, 2))}
    fill_model(tiny_model(), arrays, TINY)
    with pytest.raises(ValueError, match="aux2.fc.weight: the network has no place for it"):
        fill_model(tiny_model(), arrays | {"aux2.fc.weight": np.zeros((2, 2))}, TINY)


def test_optional_modules_are_taken_where_the_network_has_them():
    assert is_ignored("aux1.conv.conv.weight", NAMES["googlenet"], {"conv1_conv"})
    assert not is_ignored("aux1.conv.conv.weight", NAMES["googlenet"], {"conv1_conv", "auxiliary_1_conv_conv"})


@pytest.mark.parametrize(
    ("architecture", "module", "name"),
    [
        ("googlenet", "inception3a.branch2.0.conv", "inception3a_branch2_0_conv"),
        ("googlenet", "aux2.fc1", "auxiliary_2_fc1"),
        ("googlenet", "fc", "logits"),
        ("densenet161", "features.denseblock1.denselayer1.norm1", "features_denseblock1_denselayer1_norm1"),
        ("densenet161", "features.denseblock1.denselayer1.norm.1", "features_denseblock1_denselayer1_norm1"),
        ("densenet161", "features.denseblock4.denselayer24.conv.2", "features_denseblock4_denselayer24_conv2"),
        ("densenet161", "features.transition1.norm", "features_transition1_norm"),
        ("densenet161", "classifier", "logits"),
        ("alexnet", "features.10", "features_10"),
        ("alexnet", "classifier.1", "hidden_1"),
        ("alexnet", "classifier.6", "logits"),
    ],
)
def test_names_of_modules(architecture, module, name):
    assert our_name(module, NAMES[architecture]) == name


def test_architectures_that_point_to_the_converter_are_those_it_knows():
    hinting = {spec.name for spec in models_zoo.ARCHITECTURES if spec.imagenet_hint}
    assert hinting == set(NAMES)


def test_other_architectures_and_files_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match="vgg16: no checkpoint of torchvision can be converted to it, only to googlenet, densenet161, alexnet"
    ):
        convert_checkpoint("vgg16", tmp_path / "vgg16.pth")
    with pytest.raises(ValueError, match="unknown model 'googlnet'. Did you mean 'googlenet'"):
        convert_checkpoint("googlnet", tmp_path / "googlenet.pth")
    with pytest.raises(ValueError, match=r"model\.bin: expected a checkpoint ending in \.safetensors, \.pth, \.pt"):
        read_checkpoint(tmp_path / "model.bin")
    with pytest.raises(ValueError, match=r"none\.pth: there is no such file"):
        read_checkpoint(tmp_path / "none.pth")


@pytest.mark.parametrize(("file", "package"), [("model.pth", "torch"), ("model.safetensors", "safetensors")])
def test_missing_package_is_named_with_its_extra(file, package, tmp_path, monkeypatch):
    (tmp_path / file).write_bytes(b"")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"needs the package {package}, which is not installed.*cxr-keras\[convert\]"):
        read_checkpoint(tmp_path / file)
