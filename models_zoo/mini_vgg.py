"""The small VGG-like network of Laban et al. for 64 × 64 chest X-rays."""

from __future__ import annotations

from typing import Any, Literal, get_args

from keras import layers

from models_zoo.head import check_choice, check_share, classify, name_tensor
from models_zoo.rescaling import unit_range
from models_zoo.spec import ArchitectureSpec

BLOCK_FILTERS = (32, 64, 128)  # Laban et al., two convolutions and one pooling each
DENSE_UNITS = 512  # Laban et al.
BatchNorm = Literal["none", "after_relu"]


def base(image: Any, *, batch_norm: BatchNorm = "none", conv_dropout: float = 0.25) -> Any:
    """Three blocks of two 3 × 3 convolutions with ReLU and one 2 × 2 max pooling, dropout between the blocks.

    Padding is "same": only so does the paper's flattened size come out (8 · 8 · 128 = 8192 at 64 × 64 pixels).

    Args:
        image: (N, h, w, 1), grey in [0, 255].
        batch_norm: "none", or "after_relu": batch normalisation after each ReLU, as the paper says.
        conv_dropout: share of values dropped in training after each pooling, in [0, 1).

    Returns:
        The last pooling's output (N, h // 8, w // 8, 128), before its dropout: what a frozen base gives for an image
        must not be random. That dropout opens the head.
    """
    check_choice("batch_norm", batch_norm, get_args(BatchNorm))
    check_share("conv_dropout", conv_dropout)
    x = unit_range()(image)
    for block, filters in enumerate(BLOCK_FILTERS, start=1):
        if block > 1 and conv_dropout:
            x = layers.Dropout(conv_dropout, name=f"block{block - 1}_dropout")(x)
        for number in (1, 2):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"block{block}_conv{number}")(x)
            if batch_norm == "after_relu":
                x = layers.BatchNormalization(name=f"block{block}_bn{number}")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return x


def head(
    features: Any,
    num_classes: int,
    *,
    batch_norm: BatchNorm = "none",
    conv_dropout: float = 0.25,
    dense_dropout: float = 0.5,
) -> Any:
    """Flatten, 512 units with ReLU, dropout, softmax.

    Args:
        features: (N, h, w, 128).
        num_classes: number of classes.
        batch_norm: as in `base`; "after_relu" also normalises after the ReLU of the 512 units.
        conv_dropout: share dropped before flattening, in [0, 1): the last block's dropout.
        dense_dropout: share of the 512 values dropped in training, in [0, 1).

    Returns:
        Probabilities (N, num_classes). `embedding` (N, 512) is what the last layer reads at prediction: after ReLU and,
        where there is one, after batch normalisation.
    """
    check_choice("batch_norm", batch_norm, get_args(BatchNorm))
    check_share("conv_dropout", conv_dropout)
    check_share("dense_dropout", dense_dropout)
    x = features
    if conv_dropout:
        x = layers.Dropout(conv_dropout, name=f"block{len(BLOCK_FILTERS)}_dropout")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(DENSE_UNITS, activation="relu", name="hidden_1")(x)
    if batch_norm == "after_relu":
        x = layers.BatchNormalization(name="hidden_1_bn")(x)
    x = name_tensor(x, "embedding")
    if dense_dropout:
        x = layers.Dropout(dense_dropout, name="embedding_dropout")(x)
    return classify(x, num_classes)


SPEC = ArchitectureSpec(
    name="mini_vgg",
    base=base,
    head=head,
    description="Six convolutions and two dense layers for 64 × 64 pixels",
    default_image_size=(64, 64),
    minimum_image_size=8,
    paper="Laban et al., Classification of Chest X-Ray Images Using Deep Convolutional Neural Networks",
)
