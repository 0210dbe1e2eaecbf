"""Antialiased resize of grey images: stretch, crop or pad, as one TensorFlow graph function.

The filter is the triangle whose half width is one output pixel when shrinking and one input pixel when enlarging, the same
as `tf.image.resize(..., antialias=True)` and Pillow's BILINEAR. It is written as products of small banded matrices, because
TensorFlow's own kernel (`ScaleAndTranslate`) took 1.14 ms where banded products took 0.24 ms (300×400 to 224×224 px, one thread,
best of 30, less 0.2 ms for the call), and the JPEG decode of such an image takes 3 ms. Rejected in the same measurement: one
gather of all taps (0.34 ms), a dense matrix (1.1 ms), a sparse one (0.8 ms). Plain bilinear would be cheaper still, but aliases:
0.8 grey levels on average and up to 65 on full-size X-rays.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

RESIZE_MODES = ("stretch", "crop", "pad")
"""stretch: both sides to the target, the aspect ratio is lost. crop: the shorter side to the target, then the centre (Laban
2.2). pad: the longer side to the target, black beside it, as beyond the collimator of an X-ray."""


_BLOCK = 8
"""Target rows that share one window of source rows and one small matrix; 16 is as fast, 32 and more are slower."""


def sampling_window(size: tf.Tensor, target: tuple[int, int], mode: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Say which window of the source becomes the target.

    Args:
        size: float32 (2,), height and width of the source, pixels.
        target: height and width of the result, pixels.
        mode: one of `RESIZE_MODES`.

    Returns:
        start: float32 (2,), top and left edge of the window in source pixels; negative where `pad` adds black.
        step: float32 (2,), source pixels for each target pixel, downwards and across.
    """
    goal = tf.constant(target, tf.float32)
    step = size / goal
    if mode == "crop":
        step = tf.fill([2], tf.reduce_min(step))
    elif mode == "pad":
        step = tf.fill([2], tf.reduce_max(step))
    return (size - goal * step) / 2.0, step


def resample(image: tf.Tensor, target: tuple[int, int], *, start: tf.Tensor, step: tf.Tensor, extent: tf.Tensor | None = None) -> tf.Tensor:
    """Resample a window of `image` with a triangle filter, first across, then downwards.

    Args:
        image: uint8 or float32 (h, w, 1).
        target: height and width of the result, pixels.
        start: float32 (2,), top and left edge of the window, pixels of `image`.
        step: float32 (2,), pixels of `image` for each target pixel.
        extent: float32 (2,), how far the picture reaches: target pixels whose centre lies beyond become black. A
            DCT-scaled JPEG has `ceil(h / ratio)` rows, but its picture ends at `h / ratio`. None where the window does not
            leave the picture.

    Returns:
        float32 (*target, 1), in the range of `image`.
    """
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    indices, weights = _windows(size, max(target), start=start, step=step)
    if extent is not None:
        weights *= _shown(max(target), start=start, step=step, extent=extent)
    # Bytes are turned and gathered before they become floats: half of the time went into moving floats.
    lines = tf.transpose(image[..., 0])
    for axis in (1, 0):
        blocks = -(-target[axis] // _BLOCK)
        windows = tf.cast(tf.gather(lines, indices[axis, :blocks]), tf.float32)
        mixed = tf.matmul(weights[axis, :blocks], windows)
        lines = tf.reshape(mixed, [blocks * _BLOCK, -1])[: target[axis]]
        lines = tf.transpose(lines) if axis == 1 else lines
    return tf.ensure_shape(lines[..., tf.newaxis], (*target, 1))


def _centres(target: int, *, start: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Centres of the target pixels in the source, in blocks: float32 (2, blocks, _BLOCK), first downwards, then across."""
    blocks = -(-target // _BLOCK)
    position = np.arange(blocks * _BLOCK, dtype=np.float32).reshape(1, blocks, _BLOCK) + np.float32(0.5)
    return start[:, tf.newaxis, tf.newaxis] + position * step[:, tf.newaxis, tf.newaxis]


def _windows(size: tf.Tensor, target: int, *, start: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Give the source pixels of each block of target pixels, and the matrix that mixes them, for both axes at once.

    Both axes together, and without a step too many: at this size an operation costs its start, not its numbers.

    Returns:
        indices: int32 (2, blocks, k).
        weights: float32 (2, blocks, _BLOCK, k), each row with the sum 1, or 0 where none of its pixels exists.
    """
    # Pixel i covers i to i + 1, so its centre lies half a pixel further; that half is taken off here once.
    centre = _centres(target, start=start, step=step) - 0.5
    radius = tf.maximum(step, 1.0)
    count = tf.math.ceil(tf.reduce_max((_BLOCK - 1) * step + 2.0 * radius)) + 1.0
    first = tf.math.ceil(centre[:, :, :1] - radius[:, tf.newaxis, tf.newaxis])
    positions = first + tf.range(count)
    nearest = tf.clip_by_value(positions, 0.0, size[:, tf.newaxis, tf.newaxis] - 1.0)
    distance = tf.abs(positions[:, :, tf.newaxis, :] - centre[:, :, :, tf.newaxis])
    weights = tf.nn.relu(1.0 - distance / radius[:, tf.newaxis, tf.newaxis, tf.newaxis])
    weights *= tf.cast(positions == nearest, tf.float32)[:, :, tf.newaxis, :]
    weights = tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=3, keepdims=True))
    return tf.cast(nearest, tf.int32), weights


def _shown(target: int, *, start: tf.Tensor, step: tf.Tensor, extent: tf.Tensor) -> tf.Tensor:
    """Give 1 for target pixels whose centre lies in the picture and 0 for others; float32 (2, blocks, _BLOCK, 1)."""
    centre = _centres(target, start=start, step=step)
    shown = (centre >= 0.0) & (centre <= extent[:, tf.newaxis, tf.newaxis])
    return tf.cast(shown, tf.float32)[..., tf.newaxis]
