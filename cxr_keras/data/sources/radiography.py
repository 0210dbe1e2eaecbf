"""COVID-19 Radiography Database: `<Class>/images/*.png`, `<Class>/masks/*.png`, `<Class>.metadata.xlsx`.

Chowdhury et al. 2020 (doi 10.1109/ACCESS.2020.3010287), Rahman et al. 2021. The sheets list file name, format, size
and the web address of the collection an image came from, but no patient, so they are not opened: the list of files says all
that a manifest needs, and no spreadsheet library has to be installed. The first release has the images in the class folder
itself; both layouts are read. The masks are left out.

Normal and Viral Pneumonia hold the children of the Kermany set, encoded again as 299-pixel PNG: their bytes differ, so
identical files are not found and the two sources must not be combined without an audit of near copies.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from cxr_keras.data.labels import label_word
from cxr_keras.data.sources.source import (
    Source,
    list_images,
    require_folder,
    require_images,
    require_patients_choice,
    rows_table,
    unique_ids,
)

LABELS = {"covid19": "covid19", "normal": "normal", "viral_pneumonia": "viral", "lung_opacity": "lung_opacity"}
"""Folder name as a word -> label. Lung opacity (RSNA, other than COVID-19) is no class of any scheme: a label map decides."""

EXPECTED = "the class folders COVID, Normal, 'Viral Pneumonia', Lung_Opacity with images/ in each"


def read(path: str | Path, *, patients: str | None = None) -> pd.DataFrame:
    """Read the class folders; labels are covid19, normal, viral, lung_opacity.

    Args:
        path: the folder with the class folders, or the one around it (`COVID-19_Radiography_Dataset`).
        patients: must be "one_per_image".

    Raises:
        ValueError: folder missing, no class folder, a class folder without images, or `patients` not given.
    """
    root = require_folder(path, source="radiography", expected=EXPECTED)
    require_patients_choice(patients, source="radiography")
    classes = _class_folders(root)
    inner = sorted(entry for entry in root.iterdir() if entry.is_dir())
    if not classes and len(inner) == 1:
        root, classes = inner[0], _class_folders(inner[0])
    if not classes:
        names = ", ".join(entry.name for entry in inner[:8]) or "no folders"
        raise ValueError(f"radiography: {root} holds {names}; expected {EXPECTED}.")
    skipped: Counter[str] = Counter()
    found: list[tuple[Path, str]] = []
    for label, folder in classes.items():
        inside = folder / "images" if (folder / "images").is_dir() else folder
        images = list_images(inside, skipped)
        require_images(images, source="radiography", folder=inside, skipped=skipped)
        found += [(image, label) for image in images]
    ids = unique_ids([image for image, _ in found], root)
    return rows_table(
        (
            {"image_id": image_id, "path": str(image), "label": label, "patient_id": image_id, "split": "", "patients_known": "no"}
            for image_id, (image, label) in zip(ids, found, strict=True)
        ),
        skipped,
    )


def _class_folders(root: Path) -> dict[str, Path]:
    folders = {label_word(entry.name): entry for entry in sorted(root.iterdir()) if entry.is_dir()}
    return {label: folders[word] for word, label in LABELS.items() if word in folders}


SOURCE = Source(
    name="radiography",
    read=read,
    description="COVID-19 Radiography Database: COVID, Normal, 'Viral Pneumonia', Lung_Opacity, each with images/",
    gives=("covid19", "normal", "viral", "lung_opacity"),
    knows_patients=False,
)
