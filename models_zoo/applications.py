"""ImageNet networks of `keras.applications` as bases on a grey input."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from models_zoo.head import pooled_head
from models_zoo.rescaling import PixelRange, caffe_range, symmetric_range
from models_zoo.spec import ArchitectureSpec


def application_spec(
    name: str,
    constructor: Callable[..., keras.Model],
    pixel_range: Callable[[], PixelRange],
    *,
    size: int,
    minimum: int,
    description: str,
    paper: str,
) -> ArchitectureSpec:
    """Make the spec of one network of `keras.applications`.

    Args:
        name: name in the zoo.
        constructor: function of `keras.applications`.
        pixel_range: makes the layer that gives what the ImageNet weights expect.
        size: height and width in pixels that the ImageNet weights were trained on.
        minimum: smallest height and width in pixels that the constructor accepts.
        description: one line for lists.
        paper: reference of the architecture.
    """

    def base(image: Any) -> Any:
        network = constructor(include_top=False, weights=None, input_tensor=pixel_range()(image))
        name_layers_as_new(network)
        return network.output

    def load_imagenet(model: keras.Model) -> None:
        pretrained = download(name, constructor, minimum)
        model.set_weights(pretrained.get_weights())

    return ArchitectureSpec(
        name=name,
        base=base,
        head=pooled_head,
        description=description,
        default_image_size=(size, size),
        minimum_image_size=minimum,
        paper=paper,
        load_imagenet=load_imagenet,
    )


def name_layers_as_new(network: keras.Model) -> None:
    """Give the layers that Keras numbered the names they have in a fresh session: `conv2d`, `conv2d_1`, ...

    Keras counts over everything built in the process, so a second InceptionV3 starts at `conv2d_94`, and layers could
    not be matched by name between two models. Clearing the session would reset the count and destroy the caller's state.
    """
    numbered = defaultdict(list)
    for layer in network.layers:
        stem = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
        match = re.fullmatch(rf"{stem}(?:_(\d+))?", layer.name)
        if match:
            numbered[stem].append((int(match[1] or 0), layer))
    for stem, found in numbered.items():
        for position, (_, layer) in enumerate(sorted(found, key=lambda pair: pair[0])):
            layer.name = f"{stem}_{position}" if position else stem


def download(name: str, constructor: Callable[..., keras.Model], size: int) -> keras.Model:
    """Give the network with ImageNet weights, fetched by Keras or from its folder of files fetched earlier.

    Args:
        name: name in the zoo, for the message.
        constructor: function of `keras.applications`.
        size: height and width in pixels of the network; the weights do not depend on it.

    Raises:
        ValueError: there is no such file here and it cannot be fetched.
    """
    try:
        return constructor(include_top=False, weights="imagenet", input_shape=(size, size, 3))
    except Exception as error:
        # keras.utils.get_file raises the class Exception itself when a download fails; every other class passes.
        if type(error) is not Exception:
            raise
        folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
        raise ValueError(
            f"weights 'imagenet' of {name} could not be downloaded ({error}). Is there a network? Without one, fetch "
            f"the file of that address elsewhere and put it into {folder}, or give its path as weights=PATH, or train "
            "from random weights with weights=null."
        ) from error


RESNET50 = application_spec(
    "resnet50",
    keras.applications.ResNet50,
    caffe_range,
    size=224,
    minimum=32,
    description="Residual network of 50 layers",
    paper="He et al. 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385",
)
INCEPTION_V3 = application_spec(
    "inception_v3",
    keras.applications.InceptionV3,
    symmetric_range,
    size=299,
    minimum=75,
    description="Inception network, third version",
    paper="Szegedy et al. 2015, Rethinking the Inception Architecture for Computer Vision, arXiv:1512.00567",
)
INCEPTION_RESNET_V2 = application_spec(
    "inception_resnet_v2",
    keras.applications.InceptionResNetV2,
    symmetric_range,
    size=299,
    minimum=75,
    description="Inception network with residual connections",
    paper="Szegedy et al. 2016, Inception-v4, Inception-ResNet and the Impact of Residual Connections, arXiv:1602.07261",
)
XCEPTION = application_spec(
    "xception",
    keras.applications.Xception,
    symmetric_range,
    size=299,
    minimum=71,
    description="Depthwise separable convolutions with residual connections",
    paper="Chollet 2016, Xception: Deep Learning with Depthwise Separable Convolutions, arXiv:1610.02357",
)
VGG16 = application_spec(
    "vgg16",
    keras.applications.VGG16,
    caffe_range,
    size=224,
    minimum=32,
    description="Thirteen convolutions, no shortcuts",
    paper="Simonyan and Zisserman 2014, Very Deep Convolutional Networks, arXiv:1409.1556",
)
