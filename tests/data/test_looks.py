"""Other looks of pictures: of the right kind, the same for the same image, and nothing else changed."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_keras.data.looks import LOOKS, Look, apply_look

KEYS = np.arange(4)
PICTURES = np.random.default_rng(0).integers(30, 220, (4, 40, 40, 1), dtype=np.uint8)


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_a_look_changes_every_picture_by_its_own_name_and_not_by_its_neighbours(look: Look) -> None:
    changed = apply_look(PICTURES, look, keys=KEYS, seed=1)
    assert changed.shape == PICTURES.shape and changed.dtype == np.uint8
    assert (changed != PICTURES).any(axis=(1, 2, 3)).all()
    order = np.array([2, 0, 3, 1])
    np.testing.assert_array_equal(apply_look(PICTURES[order], look, keys=KEYS[order], seed=1), changed[order])
    assert look.of_shape == (look.name in ("narrow", "wide", "enlarged", "reduced"))


def test_shapes_are_what_their_names_say() -> None:
    square = np.zeros((1, 81, 81, 1), np.uint8)
    square[0, 20:61, 20:61] = 200
    sides = {}
    for look in LOOKS:
        if look.of_shape:
            seen = apply_look(square, look, keys=KEYS[:1], seed=0)[0, ..., 0] > 100
            sides[look.name] = (seen.any(axis=0).sum() / 41, seen.any(axis=1).sum() / 41)
    assert sides["narrow"] == pytest.approx((0.894, 1.118), abs=0.03) and sides["wide"] == pytest.approx((1.118, 0.894), abs=0.03)
    assert sides["enlarged"] == pytest.approx((1.2, 1.2), abs=0.03) and sides["reduced"] == pytest.approx((0.85, 0.85), abs=0.03)


def test_a_look_that_changes_nothing_leaves_the_pictures() -> None:
    np.testing.assert_array_equal(apply_look(PICTURES, Look("none"), keys=KEYS, seed=0), PICTURES)
