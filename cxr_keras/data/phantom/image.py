"""One phantom image: the patient's chest, a disease, and an exposure."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_keras.data.phantom.anatomy import Layer, draw_anatomy, draw_pose
from cxr_keras.data.phantom.chest import Chest, draw_chest, smooth_noise
from cxr_keras.data.phantom.lesions import add_lesion, draw_disease

RENDER_SIZE = 256
"""Smaller images are drawn at this size and averaged down, as their ribs would be thinner than a pixel."""


SHADOWS = 0.15
"""Part of the grey scale kept below the darkest lung, so that texture in a lung is not clipped to black."""


def phantom_image(pattern: str, *, seed: int, patient: int, image: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one image and the mask of its lesion; the same arguments give the same pixels.

    Args:
        pattern: "normal", "bacterial", "viral" or "covid19".
        seed: of the whole set.
        patient: number of the patient; anatomy and place of the disease depend on it, not on the label.
        image: number of the image of this patient; pose, exposure, noise and texture depend on it.
        size: side of the square image in pixels.

    Returns:
        The image, uint8 (size, size), and the mask, uint8 (size, size) of 0 and 255.
    """
    of_patient = np.random.default_rng([seed, patient])
    of_image = np.random.default_rng([seed, patient, image + 1])
    anatomy, disease = draw_anatomy(of_patient), draw_disease(of_patient)
    base_exposure = of_patient.uniform(-1, 1, 3)
    pose = draw_pose(of_image, max(size, RENDER_SIZE))
    chest = draw_chest(anatomy, pose, of_image)
    lesion, mask = add_lesion(pattern, chest, disease, of_image)
    grey = expose(chest, lesion, base_exposure, of_image)
    painted = mask.astype(np.uint8) * np.uint8(255)
    if size < RENDER_SIZE:
        grey = cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        painted = cv2.resize(painted, (size, size), interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)
    return grey, painted


def expose(chest: Chest, lesion: Layer, base: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn density into grey levels: tube settings, uneven field, window, quantum noise, detector blur.

    The window is set on the healthy chest, so that the lesion does not change the brightness of the rest of the picture.

    Args:
        chest: the healthy chest.
        lesion: density to add, float32 (size, size).
        base: three numbers in [-1, 1] of the patient: level, contrast, tone.
        rng: of the image.
    """
    level, contrast, tone = 0.5 * base + 0.7 * rng.uniform(-1, 1, 3)
    low, high = np.percentile(chest.density[::4, ::4], [3, 98])
    low = low - SHADOWS * (high - low)
    signal = (chest.density + lesion - np.float32(low)) / np.float32(high - low)
    tilt_x, tilt_y = rng.uniform(-0.05, 0.05, 2)
    signal = signal + np.float32(tilt_x) * chest.x + np.float32(tilt_y) * chest.y
    signal += np.float32(0.02) * smooth_noise(rng, chest.pose.size, 3)
    signal = np.clip(signal, 0.0, 1.35) ** np.float32(np.exp(0.16 * tone))
    grey = np.float32(14 + 8 * level) + np.float32(205 * np.exp(0.09 * contrast)) * signal
    grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 0.8) * chest.pose.size / 256)
    grain = rng.standard_normal(grey.shape, dtype=np.float32) * np.sqrt(np.clip(grey, 4, 255)) * np.float32(rng.uniform(0.15, 0.45))
    grey = cv2.GaussianBlur(grain, (0, 0), 0.6) + grey
    return np.clip(np.round(grey), 0, 255).astype(np.uint8)
