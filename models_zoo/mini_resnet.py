"""A small residual network for training from scratch on a few thousand X-rays in an hour of two cores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

from models_zoo.head import check_choice, check_widths, dense_head
from models_zoo.rescaling import unit_range
from models_zoo.spec import ArchitectureSpec

# The running statistics follow within some 50 steps; Keras's .99 needs 500, more than an epoch of the usual sets.
BATCH_NORM_MOMENTUM = 0.9


def base(image: Any, *, widths: Sequence[int] = (24, 48, 96, 192), blocks: int = 2, normalise_image: bool = True) -> Any:
    """Stem of stride 2, then stages of residual blocks, each stage but the first halving the size.

    Args:
        image: (N, h, w, 1), grey in [0, 255].
        widths: filters of each stage.
        blocks: residual blocks (two 3 × 3 convolutions each) a stage.
        normalise_image: whether each image is brought to mean 0 and variance 1 first, so that exposure and contrast of an
            archive do not reach the network.

    Returns:
        (N, h', w', widths[-1]), with h' = h / 2 ** (len(widths)) rounded up.

    Raises:
        ValueError: a parameter has a wrong type or range.
    """
    widths = check_widths("widths", widths)
    if not widths or type(blocks) is not int or blocks < 1:
        raise ValueError(f"widths, blocks: got {widths!r}, {blocks!r}, expected at least one width and one block.")
    check_choice("normalise_image", normalise_image, (True, False))
    x = unit_range()(image)
    if normalise_image:
        # Over height, width and the one channel: a layer normalisation without parameters.
        x = layers.LayerNormalization(axis=(1, 2, 3), epsilon=1e-5, center=False, scale=False, name="image_normalisation")(x)
    x = _convolution(x, widths[0], stride=2, name="stem")
    for stage, width in enumerate(widths, start=1):
        for block in range(1, blocks + 1):
            x = _residual_block(x, width, stride=2 if stage > 1 and block == 1 else 1, name=f"stage{stage}_block{block}")
    return x


def _residual_block(x: Any, width: int, *, stride: int, name: str) -> Any:
    """He et al. 2015, arXiv:1512.03385, figure 2, with a 1 × 1 convolution on the shortcut where the shape changes."""
    shortcut = x
    if stride > 1 or x.shape[-1] != width:
        shortcut = _convolution(x, width, kernel=1, stride=stride, relu=False, name=f"{name}_shortcut")
    x = _convolution(x, width, stride=stride, name=f"{name}_conv1")
    x = _convolution(x, width, relu=False, name=f"{name}_conv2")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_relu")(x)


def _convolution(x: Any, width: int, *, kernel: int = 3, stride: int = 1, relu: bool = True, name: str) -> Any:
    """Convolution without bias, batch normalisation, and ReLU if asked for."""
    x = layers.Conv2D(width, kernel, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=name)(x)
    x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


SPEC = ArchitectureSpec(
    name="mini_resnet",
    base=base,
    head=dense_head,
    head_defaults={"dropout": 0.3},
    description="Small residual network on images of mean 0 and variance 1",
    default_image_size=(128, 128),
    minimum_image_size=16,
)
