"""The random changes: right geometry, and the same for an image wherever and whenever it is shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_keras.data.augment import Affine, Augmentation, RandomCrop, draw_transforms, draw_uniform, transform_images

RANDOM = np.random.default_rng(7)
PICTURE = RANDOM.integers(0, 256, (1, 21, 31, 1)).astype(np.float32)


def _change(
    picture: np.ndarray, augmentation: Augmentation, uniform: list[float], *, changed: bool = True, centred: bool = False
) -> np.ndarray:
    height, width = picture.shape[1:3]
    draws = np.array([uniform + [0.5] * (8 - len(uniform))])
    transforms = draw_transforms(augmentation, draws, np.array([changed]), height=height, width=width, centred=centred)
    fill_mode = augmentation.affine.fill_mode if augmentation.affine else "reflect"
    shape = augmentation.output_shape(height, width)
    return transform_images(picture, transforms, shape, fill_mode=fill_mode).numpy()[0, ..., 0]


MIDDLE = [0.5, 0.5, 0.5, 0.5, 0.9, 0.5, 0.5]


def test_neutral_draws_and_unchanged_images_are_exact() -> None:
    strong = Augmentation(Affine(30, (0.5, 1.5), 0.2, horizontal_flip=True))
    np.testing.assert_array_equal(_change(PICTURE, strong, MIDDLE), PICTURE[0, ..., 0])
    np.testing.assert_array_equal(_change(PICTURE, strong, [0.1] * 7, changed=False), PICTURE[0, ..., 0])


def test_flip_is_exact_and_horizontal() -> None:
    flip = Augmentation(Affine(horizontal_flip=True))
    np.testing.assert_array_equal(_change(PICTURE, flip, [0.5] * 4 + [0.2, 0.5, 0.5]), PICTURE[0, :, ::-1, 0])
    never = Augmentation(Affine(rotation_degrees=5))
    np.testing.assert_array_equal(_change(PICTURE, never, [0.5] * 4 + [0.2, 0.5, 0.5]), PICTURE[0, ..., 0])


def test_shift_is_a_part_of_the_side() -> None:
    """Shift 0.2 of 20 × 30 px, drawn at both ends: 4 px up and 6 px left, or down and right."""
    picture = np.zeros((1, 20, 30, 1), np.float32)
    picture[0, 10, 15, 0] = 100
    moved = Augmentation(Affine(shift=0.2, fill_mode="constant"))
    up_left = _change(picture, moved, [0.5, 0.5, 0.0, 0.0, 0.9, 0.5, 0.5])
    assert up_left[6, 9] == pytest.approx(100) and up_left.sum() == pytest.approx(100, rel=1e-3)
    down_right = _change(picture, moved, [0.5, 0.5, 1.0, 1.0, 0.9, 0.5, 0.5])
    assert down_right[14, 21] == pytest.approx(100, rel=1e-3)


def test_zoom_above_one_enlarges_and_rotation_turns_about_the_centre() -> None:
    picture = np.zeros((1, 41, 41, 1), np.float32)
    picture[0, 15:26, 15:26] = 100
    for draw, side in ((0.0, 5.5), (1.0, 22.0)):
        zoom = Affine(zoom=(0.5, 2.0), fill_mode="constant")
        zoomed = _change(picture, Augmentation(zoom), [0.5, draw, 0.5, 0.5, 0.9, 0.5, 0.5])
        assert np.sqrt((zoomed > 50).sum()) == pytest.approx(side, abs=1)
    corner = np.zeros((1, 41, 41, 1), np.float32)
    corner[0, 20, 30] = 100
    turned = _change(corner, Augmentation(Affine(rotation_degrees=90)), [1.0, 0.5, 0.5, 0.5, 0.9, 0.5, 0.5])
    row, column = np.unravel_index(turned.argmax(), turned.shape)
    assert column == 20 and abs(row - 20) == 10 and turned.max() == pytest.approx(100, rel=1e-3)


def test_aspect_stretches_one_way_as_it_squeezes_the_other() -> None:
    picture = np.zeros((1, 61, 61, 1), np.float32)
    picture[0, 20:41, 20:41] = 100
    aspect = Augmentation(Affine(aspect=(0.5, 2.0), fill_mode="constant"))
    sides = []
    for draw in (0.0, 0.5, 1.0):
        stretched = _change(picture, aspect, [0.5, 0.5, 0.5, 0.5, 0.9, 0.5, 0.5, draw]) > 50
        sides.append((stretched.any(axis=1).sum(), stretched.any(axis=0).sum()))
    assert sides[1] == (21, 21) and sides[0] == sides[2][::-1]
    assert sides[2][1] / sides[2][0] == pytest.approx(2.0, rel=0.1) and sides[2][0] * sides[2][1] == pytest.approx(441, rel=0.1)


@pytest.mark.parametrize(("mode", "beyond"), [("constant", 0.0), ("nearest", 200.0), ("reflect", 200.0)])
def test_fill_modes(mode: str, beyond: float) -> None:
    picture = np.full((1, 20, 20, 1), 200.0, np.float32)
    moved = _change(picture, Augmentation(Affine(shift=0.5, fill_mode=mode)), [0.5, 0.5, 1.0, 1.0, 0.9, 0.5, 0.5])
    assert moved[0, 0] == beyond and moved[-1, -1] == 200


def test_crop_is_drawn_in_training_and_central_otherwise() -> None:
    crop = Augmentation(crop=RandomCrop(11, 21))
    np.testing.assert_array_equal(_change(PICTURE, crop, [0.0] * 7), PICTURE[0, :11, :21, 0])
    np.testing.assert_array_equal(_change(PICTURE, crop, [0.999] * 7), PICTURE[0, 10:, 10:, 0])
    np.testing.assert_array_equal(_change(PICTURE, crop, [0.999] * 7, changed=False), PICTURE[0, 10:, 10:, 0])
    np.testing.assert_array_equal(_change(PICTURE, crop, [0.999] * 7, centred=True), PICTURE[0, 5:16, 5:26, 0])
    with pytest.raises(ValueError, match="22×10 px cannot be cut from images of 21×31 px"):
        Augmentation(crop=RandomCrop(22, 10)).output_shape(21, 31)


def test_crop_and_affine_are_one_resampling() -> None:
    """Cropping inside the one resampling equals cropping the changed whole."""
    affine = Affine(15, (0.8, 1.2), 0.1, horizontal_flip=True)
    draws = [0.9, 0.3, 0.7, 0.2, 0.1, 0.0, 0.999]
    whole = _change(PICTURE, Augmentation(affine), draws)
    window = _change(PICTURE, Augmentation(affine, RandomCrop(11, 21)), draws)
    np.testing.assert_allclose(window, whole[:11, 10:], atol=0.02)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**62),
    keys=st.lists(st.integers(0, 2**63 - 1), min_size=2, max_size=20),
    copy=st.integers(0, 50),
    epoch=st.integers(0, 500),
    order=st.randoms(use_true_random=False),
)
def test_draws_depend_on_the_image_alone(seed: int, keys: list[int], copy: int, epoch: int, order: object) -> None:
    def draw(some: list[int]) -> np.ndarray:
        full = np.array(some, np.int64)
        return draw_uniform(seed, full, np.full_like(full, copy), np.full_like(full, epoch))

    together = draw(keys)
    assert ((together >= 0) & (together < 1)).all()
    positions = list(range(len(keys)))
    order.shuffle(positions)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(draw([keys[position] for position in positions]), together[positions])
    np.testing.assert_array_equal(draw(keys[:1]), together[:1])


def test_draws_are_even_and_independent() -> None:
    n = 20_000
    keys, zeros = np.arange(n), np.zeros(n, np.int64)
    draws = draw_uniform(1, keys, zeros, zeros)
    others = [draw_uniform(2, keys, zeros, zeros), draw_uniform(1, keys, zeros + 1, zeros), draw_uniform(1, keys, zeros, zeros + 1)]
    counts = np.stack([np.histogram(column, 20, (0, 1))[0] for column in draws.T])
    assert (((counts - n / 20) ** 2 / (n / 20)).sum(axis=1) < 50).all(), "χ² with 19 degrees of freedom, p < 1e-4 above 50"
    together = np.hstack([draws, *others])
    correlations = np.corrcoef(together.T) - np.eye(together.shape[1])
    assert np.abs(correlations).max() < 5 / np.sqrt(n)


def test_wrong_values_are_named_together() -> None:
    with pytest.raises(ValueError, match=r"rotation_degrees .* 200; zoom .*; shift .*; fill_mode .* did you mean 'reflect'"):
        Affine(rotation_degrees=200, zoom=(1.2, 0.8), shift=1.5, fill_mode="reflekt")
