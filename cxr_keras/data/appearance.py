"""Changes of how an X-ray looks and not of what it shows: resolution, compression, contrast, exposure, noise.

Images of another hospital differ in just these. Varied in training they keep a network from reading compression or contrast instead of
lungs; put on a validation part they make it resemble images of elsewhere. Every number is a hash of (seed, image key, copy, epoch), as
in `cxr_keras.data.augment`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 7
"""Random numbers an image: rescale, quality, contrast, gamma, brightness, noise, and the seed of the noise."""


@dataclass(frozen=True)
class Appearance:
    """What may change, each drawn evenly from its range for each image.

    Attributes:
        rescale: factor to which the resolution is reduced before it is brought back; (1, 1) leaves it.
        jpeg_quality: quality of a JPEG compression on the way, 1 to 100; None for none.
        contrast: factor of the distance from the image's mean.
        gamma: exponent of the grey level in [0, 1].
        brightness: added grey level is drawn from ± this part of the range.
        noise: highest standard deviation of added normal noise, grey levels of 255.

    Raises:
        ValueError: a value out of its range; all of them are named.
    """

    rescale: tuple[float, float] = (1.0, 1.0)
    jpeg_quality: tuple[int, int] | None = None
    contrast: tuple[float, float] = (1.0, 1.0)
    gamma: tuple[float, float] = (1.0, 1.0)
    brightness: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        faults = []
        for name, highest in (("rescale", 1.0), ("contrast", np.inf), ("gamma", np.inf)):
            low, high = getattr(self, name)
            if not 0 < low <= high <= highest:
                limit = "above 0" if highest == np.inf else f"above 0 and at most {highest:g}"
                faults.append(f"{name} must be [low, high], {limit}, got {[low, high]}")
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100:
            faults.append(f"jpeg_quality must be [low, high] within 1 to 100, got {list(self.jpeg_quality)}")
        if not 0 <= self.brightness < 1:
            faults.append(f"brightness is a part of the range and must lie in 0 to 1, got {self.brightness!r}")
        if not 0 <= self.noise <= 255:
            faults.append(f"noise is in grey levels and must lie in 0 to 255, got {self.noise!r}")
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def changes(self) -> bool:
        """Whether anything can change at all."""
        return self != Appearance()


def change_appearance(images: np.ndarray, appearance: Appearance, uniform: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Change the look of some images.

    Args:
        images: uint8 (n, h, w, 1).
        appearance: what may change.
        uniform: float64 (n, `DRAWS`) in [0, 1).
        changed: bool (n,); the others pass as they are.

    Returns:
        uint8 (n, h, w, 1), a new array.
    """
    result = images.copy()
    for number in np.flatnonzero(changed):
        result[number, ..., 0] = _change(images[number, ..., 0], appearance, uniform[number])
    return result


def _change(image: np.ndarray, appearance: Appearance, uniform: np.ndarray) -> np.ndarray:
    """Change one uint8 (h, w) image: first its detail, as an archive would, then its grey levels, as a display would."""
    image = _coarsened(image, _between(appearance.rescale, uniform[0]), appearance.jpeg_quality, uniform[1])
    levels = image.astype(np.float32)
    if appearance.noise:
        spread = appearance.noise * uniform[5]
        levels += np.random.default_rng(int(uniform[6] * 2**53)).normal(0.0, spread, image.shape).astype(np.float32)
    mean = levels.mean()
    levels = mean + (levels - mean) * _between(appearance.contrast, uniform[2])
    levels += 255.0 * appearance.brightness * (2.0 * uniform[4] - 1.0)
    unit = np.clip(levels / 255.0, 0.0, 1.0)
    return np.round(255.0 * unit ** _between(appearance.gamma, uniform[3])).astype(np.uint8)


def _coarsened(image: np.ndarray, factor: float, jpeg_quality: tuple[int, int] | None, draw: float) -> np.ndarray:
    """Reduce an image's size, compress it, and bring it back to its size."""
    import cv2  # here, so that a config is read without it

    height, width = image.shape
    small = image
    if factor < 1.0:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if jpeg_quality is not None:
        quality = round(_between(jpeg_quality, draw))
        small = cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
    return small if small.shape == image.shape else cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _between(limits: tuple[float, float], draw: float) -> float:
    """The number at a part of the way from low to high."""
    return limits[0] + (limits[1] - limits[0]) * draw
