"""From grey pixels in [0, 255] to the channels and the range that a network's weights were trained on.

The range is part of the graph, so a saved model takes pixels as they are and cannot be fed the wrong range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

# Means of the ImageNet training images in blue, green, red order, from the Caffe release of VGG (Simonyan and
# Zisserman 2014); `keras.applications` subtracts the same from BGR pixels in its mode "caffe".
CAFFE_MEANS = (103.939, 116.779, 123.68)

# Mean and standard deviation of the ImageNet training images in red, green, blue order and units of 255 grey levels, as
# torchvision's weights and the mode "torch" of `keras.applications` have them.
TORCH_MEANS = (0.485, 0.456, 0.406)
TORCH_DEVIATIONS = (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable(package="models_zoo")
class PixelRange(keras.layers.Layer):
    """Spread the grey channel over one output channel per offset: `pixel / divisor + offset`.

    Means are subtracted after the division, so an offset is in units of the output.

    Computes in float32 under every dtype policy: half precision would round grey levels above 2 away from their mean
    by up to 0.06. Division, not multiplication by the inverse, so that the values equal those of
    `keras.applications` to the last bit.

    Args:
        divisor: number that every pixel is divided by, or one number for each output channel.
        offsets: what is added then, one number for each output channel.
        name: name of the layer.
        dtype: float32 unless said otherwise.
        **options: further options of a Keras layer.
    """

    def __init__(
        self,
        divisor: float | Sequence[float],
        offsets: Sequence[float],
        *,
        name: str = "pixel_range",
        dtype: Any = "float32",
        **options: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=False, **options)
        self.offsets = tuple(float(offset) for offset in offsets)
        self.divisor = float(divisor) if isinstance(divisor, int | float) else tuple(float(number) for number in divisor)
        if isinstance(self.divisor, tuple) and len(self.divisor) != len(self.offsets):
            raise ValueError(
                f"PixelRange: got {len(self.divisor)} divisors for {len(self.offsets)} offsets, expected one number, or as many "
                "divisors as offsets."
            )

    def call(self, pixels: Any) -> Any:
        """Map (N, h, w, 1) in [0, 255] to (N, h, w, number of offsets)."""
        divisor = ops.convert_to_tensor(self.divisor, dtype=self.compute_dtype)
        return pixels / divisor + ops.convert_to_tensor(self.offsets, dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output: the input's with the last axis replaced."""
        return (*input_shape[:-1], len(self.offsets))

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make the same layer again; `trainable` is always False and no argument."""
        config = super().get_config()
        del config["trainable"]
        divisor = list(self.divisor) if isinstance(self.divisor, tuple) else self.divisor
        return config | {"divisor": divisor, "offsets": list(self.offsets)}


def caffe_range() -> PixelRange:
    """Three channels, BGR, minus the ImageNet means: about [-124, 152]. For the residual networks and VGG16."""
    return PixelRange(1.0, tuple(-mean for mean in CAFFE_MEANS))


def symmetric_range() -> PixelRange:
    """Three channels in [-1, 1], the mode "tf" of `keras.applications`. For the Inception family and Xception.

    Also for GoogLeNet: torchvision's weights were trained on it, and its network turns the mode "torch" back into it
    (argument `transform_input`).
    """
    return PixelRange(127.5, (-1.0, -1.0, -1.0))


def torch_range() -> PixelRange:
    """Three channels, RGB, standardised by the ImageNet means and deviations: about [-2.1, 2.6]. For torchvision's weights."""
    divisors = tuple(255 * deviation for deviation in TORCH_DEVIATIONS)
    return PixelRange(divisors, tuple(-mean / deviation for mean, deviation in zip(TORCH_MEANS, TORCH_DEVIATIONS, strict=True)))


def three_channels() -> PixelRange:
    """Three equal channels in [0, 255]. For EfficientNet, whose own first layers make its range."""
    return PixelRange(1.0, (0.0, 0.0, 0.0))


def unit_range() -> PixelRange:
    """One channel in [0, 1]. For small networks trained from scratch."""
    return PixelRange(255.0, (0.0,))
