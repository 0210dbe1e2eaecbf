"""Chest X-Ray Images (Pneumonia): `chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}`.

Kermany, Zhang, Goldbaum 2018 (doi 10.17632/rscbjbr9sj). The subtype of a pneumonia and the patient stand in the file
name: `person<NUMBER>_<bacteria|virus>_<FILE>.jpeg` and `[NORMAL2-]IM-<NUMBER>-<FILE>[-<FILE>].jpeg`. Numbers are counted
afresh for each subtype and each prefix: by the bare number 264 patients seem to lie in both official folders, by
(prefix, subtype, number) none does.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pandas as pd

from cxr_keras.data.sources.source import Source, list_images, require_folder, require_images, rows_table, unique_ids

SPLITS = ("train", "val", "test")
CLASS_FOLDERS = ("NORMAL", "PNEUMONIA")
EXPECTED = "the folder chest_xray with train/, val/, test/ and NORMAL/, PNEUMONIA/ in each"

_PNEUMONIA = re.compile(r"person(?P<number>\d+)_(?P<subtype>bacteria|virus)_\d+(_\d+)*")
_NORMAL = re.compile(r"(?P<prefix>NORMAL2-IM|IM)-(?P<number>\d+)-\d+(-\d+)*")
_LABELS = {"bacteria": "bacterial", "virus": "viral"}


def parse_name(stem: str) -> tuple[str, str] | None:
    """Give (label, patient) of a file name without its suffix, or None if it follows neither pattern.

    The patient is `person<number>_<subtype>` or `<prefix>-<number>` with leading zeros removed from the number.
    """
    if match := _PNEUMONIA.fullmatch(stem):
        return _LABELS[match["subtype"]], f"person{int(match['number'])}_{match['subtype']}"
    if match := _NORMAL.fullmatch(stem):
        return "normal", f"{match['prefix']}-{int(match['number'])}"
    return None


def find_root(folder: Path) -> Path:
    """Find the folder that holds the official splits: `folder` or a folder `chest_xray` in it.

    The Kaggle archive holds a second copy of everything in `chest_xray/chest_xray`; the uppermost one is taken.

    Raises:
        ValueError: none of them holds a split.
    """
    candidates = [folder, folder / "chest_xray", folder / "chest_xray" / "chest_xray"]
    for candidate in candidates:
        if any((candidate / split / name).is_dir() for split in SPLITS for name in CLASS_FOLDERS):
            return candidate
    inside = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))[:8]
    raise ValueError(f"kermany: {folder} holds {', '.join(inside) or 'nothing'}; expected {EXPECTED}.")


def read(path: str | Path, *, patients: str | None = None) -> pd.DataFrame:
    """Read the folders; labels are normal, bacterial, viral.

    Args:
        path: `chest_xray` or the folder around it.
        patients: not used, the names hold the patients.

    Raises:
        ValueError: folder missing, class folder missing or empty, names that follow no known pattern, or a name that
            contradicts its folder.
    """
    root = find_root(require_folder(path, source="kermany", expected=EXPECTED))
    skipped: Counter[str] = Counter()
    found: list[tuple[Path, str, str]] = []
    for split in SPLITS:
        if not (root / split).is_dir():
            continue
        for name in CLASS_FOLDERS:
            folder = require_folder(root / split / name, source="kermany", expected=EXPECTED)
            images = list_images(folder, skipped)
            require_images(images, source="kermany", folder=folder, skipped=skipped)
            found += [(image, split, name) for image in images]
    rows, faults = [], []
    ids = unique_ids([image for image, _, _ in found], root)
    for image_id, (image, split, name) in zip(ids, found, strict=True):
        parsed = parse_name(image.stem)
        if parsed is None or (parsed[0] == "normal") != (name == "NORMAL"):
            faults.append(f"{split}/{name}/{image.name}")
            continue
        label, patient = parsed
        rows.append({"image_id": image_id, "path": str(image), "label": label, "patient_id": patient, "split": split})
    if faults:
        raise ValueError(
            f"kermany: {len(faults)} file names in {root} tell no patient or contradict their folder: "
            f"{', '.join(faults[:5])}{' …' if len(faults) > 5 else ''}. Expected person<NUMBER>_<bacteria|virus>_<FILE> in "
            "PNEUMONIA and [NORMAL2-]IM-<NUMBER>-<FILE> in NORMAL. Restore the names, or read the folders with the source "
            "class_folders."
        )
    return rows_table(({**row, "patients_known": "yes"} for row in rows), skipped)


SOURCE = Source(
    name="kermany",
    read=read,
    description="Chest X-Ray Images (Pneumonia), Kermany 2018: chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}",
    gives=("normal", "bacterial", "viral"),
)
