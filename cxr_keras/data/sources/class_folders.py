"""One folder a class: `DIR/<class>/**/*.png`."""

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
)

EXPECTED = "one folder for each class with images in it"


def read(path: str | Path, *, patients: str | None = None) -> pd.DataFrame:
    """Read class folders; the label is the folder's name as a lower-case word (`Viral Pneumonia` -> viral_pneumonia).

    Folders inside a class folder are read as part of it. The id of an image is its path below `path` with the suffix, since
    numbered files often share their stems across classes.

    Args:
        path: the folder that holds the class folders.
        patients: must be "one_per_image".

    Raises:
        ValueError: folder missing, fewer than two class folders, two folders of one label, a class folder without images, or
            `patients` not given.
    """
    root = require_folder(path, source="class_folders", expected=EXPECTED)
    require_patients_choice(patients, source="class_folders")
    folders = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))]
    if len(folders) < 2:
        names = ", ".join(folder.name for folder in folders) or "no folder"
        raise ValueError(
            f"class_folders: {root} holds {names}; expected {EXPECTED}, two classes or more. Name the folder above the classes."
        )
    labels = Counter(label_word(folder.name) for folder in folders)
    shared = [folder.name for folder in folders if labels[label_word(folder.name)] > 1 or not label_word(folder.name)]
    if shared:
        raise ValueError(
            f"class_folders: the folders {', '.join(shared)} of {root} do not give each class a label of its own (a lower-case "
            "word of letters and digits); rename or join them."
        )
    skipped: Counter[str] = Counter()
    rows = []
    for folder in folders:
        images = list_images(folder, skipped, recursive=True)
        require_images(images, source="class_folders", folder=folder, skipped=skipped)
        for image in images:
            image_id = image.relative_to(root).as_posix()
            row = {"image_id": image_id, "path": str(image), "label": label_word(folder.name), "patient_id": image_id}
            rows.append({**row, "split": "", "patients_known": "no"})
    return rows_table(rows, skipped)


SOURCE = Source(
    name="class_folders",
    read=read,
    description="DIR/<class>/ with images; give labels: as_given for classes of your own",
    knows_patients=False,
)
