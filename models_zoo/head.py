"""From features to probabilities, with the named layers that every architecture has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras
from keras import layers

Pooling = Literal["average", "max", "flatten"]

LEAKY_SLOPE = 0.01  # PyTorch's default, which networks published as "LeakyReLU" without a number have


@keras.saving.register_keras_serializable(package="models_zoo")
class LeakyRectifier(layers.LeakyReLU):
    """LeakyReLU as a maximum, the same values for slopes up to 1.

    TensorFlow fuses its own operation with the convolution before it, fails at that in training graphs and prints an error
    that looks like a fault of the model ("remapper failed", TensorFlow 2.21).
    """

    def call(self, inputs: Any) -> Any:
        """Map any shape to itself."""
        return keras.ops.maximum(inputs, self.negative_slope * inputs)


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


def dense_head(
    features: Any,
    num_classes: int,
    *,
    pooling: Pooling = "average",
    dense: Sequence[int] = (),
    activation: str = "relu",
    negative_slope: float = LEAKY_SLOPE,
    dropout: float = 0.0,
    hidden_dropout: float = 0.0,
    largest_map: int | None = None,
) -> Any:
    """Pooling, dropout, fully connected layers, softmax.

    The defaults, pooling and then `logits`, are the head of most networks published on ImageNet; an architecture with
    another one says so in its `head_defaults`. Božičković et al. have two fully connected layers, the second being
    `logits`: `dense=[256]`, where 256 and ReLU are ours, as the paper does not give them.

    Args:
        features: (N, h, w, c).
        num_classes: number of classes, at least 2.
        pooling: "average" or "max" over all positions, giving (N, c), or "flatten", giving (N, h · w · c); the last ties
            the weights to one image size.
        dense: units of the hidden layers; empty for none.
        activation: activation of the hidden layers, a Keras name.
        negative_slope: slope of "leaky_relu" below 0; .01 is PyTorch's, .2 that of the Keras function.
        dropout: share of the pooled values dropped in training, in [0, 1); 0 adds no layer.
        hidden_dropout: share of the values dropped in training after each hidden layer, in [0, 1).
        largest_map: of "flatten": the largest height and width that are flattened, as torchvision has it for VGG; a larger
            map is divided into so many windows a side and their averages are taken. None flattens maps of every size.

    Returns:
        Probabilities (N, num_classes). `embedding` is what the last layer reads at prediction: the last hidden layer's
        output, or the pooled features where `dense` is empty.

    Raises:
        ValueError: a parameter has a wrong type or range.
    """
    widths = check_widths("dense", dense)
    check_activation("activation", activation)
    check_slope(activation, negative_slope)
    check_share("dropout", dropout)
    check_share("hidden_dropout", hidden_dropout)
    x = pool(features, pooling, largest_map=largest_map)
    if not widths:
        x = name_tensor(x, "embedding")
    if dropout:
        x = layers.Dropout(dropout, name="pooled_dropout")(x)
    for number, units in enumerate(widths, start=1):
        x = hidden_layer(x, units, activation=activation, negative_slope=negative_slope, name=f"hidden_{number}")
        if number == len(widths):
            x = name_tensor(x, "embedding")
        if hidden_dropout:
            x = layers.Dropout(hidden_dropout, name=f"hidden_{number}_dropout")(x)
    return classify(x, num_classes)


def pool(features: Any, pooling: str, *, largest_map: int | None = None) -> Any:
    """Turn a map (N, h, w, c) into one vector an image, by the layer `pooled` or `flatten`; `largest_map` as in `dense_head`.

    Raises:
        ValueError: `pooling` is no known way, or `largest_map` no number of positions.
    """
    check_choice("pooling", pooling, get_args(Pooling))
    if largest_map is not None and (type(largest_map) is not int or largest_map < 1):
        raise ValueError(f"largest_map: got {largest_map!r}, expected a positive whole number, such as 7, or null.")
    if pooling == "flatten" and largest_map is not None and max(features.shape[1:3]) > largest_map:
        features = average_windows(features, largest_map, name="flatten_pool")
    ways = {
        "average": lambda: layers.GlobalAveragePooling2D(name="pooled"),
        "max": lambda: layers.GlobalMaxPooling2D(name="pooled"),
        "flatten": lambda: layers.Flatten(name="flatten"),
    }
    return ways[pooling]()(features)


def average_windows(inputs: Any, windows: int, *, name: str) -> Any:
    """Divide a map (N, h, w, c) into so many windows a side and take their averages, as PyTorch's adaptive pooling does."""
    height, width = inputs.shape[1:3]
    if 1 in (height, width):  # AdaptiveAveragePooling2D of Keras 3.15 fails on one position; the averages of two equal ones are the same
        inputs = layers.UpSampling2D((1 + (height == 1), 1 + (width == 1)), name=f"{name}_doubled")(inputs)
    return layers.AdaptiveAveragePooling2D(windows, name=name)(inputs)


def hidden_layer(inputs: Any, units: int, *, activation: str, negative_slope: float = LEAKY_SLOPE, name: str) -> Any:
    """Apply a fully connected layer called `name`; "leaky_relu" is a layer of its own behind it, as its slope is not Keras's."""
    if activation == "leaky_relu":
        return LeakyRectifier(negative_slope, name=f"{name}_activation")(layers.Dense(units, name=name)(inputs))
    return layers.Dense(units, activation=activation, name=name)(inputs)


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


def check_slope(activation: str, value: Any) -> None:
    """Raise ValueError unless `value` is a slope from 0 to below 1, and used where it differs from the default."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"negative_slope: got {value!r}, expected a number from 0 to below 1, such as {LEAKY_SLOPE}.")
    if value != LEAKY_SLOPE and activation != "leaky_relu":
        raise ValueError(f"negative_slope: got {value!r} for activation {activation!r}, which has no slope. Set activation=leaky_relu too.")


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise ValueError unless `value` is one of `choices`, of the same type too: True is not 1."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name}: got {value!r}, expected {' or '.join(map(repr, choices))}.")
