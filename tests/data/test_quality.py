"""The flags of a manifest's images, joined by image_id."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd

from cxr_keras.data.quality import QUALITY_COLUMNS, flag_images
from cxr_keras.data.sources import build_manifest


def _manifest(tmp_path):
    chest = np.full((100, 100), 20, np.uint8)
    chest[10:, 25:75] = np.linspace(120, 200, 90, dtype=np.uint8)[:, np.newaxis]
    pictures = {"b": chest, "a": 255 - chest, "c": np.full((100, 100), 9, np.uint8), "d": chest[::2, ::2]}
    for name, picture in pictures.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    table = pd.DataFrame({"path": [f"{name}.png" for name in pictures], "label": ["normal", "pneumonia"] * 2, "patient_id": list(pictures)})
    table.to_csv(tmp_path / "table.csv", index=False)
    return build_manifest([f"manifest_csv:{tmp_path / 'table.csv'}"], show_progress=False)


def test_flags_are_listed_by_image(tmp_path):
    manifest = _manifest(tmp_path)
    (tmp_path / "b.png").write_bytes(b"")
    flags = flag_images(manifest, show_progress=False)
    assert list(flags.columns) == QUALITY_COLUMNS
    assert list(zip(flags["image_id"].str[-1], flags["flag"])) == [("a", "inverted"), ("b", "unreadable"), ("c", "blank"), ("d", "small")]
    assert flag_images(manifest.sample(frac=1, random_state=1), workers=1, show_progress=False).equals(flags)
    assert list(flag_images(manifest[:0], show_progress=False).columns) == QUALITY_COLUMNS
