"""Which image of a fold is in which part, as its folder keeps it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

PARTS_FILE = "parts.csv"
"""In a fold's folder: the part (train, validation, test, or `UNUSED`) of each image."""

UNUSED = "unused"
"""Part of images that a fold leaves out, such as further images of a patient who gives one to validation."""


def parts_of(folder: Path) -> pd.Series:
    """Part of each image that the fold uses, by image_id."""
    parts = pd.read_csv(folder / PARTS_FILE, dtype=str, keep_default_na=False).set_index("image_id")["part"]
    return parts[parts != UNUSED]
