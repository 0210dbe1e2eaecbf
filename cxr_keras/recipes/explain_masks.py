"""Where the lesion of a drawn image lies, and where a planted marker does, at the size that the network sees."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.data.phantom.generate import draw_marker
from cxr_keras.recipes.explain_images import framed

MARKER_MARGIN = 0.1
"""The marker counts with this share of the image around it. A map of 8 × 8 cells can name a place no finer than an eighth, and convolutions
put the answer to a letter into a cell beside it; with .04 a network that reads the letter alone scored 0."""


class Masks(NamedTuple):
    """Masks of images, in their order.

    Attributes:
        lesions: bool (n, h, w), empty for a healthy chest.
        markers: bool (n, h, w), a box around the planted letter, empty where none was planted.
    """

    lesions: np.ndarray
    markers: np.ndarray


def read_masks(table: pd.DataFrame, config: RunConfig) -> Masks | None:
    """Read the masks of drawn images.

    Args:
        table: rows with mask_path and fault, as the phantom source gives them.
        config: the run's settings; masks get the framing of the images.

    Returns:
        The masks, or None where the images have none, as real X-rays.

    Raises:
        ValueError: a mask file is gone.
    """
    if "mask_path" not in table or (table["mask_path"].fillna("") == "").all():
        return None
    gone = [path for path in table["mask_path"] if path and not Path(path).is_file()]
    if gone:
        raise ValueError(f"{len(gone)} masks are gone, such as {gone[0]}. Draw the phantoms again, into the same folder.")
    # Equalisation would turn a mask into noise.
    plain = config.model_copy(update={"data": config.data.model_copy(update={"clahe": None})})
    lesions, markers = [], []
    for row in table.itertuples(index=False):
        lesion = _read(Path(row.mask_path).read_bytes(), plain) if row.mask_path else np.zeros(config.data.image_size, bool)
        planted = "marker" in str(getattr(row, "fault", "")).split(";")
        lesions.append(lesion)
        markers.append(_marker_box(int(row.width), plain) if planted else np.zeros_like(lesion))
    return Masks(np.stack(lesions), np.stack(markers))


def _read(contents: bytes, config: RunConfig) -> np.ndarray:
    return framed(contents, config, side=None) >= 128


def _marker_box(size: int, config: RunConfig) -> np.ndarray:
    """The box around the letter that the generator draws, bool (h, w)."""
    letter = np.zeros((size, size), np.uint8)
    draw_marker(letter)
    rows, columns = np.flatnonzero(letter.any(axis=1)), np.flatnonzero(letter.any(axis=0))
    margin = round(MARKER_MARGIN * size)
    box = np.zeros_like(letter)
    box[max(0, rows[0] - margin) : rows[-1] + margin + 1, max(0, columns[0] - margin) : columns[-1] + margin + 1] = 255
    return _read(cv2.imencode(".png", box)[1].tobytes(), config)
