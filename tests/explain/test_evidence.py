"""Small networks that learn one thing whose place is known: maps must go there, and only if the network has learned it."""

import keras
import numpy as np
import pytest

import models_zoo
from cxr_keras.explain.maps import METHODS, resize_maps
from cxr_keras.explain.randomise import randomised
from cxr_keras.explain.trust import energy_inside, mask_area, pointing_game

SIDE, LESION, COUNT = 24, 7, 320
CORNER = np.s_[1:5, -5:-1]


def chests(rng, *, marker):
    """Noise; class 1 has a striped square somewhere, or, with `marker`, both classes have it and class 1 a bright corner too."""
    images = rng.normal(100, 20, (COUNT, SIDE, SIDE)).astype(np.float32)
    labels = np.arange(COUNT) % 2
    masks = np.zeros(images.shape, bool)
    stripes = np.where(np.arange(LESION) % 2, 70, -70)
    for index in np.flatnonzero(labels | marker):
        top, left = rng.integers(5, SIDE - LESION, 1)[0], rng.integers(0, SIDE - LESION, 1)[0]
        images[index, top : top + LESION, left : left + LESION] += stripes
        masks[index, top : top + LESION, left : left + LESION] = True
    if marker:
        images[labels == 1, CORNER[0], CORNER[1]] += 120
    return np.clip(images, 0, 255)[..., None], labels, masks


def trained(images, labels):
    keras.utils.set_random_seed(5)
    model = models_zoo.build("mini_resnet", (SIDE, SIDE), 2, widths=[8, 16], blocks=1)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.learning_rate.assign(5e-3)
    model.fit(images, labels, batch_size=32, epochs=10, verbose=0)
    return model


@pytest.mark.parametrize("marker", [False, True])
def test_maps_go_to_what_the_network_has_learned_and_random_weights_to_nothing(marker):
    rng = np.random.default_rng(0)
    model = trained(*chests(rng, marker=marker)[:2])
    images, labels, lesions = chests(rng, marker=marker)
    sick = labels == 1
    images, lesions = images[sick], lesions[sick]
    assert (model.predict(images, verbose=0).argmax(axis=1) == 1).mean() > 0.95
    corner = np.zeros_like(lesions)
    corner[:, 0:7, -7:] = True
    target, other = (corner, lesions) if marker else (lesions, corner)
    chance = mask_area(target).mean()
    assert chance < 0.1
    random = [randomised(model, seed=seed) for seed in range(4)]
    for name in ("cam", "grad_cam", "hires_cam"):
        columns = np.ones(len(images), int)
        maps = resize_maps(METHODS[name](model)(images, columns).maps, (SIDE, SIDE))
        assert pointing_game(maps, target).mean() > 0.85
        assert pointing_game(maps, other).mean() < 0.15
        assert np.nanmean(energy_inside(maps, target)) > 2 * chance
        hits = [pointing_game(resize_maps(METHODS[name](each)(images, columns).maps, (SIDE, SIDE)), target).mean() for each in random]
        assert np.mean(hits) < 0.4
