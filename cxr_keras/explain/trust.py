"""Are the maps right? Figures that hold a map against a mask, against the network's answer, and against a network that knows nothing.

Maps are scored at the size of the mask, by their positive part. A figure alone says little, so each has its chance level here: the area of
the mask, the mask of another image (lesions lie in lungs, and so do maps that always look there), or covering pixels in random order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

THORAX_BOX = (0.05, 0.95, 0.05, 0.95)
"""Top, bottom, left and right of the box that counts as thorax, as shares of the image. See `share_outside`."""


def positive(maps: np.ndarray) -> np.ndarray:
    """What speaks for the class: values below 0 become 0; the same shape."""
    return np.maximum(maps, 0)


def pointing_game(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether the highest point of each map lies in its mask (Zhang et al. 2018, arXiv:1608.00507, without their tolerance of 15 pixels).

    Where several pixels share the highest value, the share of them inside counts; so a map without any evidence scores chance.

    Args:
        maps: float (n, h, w).
        masks: bool (n, h, w).

    Returns:
        float64 (n,), in [0, 1]; nan where the mask is empty.

    Raises:
        ValueError: the shapes differ.
    """
    _same_shape(maps, masks)
    evidence = positive(maps)
    highest = evidence == evidence.max(axis=(1, 2), keepdims=True)
    inside = (highest & masks).sum(axis=(1, 2)) / highest.sum(axis=(1, 2))
    return np.where(masks.any(axis=(1, 2)), inside, np.nan)


def energy_inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of a map's positive mass that lies in its mask (the energy-based pointing game of Wang et al. 2020, arXiv:1910.01279).

    Args:
        maps: float (n, h, w).
        masks: bool (n, h, w).

    Returns:
        float64 (n,), in [0, 1]; nan where the mask is empty or nothing speaks for the class. Chance is `mask_area`.

    Raises:
        ValueError: the shapes differ.
    """
    _same_shape(maps, masks)
    evidence = positive(maps).astype(np.float64)
    total = evidence.sum(axis=(1, 2))
    inside = (evidence * masks).sum(axis=(1, 2))
    share = np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)
    return np.where(masks.any(axis=(1, 2)), share, np.nan)


def mask_area(masks: np.ndarray) -> np.ndarray:
    """Share of the image that each mask covers, float64 (n,): the pointing game's chance level; nan where the mask is empty."""
    area = masks.mean(axis=(1, 2))
    return np.where(area > 0, area, np.nan)


def of_another_image(masks: np.ndarray, groups: np.ndarray, *, seed: int) -> np.ndarray:
    """Give every image the mask of another patient, drawn at random: the chance level that knows where lesions usually lie.

    Args:
        masks: bool (n, h, w), none of them empty.
        groups: (n,), the patient of each image.
        seed: of the draw.

    Returns:
        bool (n, h, w).

    Raises:
        ValueError: all images are of one patient.
    """
    rng = np.random.default_rng(seed)
    positions = np.arange(len(masks))
    others = [positions[groups != group] for group in groups]
    if not len(masks) or not all(len(other) for other in others):
        raise ValueError("masks of other patients need images of two patients or more; take more images.")
    return masks[[int(rng.choice(other)) for other in others]]


def share_outside(maps: np.ndarray, box: tuple[float, float, float, float] = THORAX_BOX) -> np.ndarray:
    """Share of a map's positive mass outside a box, each cell counted by its area.

    The default box is rough: chest X-rays of this kind are cut close to the chest, so what lies in the outer twentieth on each side is
    mostly shoulder, letters and borders. No lung is looked for. An even map has a share of 1 minus the area of the box (.19).

    Args:
        maps: float (n, h, w), of any resolution.
        box: top, bottom, left, right as shares of the image.

    Returns:
        float64 (n,), in [0, 1]; nan where nothing speaks for the class.
    """
    top, bottom, left, right = box
    evidence = positive(maps).astype(np.float64)
    total = evidence.sum(axis=(1, 2))
    inside = np.einsum("nhw,h,w->n", evidence, _overlap(maps.shape[1], top, bottom), _overlap(maps.shape[2], left, right))
    return np.divide(np.maximum(total - inside, 0), total, out=np.full(len(maps), np.nan), where=total > 0)


def _overlap(cells: int, start: float, end: float) -> np.ndarray:
    """Share of each of `cells` equal cells of [0, 1] that lies in [start, end]."""
    edges = np.arange(cells + 1) / cells
    return np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0, None) * cells


def rank_correlation(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of two maps of an image over its positions (Adebayo et al. 2018, arXiv:1810.03292).

    Args:
        maps: float (n, h, w).
        others: float (n, h, w).

    Returns:
        float64 (n,), in [-1, 1]; nan where one of the maps is constant.
    """
    _same_shape(maps, others)
    a, b = (pd.DataFrame(each.reshape(len(each), -1).T).rank().to_numpy() for each in (maps, others))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.divide((a * b).sum(axis=0), scale, out=np.full(len(maps), np.nan), where=scale > 0)


class Curves(NamedTuple):
    """Probability of the class while pixels are covered or shown.

    Attributes:
        shares: float64 (steps + 1,), share of the pixels that are covered (deletion) or shown (insertion), 0 to 1.
        deletion: float64 (n, steps + 1), from the whole image to its mean grey. A map that found what matters falls early.
        insertion: float64 (n, steps + 1), from the mean grey to the whole image. It rises early.
    """

    shares: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray

    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """Areas under both curves, float64 (n,) each, nan for a curve of nan: low is good for deletion, high for insertion."""
        return np.trapezoid(self.deletion, self.shares, axis=1), np.trapezoid(self.insertion, self.shares, axis=1)


def deletion_and_insertion(
    predict: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    maps: np.ndarray,
    columns: np.ndarray,
    *,
    ties: np.ndarray,
    steps: int = 20,
) -> Curves:
    """Cover, and show, the pixels of images in the order of their maps (Petsiuk et al. 2018, arXiv:1806.07421).

    Both use the image's mean grey; the paper starts its insertion from a blurred image. Two passes of the network a step.

    Args:
        predict: probabilities (n, classes) of images float32 (n, h, w, 1).
        images: float32 (n, h, w, 1) in [0, 255].
        maps: float (n, h, w), at the size of the images; the positive part needs no scale, only its order counts.
        columns: int (n,), the class of each image that is followed.
        ties: float (n, h, w), the order among pixels of equal evidence, mostly those without any; draw it at random. Left to itself a
            sort takes them from the top row down, and covering a chest from the top is no chance level.
        steps: steps from none to all pixels.

    Returns:
        The curves; nan where nothing speaks for the class, as such a map has no order.

    Raises:
        ValueError: the shapes differ.
    """
    _same_shape(images[..., 0], maps)
    _same_shape(maps, ties)
    count, height, width = maps.shape
    evidence = positive(maps).reshape(count, -1)
    order = np.lexsort((-ties.reshape(count, -1), -evidence), axis=1)
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(height * width)[np.newaxis], axis=1)
    place = place.reshape(count, height, width, 1)
    grey = images.mean(axis=(1, 2), keepdims=True)
    shares = np.linspace(0, 1, steps + 1)
    curves = np.empty((2, count, steps + 1))
    for step, share in enumerate(shares):
        first = place < share * height * width
        for row, (covered, shown) in enumerate(((grey, images), (images, grey))):
            curves[row, :, step] = predict(np.where(first, covered, shown).astype(np.float32))[np.arange(count), columns]
    curves[:, evidence.max(axis=1) <= 0] = np.nan
    return Curves(shares, curves[0], curves[1])


def _same_shape(maps: np.ndarray, others: np.ndarray) -> None:
    if maps.shape != others.shape:
        raise ValueError(f"maps of shape {maps.shape} beside {others.shape}: bring both to one size with resize_maps.")
