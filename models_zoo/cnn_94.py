"""CNN_94, the better of the two small networks of Chapin et al., for 100 × 100 chest X-rays."""

from __future__ import annotations

from typing import Any

from keras import layers

from models_zoo.blocks import leaky_convolution, torch_batch_norm
from models_zoo.head import LEAKY_SLOPE, check_share, check_slope, classify, hidden_layer, name_tensor
from models_zoo.rescaling import unit_range
from models_zoo.spec import ArchitectureSpec


def base(image: Any, *, negative_slope: float = LEAKY_SLOPE) -> Any:
    """Three 3 × 3 convolutions without padding, two poolings between them, one batch normalisation (table I).

    Args:
        image: (N, h, w, 1), grey in [0, 255].
        negative_slope: slope of LeakyReLU below 0; the paper names PyTorch's layers and no slope, so PyTorch's default.

    Returns:
        Output of the third convolution (N, h', w', 24), 21 × 21 at 100 × 100 pixels.
    """
    check_slope("leaky_relu", negative_slope)
    x = unit_range()(image)
    x = leaky_convolution(x, 12, 3, negative_slope=negative_slope, name="conv1")
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = torch_batch_norm("bn1")(x)
    x = leaky_convolution(x, 18, 3, negative_slope=negative_slope, name="conv2")
    x = layers.MaxPooling2D(2, name="pool2")(x)
    return leaky_convolution(x, 24, 3, negative_slope=negative_slope, name="conv3")


def head(features: Any, num_classes: int, *, negative_slope: float = LEAKY_SLOPE, hidden_dropout: float = 0.3) -> Any:
    """Flatten, 1000 units with batch normalisation, 100 and 10 units, softmax (table I).

    Args:
        features: (N, h, w, 24).
        num_classes: number of classes; the paper has 2.
        negative_slope: as in `base`.
        hidden_dropout: share dropped in training after the layers of 1000 and of 100 units, in [0, 1).

    Returns:
        Probabilities (N, num_classes). `embedding` (N, 10) is what the last layer reads.
    """
    check_slope("leaky_relu", negative_slope)
    check_share("hidden_dropout", hidden_dropout)
    x = layers.Flatten(name="flatten")(features)
    x = hidden_layer(x, 1000, activation="leaky_relu", negative_slope=negative_slope, name="hidden_1")
    x = torch_batch_norm("hidden_1_bn")(x)
    if hidden_dropout:
        x = layers.Dropout(hidden_dropout, name="hidden_1_dropout")(x)
    x = hidden_layer(x, 100, activation="leaky_relu", negative_slope=negative_slope, name="hidden_2")
    if hidden_dropout:
        x = layers.Dropout(hidden_dropout, name="hidden_2_dropout")(x)
    x = hidden_layer(x, 10, activation="leaky_relu", negative_slope=negative_slope, name="hidden_3")
    return classify(name_tensor(x, "embedding"), num_classes)


SPEC = ArchitectureSpec(
    name="cnn_94",
    base=base,
    head=head,
    description="Three convolutions and four dense layers for 100 × 100 pixels",
    default_image_size=(100, 100),
    minimum_image_size=18,
    paper="Chapin et al., table I (CNN_94)",
)
