"""What an architecture is: a base from pixels to features, a head from features to probabilities, and facts on both."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ArchitectureSpec:
    """One architecture. Base and head are apart because pretrained weights go into the base before there is a head.

    Attributes:
        name: the name in `models_zoo.build` and in a configuration.
        base: `base(image, **parameters)` takes the input tensor (N, h, w, 1), grey in [0, 255], and gives the tensor
            (N, h', w', c) that the layer `features` names.
        head: `head(features, num_classes, **parameters)` gives the probabilities (N, num_classes) and names the layers
            `embedding`, `logits` and `probabilities` on the way.
        description: one line for lists.
        default_image_size: (height, width) in pixels of the publication, or of the ImageNet weights.
        minimum_image_size: smallest height and width in pixels from which `features` has at least one position.
        paper: reference of the architecture, or None.
        load_imagenet: puts ImageNet weights into a base that `base` made, or None where there are no such weights.
        imagenet_hint: where there is no `load_imagenet`: how to come by ImageNet weights all the same, a sentence for
            messages, or None.
        head_defaults: the published head, as far as it differs from the defaults in the signature of `head`.
        auxiliary_heads: `auxiliary_heads(base, num_classes, **parameters)` takes the base as a model and gives a list of
            probabilities (N, num_classes) made from its inner layers, for training; the layers are named `auxiliary_1`,
            `auxiliary_2`, ... . None where the architecture has no such heads.
    """

    name: str
    base: Callable[..., Any]
    head: Callable[..., Any]
    description: str
    default_image_size: tuple[int, int]
    minimum_image_size: int
    paper: str | None = None
    load_imagenet: Callable[[keras.Model], None] | None = None
    imagenet_hint: str | None = None
    head_defaults: Mapping[str, Any] = field(default_factory=dict)
    auxiliary_heads: Callable[..., list[Any]] | None = None

    @property
    def has_imagenet_weights(self) -> bool:
        """Whether `weights="imagenet"` is possible."""
        return self.load_imagenet is not None

    @property
    def parameters(self) -> dict[str, Any]:
        """Names and defaults of the parameters, those of the base first.

        Read from the keyword-only arguments of base and head, so that the signature stays their only home, and then
        `head_defaults`, which go over it. A name that both take (mini_vgg's `batch_norm`) is one parameter and goes to
        both. `auxiliary` is a parameter of the architectures that have auxiliary heads. Lists come as a configuration
        writes them.
        """
        parameters = keyword_defaults(self.base) | keyword_defaults(self.head) | dict(self.head_defaults)
        if self.auxiliary_heads:
            parameters["auxiliary"] = False
        return {name: list(value) if isinstance(value, tuple) else value for name, value in parameters.items()}

    @property
    def choices(self) -> dict[str, tuple[Any, ...]]:
        """The allowed values of the parameters that have a few: those annotated as `Literal`, and switches."""
        hints = get_type_hints(self.base) | get_type_hints(self.head)
        chosen = {}
        for name, default in self.parameters.items():
            if get_origin(hints.get(name)) is Literal:
                chosen[name] = get_args(hints[name])
            elif isinstance(default, bool):
                chosen[name] = (True, False)
        return chosen


def keyword_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """Names and defaults of the keyword-only arguments of `function`."""
    arguments = inspect.signature(function).parameters.values()
    return {argument.name: argument.default for argument in arguments if argument.kind is argument.KEYWORD_ONLY}


def torchvision_hint(name: str) -> str:
    """Say how ImageNet weights of torchvision come into architecture `name`."""
    return (
        f"Convert torchvision's: `cxr weights convert {name} CHECKPOINT --out {name}_imagenet.keras`, where CHECKPOINT is torchvision's "
        f".pth file of {name} or the same as .safetensors, and give weights={name}_imagenet.keras."
    )
