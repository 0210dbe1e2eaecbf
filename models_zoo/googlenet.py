"""GoogLeNet (Inception v1), as torchvision has it and as the paper has it."""

from __future__ import annotations

from typing import Any, Literal, get_args

import keras
from keras import layers

from models_zoo.blocks import LocalResponseNormalization, max_pool_ceil, torch_batch_norm
from models_zoo.head import check_choice, dense_head
from models_zoo.rescaling import symmetric_range
from models_zoo.spec import ArchitectureSpec, torchvision_hint

# Szegedy et al. 2015, table 1: filters of 1 × 1; of 3 × 3 reduce and 3 × 3; of 5 × 5 reduce and 5 × 5; of pool proj.
MODULES = {
    "inception3a": (64, (96, 128), (16, 32), 32),
    "inception3b": (128, (128, 192), (32, 96), 64),
    "inception4a": (192, (96, 208), (16, 48), 64),
    "inception4b": (160, (112, 224), (24, 64), 64),
    "inception4c": (128, (128, 256), (24, 64), 64),
    "inception4d": (112, (144, 288), (32, 64), 64),
    "inception4e": (256, (160, 320), (32, 128), 128),
    "inception5a": (256, (160, 320), (32, 128), 128),
    "inception5b": (384, (192, 384), (48, 128), 128),
}
AUXILIARY_MODULES = ("inception4a", "inception4d")  # the same, section 5: whose outputs the auxiliary heads read
WideKernel = Literal[3, 5]
Normalisation = Literal["batch", "local_response", "none"]
BATCH_NORM_EPSILON = 1e-3  # torchvision's, as in TensorFlow's Inception networks


def base(image: Any, *, wide_kernel: WideKernel = 3, normalisation: Normalisation = "batch") -> Any:
    """Two poolings with three convolutions, then nine inception modules with two poolings between them.

    Layers bear torchvision's names with `_` for `.`, so that its weights can be converted. Kernels start as Glorot and
    Bengio say, Keras's default and that of Caffe's GoogLeNet; torchvision's normal distribution with deviation .01 needs
    batch normalisation behind it.

    Args:
        image: (N, h, w, 1), grey in [0, 255].
        wide_kernel: side of the convolutions in each module's third branch: 3 as in torchvision, whose fourth pooling is
            also 2 × 2, or 5 as in the paper, whose poolings are all 3 × 3.
        normalisation: "batch" after each convolution, which then has no bias (torchvision); "local_response" after the
            first pooling and the third convolution (the paper); or "none".

    Returns:
        Output of the last module (N, h', w', 1024), 7 × 7 at 224 × 224 pixels.
    """
    check_choice("wide_kernel", wide_kernel, get_args(WideKernel))
    check_choice("normalisation", normalisation, get_args(Normalisation))
    x = symmetric_range()(image)
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = convolution(x, 64, 7, normalisation, strides=2, padding="valid", name="conv1")
    x = max_pool_ceil(x, 3, name="maxpool1")
    if normalisation == "local_response":
        # Depth 5, alpha 1e-4 and beta .75 are Caffe's GoogLeNet's (bvlc_googlenet); the paper has no numbers.
        x = LocalResponseNormalization(5, 1e-4, 0.75, name="maxpool1_norm")(x)
    x = convolution(x, 64, 1, normalisation, name="conv2")
    x = convolution(x, 192, 3, normalisation, name="conv3")
    if normalisation == "local_response":
        x = LocalResponseNormalization(5, 1e-4, 0.75, name="conv3_norm")(x)
    x = max_pool_ceil(x, 3, name="maxpool2")
    for name in MODULES:
        if name == "inception4a":
            x = max_pool_ceil(x, 3, name="maxpool3")
        if name == "inception5a":
            x = max_pool_ceil(x, 2 if wide_kernel == 3 else 3, name="maxpool4")
        x = inception(x, wide_kernel, normalisation, name=name)
    return x


def inception(inputs: Any, wide_kernel: int, normalisation: str, *, name: str) -> Any:
    """Apply one module: four branches beside each other, their channels joined."""
    narrow, (middle_reduced, middle), (wide_reduced, wide), pooled = MODULES[name]
    one = convolution(inputs, narrow, 1, normalisation, name=f"{name}_branch1")
    two = convolution(inputs, middle_reduced, 1, normalisation, name=f"{name}_branch2_0")
    two = convolution(two, middle, 3, normalisation, name=f"{name}_branch2_1")
    three = convolution(inputs, wide_reduced, 1, normalisation, name=f"{name}_branch3_0")
    three = convolution(three, wide, wide_kernel, normalisation, name=f"{name}_branch3_1")
    four = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_branch4_0")(inputs)
    four = convolution(four, pooled, 1, normalisation, name=f"{name}_branch4_1")
    return layers.Concatenate(name=name)([one, two, three, four])


def convolution(inputs: Any, filters: int, kernel: int, normalisation: str, *, strides: int = 1, padding: str = "same", name: str) -> Any:
    """Apply a convolution, batch normalisation where asked for, and ReLU."""
    batch = normalisation == "batch"
    x = layers.Conv2D(filters, kernel, strides=strides, padding=padding, use_bias=not batch, name=f"{name}_conv")(inputs)
    if batch:
        x = torch_batch_norm(f"{name}_bn", epsilon=BATCH_NORM_EPSILON)(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def auxiliary_heads(base_model: keras.Model, num_classes: int, *, normalisation: str = "batch") -> list[Any]:
    """Classify from two inner modules too, so that gradients reach the early layers; only training uses these outputs.

    Szegedy et al. 2015, section 5: pooling to 4 × 4, 128 convolutions of 1 × 1, 1024 units, dropout .7. The paper pools
    windows of 5 × 5 with stride 3, which give 4 × 4 from its 14 × 14 and nothing from a map below 5 × 5; torchvision divides
    a map of any size into 4 × 4 windows. The latter is taken: it has the same weights, and takes every image size.

    Args:
        base_model: the model from `image` to `features`.
        num_classes: number of classes.
        normalisation: as in `base`.

    Returns:
        Two probabilities (N, num_classes), float32, of the layers `auxiliary_1` and `auxiliary_2`.
    """
    outputs = []
    for number, module in enumerate(AUXILIARY_MODULES, start=1):
        name = f"auxiliary_{number}"
        x = layers.AdaptiveAveragePooling2D(4, name=f"{name}_pool")(base_model.get_layer(module).output)
        x = convolution(x, 128, 1, normalisation, name=f"{name}_conv")
        x = layers.Flatten(name=f"{name}_flatten")(x)
        x = layers.Dense(1024, activation="relu", name=f"{name}_fc1")(x)
        x = layers.Dropout(0.7, name=f"{name}_dropout")(x)
        x = layers.Dense(num_classes, dtype="float32", name=f"{name}_fc2")(x)
        outputs.append(layers.Softmax(dtype="float32", name=name)(x))
    return outputs


SPEC = ArchitectureSpec(
    name="googlenet",
    base=base,
    head=dense_head,
    head_defaults={"dropout": 0.2},  # torchvision's; the paper has .4
    auxiliary_heads=auxiliary_heads,
    description="Inception network, first version",
    default_image_size=(224, 224),
    minimum_image_size=31,
    paper="Szegedy et al. 2015, Going Deeper with Convolutions, arXiv:1409.4842",
    imagenet_hint=torchvision_hint("googlenet"),
)
