"""From features to probabilities, with the named layers that every architecture has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers


def name_tensor(tensor: Any, name: str) -> Any:
    """Give `tensor` a name that `model.get_layer(name).output` finds, by an identity layer.

    Naming the layer that makes the tensor was rejected: pretrained files and Keras know it under its own name.
    """
    return layers.Identity(name=name)(tensor)


def classify(embedding: Any, num_classes: int) -> Any:
    """End a network: linear `logits` (N, num_classes), then softmax `probabilities`, both float32.

    float32 also under mixed precision: half-precision softmax loses small probabilities.
    """
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(embedding)
    return layers.Softmax(dtype="float32", name="probabilities")(logits)


def pooled_head(
    features: Any,
    num_classes: int,
    *,
    dense: Sequence[int] = (256,),
    activation: str = "relu",
    dropout: float = 0.0,
) -> Any:
    """Global average pooling, dropout, fully connected layers, softmax.

    Two fully connected layers, the second being `logits`, are those of Božičković et al.; the width 256 and ReLU are
    ours, as the paper does not give them.

    Args:
        features: (N, h, w, c).
        num_classes: number of classes, at least 2.
        dense: units of the hidden layers; empty for none.
        activation: activation of the hidden layers, a Keras name.
        dropout: share of the pooled values dropped in training, in [0, 1); 0 adds no layer.

    Returns:
        Probabilities (N, num_classes). `embedding` is what the last layer reads: the last hidden layer's output, or
        the pooled features (N, c) where `dense` is empty.

    Raises:
        ValueError: a parameter has a wrong type or range.
    """
    widths = check_widths("dense", dense)
    check_activation("activation", activation)
    check_share("dropout", dropout)
    x = layers.GlobalAveragePooling2D(name="pooled")(features)
    if not widths:
        x = name_tensor(x, "embedding")
    if dropout:
        x = layers.Dropout(dropout, name="pooled_dropout")(x)
    for number, units in enumerate(widths, start=1):
        x = layers.Dense(units, activation=activation, name=f"hidden_{number}")(x)
    if widths:
        x = name_tensor(x, "embedding")
    return classify(x, num_classes)


def check_share(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{name}: got {value!r}, expected a number from 0 to below 1, such as 0.5 (0 switches it off).")


def check_widths(name: str, value: Any) -> tuple[int, ...]:
    """Give `value` as a tuple; raise ValueError unless it lists positive whole numbers."""
    whole = isinstance(value, list | tuple) and all(type(units) is int and units > 0 for units in value)
    if not whole:
        raise ValueError(f"{name}: got {value!r}, expected a list of positive whole numbers, such as [256] or [].")
    return tuple(value)


def check_activation(name: str, value: Any) -> None:
    """Raise ValueError unless Keras knows an activation called `value`."""
    known = isinstance(value, str) and callable(getattr(keras.activations, value, None))
    if not known:
        raise ValueError(f"{name}: got {value!r}, expected the name of a Keras activation, such as 'relu' or 'gelu'.")
