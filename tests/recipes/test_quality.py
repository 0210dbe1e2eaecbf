"""`cxr data quality` lists the flags of a manifest's images."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from cxr_keras.data.manifest import write_manifest
from cxr_keras.data.sources import build_manifest
from cxr_keras.recipes.quality import flag_data


@pytest.mark.parametrize("inverted", [0, 2])
def test_flags_are_counted_and_written(tmp_path, capsys, inverted):
    chest = np.full((100, 100), 20, np.uint8)
    chest[10:, 25:75] = np.linspace(120, 200, 90, dtype=np.uint8)[:, np.newaxis]
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), (255 - chest if number < inverted else chest) + number)
    table = {"path": [f"{number}.png" for number in range(4)], "label": ["normal", "pneumonia"] * 2, "patient_id": list("abcd")}
    pd.DataFrame(table).to_csv(tmp_path / "table.csv", index=False)
    write_manifest(build_manifest([f"manifest_csv:{tmp_path / 'table.csv'}"], show_progress=False), tmp_path / "manifest.csv")
    assert flag_data(tmp_path / "manifest.csv", out=tmp_path / "quality.csv") == inverted
    output = capsys.readouterr().out
    assert ("2  manifest_csv: inverted" in output) == bool(inverted) and f"{inverted} of 4 images are flagged" in output
    listed = pd.read_csv(tmp_path / "quality.csv")
    assert list(listed["image_id"]) == ["manifest_csv/0", "manifest_csv/1"][:inverted]
