"""Converted checkpoints give the outputs of torchvision's own networks."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

import models_zoo
from cxr_keras.weights import convert_checkpoint, resolve_weights
from cxr_keras.weights.convert import fill_model, read_checkpoint
from cxr_keras.weights.torch_names import NAMES
from models_zoo.rescaling import TORCH_DEVIATIONS, TORCH_MEANS

REASON = "PyTorch, torchvision and safetensors are needed to compare with: pip install 'cxr-keras[convert,test-convert]'"
torch = pytest.importorskip("torch", reason=REASON)
safetensors_torch = pytest.importorskip("safetensors.torch", reason=REASON)


def import_torchvision():
    """Import torchvision; where its compiled operations are for another build of PyTorch, declare those that it wants at import.

    They find boxes in images; the networks here do not use them.
    """
    try:
        return pytest.importorskip("torchvision", reason=REASON)
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        return pytest.importorskip("torchvision", reason=REASON)


torchvision = import_torchvision()
OPTIONS = {"googlenet": {"init_weights": False, "aux_logits": True, "transform_input": True}}


@pytest.fixture(scope="module")
def original():
    """Function from a name to torchvision's network with random weights and statistics, in evaluation mode."""
    made = {}

    def make(name):
        if name not in made:
            torch.manual_seed(21)
            network = getattr(torchvision.models, name)(weights=None, **OPTIONS.get(name, {}))
            norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
            with torch.no_grad():
                if not norms:  # PyTorch's own random weights let the signal fade, so that biases alone would decide
                    for module in network.modules():
                        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                for norm in norms:
                    norm.momentum = None  # the mean over all passes, here one
                    norm.weight.uniform_(0.8, 1.2)
                    norm.bias.uniform_(-0.2, 0.2)
                network.train()(torch.randn(4, 3, 96, 96))
                for norm in norms:
                    norm.running_mean.add_(0.2 * torch.randn_like(norm.running_mean) * norm.running_var.sqrt())
                    norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.8, 1.2))
            made[name] = network.eval()
        return made[name]

    return make


@pytest.fixture(scope="module")
def checkpoint(original, tmp_path_factory):
    """Function from a name to its checkpoint: one safetensors file, one in the format and with the names of 2017, one of today."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def write(name):
        state = original(name).state_dict()
        if name == "googlenet":
            path = folder / "googlenet.safetensors"
            safetensors_torch.save_file(state, path)
        elif name == "densenet161":
            path = folder / "densenet161.pth"
            for old, new in [(f"{kind}.{number}.", f"{kind}{number}.") for kind in ("norm", "conv") for number in (1, 2)]:
                state = {key.replace(new, old) if "denselayer" in key else key: value for key, value in state.items()}
            torch.save(state, path, _use_new_zipfile_serialization=False)
        else:
            path = folder / f"{name}.pth"
            torch.save(state, path)
        return path

    return write


def grey_images(size):
    return np.random.default_rng(12).integers(0, 256, (2, *size, 1)).astype("float32")


def run_original(network, grey):
    """Logits of torchvision's network for grey images, prepared as torchvision's weights want it."""
    pixels = (np.repeat(grey, 3, axis=-1) / 255 - TORCH_MEANS) / TORCH_DEVIATIONS
    with torch.no_grad():
        return network(torch.from_numpy(pixels.astype("float32").transpose(0, 3, 1, 2).copy()))


def run_ours(model, grey, name="logits"):
    import keras

    return np.asarray(keras.Model(model.inputs[0], model.get_layer(name).output)(grey))


def assert_close(found, expected, label):
    expected = np.asarray(expected)
    largest = np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * largest  # the image matters
    print(f"{label}: largest difference {np.abs(found - expected).max():.1e} at values up to {largest:.1f}")
    np.testing.assert_allclose(found, expected, atol=1e-5 * largest, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_converted_checkpoint_gives_the_outputs_of_torchvision(name, original, checkpoint, tmp_path):
    model = convert_checkpoint(name, checkpoint(name))
    grey = grey_images((224, 224))
    expected = run_original(original(name), grey)
    assert_close(run_ours(model, grey), expected, f"{name} 224 × 224")
    np.testing.assert_allclose(np.asarray(model(grey)), torch.softmax(expected, dim=1).numpy(), atol=1e-5)

    model.save(tmp_path / "converted.keras")
    path = resolve_weights(tmp_path / "converted.keras", architecture=name)
    again = models_zoo.build(name, (224, 224), 2, weights=path)
    np.testing.assert_array_equal(run_ours(again, grey, "features"), run_ours(model, grey, "features"))


@pytest.mark.parametrize(("name", "size"), [("googlenet", (97, 130)), ("densenet161", (61, 75)), ("alexnet", (69, 131))])
def test_other_sizes_too(name, size, original, checkpoint):
    model = models_zoo.build(name, size, 1000)
    fill_model(model, read_checkpoint(checkpoint(name)), NAMES[name])
    grey = grey_images(size)
    assert_close(run_ours(model, grey), run_original(original(name), grey), f"{name} {size[0]} × {size[1]}")


def test_auxiliary_heads_are_converted(original, checkpoint):
    model = models_zoo.build("googlenet", (224, 224), 1000, auxiliary=True)
    fill_model(model, read_checkpoint(checkpoint("googlenet")), NAMES["googlenet"])
    grey = grey_images((224, 224))
    network = original("googlenet")
    network.training = True  # of the outer module alone: it then gives the auxiliary outputs, and nothing is dropped
    try:
        expected = run_original(network, grey)
    finally:
        network.training = False
    assert_close(run_ours(model, grey, "auxiliary_1_fc2"), expected.aux_logits1, "auxiliary 1")
    assert_close(run_ours(model, grey, "auxiliary_2_fc2"), expected.aux_logits2, "auxiliary 2")


def test_local_response_normalization_is_that_of_pytorch():
    from models_zoo.blocks import LocalResponseNormalization

    values = np.random.default_rng(2).normal(0, 30, (2, 4, 3, 11)).astype("float32")
    expected = torch.nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)(torch.from_numpy(values.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(
        np.asarray(LocalResponseNormalization(5, 1e-4, 0.75)(values)), expected.numpy().transpose(0, 2, 3, 1), rtol=1e-5
    )


def test_checkpoint_of_another_network_is_refused(checkpoint):
    with pytest.raises(ValueError) as caught:
        convert_checkpoint("googlenet", checkpoint("alexnet"))
    message = str(caught.value)
    assert "alexnet.pth does not hold the weights of googlenet" in message
    assert "features.0.weight: the network has no place for it" in message
    assert "layer inception5b_branch4_1_bn, running_var: not in the checkpoint" in message


class Payload:
    """Code inside a pickle."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_file_is_not_run(writer, tmp_path):
    path = tmp_path / "model.pth"
    if writer == "torch":
        torch.save({"fc.weight": Payload(tmp_path / "made")}, path)
    else:
        path.write_bytes(pickle.dumps({"fc.weight": Payload(tmp_path / "made")}, protocol=2))
    with pytest.raises(ValueError, match="can run code when it is read, so it is refused"):
        read_checkpoint(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("file", ["model.pth", "model.pt", "model.safetensors"])
def test_damaged_files(file, tmp_path):
    (tmp_path / file).write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="damaged one"):
        read_checkpoint(tmp_path / file)


@pytest.mark.parametrize("content", ["nested", "list"])
def test_something_else_than_tensors(content, tmp_path):
    tensors = {"fc.bias": torch.zeros(3)}
    torch.save({"state_dict": tensors, "epoch": 3} if content == "nested" else [torch.zeros(3)], tmp_path / "model.pth")
    found = r"a mapping with the keys \['state_dict', 'epoch'\]" if content == "nested" else "list"
    with pytest.raises(ValueError, match=f"got {found}, expected names with a tensor each"):
        read_checkpoint(tmp_path / "model.pth")
