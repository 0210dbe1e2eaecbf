"""ImageNet networks of `keras.applications` as bases on a grey input."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from models_zoo.head import dense_head
from models_zoo.parts import finalize_statistics
from models_zoo.rescaling import TORCH_DEVIATIONS, TORCH_MEANS, PixelRange, caffe_range, symmetric_range, three_channels
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
    head_defaults: Mapping[str, Any] | None = None,
    adapt: Callable[[keras.Model], keras.Model] | None = None,
) -> ArchitectureSpec:
    """Make the spec of one network of `keras.applications`.

    Where `head_defaults` is not given the head is pooling and `logits`, as in `keras.applications` with its top.

    Args:
        name: name in the zoo.
        constructor: function of `keras.applications`.
        pixel_range: makes the layer that gives what the ImageNet weights expect.
        size: height and width in pixels that the ImageNet weights were trained on.
        minimum: smallest height and width in pixels that the constructor accepts.
        description: one line for lists.
        paper: reference of the architecture.
        head_defaults: the published head, as far as it differs.
        adapt: takes the network with random weights and gives the one that the ImageNet weights are for, on the same
            input; None where they are the same.
    """

    def base(image: Any) -> Any:
        network = constructor(include_top=False, weights=None, input_tensor=pixel_range()(image))
        if adapt is not None:
            network = adapt(network)
        name_layers_as_new(network)
        return network.output

    def load_imagenet(model: keras.Model) -> None:
        pretrained = download(name, constructor, minimum)
        model.set_weights(pretrained.get_weights())
        finalize_statistics(model)

    return ArchitectureSpec(
        name=name,
        base=base,
        head=dense_head,
        head_defaults=head_defaults or {},
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


def rescale_after_normalization(network: keras.Model) -> keras.Model:
    """Build EfficientNet again with the layer that `keras.applications` gives it for `weights="imagenet"` only.

    The published file holds the ImageNet deviations where `Normalization` keeps variances, so that the layer divides by
    their square root; Keras makes up for it by a `Rescaling` layer that divides by the square root again. It has no
    weights, so the file would load without it and give another network. Here it is always there, and with random weights
    `Normalization` starts with what the file holds: the network then gets standardised pixels from the start (Keras leaves
    mean 0 and variance 1 there, and so pixels in [0, 1]).

    Cloning with a function that calls the layers is Keras's own way to put a layer in the middle of a graph.
    """

    def call(layer: keras.layers.Layer, *tensors: Any, **options: Any) -> Any:
        output = layer(*tensors, **options)
        if not isinstance(layer, keras.layers.Normalization):
            return output
        layer.adapt_mean.assign(TORCH_MEANS)
        layer.adapt_variance.assign(TORCH_DEVIATIONS)
        layer.finalize_state()
        return keras.layers.Rescaling([deviation**-0.5 for deviation in TORCH_DEVIATIONS], name="deviation_rescaling")(output)

    return keras.models.clone_model(network, input_tensors=network.input, call_function=call)


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
RESNET152 = application_spec(
    "resnet152",
    keras.applications.ResNet152,
    caffe_range,
    size=224,
    minimum=32,
    description="Residual network of 152 layers",
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
    # The same, section 3.1: two layers of 4096 units, dropout .5 for both. torchvision averages a map larger than the 7 × 7
    # of 224 pixels down to it, so that larger images need no more weights.
    head_defaults={"pooling": "flatten", "dense": (4096, 4096), "hidden_dropout": 0.5, "largest_map": 7},
)
EFFICIENTNET_B0 = application_spec(
    "efficientnet_b0",
    keras.applications.EfficientNetB0,
    three_channels,
    size=224,
    minimum=32,
    description="Mobile inverted bottlenecks with squeeze and excitation, scaled by one rule",
    paper="Tan and Le 2019, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, arXiv:1905.11946",
    head_defaults={"dropout": 0.2},  # the same, section 5.2
    adapt=rescale_after_normalization,
)
