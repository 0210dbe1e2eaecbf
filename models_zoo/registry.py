"""All architectures, and the one function that builds any of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from models_zoo import alexnet, applications, cnn_94, cnn_v2, densenet161, googlenet, mini_resnet, mini_vgg
from models_zoo.head import check_choice, name_tensor
from models_zoo.pretrained import load_base_weights
from models_zoo.spec import ArchitectureSpec, keyword_defaults

ARCHITECTURES: tuple[ArchitectureSpec, ...] = (
    applications.RESNET50,
    applications.RESNET152,
    applications.INCEPTION_V3,
    applications.INCEPTION_RESNET_V2,
    applications.XCEPTION,
    applications.VGG16,
    applications.EFFICIENTNET_B0,
    googlenet.SPEC,
    densenet161.SPEC,
    alexnet.SPEC,
    mini_vgg.SPEC,
    mini_resnet.SPEC,
    cnn_94.SPEC,
    cnn_v2.SPEC,
)


def list_models() -> tuple[str, ...]:
    """Give the names of all architectures in alphabetical order."""
    return tuple(sorted(spec.name for spec in ARCHITECTURES))


def get_spec(name: str) -> ArchitectureSpec:
    """Find an architecture by name.

    Raises:
        ValueError: unknown name; the message suggests the nearest and lists all.
    """
    for spec in ARCHITECTURES:
        if spec.name == name:
            return spec
    raise ValueError(f"unknown model {name!r}.{suggestion(name, list_models())} Known models: {', '.join(list_models())}.")


def check_parameters(name: str, parameters: Mapping[str, Any]) -> None:
    """Raise ValueError if `parameters` has names that the architecture does not take, all of them in one message."""
    spec = get_spec(name)
    known = tuple(spec.parameters)
    unknown = [parameter for parameter in parameters if parameter not in known]
    if unknown:
        faults = " ".join(f"{parameter!r} is unknown.{suggestion(parameter, known)}" for parameter in unknown)
        raise ValueError(f"parameters of {name}: {faults} Known parameters: {', '.join(known)}.")


def check_values(name: str, parameters: Mapping[str, Any]) -> None:
    """Raise ValueError if a parameter is unknown or has a value that the architecture does not take, without building what is deep.

    Only what differs from the defaults is tried: the head on a small map, and the base where it takes one of these
    parameters, which the deepest do not.
    """
    check_parameters(name, parameters)
    spec = get_spec(name)
    for parameter in parameters.keys() & spec.choices.keys():
        check_choice(parameter, parameters[parameter], spec.choices[parameter])
    tried = {key: value for key, value in parameters.items() if key not in spec.choices}
    differing = {key: value for key, value in tried.items() if isinstance(value, bool) or value != spec.parameters[key]}
    if taken_by(spec.base, differing):
        build_base(name, (spec.minimum_image_size, spec.minimum_image_size), **parameters)
    if taken_by(spec.head, differing):
        spec.head(keras.Input((2, 2, 1)), 2, **{**spec.head_defaults, **taken_by(spec.head, parameters)})


def build(
    name: str,
    image_shape: Sequence[int],
    num_classes: int,
    *,
    weights: str | Path | None = None,
    **parameters: Any,
) -> keras.Model:
    """Build one architecture as a single flat graph.

    Input `image`: float32 (N, h, w, 1), grey in [0, 255]. Layers by name: `features` (N, h', w', c), `embedding` (N, d),
    `logits` (N, num_classes), and the output `probabilities` (N, num_classes), float32 with rows that sum to 1. With the
    parameter `auxiliary=True` the output is a list: `probabilities`, then `auxiliary_1` and so on, of the same shape, which
    only training uses (see `prediction_model` and `loss_weights`).

    Without parameters the head is that of the publication: `get_spec(name).parameters` says it.

    Args:
        name: one of `list_models()`.
        image_shape: (height, width) in pixels.
        num_classes: number of classes, at least 2.
        weights: None for random weights, "imagenet", or a file for the base: a no-top legacy `.h5`, a `.weights.h5`, or
            a `.keras` model built by this function. The head always starts as initialised.
        **parameters: of the architecture, see `get_spec(name).parameters`.

    Raises:
        ValueError: unknown name or parameter, impossible shape or value, or weights that are missing or do not fit.
    """
    spec = get_spec(name)
    if type(num_classes) is not int or num_classes < 2:
        raise ValueError(f"num_classes: got {num_classes!r}, expected a whole number of at least 2.")
    with_auxiliary = parameters.get("auxiliary", False)
    check_choice("auxiliary", with_auxiliary, (True, False))
    base = build_base(name, image_shape, weights=weights, **parameters)
    outputs = spec.head(base.outputs[0], num_classes, **taken_by(spec.head, {**spec.head_defaults, **parameters}))
    if with_auxiliary and spec.auxiliary_heads:
        outputs = [outputs, *spec.auxiliary_heads(base, num_classes, **taken_by(spec.auxiliary_heads, parameters))]
    return keras.Model(base.inputs[0], outputs, name=name)


def build_base(
    name: str,
    image_shape: Sequence[int],
    *,
    weights: str | Path | None = None,
    **parameters: Any,
) -> keras.Model:
    """Build the part of an architecture from `image` to `features`; arguments and errors as in `build`."""
    spec = get_spec(name)
    check_parameters(name, parameters)
    height, width = check_image_shape(spec, image_shape)
    image = keras.Input((height, width, 1), dtype="float32", name="image")
    features = name_tensor(spec.base(image, **taken_by(spec.base, parameters)), "features")
    base = keras.Model(image, features, name=f"{name}_base")
    if weights is not None:
        load_base_weights(base, weights, spec=spec)
    return base


def check_image_shape(spec: ArchitectureSpec, image_shape: Sequence[int]) -> tuple[int, int]:
    """Give (height, width); raise ValueError where the architecture cannot take them."""
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            f"Keras is set to image_data_format {keras.config.image_data_format()!r}, expected 'channels_last': "
            "set it in keras.json or with keras.config.set_image_data_format('channels_last')."
        )
    shape = tuple(image_shape)
    smallest = spec.minimum_image_size
    if len(shape) != 2 or not all(type(side) is int and side >= smallest for side in shape):
        raise ValueError(
            f"image_shape: got {image_shape!r}, expected (height, width) in pixels, each at least {smallest} for "
            f"{spec.name} (it is meant for {spec.default_image_size})."
        )
    return shape[0], shape[1]


def taken_by(function: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give those of `parameters` that `function` takes."""
    names = keyword_defaults(function)
    return {name: value for name, value in parameters.items() if name in names}


def suggestion(name: str, known: Sequence[str]) -> str:
    """Give " Did you mean ...?" for the nearest known name, or an empty text."""
    near = difflib.get_close_matches(str(name), known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
