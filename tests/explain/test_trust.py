import numpy as np
import pytest

from cxr_keras.explain.trust import (
    deletion_and_insertion,
    energy_inside,
    mask_area,
    of_another_image,
    pointing_game,
    rank_correlation,
    share_outside,
)


def box(top, bottom, left, right, size=10):
    mask = np.zeros((size, size), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_pointing_game_counts_hits_and_gives_ties_their_share():
    masks = np.stack([box(0, 5, 0, 5)] * 4 + [np.zeros((10, 10), bool)])
    maps = np.zeros((5, 10, 10))
    maps[0, 2, 2], maps[1, 8, 8], maps[4, 1, 1] = 1, 1, 1
    maps[2] = -3  # nothing speaks for the class: every pixel is as high as any other
    maps[3, 1, 1] = maps[3, 9, 9] = 7
    np.testing.assert_allclose(pointing_game(maps, masks), [1, 0, 0.25, 0.5, np.nan])
    np.testing.assert_allclose(mask_area(masks), [0.25] * 4 + [np.nan])


def test_random_maps_hit_as_often_as_the_mask_is_large():
    rng = np.random.default_rng(0)
    masks = np.repeat(box(2, 6, 1, 9)[None], 4000, axis=0)
    assert pointing_game(rng.random(masks.shape), masks).mean() == pytest.approx(0.32, abs=0.03)


def test_energy_ignores_what_speaks_against_the_class():
    maps = np.zeros((3, 10, 10))
    maps[0, 0, 0], maps[0, 9, 9], maps[0, 1, 1] = 3, 1, -50
    maps[1] = 1
    np.testing.assert_allclose(energy_inside(maps, np.stack([box(0, 5, 0, 5)] * 3)), [0.75, 0.25, np.nan])


def test_masks_of_another_patient_never_are_of_the_same():
    masks = np.stack([box(i, i + 1, 0, 10) for i in range(6)])
    groups = np.array(["a", "a", "a", "b", "b", "c"])
    given = of_another_image(masks, groups, seed=1)
    origin = given.argmax(axis=1)[:, 0]
    assert (groups[origin] != groups).all()
    with pytest.raises(ValueError, match="two patients"):
        of_another_image(masks[:3], groups[:3], seed=1)


def test_share_outside_a_box_counts_parts_of_cells():
    even = np.ones((1, 4, 4))
    assert share_outside(even)[0] == pytest.approx(1 - 0.9 * 0.9)
    corner = np.zeros((1, 4, 4))
    corner[0, 0, 0] = 2.0
    corner[0, 2, 2] = -9.0
    assert share_outside(corner, (0.125, 1, 0.125, 1))[0] == pytest.approx(0.75)
    assert np.isnan(share_outside(-even)[0])


def test_rank_correlation_knows_order_alone():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(1, 6, 6))
    found = rank_correlation(np.concatenate([a, a, a]), np.concatenate([np.exp(a), -a, np.ones_like(a)]))
    np.testing.assert_allclose(found, [1, -1, np.nan], atol=1e-12)


def test_deletion_falls_and_insertion_rises_early_where_the_map_is_right():
    def predict(images):  # brightness of the upper left quarter is all that counts
        p = images[:, :5, :5, 0].mean(axis=(1, 2)) / 200
        return np.stack([1 - p, p], axis=1)

    images = np.zeros((2, 10, 10, 1), np.float32)
    images[:, :5, :5] = 200
    maps = np.stack([box(0, 5, 0, 5), ~box(0, 5, 0, 5)]).astype(float)
    curves = deletion_and_insertion(predict, images, maps, np.array([1, 1]), ties=np.zeros_like(maps), steps=4)
    np.testing.assert_allclose(curves.shares, [0, 0.25, 0.5, 0.75, 1])
    # Mean grey is 50, a probability of .25. The right map needs a quarter of the pixels, the wrong one all of them.
    np.testing.assert_allclose(curves.deletion, [[1, 0.25, 0.25, 0.25, 0.25], [1, 1, 1, 1, 0.25]], atol=1e-6)
    np.testing.assert_allclose(curves.insertion, [[0.25, 1, 1, 1, 1], [0.25, 0.25, 0.25, 0.25, 1]], atol=1e-6)
    deletion, insertion = curves.areas()
    assert deletion[0] < deletion[1] and insertion[0] > insertion[1]


def test_where_nothing_speaks_for_the_class_chance_decides_and_not_the_top_row():
    images = np.zeros((2, 4, 4, 1), np.float32)
    images[:, :2] = 200  # the mean grey is 100
    seen = []

    def predict(shown):
        seen.append(shown[0, ..., 0])
        return np.ones((2, 2))

    maps = np.full((2, 4, 4), -1.0)
    maps[0, 3, 3] = 1
    ties = np.arange(32.0).reshape(2, 4, 4)  # from the bottom up
    curves = deletion_and_insertion(predict, images, maps, np.array([1, 1]), ties=ties, steps=2)
    half_covered, half_shown = seen[2:4]
    assert (half_covered[:2] == 200).all() and (half_covered[2:] == 100).all()
    assert (half_shown[:2] == 100).all() and (half_shown[2:] == 0).all()
    assert np.isfinite(curves.areas()).tolist() == [[True, False], [True, False]]


def test_maps_and_masks_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="resize_maps"):
        pointing_game(np.zeros((1, 4, 4)), np.zeros((1, 8, 8), bool))
