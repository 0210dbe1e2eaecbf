"""The resize against TensorFlow's and Pillow's, and the geometry of its three modes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cxr_keras.pixels.decode import DecodeSettings, resize_gray

RANDOM = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("size", "target"), [((300, 400), (64, 64)), ((97, 61), (24, 50)), ((20, 31), (64, 48)), ((50, 50), (50, 50)), ((1, 1), (3, 2))]
)
def test_stretch_is_tensorflows_antialiased_resize(size: tuple[int, int], target: tuple[int, int]) -> None:
    image = RANDOM.integers(0, 256, (*size, 1)).astype(np.float32)
    ours = resize_gray(tf.constant(image), DecodeSettings(*target))
    theirs = tf.image.resize(image, target, antialias=True)
    # Half a level from rounding; the rest is float32 rounding of the filter's positions.
    assert float(tf.reduce_max(tf.abs(ours - theirs))) <= 0.51


def test_same_size_changes_nothing() -> None:
    image = RANDOM.integers(0, 256, (33, 47, 1)).astype(np.float32)
    for mode in ("stretch", "crop", "pad"):
        np.testing.assert_array_equal(resize_gray(tf.constant(image), DecodeSettings(33, 47, resize=mode)), image)


@pytest.mark.parametrize("size", [(120, 240), (180, 120), (128, 128)])
def test_crop_is_shorter_side_then_centre(size: tuple[int, int]) -> None:
    image = RANDOM.integers(0, 256, (*size, 1)).astype(np.float32)
    rows, columns = (side * 40 // min(size) for side in size)
    whole = tf.image.resize(image, (rows, columns), antialias=True)
    top, left = (rows - 40) // 2, (columns - 40) // 2
    ours = resize_gray(tf.constant(image), DecodeSettings(40, 40, resize="crop"))
    assert float(tf.reduce_max(tf.abs(ours - whole[top : top + 40, left : left + 40]))) <= 0.51


def test_crop_takes_the_middle_and_pad_keeps_all() -> None:
    """Left third dark, middle grey, right third bright; 40 × 120 to 40 × 40."""
    image = np.repeat(np.array([50.0, 120.0, 200.0], np.float32), 40)[np.newaxis, :, np.newaxis].repeat(40, axis=0)
    cropped = resize_gray(tf.constant(image), DecodeSettings(40, 40, resize="crop"))[..., 0].numpy()
    assert (cropped[:, 1:-1] == 120).all()
    padded = resize_gray(tf.constant(image), DecodeSettings(40, 40, resize="pad"))[..., 0].numpy()
    assert (padded[:13] == 0).all() and (padded[-13:] == 0).all()
    assert (padded[14:26, 1] == 50).all() and (padded[14:26, 20] == 120).all() and (padded[14:26, -2] == 200).all()


def test_no_aliasing() -> None:
    """A checkerboard of single pixels becomes even grey, not a pattern."""
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255.0).astype(np.float32)[..., np.newaxis]
    small = resize_gray(tf.constant(board), DecodeSettings(60, 60)).numpy()
    assert np.abs(small - 127.5).max() < 3
