"""Pieces that several architectures share, with the conventions of PyTorch where publications follow them."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from models_zoo.head import LeakyRectifier


@keras.saving.register_keras_serializable(package="models_zoo")
class LocalResponseNormalization(keras.layers.Layer):
    """Divide each value by a power of the mean square over neighbouring channels at its position.

    `x / (1 + alpha · mean(x²)) ** beta`, where channels beyond the ends count as zeros in the mean, as in Caffe and
    PyTorch. Introduced by Krizhevsky et al. 2012, section 3.3, with a sum in place of the mean. Computes in float32 under
    every dtype policy, as squares overflow half precision from 256 on.

    Args:
        depth: how many channels the mean is over, the value's own in the middle; an odd number.
        alpha: weight of the mean square.
        beta: the power.
        dtype: float32 unless said otherwise.
        **options: further options of a Keras layer.
    """

    def __init__(self, depth: int = 5, alpha: float = 1e-4, beta: float = 0.75, *, dtype: Any = "float32", **options: Any) -> None:
        super().__init__(dtype=dtype, **options)
        self.depth, self.alpha, self.beta = depth, alpha, beta

    def call(self, inputs: Any) -> Any:
        """Map (N, h, w, c) to the same shape."""
        channels, beside = inputs.shape[-1], self.depth // 2
        squares = ops.pad(ops.square(inputs), [(0, 0), (0, 0), (0, 0), (beside, beside)])
        total = sum(squares[..., shift : shift + channels] for shift in range(self.depth))
        return inputs / ops.power(1 + self.alpha / self.depth * total, self.beta)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output: that of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make the same layer again."""
        return super().get_config() | {"depth": self.depth, "alpha": self.alpha, "beta": self.beta}


def torch_batch_norm(name: str, *, epsilon: float = 1e-5) -> layers.BatchNormalization:
    """Make a batch normalisation with PyTorch's defaults: its momentum .1 is .9 in Keras terms (Keras has .99 and 1e-3)."""
    return layers.BatchNormalization(momentum=0.9, epsilon=epsilon, name=name)


def max_pool_ceil(inputs: Any, kernel: int, *, name: str) -> Any:
    """Take maxima over windows with stride 2 that may stand over the right and the lower edge, but begin inside.

    Caffe's rule, PyTorch's `ceil_mode`. One row or column of zeros is added where the size asks for it, so `inputs` must
    not be negative.

    Args:
        inputs: (N, h, w, c), at least 0, with h and w known and at least `kernel` - 1.
        kernel: 2 or 3, side of the windows.
        name: name of the pooling layer.

    Returns:
        (N, ceil((h - kernel) / 2) + 1, ceil((w - kernel) / 2) + 1, c).
    """
    height, width = ((side - kernel) % 2 for side in inputs.shape[1:3])
    if height or width:
        inputs = layers.ZeroPadding2D(((0, height), (0, width)), name=f"{name}_pad")(inputs)
    return layers.MaxPooling2D(kernel, strides=2, name=name)(inputs)


def leaky_convolution(inputs: Any, filters: int, kernel: int, *, negative_slope: float, name: str) -> Any:
    """Apply a convolution without padding and LeakyReLU."""
    x = layers.Conv2D(filters, kernel, name=name)(inputs)
    return LeakyRectifier(negative_slope, name=f"{name}_activation")(x)
