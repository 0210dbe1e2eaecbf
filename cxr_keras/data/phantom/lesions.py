"""What disease adds to the healthy chest: three patterns, each with the mask of where it lies.

The patterns differ by texture and edges, not by how bright a lung is: most of the slow part of every lesion is taken out
again (`LEVELLING`), because a phantom that a mean brightness can solve would prove nothing about a network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr_keras.data.phantom.anatomy import Layer, soften, stroke
from cxr_keras.data.phantom.chest import Chest, smooth_noise

Mask = NDArray[np.bool_]

LEVELLING = 0.5
"""Share of a lesion's slow part (wider than an eighth of the picture) that is taken out again."""

LEVELLING_WIDTH = 0.09
"""Standard deviation, in patient units, of the blur that calls a part of a lesion slow."""

MASK_THRESHOLD = 0.35
"""A pixel belongs to the mask where the lesion's support is at least this high."""


@dataclass(frozen=True)
class Disease:
    """A patient's disease, the same in all their images; `centre` is in units of the lung's own width and height.

    Attributes:
        side: lung of a focal lesion, -1 image left, 1 image right.
        centre: place of a focal lesion in its lung, across and down, each in [0, 1].
        extent: relative size, about 0.8 to 1.2.
        strength: relative contrast, about 0.85 to 1.25.
    """

    side: int
    centre: tuple[float, float]
    extent: float
    strength: float


def draw_disease(rng: np.random.Generator) -> Disease:
    """Draw where a patient's disease sits and how strong it is; drawn for healthy patients too and not used there."""
    return Disease(
        side=int(rng.choice([-1, 1])),
        centre=(rng.uniform(0.2, 0.8), rng.uniform(0.12, 0.88)),
        extent=rng.uniform(0.85, 1.2),
        strength=rng.uniform(0.85, 1.25),
    )


def add_lesion(pattern: str, chest: Chest, disease: Disease, rng: np.random.Generator) -> tuple[Layer, Mask]:
    """Lesion of one image.

    Args:
        pattern: "normal", "bacterial", "viral" or "covid19".
        chest: the healthy chest.
        disease: the patient's disease.
        rng: gives the texture, new in every image.

    Returns:
        The density to add, float32 (size, size), and the mask of the lesion, bool (size, size), all False for "normal".
    """
    if pattern == "normal":
        return np.zeros_like(chest.density), np.zeros(chest.density.shape, dtype=bool)
    added, support = PATTERNS[pattern](chest, disease, rng)
    added = added * support * chest.lungs * np.float32(disease.strength)
    added = added - np.float32(LEVELLING) * chest.lungs * soften(added, chest.pose, LEVELLING_WIDTH)
    return added, support * chest.lungs >= MASK_THRESHOLD


def _lung_box(chest: Chest, side: int) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of one lung in patient coordinates."""
    inside = (chest.lungs > 0.5) & (chest.x * side > 0)
    x, y = chest.x[inside], chest.y[inside]
    return float(x.min()), float(x.max()), float(y.min()), float(y.max())


def consolidation(chest: Chest, disease: Disease, rng: np.random.Generator) -> tuple[Layer, Layer]:
    """Bacterial: one dense area of a lobe with a sharp edge, crossed by air-filled bronchi (dark branching lines)."""
    left, right, top, bottom = _lung_box(chest, disease.side)
    centre_x = left + (right - left) * disease.centre[0] + rng.normal(0, 0.015)
    centre_y = top + (bottom - top) * disease.centre[1] + rng.normal(0, 0.02)
    radius = 0.32 * disease.extent
    wobble = np.float32(0.2) * smooth_noise(rng, chest.pose.size, 9)
    away = np.hypot(chest.x - np.float32(centre_x), (chest.y - np.float32(centre_y)) * np.float32(0.85)) / np.float32(radius)
    support = 1 / (1 + np.exp(np.clip((away + wobble - 1) * 18, -30, 30)))
    hilum = np.array([0.14 * disease.side, centre_y * 0.5])
    outwards = np.array([centre_x, centre_y]) - hilum
    t = np.linspace(0.1, 1.0 + 0.5 / max(np.hypot(*outwards), 0.2), 12)[:, None]
    bronchi = []
    for turn in np.linspace(-1.1, 1.1, 8) + rng.normal(0, 0.08, 8):
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        bronchi.append(hilum + t * (rotation @ outwards) + rng.normal(0, 0.012, (12, 2)))
    air = stroke(bronchi, chest.pose, width=0.03, blur=0.008)
    alveoli = np.float32(0.09) * smooth_noise(rng, chest.pose.size, 34)
    return np.float32(0.4) + alveoli - np.float32(0.3) * air, support


def interstitial(chest: Chest, disease: Disease, rng: np.random.Generator) -> tuple[Layer, Layer]:
    """Viral: a fine net of lines through both lungs (reticular texture), here denser, there thinner."""
    size = chest.pose.size
    net = _net(rng, size, cells=30) + _net(rng, size, cells=20)
    patchy = np.clip(np.float32(0.95) + np.float32(0.25) * smooth_noise(rng, size, 4), 0.5, 1.3)
    return np.float32(0.27) * net * patchy, chest.lungs


def _net(rng: np.random.Generator, size: int, *, cells: float) -> Layer:
    """Bright lines along the zero crossings of smooth noise, half of the mean taken out: float32 (size, size)."""
    ridge = np.exp(-np.abs(smooth_noise(rng, size, cells)) * np.float32(2.2))
    return ridge - np.float32(0.6) * ridge.mean()


def peripheral(chest: Chest, disease: Disease, rng: np.random.Generator) -> tuple[Layer, Layer]:
    """COVID-19: rounded patches along the outer wall of the lower halves of both lungs."""
    support = np.zeros_like(chest.lungs)
    for side in (-1, 1):
        left, right, top, bottom = _lung_box(chest, side)
        across = (chest.x - np.float32(left)) / np.float32(right - left)
        outer = across if side > 0 else 1 - across
        down = (chest.y - np.float32(top)) / np.float32(bottom - top)
        reach = outer + np.float32(0.6) * (down - 1) + np.float32(0.1) * smooth_noise(rng, chest.pose.size, 8)
        support = np.maximum(support, (chest.x * side > 0) / (1 + np.exp(-np.clip((reach - 0.2) * 22, -30, 30))))
    bumps = smooth_noise(rng, chest.pose.size, 18 / disease.extent)
    patches = 1 / (1 + np.exp(np.clip((np.float32(0.1) - bumps) * 4, -30, 30)))
    return np.float32(0.5) * patches - np.float32(0.16), support


PATTERNS: dict[str, Callable[[Chest, Disease, np.random.Generator], tuple[Layer, Layer]]] = {
    "bacterial": consolidation,
    "covid19": peripheral,
    "viral": interstitial,
}
"""Pattern of disease by label; what is not here is a healthy chest."""
