"""AlexNet in the form that torchvision has: one column, without local response normalisation."""

from __future__ import annotations

from typing import Any

from keras import layers

from models_zoo.head import average_windows, dense_head
from models_zoo.rescaling import torch_range
from models_zoo.spec import ArchitectureSpec, torchvision_hint

# Krizhevsky 2014, footnote 1, with torchvision's strides and padding: its place in torchvision's list, filters, kernel,
# stride, padding, and whether a pooling of 3 × 3 with stride 2 follows.
CONVOLUTIONS = (
    (0, 64, 11, 4, 2, True),
    (3, 192, 5, 1, 2, True),
    (6, 384, 3, 1, 1, False),
    (8, 256, 3, 1, 1, False),
    (10, 256, 3, 1, 1, True),
)
MAP_SIDE = 6  # what the convolutions give at 224 pixels; torchvision brings every other size to it by averages


def base(image: Any) -> Any:
    """Five convolutions with ReLU, three poolings, and averages over 6 × 6 windows, so that the head fits any image size.

    Layers bear torchvision's names with `_` for `.`, so that its weights can be converted.

    Args:
        image: (N, h, w, 1), grey in [0, 255].

    Returns:
        (N, 6, 6, 256) for every image size.
    """
    x = torch_range()(image)
    for place, filters, kernel, strides, padding, pooled in CONVOLUTIONS:
        name = f"features_{place}"
        x = layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
        x = layers.Conv2D(filters, kernel, strides=strides, activation="relu", name=name)(x)
        if pooled:
            x = layers.MaxPooling2D(3, strides=2, name=f"{name}_pool")(x)
    return average_windows(x, MAP_SIDE, name="avgpool")


SPEC = ArchitectureSpec(
    name="alexnet",
    base=base,
    head=dense_head,
    # Krizhevsky et al. 2012, section 4.2: dropout .5 in the first two fully connected layers, that is, of their outputs.
    # torchvision drops inputs and outputs of the first; without training that is the same network.
    head_defaults={"pooling": "flatten", "dense": (4096, 4096), "hidden_dropout": 0.5},
    description="Five convolutions and three dense layers",
    default_image_size=(224, 224),
    minimum_image_size=63,
    paper="Krizhevsky et al. 2012, ImageNet Classification with Deep Convolutional Neural Networks; Krizhevsky 2014, arXiv:1404.5997",
    imagenet_hint=torchvision_hint("alexnet"),
)
