"""Which weights a fold starts from, and whether they have seen its held-out images."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from cxr_keras.data.manifest import read_manifest
from cxr_keras.weights import resolve_weights

PARTS_FILE = "parts.csv"


def weights_of_fold(value: str | None, *, architecture: str, fold: int, folder: Path) -> str | Path | None:
    """Resolve the config's `model.weights` for one fold.

    Weights that a run of this package trained carry their own parts beside them, so their training images are known: none of them may be
    an image, or belong to a patient, that this fold holds out. Of other files the training images are unknown, which is said.

    Args:
        value: null, "imagenet", or a path in which "{fold}" stands for the number of the fold.
        architecture: name of the architecture.
        fold: number of the fold.
        folder: the fold's folder with its `parts.csv`; the run directory above holds the manifest.

    Returns:
        What `models_zoo.build` takes.

    Raises:
        ValueError: the file is missing or of another architecture, or its training saw images or patients that this fold holds out.
    """
    if value is None or value == "imagenet":
        return resolve_weights(value, architecture=architecture)
    path = resolve_weights(value.replace("{fold}", str(fold)), architecture=architecture)
    assert isinstance(path, Path)
    if not (path.parent / PARTS_FILE).exists():
        print(f"weights {path}: the images they were trained on are not recorded beside them", file=sys.stderr)
        return path
    seen = _rows_of_part(path.parent, {"train", "validation"})
    held_out = _rows_of_part(folder, {"validation", "test"})
    for column, what in (("sha256", "images"), ("group_id", "patients")):
        if shared := set(seen[column]) & set(held_out[column]):
            raise ValueError(
                f"{path} was trained on {len(shared)} {what} that fold {fold} holds out, so its scores would be too good. Use weights "
                "of a run with the same folds and {fold} in the path, or weights from other images."
            )
    return path


def _rows_of_part(folder: Path, parts: set[str]) -> pd.DataFrame:
    """The manifest rows of a fold's parts."""
    manifest = read_manifest(folder.parent / "manifest.csv")
    part = pd.read_csv(folder / PARTS_FILE, dtype=str).set_index("image_id")["part"]
    return manifest[manifest["image_id"].map(part).isin(parts)]
