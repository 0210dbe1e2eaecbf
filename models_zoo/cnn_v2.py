"""CNN_V2, the deeper of the two small networks of Chapin et al., for 100 × 100 chest X-rays."""

from __future__ import annotations

from typing import Any

from keras import layers

from models_zoo.blocks import leaky_convolution, torch_batch_norm
from models_zoo.head import LEAKY_SLOPE, check_share, check_slope, classify, hidden_layer, name_tensor
from models_zoo.rescaling import unit_range
from models_zoo.spec import ArchitectureSpec

LATER_FILTERS = (12, 16, 12, 12)  # Chapin et al., table II: the four 3 × 3 convolutions


def base(image: Any, *, negative_slope: float = LEAKY_SLOPE) -> Any:
    """A 5 × 5 convolution, pooling, batch normalisation and four 3 × 3 convolutions, none with padding (table II).

    Args:
        image: (N, h, w, 1), grey in [0, 255].
        negative_slope: slope of LeakyReLU below 0; the paper names PyTorch's layers and no slope, so PyTorch's default.

    Returns:
        Output of the fifth convolution (N, h', w', 12), 40 × 40 at 100 × 100 pixels: the map before the dropout, as what a
        frozen base gives for an image must not be random. That dropout and the last pooling open the head.
    """
    check_slope("leaky_relu", negative_slope)
    x = unit_range()(image)
    x = leaky_convolution(x, 12, 5, negative_slope=negative_slope, name="conv1")
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = torch_batch_norm("bn1")(x)
    for number, filters in enumerate(LATER_FILTERS, start=2):
        x = leaky_convolution(x, filters, 3, negative_slope=negative_slope, name=f"conv{number}")
    return x


def head(
    features: Any,
    num_classes: int,
    *,
    negative_slope: float = LEAKY_SLOPE,
    conv_dropout: float = 0.3,
    hidden_dropout: float = 0.3,
) -> Any:
    """Dropout, pooling, flatten, 1000 units with batch normalisation, 100 and 10 units, softmax (table II).

    Args:
        features: (N, h, w, 12).
        num_classes: number of classes; the paper has 2.
        negative_slope: as in `base`.
        conv_dropout: share dropped in training before the pooling, in [0, 1).
        hidden_dropout: share dropped in training after the 100 units, in [0, 1).

    Returns:
        Probabilities (N, num_classes). `embedding` (N, 10) is what the last layer reads.
    """
    check_slope("leaky_relu", negative_slope)
    check_share("conv_dropout", conv_dropout)
    check_share("hidden_dropout", hidden_dropout)
    x = features
    if conv_dropout:
        x = layers.Dropout(conv_dropout, name="conv5_dropout")(x)
    x = layers.MaxPooling2D(2, name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = hidden_layer(x, 1000, activation="leaky_relu", negative_slope=negative_slope, name="hidden_1")
    x = torch_batch_norm("hidden_1_bn")(x)
    x = hidden_layer(x, 100, activation="leaky_relu", negative_slope=negative_slope, name="hidden_2")
    if hidden_dropout:
        x = layers.Dropout(hidden_dropout, name="hidden_2_dropout")(x)
    x = hidden_layer(x, 10, activation="leaky_relu", negative_slope=negative_slope, name="hidden_3")
    return classify(name_tensor(x, "embedding"), num_classes)


SPEC = ArchitectureSpec(
    name="cnn_v2",
    base=base,
    head=head,
    description="Five convolutions and four dense layers for 100 × 100 pixels",
    default_image_size=(100, 100),
    minimum_image_size=24,
    paper="Chapin et al., table II (CNN_V2)",
)
