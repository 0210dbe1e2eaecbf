"""DenseNet-161, layer by layer as torchvision has it."""

from __future__ import annotations

from typing import Any

from keras import layers

from models_zoo.blocks import torch_batch_norm
from models_zoo.head import dense_head
from models_zoo.rescaling import torch_range
from models_zoo.spec import ArchitectureSpec, torchvision_hint

GROWTH = 48  # Huang et al. 2017, the text below table 1 in its version of 2016: DenseNet-161 with k = 48
FIRST_FILTERS = 96  # twice the growth (the same, section 3, implementation details)
BLOCK_LAYERS = (6, 12, 36, 24)
BOTTLENECK = 4  # the same, section 3: 1 × 1 convolutions give 4 k channels
COMPRESSION = 0.5  # the same, section 3: transitions keep half of the channels


def base(image: Any) -> Any:
    """Four dense blocks, in which every layer reads all layers before it, with transitions that halve channels and size.

    Layers bear torchvision's names with `_` for `.`, so that its weights can be converted. Kernels start as He et al. say
    (section 4.2 of the paper).

    Args:
        image: (N, h, w, 1), grey in [0, 255].

    Returns:
        The last block's output after batch normalisation and ReLU (N, h', w', 2208), 7 × 7 at 224 × 224 pixels.
    """
    x = torch_range()(image)
    x = layers.ZeroPadding2D(3, name="features_pad0")(x)
    x = convolution(x, FIRST_FILTERS, 7, strides=2, padding="valid", name="features_conv0")
    x = normalised(x, "features_norm0", "features_relu0")
    x = layers.ZeroPadding2D(1, name="features_pool0_pad")(x)  # zeros are no more than any value after ReLU
    x = layers.MaxPooling2D(3, strides=2, name="features_pool0")(x)
    for block, count in enumerate(BLOCK_LAYERS, start=1):
        for number in range(1, count + 1):
            x = dense_layer(x, name=f"features_denseblock{block}_denselayer{number}")
        if block < len(BLOCK_LAYERS):
            x = transition(x, name=f"features_transition{block}")
    return normalised(x, "features_norm5", "features_relu5")


def dense_layer(inputs: Any, *, name: str) -> Any:
    """Add `GROWTH` channels, made from all channels so far through a bottleneck."""
    x = normalised(inputs, f"{name}_norm1", f"{name}_relu1")
    x = convolution(x, BOTTLENECK * GROWTH, 1, name=f"{name}_conv1")
    x = normalised(x, f"{name}_norm2", f"{name}_relu2")
    x = convolution(x, GROWTH, 3, name=f"{name}_conv2")
    return layers.Concatenate(name=name)([inputs, x])


def transition(inputs: Any, *, name: str) -> Any:
    """Halve the channels by 1 × 1 convolutions, and the size by averages over 2 × 2."""
    x = normalised(inputs, f"{name}_norm", f"{name}_relu")
    x = convolution(x, int(inputs.shape[-1] * COMPRESSION), 1, name=f"{name}_conv")
    return layers.AveragePooling2D(2, name=f"{name}_pool")(x)


def normalised(inputs: Any, norm_name: str, relu_name: str) -> Any:
    """Apply batch normalisation and ReLU."""
    return layers.ReLU(name=relu_name)(torch_batch_norm(norm_name)(inputs))


def convolution(inputs: Any, filters: int, kernel: int, *, strides: int = 1, padding: str = "same", name: str) -> Any:
    """Apply a convolution without bias; batch normalisation follows everywhere and would take it away."""
    return layers.Conv2D(filters, kernel, strides=strides, padding=padding, use_bias=False, kernel_initializer="he_normal", name=name)(
        inputs
    )


SPEC = ArchitectureSpec(
    name="densenet161",
    base=base,
    head=dense_head,
    description="Densely connected network of 161 layers",
    default_image_size=(224, 224),
    minimum_image_size=29,
    paper="Huang et al. 2017, Densely Connected Convolutional Networks, arXiv:1608.06993",
    imagenet_hint=torchvision_hint("densenet161"),
)
