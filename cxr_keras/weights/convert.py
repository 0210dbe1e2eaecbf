"""From a torchvision checkpoint to one of our models with the same weights.

Checkpoints come from elsewhere and are not trusted: `.safetensors` holds numbers alone, and a `.pth` file is read in
PyTorch's mode for numbers alone, which runs none of the code that a pickle can carry.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

import models_zoo
from cxr_keras.weights.torch_names import NAMES, TorchNames, is_ignored, our_name

IMAGENET_CLASSES = 1000
SUFFIXES = (".safetensors", ".pth", ".pt")
# Our weights, and what PyTorch calls them.
TORCH_ARRAY = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def convert_checkpoint(architecture: str, checkpoint: str | Path) -> keras.Model:
    """Build the published network and give it the weights of torchvision's checkpoint.

    Args:
        architecture: "googlenet", "densenet161" or "alexnet".
        checkpoint: torchvision's `.pth` file for ImageNet, or the same as `.safetensors`.

    Returns:
        The whole model for 1000 classes at its published image size. Saved as `.keras` it is what `weights` takes.

    Raises:
        ValueError: another architecture, a file that cannot be read, or one of another network; all differences are named.
    """
    spec = models_zoo.get_spec(architecture)
    if architecture not in NAMES:
        raise ValueError(f"{architecture}: no checkpoint of torchvision can be converted to it, only to {', '.join(NAMES)}.")
    arrays = read_checkpoint(Path(checkpoint))
    model = models_zoo.build(architecture, spec.default_image_size, IMAGENET_CLASSES)
    try:
        fill_model(model, arrays, NAMES[architecture])
    except ValueError as error:
        raise ValueError(f"{checkpoint} does not hold the weights of {architecture}: {error}") from error
    return model


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a checkpoint by their keys.

    Raises:
        ValueError: there is no such file, PyTorch or safetensors is not installed, or the file is damaged or holds
            something else than arrays.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: expected a checkpoint ending in {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file. Mend the path.")
    try:
        return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except ImportError as error:
        raise ValueError(
            f"{path}: reading it needs the package {error.name}, which is not installed. Install it with pip install 'cxr-keras[convert]'."
        ) from error


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read a `.safetensors` file."""
    import safetensors
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (safetensors.SafetensorError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a safetensors file of numbers that NumPy knows, or a damaged one ({error}).") from error


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    """Read a file of `torch.save` that holds a mapping from names to tensors and nothing else."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path}: no checkpoint of tensors alone, or a damaged one. A file with other objects can run code when it is read, so it "
            f"is refused; save model.state_dict() where it comes from. PyTorch says: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        found = f"a mapping with the keys {list(content)[:5]}" if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"{path}: got {found}, expected names with a tensor each, as model.state_dict() gives them.")
    return {str(key): tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy() for key, tensor in content.items()}


def fill_model(model: keras.Model, arrays: Mapping[str, np.ndarray], names: TorchNames) -> None:
    """Put the arrays of a checkpoint into `model`, all of them or none.

    Args:
        model: a model of the architecture that `names` are of.
        arrays: the checkpoint: convolution kernels (out, in, h, w), dense ones (out, in).
        names: what its keys mean.

    Raises:
        ValueError: a key has no place, a place has no key or several, or an array has another shape or is not finite.
    """
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    wanted = {(name, TORCH_ARRAY[weight.name]): weight for name, layer in layers.items() for weight in layer.weights}
    values: dict[tuple[str, str], np.ndarray] = {}
    faults = []
    for key, array in arrays.items():
        if is_ignored(key, names, set(layers)):
            continue
        module, _, kind = key.rpartition(".")
        place = (our_name(module, names), kind)
        if place not in wanted:
            faults.append(f"{key}: the network has no place for it")
        elif place in values:
            faults.append(f"{key}: a second array for {place[0]}, {kind}")
        else:
            expected = _torch_shape(tuple(wanted[place].shape))
            if array.shape != expected:
                faults.append(f"{key}: expected {expected}, got {array.shape}")
            elif not np.isfinite(array).all():
                faults.append(f"{key}: holds numbers that are not finite")
            values[place] = array
    faults += [f"layer {name}, {kind}: not in the checkpoint" for name, kind in wanted.keys() - values.keys()]
    if faults:
        raise ValueError(f"{len(faults)} differences:\n  " + "\n  ".join(sorted(faults)))
    for (name, kind), array in values.items():
        flatten = names.flattened.get(name)
        flattened_shape = tuple(model.get_layer(flatten).input.shape[1:]) if flatten else None
        wanted[name, kind].assign(_in_our_order(array, flattened_shape))


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Give the shape that PyTorch has for a weight of ours."""
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape[::-1]


def _in_our_order(array: np.ndarray, flattened_shape: Any) -> np.ndarray:
    """Bring an array from PyTorch's order of axes into ours.

    Args:
        array: (out, in, h, w), (out, in) or (channels,).
        flattened_shape: (h, w, c) of the map that a dense kernel (out, c · h · w) reads, or None.

    Returns:
        (h, w, in, out), (in, out) or (channels,) in float32.
    """
    array = np.asarray(array, dtype="float32")
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    if array.ndim == 2 and flattened_shape:
        height, width, channels = flattened_shape
        return array.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(height * width * channels, -1)
    return array.T
