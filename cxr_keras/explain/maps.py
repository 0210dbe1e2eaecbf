"""Maps of what speaks for a class: class activation map, Grad-CAM, HiResCAM, activation, occlusion.

All are computed on the logits, before the softmax, whose saturation would hide evidence. A value above 0 speaks for the class, one below
0 against it (an activation map knows no class and has no sign). A method is made ready for a model once and then called batch by batch, so
that memory does not grow with the images:

    explain = METHODS["grad_cam"](model)
    for images in batches:
        maps, columns, logits = explain(images, None)
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

from cxr_keras.explain.gradients import gradient_of_logit


class Maps(NamedTuple):
    """Maps of one batch.

    Attributes:
        maps: float32 (n, h, w), at the resolution of the layer (or of the occlusion's grid).
        columns: int64 (n,), the class that each map is of.
        logits: float32 (n, classes).
    """

    maps: np.ndarray
    columns: np.ndarray
    logits: np.ndarray


Explain = Callable[[np.ndarray, np.ndarray | None], Maps]
"""A method made ready: images float32 (n, h, w, 1) in [0, 255] and columns int (n,), or None for the predicted class of each image."""


def class_activation_map(model: keras.Model) -> Explain:
    """Class activation map: the features weighted by what the last layer gives them (Zhou et al. 2016, arXiv:1512.04150).

    The mean of a map over its positions, plus the bias of the class, is the logit: the map is exact and not an approximation.

    Args:
        model: a model of `models_zoo` whose head is global average pooling and then `logits`.

    Raises:
        ValueError: another head.
    """
    head = _part(model, "features", "logits")
    if (why := _not_linear(head)) is not None:
        raise ValueError(
            f"a class activation map needs a head of global average pooling and one dense layer, and {model.name} {why}. Grad-CAM "
            "(grad_cam) works for any head."
        )
    outputs = _several(model, "features", "logits")
    dense = model.get_layer("logits")

    def explain(images: np.ndarray, columns: np.ndarray | None) -> Maps:
        features, logits = _numpy(outputs.predict_on_batch(images))
        chosen = _columns(logits, columns)
        weights = ops.convert_to_numpy(dense.kernel).astype(np.float32)[:, chosen]
        return Maps(np.einsum("nhwc,cn->nhw", features, weights), chosen, logits)

    return explain


def grad_cam(model: keras.Model, *, layer: str = "features") -> Explain:
    """Grad-CAM: the features weighted by the mean gradient of the class's logit (Selvaraju et al. 2017, arXiv:1610.02391).

    The paper sets values below 0 to 0; here they are kept, and whoever draws or scores a map takes its positive part. For a head of global
    average pooling and one dense layer it is the class activation map divided by the number of positions, h · w. A head that flattens gives
    every position weights of its own, of which the mean keeps little: see `hires_cam`.

    Args:
        model: a model of `models_zoo`.
        layer: a layer with output (n, h, w, c) that everything passes through on its way to the logits.

    Raises:
        ValueError: unknown layer, one without positions, or one that other paths lead around; the backend has no gradients here.
    """
    return _by_gradient(model, layer, lambda features, slopes: np.einsum("nhwc,nc->nhw", features, slopes.mean(axis=(1, 2))))


def hires_cam(model: keras.Model, *, layer: str = "features") -> Explain:
    """HiResCAM: the features times their own gradients, summed over channels (Draelos and Carin 2020, arXiv:2011.08891).

    Where the head is linear, flattened or pooled, the map's sum and the bias are the logit. With pooling it is Grad-CAM to the last digit.

    Args:
        model: a model of `models_zoo`.
        layer: as in `grad_cam`.

    Raises:
        ValueError: as in `grad_cam`.
    """
    return _by_gradient(model, layer, lambda features, slopes: np.einsum("nhwc,nhwc->nhw", features, slopes))


def _by_gradient(model: keras.Model, layer: str, combine: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Explain:
    """A method that makes a map (n, h, w) of features and gradients, each float32 (n, h, w, c)."""
    base, head = _map_layer(model, layer), _part(model, layer, "logits")
    gradient = gradient_of_logit(head)

    def explain(images: np.ndarray, columns: np.ndarray | None) -> Maps:
        features = np.asarray(base.predict_on_batch(images), dtype=np.float32)
        wanted = np.full(len(images), -1, np.int32) if columns is None else np.asarray(columns, np.int32)
        logits, slopes = gradient(features, wanted)
        return Maps(combine(features, slopes), _columns(logits, columns), logits)

    return explain


def activation_map(model: keras.Model, *, layer: str = "features") -> Explain:
    """Activation heat map: mean over the channels of a layer's absolute activations (Chapin et al., figure 2).

    It says where the layer answers at all, not for which class.

    Args:
        model: a model of `models_zoo`.
        layer: a layer with output (n, h, w, c).

    Raises:
        ValueError: unknown layer, or one without positions.
    """
    _map_layer(model, layer)
    outputs = _several(model, layer, "logits")

    def explain(images: np.ndarray, columns: np.ndarray | None) -> Maps:
        features, logits = _numpy(outputs.predict_on_batch(images))
        return Maps(np.abs(features).mean(axis=-1), _columns(logits, columns), logits)

    return explain


def occlusion_map(model: keras.Model, *, patch: float = 0.15, stride: float = 0.075) -> Explain:
    """Occlusion sensitivity: how far the logit falls when a patch is covered (Zeiler and Fergus 2014, arXiv:1311.2901).

    The patch takes the grey of the image's mean. One pass of the network for each position of the patch: about 170 for the defaults. Patch
    and stride are ours: a patch of .15 is a little larger than a rib space.

    Args:
        model: a model of `models_zoo`.
        patch: side of the patch as a share of the image's height and width, in (0, 1].
        stride: distance of neighbouring patches, as a share, in (0, patch].

    Raises:
        ValueError: patch or stride out of range.
    """
    if not 0 < stride <= patch <= 1:
        raise ValueError(
            f"occlusion: patch {patch:g} and stride {stride:g} must be shares with 0 < stride <= patch <= 1, such as .15 and .075."
        )
    outputs = _part(model, None, "logits")
    height, width = model.inputs[0].shape[1:3]
    steps = max(1, round(1 / stride))
    rows, columns_of_patches = _windows(height, patch, steps), _windows(width, patch, steps)

    def explain(images: np.ndarray, columns: np.ndarray | None) -> Maps:
        logits = np.asarray(outputs.predict_on_batch(images), dtype=np.float32)
        chosen = _columns(logits, columns)
        pick = np.arange(len(images)), chosen
        grey = np.asarray(images, np.float32).mean(axis=(1, 2), keepdims=True)
        maps = np.zeros((len(images), steps, steps), np.float32)
        for i, vertical in enumerate(rows):
            for j, horizontal in enumerate(columns_of_patches):
                covered = np.array(images, dtype=np.float32)
                covered[:, vertical, horizontal] = grey
                maps[:, i, j] = logits[pick] - np.asarray(outputs.predict_on_batch(covered), np.float32)[pick]
        return Maps(maps, chosen, logits)

    return explain


METHODS: dict[str, Callable[..., Explain]] = {
    "grad_cam": grad_cam,
    "hires_cam": hires_cam,
    "cam": class_activation_map,
    "activation": activation_map,
    "occlusion": occlusion_map,
}
"""Every method by the name that users give it."""


def get_method(name: str) -> Callable[..., Explain]:
    """Find a method by name.

    Raises:
        ValueError: unknown name; the message suggests the nearest.
    """
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(name, METHODS, n=1)
    raise ValueError(f"unknown method {name!r}.{f' Did you mean {near[0]!r}?' if near else ''} Methods: {', '.join(METHODS)}.")


def resize_maps(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring maps to the size of the image, bilinear.

    Args:
        maps: float32 (n, h, w); pixel centres at (i + ½) / h of the image, as in the layer they come from.
        size: height and width in pixels.

    Returns:
        float32 (n, *size).
    """
    return np.asarray(ops.convert_to_numpy(ops.image.resize(maps[..., np.newaxis], size, interpolation="bilinear")))[..., 0]


def _not_linear(head: keras.Model) -> str | None:
    """Say why the head is not pooling and one dense layer, or give None."""
    kinds = [each for each in head.layers if not isinstance(each, layers.InputLayer | layers.Identity | layers.Dropout)]
    names = ", ".join(each.name for each in kinds)
    if len(kinds) == 2 and isinstance(kinds[0], layers.GlobalAveragePooling2D) and isinstance(kinds[1], layers.Dense):
        return None
    return f"has {names}"


def _windows(side: int, patch: float, steps: int) -> list[slice]:
    """Patches centred on evenly spaced cells, cut off at the border, each at least one pixel."""
    centres = (np.arange(steps) + 0.5) * side / steps
    half = patch * side / 2
    first = np.clip(np.round(centres - half).astype(int), 0, side - 1)
    last = np.clip(np.round(centres + half).astype(int), first + 1, side)
    return [slice(int(a), int(b)) for a, b in zip(first, last, strict=True)]


def _columns(logits: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
    """The class of each map, int64 (n,)."""
    return logits.argmax(axis=1) if columns is None else np.asarray(columns, np.int64)


def _map_layer(model: keras.Model, layer: str) -> keras.Model:
    """The part up to a layer that has positions."""
    _known_layer(model, layer)
    shape = model.get_layer(layer).output.shape
    if len(shape) != 4:
        raise ValueError(
            f"layer {layer!r} of {model.name} has the output {tuple(shape[1:])} and no positions to draw. Layers with (h, w, c): "
            f"{_layers_with_positions(model)}."
        )
    return _part(model, None, layer)


def _known_layer(model: keras.Model, layer: str) -> None:
    names = [each.name for each in model.layers]
    if layer not in names:
        near = difflib.get_close_matches(layer, names, n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"{model.name} has no layer {layer!r}.{hint} Layers with (h, w, c): {_layers_with_positions(model)}.")


def _layers_with_positions(model: keras.Model) -> str:
    """Names of the layers with the output (h, w, c); where they are many, the last of each size, which is mostly the end of a stage."""
    sizes = {each.name: tuple(each.output.shape[1:3]) for each in model.layers if len(getattr(each.output, "shape", ())) == 4}
    if len(sizes) <= 30:
        return ", ".join(sizes)
    last = {size: name for name, size in sizes.items()}
    return f"{', '.join(last.values())} (the last of each size, of {len(sizes)} layers)"


def _part(model: keras.Model, start: str | None, end: str) -> keras.Model:
    """The part of a model from the output of one layer (None: from the image) to that of another, sharing its layers."""
    _known_layer(model, end)
    first = model.inputs[0] if start is None else model.get_layer(start).output
    try:
        return keras.Model(first, model.get_layer(end).output, name=f"{model.name}_{start or 'image'}_to_{end}")
    except ValueError as error:
        raise ValueError(
            f"not everything in {model.name} passes through the layer {start!r} on its way to {end!r} (a branch or a shortcut leads around "
            "it). Take `features`, or the last layer of a block."
        ) from error


def _several(model: keras.Model, *names: str) -> keras.Model:
    """The part of a model that gives the outputs of several layers at once."""
    for name in names:
        _known_layer(model, name)
    return keras.Model(model.inputs[0], [model.get_layer(name).output for name in names], name=f"{model.name}_{'_'.join(names)}")


def _numpy(outputs: list[object]) -> list[np.ndarray]:
    """Outputs of a model as float32."""
    return [np.asarray(output, dtype=np.float32) for output in outputs]
