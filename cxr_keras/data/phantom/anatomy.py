"""The healthy chest of a phantom patient: proportions drawn from a seed, and the layers of tissue drawn from them.

Coordinates of the patient: x from -1 (image left, the patient's right) to 1, y from -1 (top) to 1 (bottom), the spine at
x = 0. Coordinates of the picture: pixels, through `Pose.to_pixels`. All proportions are read off posterior-anterior and
anterior-posterior films by eye; they are no measurements of anatomy.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Layer = NDArray[np.float32]
Points = NDArray[np.float64]

SUBPIXEL_BITS = 4
"""Fractional bits of the coordinates given to OpenCV's drawing functions."""


@dataclass(frozen=True)
class Anatomy:
    """Proportions of one patient, in patient coordinates unless another unit is named."""

    chest_width: float
    chest_height: float
    apex: float
    domes: tuple[float, float]
    angle_depth: float
    bulge: float
    asymmetry: float
    heart_size: float
    heart_tilt: float
    heart_offset: float
    mediastinum: float
    rib_count: int
    rib_slope: float
    rib_width: float
    rib_contrast: float
    spine_width: float
    scoliosis: float
    clavicle_slope: float
    shoulder: float
    flank: float
    fat: float
    vessel_contrast: float
    gas_bubble: float
    texture_seed: int


@dataclass(frozen=True)
class Pose:
    """How a patient stands before the detector in one image; `size` is the side of the square picture in pixels."""

    size: int
    rotation_degrees: float
    zoom: float
    shift: tuple[float, float]
    breath: float

    def to_pixels(self, points: Points) -> Points:
        """Map patient coordinates (n, 2) to pixel coordinates (n, 2) as x, y."""
        angle = np.deg2rad(self.rotation_degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moved = self.zoom * np.asarray(points, dtype=np.float64) @ turn.T + np.asarray(self.shift)
        return (moved + 1.0) * 0.5 * self.size - 0.5

    def grid(self) -> tuple[Layer, Layer]:
        """Patient coordinates x and y of every pixel, each float32 (size, size)."""
        line = (np.arange(self.size, dtype=np.float32) + 0.5) * (2.0 / self.size) - 1.0
        x, y = line[None, :] - np.float32(self.shift[0]), line[:, None] - np.float32(self.shift[1])
        angle = np.deg2rad(self.rotation_degrees)
        cosine, sine = np.float32(np.cos(angle) / self.zoom), np.float32(np.sin(angle) / self.zoom)
        return cosine * x + sine * y, cosine * y - sine * x


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw the proportions of one patient; the ranges are wide so that the layout says nothing about a disease."""
    return Anatomy(
        chest_width=rng.uniform(0.86, 1.14),
        chest_height=rng.uniform(0.84, 1.14),
        apex=rng.uniform(-0.06, 0.06),
        domes=(rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1)),
        angle_depth=rng.uniform(-0.05, 0.08),
        bulge=rng.uniform(-0.05, 0.06),
        asymmetry=rng.uniform(-0.07, 0.07),
        heart_size=rng.uniform(0.78, 1.25),
        heart_tilt=rng.uniform(20.0, 50.0),
        heart_offset=rng.uniform(-0.03, 0.05),
        mediastinum=rng.uniform(0.8, 1.35),
        rib_count=int(rng.integers(8, 11)),
        rib_slope=rng.uniform(0.08, 0.3),
        rib_width=rng.uniform(0.036, 0.052),
        rib_contrast=rng.uniform(0.6, 1.1),
        spine_width=rng.uniform(0.065, 0.09),
        scoliosis=rng.uniform(-0.04, 0.04),
        clavicle_slope=rng.uniform(-0.08, 0.12),
        shoulder=rng.uniform(-0.1, 0.12),
        flank=rng.uniform(0.1, 0.3),
        fat=rng.uniform(0.0, 1.0),
        vessel_contrast=rng.uniform(0.6, 1.2),
        gas_bubble=max(0.0, rng.uniform(-0.5, 1.0)),
        texture_seed=int(rng.integers(2**31)),
    )


def draw_pose(rng: np.random.Generator, size: int) -> Pose:
    """Draw the pose of one image: turned by up to 3 degrees, zoomed, shifted, breathed in more or less."""
    return Pose(
        size=size,
        rotation_degrees=rng.uniform(-3.0, 3.0),
        zoom=rng.uniform(1.04, 1.18),
        shift=(rng.uniform(-0.06, 0.06), rng.uniform(-0.05, 0.05)),
        breath=rng.uniform(-0.05, 0.05),
    )


def smooth_outline(points: Points, *, closed: bool = True, steps: int = 8) -> Points:
    """Catmull-Rom curve through `points` (n, 2): (n * steps, 2) when closed, ((n - 1) * steps + 1, 2) when open."""
    points = np.asarray(points, dtype=np.float64)
    first, last = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    padded = np.concatenate([first, points, last])
    before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(steps) / steps)[None, :, None]
    before, start, end, after = (part[:, None, :] for part in (before, start, end, after))
    curve = 0.5 * (
        2 * start + (end - before) * t + (2 * before - 5 * start + 4 * end - after) * t**2 + (3 * start - before - 3 * end + after) * t**3
    )
    flat = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, points[-1:]])


def fill(outline: Points, pose: Pose, *, blur: float = 0.0) -> Layer:
    """Fill an outline given in patient coordinates: float32 (size, size) in [0, 1], edges softened by `blur` (patient units)."""
    canvas = np.zeros((pose.size, pose.size), dtype=np.uint8)
    cv2.fillPoly(canvas, [_fixed_point(outline, pose)], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    return soften(canvas.astype(np.float32) * np.float32(1 / 255), pose, blur)


def stroke(lines: list[Points], pose: Pose, *, width: float, blur: float = 0.0) -> Layer:
    """Draw open lines of `width` (patient units) as one layer: float32 (size, size) in [0, 1]."""
    canvas = np.zeros((pose.size, pose.size), dtype=np.uint8)
    pixels = max(1, round(width * pose.zoom * pose.size / 2))
    for line in lines:
        cv2.polylines(canvas, [_fixed_point(line, pose)], False, 255, pixels, cv2.LINE_AA, SUBPIXEL_BITS)
    return soften(canvas.astype(np.float32) * np.float32(1 / 255), pose, blur)


def soften(layer: Layer, pose: Pose, blur: float) -> Layer:
    """Gaussian blur with a standard deviation of `blur` patient units; none below a quarter of a pixel."""
    sigma = blur * pose.size / 2
    if sigma < 0.25:
        return layer
    return cv2.GaussianBlur(layer, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE).astype(np.float32, copy=False)


def _fixed_point(points: Points, pose: Pose) -> NDArray[np.int32]:
    return np.round(pose.to_pixels(points) * (1 << SUBPIXEL_BITS)).astype(np.int32)


def lung_outline(anatomy: Anatomy, side: int, breath: float = 0.0) -> Points:
    """Outline of one lung in patient coordinates, (n, 2).

    Args:
        anatomy: the patient.
        side: -1 for image left (the patient's right lung), 1 for image right.
        breath: how much lower the diaphragm stands than at rest, patient units.
    """
    dome = anatomy.domes[(side + 1) // 2] + (0.03 if side > 0 else -0.02) + breath
    inner = 0.11 * anatomy.mediastinum
    wall = anatomy.bulge
    corner = 0.55 + anatomy.angle_depth + breath
    points = np.array(
        [
            (inner + 0.02, -0.6),
            (0.18, -0.74 + anatomy.apex),
            (0.28, -0.78 + anatomy.apex),
            (0.39, -0.7 + anatomy.apex),
            (0.53 + wall * 0.6, -0.44),
            (0.64 + wall, -0.12),
            (0.68 + wall, 0.16),
            (0.7 + wall * 0.6, 0.4),
            (0.7 + wall * 0.4, corner),
            (0.62, 0.43 + dome),
            (0.48, 0.34 + dome),
            (0.33, 0.34 + dome),
            (0.2, 0.42 + dome),
            (inner + 0.05, 0.4 + dome),
            (inner + 0.04, 0.15),
            (inner, -0.1),
            (inner - 0.01, -0.4),
        ]
    )
    scale = np.array([side * anatomy.chest_width * (1 + side * anatomy.asymmetry), anatomy.chest_height])
    return smooth_outline(points * scale)


def heart_outline(anatomy: Anatomy) -> Points:
    """Outline of heart and great vessels in patient coordinates, the apex to image right, (n, 2)."""
    size = anatomy.heart_size
    tilt = np.deg2rad(anatomy.heart_tilt - 35.0)
    points = np.array(
        [
            (-0.06, -0.75),
            (0.05, -0.75),
            (0.09, -0.45),
            (0.13, -0.3),
            (0.11, -0.18),
            (0.16, -0.06),
            (0.26, 0.08),
            (0.36, 0.24),
            (0.4, 0.38),
            (0.33, 0.47),
            (0.1, 0.5),
            (-0.1, 0.46),
            (-0.19, 0.34),
            (-0.2, 0.18),
            (-0.14, 0.0),
            (-0.1, -0.2),
            (-0.1, -0.45),
        ]
    )
    wide = np.where(points[:, 1] > -0.1, size, anatomy.mediastinum)
    points = points * np.stack([wide, np.ones_like(wide)], axis=1)
    turned = points @ np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    lower = np.clip((points[:, 1:] + 0.1) * 3, 0, 1)
    shaped = points * (1 - lower) + turned * lower
    return smooth_outline(shaped * [anatomy.chest_width, anatomy.chest_height] + [anatomy.heart_offset, 0.0])


def body_outline(anatomy: Anatomy) -> Points:
    """Outline of neck, shoulders and trunk in patient coordinates, (n, 2); it leaves the picture at top and bottom."""
    trunk = 0.74 * anatomy.chest_width + anatomy.flank
    half = np.array(
        [
            (0.17, -1.5),
            (0.19, -1.0 + 0.3 * anatomy.shoulder),
            (0.34, -0.9 + anatomy.shoulder),
            (0.75, -0.8 + anatomy.shoulder),
            (1.1, -0.62 + anatomy.shoulder),
            (1.35, -0.1),
            (1.1, -0.15),
            (trunk + 0.04, -0.22),
            (trunk, 0.1),
            (trunk + 0.02, 0.5),
            (trunk + 0.05, 1.5),
        ]
    )
    return smooth_outline(np.concatenate([half, half[::-1] * [-1, 1]]), steps=6)


def rib_lines(anatomy: Anatomy, *, anterior: bool) -> list[Points]:
    """Middle lines of the ribs of both sides in patient coordinates: the posterior arches, or the fainter anterior ones."""
    lines = []
    t = np.linspace(0.0, 1.0, 22)
    for side in (-1, 1):
        stretch = anatomy.chest_width * (1 + side * anatomy.asymmetry)
        for i in range(anatomy.rib_count):
            place = i / (anatomy.rib_count - 1)
            start = -0.72 + 1.2 * place
            wall = np.interp(start + 0.1, [-0.8, -0.5, -0.1, 0.3, 0.6], [0.4, 0.57, 0.67, 0.72, 0.72]) + anatomy.bulge
            if anterior:
                x = wall * np.cos(t * 1.1)
                y = start + 0.12 + anatomy.rib_slope + 0.3 * np.sin(t * np.pi / 2) * (0.6 + 0.6 * place)
            else:
                x = 0.06 + (wall - 0.06) * np.sin(t * np.pi / 2) ** 0.9
                y = start - 0.07 * np.sin(t * np.pi * 0.8) + (anatomy.rib_slope + 0.16 * place) * t**2.2
            lines.append(np.stack([side * x * stretch, y * anatomy.chest_height], axis=1))
    return lines
