"""Other looks of the same X-rays: what a class can be given that has nothing to do with its disease."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cxr_keras.data.appearance import DRAWS, Appearance, change_appearance
from cxr_keras.data.augment import draw_uniform


@dataclass(frozen=True)
class Look:
    """One change, of grey levels and detail or of shape.

    Attributes:
        name: one word or two.
        appearance: what changes of detail and grey levels; None for nothing.
        across: factor of the picture's width.
        down: factor of its height.
    """

    name: str
    appearance: Appearance | None = None
    across: float = 1.0
    down: float = 1.0

    @property
    def of_shape(self) -> bool:
        """Whether the shape changes, and not the grey levels."""
        return self.appearance is None


LOOKS = (
    Look("coarse", Appearance(rescale=(0.25, 0.4))),
    Look("compressed", Appearance(jpeg_quality=(8, 20))),
    Look("low contrast", Appearance(contrast=(0.5, 0.65))),
    Look("high contrast", Appearance(contrast=(1.4, 1.6))),
    Look("dark", Appearance(gamma=(1.5, 1.8))),
    Look("bright", Appearance(gamma=(0.55, 0.7))),
    Look("noisy", Appearance(noise=16.0)),
    Look("narrow", across=0.8**0.5, down=0.8**-0.5),
    Look("wide", across=1.25**0.5, down=1.25**-0.5),
    Look("enlarged", across=1.2, down=1.2),
    Look("reduced", across=0.85, down=0.85),
)
"""What an audit tries. The strengths are this project's choice: plain to see, no obstacle to a reader. Narrow and wide keep the area."""


def apply_look(pictures: np.ndarray, look: Look, *, keys: np.ndarray, seed: int) -> np.ndarray:
    """Give every picture another look.

    Args:
        pictures: uint8 (n, h, w, 1).
        look: what changes.
        keys: int64 (n,), hashes of the images' ids; with `seed` they decide what is drawn from a range.
        seed: of the draws.

    Returns:
        uint8 (n, h, w, 1), a new array. What lies beyond the edge of a reduced picture is mirrored.
    """
    if look.appearance is not None:
        none = np.zeros_like(keys)
        uniform = draw_uniform(seed, keys, none, none, count=DRAWS)
        return change_appearance(pictures, look.appearance, uniform, np.ones(len(pictures), bool))
    height, width = pictures.shape[1:3]
    transform = np.array(
        [[look.across, 0, (1 - look.across) * (width - 1) / 2], [0, look.down, (1 - look.down) * (height - 1) / 2]], np.float32
    )
    changed = [cv2.warpAffine(picture, transform, (width, height), borderMode=cv2.BORDER_REFLECT) for picture in pictures]
    return np.stack(changed)[..., np.newaxis]
