"""Random changes of training images: one resampling each, drawn from the image's own identity.

Every number is a hash of (seed, image key, copy, epoch), never of a position in a batch or a shared random state. So an image
gets the same change whatever fold, order or batch it comes in, a fixed copy (copy >= 1) is the same picture in every epoch, and an
interrupted run goes on exactly.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from cxr_keras.data.appearance import Appearance

FILL_MODES = ("reflect", "nearest", "constant")

_DRAWS = 8
"""Random numbers an image: rotation, zoom, shift down and across, flip, crop down and across, aspect."""


@dataclass(frozen=True)
class Affine:
    """Stretching, rotation, zoom, shift and flip, composed about the image's centre in this order.

    Attributes:
        rotation_degrees: drawn evenly from ± this angle, degrees.
        zoom: lowest and highest magnification; above 1 the picture grows.
        shift: drawn evenly from ± this part of height and of width.
        horizontal_flip: whether half of the images are mirrored left to right.
        fill_mode: what is seen beyond the edge: "reflect", "nearest" or "constant" (black). Reflection is the default, since
            where one class alone is augmented, black wedges or smeared borders would tell the class.
        aspect: lowest and highest factor of width over height at the same area, drawn evenly in its logarithm. Where files of other shapes
            were stretched to one, their shape is still to be seen in the picture, and it may tell the class.

    Raises:
        ValueError: a value out of its range.
    """

    rotation_degrees: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    horizontal_flip: bool = False
    fill_mode: str = "reflect"
    aspect: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        faults = []
        if not 0 <= self.rotation_degrees <= 180:
            faults.append(f"rotation_degrees must lie in 0 to 180, got {self.rotation_degrees!r}")
        if len(self.zoom) != 2 or not 0 < self.zoom[0] <= self.zoom[1]:
            faults.append(f"zoom must be the lowest and the highest factor, both above 0, got {self.zoom!r}")
        if len(self.aspect) != 2 or not 0 < self.aspect[0] <= self.aspect[1]:
            faults.append(f"aspect must be the lowest and the highest factor, both above 0, got {self.aspect!r}")
        if not 0 <= self.shift < 1:
            faults.append(f"shift is a part of the side and must lie in 0 to 1, got {self.shift!r}")
        if self.fill_mode not in FILL_MODES:
            near = difflib.get_close_matches(str(self.fill_mode), FILL_MODES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            faults.append(f"fill_mode must be one of {', '.join(FILL_MODES)}, got {self.fill_mode!r}{hint}")
        if faults:
            raise ValueError("; ".join(faults))


@dataclass(frozen=True)
class RandomCrop:
    """A window of the cached image.

    Attributes:
        height: rows of the window, pixels.
        width: columns of the window, pixels.
        at_random: whether training cuts it anywhere inside the image, anew in each epoch; else, and in every evaluation, it is the centre.
    """

    height: int
    width: int
    at_random: bool = True


@dataclass(frozen=True)
class Augmentation:
    """What is changed, and for which images.

    Copies (copy >= 1) are always changed, each for good. Originals (copy 0) are changed only if their class is in `each_epoch`,
    and then anew in each epoch, as are the copies of such a class. All others pass unchanged. `crop` cuts all images of training alike.

    Attributes:
        affine: rotation, zoom, shift and flip; None for none.
        crop: the window that is cut out; None for the whole image.
        each_epoch: class columns whose images change in each epoch.
        appearance: resolution, compression, contrast and the like, changed before the resampling; None for none.
    """

    affine: Affine | None = None
    crop: RandomCrop | None = None
    each_epoch: tuple[int, ...] = ()
    appearance: Appearance | None = None

    def output_shape(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result for cached images of this size.

        Raises:
            ValueError: the crop is larger than the image.
        """
        if self.crop is None:
            return height, width
        if self.crop.height > height or self.crop.width > width or min(self.crop.height, self.crop.width) < 1:
            raise ValueError(
                f"a crop of {self.crop.height}×{self.crop.width} px cannot be cut from images of {height}×{width} px: "
                "decode them larger or crop less"
            )
        return self.crop.height, self.crop.width


def draw_uniform(seed: int, keys: np.ndarray, copies: np.ndarray, epochs: np.ndarray, *, count: int = _DRAWS) -> np.ndarray:
    """Draw even random numbers for each image from its identity.

    Args:
        seed: of the run.
        keys: int64 (n,), from the image's id.
        copies: int64 (n,), 0 for the original.
        epochs: int64 (n,), 0 where the draw must not change between epochs.
        count: numbers an image.

    Returns:
        float64 (n, count) in [0, 1), multiples of 2**-53.
    """
    state = _scramble(np.full(len(keys), seed, np.int64).astype(np.uint64))
    for part in (keys, copies, epochs):
        state = _scramble(state ^ np.asarray(part, np.int64).astype(np.uint64))
    numbers = _scramble(state[:, np.newaxis] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)
    return (numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Step of the SplitMix64 generator (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators")."""


def _scramble(state: np.ndarray) -> np.ndarray:
    """Spread each bit over all others: the output function of SplitMix64; uint64 wraps around on purpose."""
    state = state + _GOLDEN
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def draw_transforms(
    augmentation: Augmentation, uniform: np.ndarray, changed: np.ndarray, *, height: int, width: int, centred: bool = False
) -> np.ndarray:
    """Turn random numbers into one affine map an image, from result to source pixels.

    Args:
        augmentation: what may be changed.
        uniform: float64 (n, 8) in [0, 1), of `draw_uniform`.
        changed: bool (n,); others get no stretching, rotation, zoom, shift or flip.
        height: rows of the source, pixels.
        width: columns of the source, pixels.
        centred: whether the window is the centre for all; else it is drawn for all.

    Returns:
        float32 (n, 8), rows a0 a1 a2 b0 b1 b2 0 0 of `tf.raw_ops.ImageProjectiveTransformV3`:
        x = a0 x' + a1 y' + a2, y = b0 x' + b1 y' + b2.
    """
    affine = augmentation.affine or Affine()
    spread = np.where(changed[:, np.newaxis], 2.0 * uniform - 1.0, 0.0)
    angle = np.radians(affine.rotation_degrees) * spread[:, 0]
    zoom = np.where(changed, affine.zoom[0] + (affine.zoom[1] - affine.zoom[0]) * uniform[:, 1], 1.0)
    down, across = affine.shift * height * spread[:, 2], affine.shift * width * spread[:, 3]
    mirror = np.where(changed & (uniform[:, 4] < 0.5) & affine.horizontal_flip, -1.0, 1.0)
    result_height, result_width = augmentation.output_shape(height, width)
    room_down, room_across = height - result_height, width - result_width
    top, left = np.floor(uniform[:, 5] * (room_down + 1)), np.floor(uniform[:, 6] * (room_across + 1))
    if centred:
        top, left = np.full_like(top, room_down // 2), np.full_like(left, room_across // 2)

    narrowest, widest = np.log(affine.aspect)
    stretch = np.exp(np.where(changed, narrowest + (widest - narrowest) * uniform[:, 7], 0.0) / 2.0)
    a0, a1 = mirror * np.cos(angle) / zoom / stretch, -np.sin(angle) / zoom / stretch
    b0, b1 = mirror * np.sin(angle) / zoom * stretch, np.cos(angle) / zoom * stretch
    centre_x, centre_y = (width - 1) / 2.0, (height - 1) / 2.0
    a2 = centre_x - across + a0 * (left - centre_x) + a1 * (top - centre_y)
    b2 = centre_y - down + b0 * (left - centre_x) + b1 * (top - centre_y)
    zeros = np.zeros_like(a0)
    return np.stack([a0, a1, a2, b0, b1, b2, zeros, zeros], axis=1).astype(np.float32)


def transform_images(images: tf.Tensor, transforms: tf.Tensor, output_shape: tuple[int, int], *, fill_mode: str) -> tf.Tensor:
    """Resample a batch once, bilinearly.

    Args:
        images: float32 (n, h, w, 1).
        transforms: float32 (n, 8), of `draw_transforms`.
        output_shape: height and width of the result.
        fill_mode: one of `FILL_MODES`.

    Returns:
        float32 (n, *output_shape, 1), in the range of `images`.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.constant(output_shape, tf.int32),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill_mode.upper(),
    )
