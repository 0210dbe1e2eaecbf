"""Phantoms: a folder made by `cxr_keras.data.phantom.generate_phantom`. Drawn images, no X-rays."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cxr_keras.data.phantom import read_phantom
from cxr_keras.data.sources.source import Source, require_folder, rows_table

EXPECTED = "a finished phantom folder with phantom.json, manifest.csv, images/ and masks/"
FREE_COLUMNS = ("mask_path", "pattern", "true_label", "fault")


def holds_phantoms(manifest: pd.DataFrame) -> bool:
    """Tell whether a manifest holds drawn images, whatever its source was called: only they have a mask, or a pattern, of their lesion."""
    return any(column in manifest and manifest[column].fillna("").astype(str).ne("").any() for column in ("mask_path", "pattern"))


def read(path: str | Path, *, patients: str | None = None) -> pd.DataFrame:
    """Read a phantom folder; the official split is kept, planted faults included.

    Args:
        path: the folder.
        patients: not used, the generator knows the patients.

    Raises:
        ValueError: no folder, or no finished phantom folder.
    """
    phantom = read_phantom(require_folder(path, source="phantom", expected=EXPECTED))
    columns = ["image_id", "path", "label", "patient_id", "split", *FREE_COLUMNS]
    return rows_table(phantom[columns].assign(patients_known="yes").to_dict("records"), {})


SOURCE = Source(
    name="phantom",
    read=read,
    description="drawn chest-like images with lesion masks: phantom.json, manifest.csv, images/, masks/",
)
