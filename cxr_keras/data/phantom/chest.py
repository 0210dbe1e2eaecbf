"""From a patient and a pose to the healthy chest as layers: what absorbs, and where the lungs are."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cxr_keras.data.phantom.anatomy import (
    Anatomy,
    Layer,
    Points,
    Pose,
    body_outline,
    fill,
    heart_outline,
    lung_outline,
    rib_lines,
    smooth_outline,
    soften,
    stroke,
)


@dataclass(frozen=True)
class Chest:
    """The healthy chest of one image; every layer is float32 (size, size).

    Attributes:
        density: how much the tissue absorbs, about 0 (air beside the patient) to 1 (spine over heart).
        lungs: share of aerated lung in [0, 1], the heart's shadow taken out.
        x: patient coordinate across, the spine at 0.
        y: patient coordinate down.
        pose: the pose of the image.
    """

    density: Layer
    lungs: Layer
    x: Layer
    y: Layer
    pose: Pose


def smooth_noise(rng: np.random.Generator, size: int, cells: float) -> Layer:
    """Smooth Gaussian noise with about `cells` bumps along a side: float32 (size, size), mean 0, deviation about 1."""
    side = max(2, round(cells)) + 3
    coarse = rng.standard_normal((side, side), dtype=np.float32)
    noise = cv2.resize(coarse, None, fx=size / cells, fy=size / cells, interpolation=cv2.INTER_CUBIC)[:size, :size]
    return (noise - noise.mean()) / (noise.std() + np.float32(1e-6))


def draw_chest(anatomy: Anatomy, pose: Pose, rng: np.random.Generator) -> Chest:
    """Draw the healthy chest of `anatomy` in `pose`; `rng` gives what differs from image to image."""
    x, y = pose.grid()
    x = x - np.float32(anatomy.scoliosis) * np.sin(np.pi * y)
    body = fill(body_outline(anatomy), pose, blur=0.012)
    left, right = (fill(lung_outline(anatomy, side, pose.breath), pose) for side in (-1, 1))
    whole_lungs = np.maximum(left, right)
    heart = fill(heart_outline(anatomy), pose, blur=0.016)
    edge = soften(whole_lungs, pose, 0.012)
    lungs = edge * (1 - np.float32(0.93) * heart)

    thickness = np.sqrt(np.clip(1 - (x / np.float32(1.25 + 0.3 * anatomy.flank)) ** 2, 0.05, 1))
    density = body * (np.float32(0.34) + np.float32(0.2) * thickness)
    density += body * np.float32(0.05 + 0.06 * anatomy.fat) * soften(smooth_noise(rng, pose.size, 4), pose, 0.02)
    belly = np.clip((y - np.float32(0.25 * anatomy.chest_height)) * 2.2, 0, 1)
    density += body * (1 - edge) * belly * np.float32(0.16)
    density += heart * np.float32(0.07) * (1 + np.clip(y, -0.3, 1)) + _mediastinum(anatomy, x, y) * body * np.float32(0.09)
    density -= lungs * (np.float32(0.31) - np.float32(0.04) * np.clip(y, -1, 1))
    density += lungs * _vessels(anatomy, pose) * np.float32(0.13 * anatomy.vessel_contrast)
    density += body * _bones(anatomy, pose, x, y, edge)
    density -= _gas_bubble(anatomy, pose) * (1 - edge) * body
    return Chest(density=density, lungs=lungs, x=x, y=y, pose=pose)


def _mediastinum(anatomy: Anatomy, x: Layer, y: Layer) -> Layer:
    """The bright column of spine, vessels and oesophagus with the dark windpipe in its upper part."""
    half_width = np.float32(0.12 * anatomy.mediastinum) * (1 + np.float32(0.35) * np.clip(y + 0.2, 0, 1))
    column = 1 / (1 + np.exp(np.clip((np.abs(x) - half_width) * 45, -30, 30)))
    windpipe = np.exp(-(((x - np.float32(0.01)) / np.float32(0.038)) ** 2)) / (1 + np.exp(np.clip((y + 0.3) * 25, -30, 30)))
    return column - np.float32(0.5) * windpipe


def _bones(anatomy: Anatomy, pose: Pose, x: Layer, y: Layer, lungs: Layer) -> Layer:
    """Spine, ribs, clavicles, shoulder blades and heads of the upper arms, as added density."""
    width = np.float32(anatomy.spine_width)
    spine = 1 / (1 + np.exp(np.clip((np.abs(x) - width) * 90, -30, 30)))
    period = 0.125 * anatomy.chest_height
    bodies = np.float32(0.75) + np.float32(0.25) * np.cos(2 * np.pi * y / np.float32(period))
    pedicles = np.exp(-(((np.abs(x) - width * 0.65) / 0.014) ** 2)) * np.clip(np.cos(2 * np.pi * y / period), 0, 1)
    layer = np.float32(0.12) * spine * bodies + np.float32(0.05) * pedicles

    wider = cv2.dilate(lungs, np.ones((3, 3), np.uint8), iterations=max(1, pose.size // 48))
    cage = soften(wider.astype(np.float32, copy=False), pose, 0.01)
    posterior, anterior = rib_lines(anatomy, anterior=False), rib_lines(anatomy, anterior=True)
    strength = anatomy.rib_contrast
    layer += cage * np.float32(strength) * _tube(posterior, pose, anatomy.rib_width) * np.float32(0.12)
    layer += cage * np.float32(strength) * _tube(anterior, pose, anatomy.rib_width * 1.15) * np.float32(0.045)

    clavicles, blades, heads = [], [], []
    for side in (-1, 1):
        points = np.array([(0.08, -0.56), (0.28, -0.64), (0.5, -0.7), (0.86, -0.76)])
        points[:, 1] += anatomy.clavicle_slope * (points[:, 0] - 0.3) * -1.6 + 0.5 * anatomy.apex
        clavicles.append(smooth_outline(points * [side * anatomy.chest_width, 1.0], closed=False))
        blade = np.array([(0.62, -0.62), (0.82, -0.6), (0.8, -0.3), (0.7, 0.0), (0.62, -0.25)])
        blades.append(smooth_outline(blade * [side * anatomy.chest_width, 1.0]))
        heads.append(np.array([(side * 0.95 * anatomy.chest_width, -0.62), (side * 1.06 * anatomy.chest_width, -0.1)]))
    layer += _tube(clavicles, pose, 0.062) * np.float32(0.14)
    for blade in blades:
        layer += fill(blade, pose, blur=0.012) * np.float32(0.05)
    layer += stroke(heads, pose, width=0.17, blur=0.012) * np.float32(0.14)
    return layer


def _tube(lines: list[Points], pose: Pose, width: float) -> Layer:
    """Bones seen from the side: a grey shaft with brighter rims, as the cortex is hit along its length."""
    outer = stroke(lines, pose, width=width, blur=0.005)
    inner = stroke(lines, pose, width=width * 0.5, blur=0.007)
    return outer - np.float32(0.35) * inner


def _vessels(anatomy: Anatomy, pose: Pose) -> Layer:
    """Vessels that leave the hila and thin out towards the wall; they belong to the patient, not to the image."""
    rng = np.random.default_rng(anatomy.texture_seed)
    thick: list[Points] = []
    thin: list[Points] = []
    for side in (-1, 1):
        hilum = np.array([side * 0.17 * anatomy.chest_width, -0.04 * anatomy.chest_height])
        for angle in np.linspace(-1.35, 1.35, 11) + rng.normal(0, 0.12, 11):
            length = rng.uniform(0.25, 0.5)
            t = np.linspace(0, 1, 8)
            bend = rng.normal(0, 0.25) * t**2
            trunk = hilum + length * t[:, None] * np.stack([side * np.cos(angle + bend), np.sin(angle + bend)], axis=1)
            thick.append(trunk[:5])
            thin.append(trunk[4:])
            for fork in (-0.45, 0.45):
                turn = angle + fork + rng.normal(0, 0.1)
                twig = trunk[5] + length * 0.4 * t[:, None] * np.array([side * np.cos(turn), np.sin(turn)])
                thin.append(twig)
    hilar = stroke(thick, pose, width=0.022, blur=0.012)
    return hilar + np.float32(0.6) * stroke(thin, pose, width=0.01, blur=0.008)


def _gas_bubble(anatomy: Anatomy, pose: Pose) -> Layer:
    """Air in the stomach, below the dome at image right; absent in about a third of the patients."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    centre = np.array([0.36 * anatomy.chest_width, 0.62 * anatomy.chest_height])
    outline = centre + np.stack([0.16 * np.cos(angles), 0.1 * np.sin(angles)], axis=1) * (0.4 + 0.6 * anatomy.gas_bubble)
    return fill(outline, pose, blur=0.02) * np.float32(0.16 * anatomy.gas_bubble)
