"""What lies in the folder of a classifier's base. Nothing here needs keras, so the folds' jobs start at once.

A base is shared by all folds, in `RUN/base`, unless `model.weights` names one for each fold; then each has its own, in `RUN/fold-k/base`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxr_keras.features import FeatureStore, open_store
from cxr_keras.features.gram import Representation
from cxr_keras.features.rows import SelectedRows, row_blocks
from cxr_keras.features.store import name_pictures
from cxr_keras.runs.directory import DONE_FILE
from cxr_keras.runs.files import read_json, read_npz, write_atomically

BASE_FOLDER = "base"
BASE_FILE = "model.keras"
ROWS_FILE = "rows.npy"
FRAME_FILE = "frame.npz"
FEATURES_FILE = "training_features.npy"
IDS_FILE = "image_ids.npy"
"""Of the base: the network up to the layer; Z of `gram.py` and what belongs to it, while folds are fitted; and, for nearest neighbours
alone, which are their training images, the features of the run's images with their ids."""


def base_folder(fold_folder: Path, weights: str | None) -> Path:
    """The folder of the base of a fold."""
    return (fold_folder if "{fold}" in (weights or "") else fold_folder.parent) / BASE_FOLDER


def is_prepared(folder: Path, manifest: pd.DataFrame) -> bool:
    """Whether a base is ready for its folds, its features still where they were.

    Raises:
        ValueError: stored features are damaged.
    """
    if not all((folder / name).exists() for name in (DONE_FILE, ROWS_FILE, FRAME_FILE)):
        return False
    originals = name_pictures(manifest, np.zeros(len(manifest), np.int64), None)
    return bool((_store(folder).find(originals) >= 0).all())


def write_representation(folder: Path, found: Representation, image_ids: np.ndarray) -> None:
    """Keep a representation and the image of each of its rows."""
    with write_atomically(folder / ROWS_FILE) as temporary:
        np.save(temporary, found.rows, allow_pickle=False)
    eigenvalues = np.zeros(0) if found.eigenvalues is None else found.eigenvalues
    with write_atomically(folder / FRAME_FILE) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, allow_pickle=False, mean=found.mean, eigenvalues=eigenvalues, image_ids=image_ids)


def read_representation(folder: Path, manifest: pd.DataFrame) -> tuple[Representation, pd.Series]:
    """Open a representation; its rows are read from disk as they are asked for.

    Returns:
        The representation, and the row of each image by image_id.
    """
    try:
        frame = read_npz(folder / FRAME_FILE)
    except ValueError as error:
        raise ValueError(f"{folder / FRAME_FILE} cannot be read ({error}). Remove {folder}; the same command makes it again.") from error
    mean, eigenvalues, image_ids = (frame[name] for name in ("mean", "eigenvalues", "image_ids"))
    store = _store(folder)
    source = SelectedRows(store, store.rows_of(manifest.set_index("image_id", drop=False).loc[image_ids]))
    rows = np.load(folder / ROWS_FILE, mmap_mode="r", allow_pickle=False)
    found = Representation(source, mean, rows, eigenvalues if len(eigenvalues) else None)
    return found, pd.Series(np.arange(len(image_ids)), index=image_ids)


def copy_features(folder: Path, features: SelectedRows, image_ids: np.ndarray) -> None:
    """Keep the features of the run's images themselves, float32 (n, d), copied block by block."""
    with write_atomically(folder / FEATURES_FILE) as temporary:
        target = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=features.shape)
        for block in row_blocks(*features.shape):
            target[block] = features.read(np.arange(block.start, block.stop))
        target.flush()
        del target
    with write_atomically(folder / IDS_FILE) as temporary:
        np.save(temporary, image_ids, allow_pickle=False)


def saved_features(folder: Path, image_ids: np.ndarray) -> SelectedRows:
    """Open what `copy_features` kept, the rows of these images in this order."""
    numbers = pd.Series(np.arange(len(known := np.load(folder / IDS_FILE, allow_pickle=False))), index=known)
    return SelectedRows(np.load(folder / FEATURES_FILE, mmap_mode="r", allow_pickle=False), numbers[image_ids].to_numpy())


def remove_intermediate(folder: Path) -> None:
    """Give back the space of what only the fits needed."""
    for name in (ROWS_FILE, FRAME_FILE):
        (folder / name).unlink(missing_ok=True)


def settings_of(folder: Path) -> dict[str, Any]:
    """What the features of a base were made with."""
    return read_json(folder / DONE_FILE)["settings"]


def _store(folder: Path) -> FeatureStore:
    done = read_json(folder / DONE_FILE)
    return open_store(Path(done["store"]).parent, done["settings"])
