"""What the folds of a classifier share, made by one job: stored features of all images and their exact reduction.

A base is shared by all folds, in `RUN/base`, unless `model.weights` names one for each fold; then each has its own, in `RUN/fold-k/base`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from cxr_keras.config.loader import read_config
from cxr_keras.data.manifest import read_manifest
from cxr_keras.features import FeatureStore, open_store
from cxr_keras.features.extract import describe_model, layer_model
from cxr_keras.features.gram import Representation, bytes_needed, represent
from cxr_keras.features.rows import SelectedRows, row_blocks
from cxr_keras.features.store import name_pictures
from cxr_keras.recipes.batches import cache_folder
from cxr_keras.recipes.features import extract_features
from cxr_keras.recipes.fixed_network import build_up_to
from cxr_keras.recipes.weights import PARTS_FILE, weights_of_fold
from cxr_keras.runs.directory import CONFIG_FILE, DONE_FILE
from cxr_keras.runs.files import read_json, write_atomically, write_json

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


def prepare_base(*, folder: Path, run_directory: str, folds: dict[str, int]) -> None:
    """Extract the features of all images of a run and reduce them; a job.

    Args:
        folder: the base's folder.
        run_directory: the run's directory with `config.yaml` and `manifest.csv`.
        folds: folder name -> number of each fold that will use it; each holds its `parts.csv`.

    Raises:
        ValueError: weights that do not fit or have seen images that one of the folds holds out, or more images than memory can take.
    """
    started = time.monotonic()
    root = Path(run_directory)
    config, manifest = read_config(root / CONFIG_FILE), read_manifest(root / "manifest.csv")
    classifier = config.classifier
    assert classifier is not None
    weights: str | Path | None = None
    for name, fold in folds.items():
        weights = weights_of_fold(config.model, fold=fold, folder=root / name)
        if not (isinstance(weights, Path) and (weights.parent / PARTS_FILE).exists()):
            break  # of weights from elsewhere every fold says the same
    model = build_up_to(config, layer=classifier.layer, weights=weights)
    columns = describe_model(model, classifier.layer)["dimensions"]
    check_memory(len(manifest), columns)
    if config.training.save_models:
        with write_atomically(folder / BASE_FILE) as temporary:
            layer_model(model, classifier.layer).save(temporary)
    store = extract_features(config, manifest, layer=classifier.layer, show_progress=True, model=model)
    extracted = time.monotonic()
    features = SelectedRows(store, store.rows_of(manifest))
    write_representation(folder, represent(features), manifest["image_id"].to_numpy(str))
    if classifier.kind == "nearest_neighbours" and config.training.save_models:
        copy_features(folder, features, manifest["image_id"].to_numpy(str))
    done = {
        "settings": dict(store.settings),
        "store": str(store.folder),
        "images": len(manifest),
        "features": columns,
        "weights": str(weights),
        "reused": store.reused,
        "wanted": store.wanted,
        "extraction_seconds": round(extracted - started, 1),
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(folder / DONE_FILE, done)


def check_memory(images: int, columns: int) -> None:
    """Refuse what memory cannot hold before hours of extraction.

    Raises:
        ValueError: the reduction needs more than the machine has free.
    """
    needed, free = bytes_needed(images, columns), free_memory()
    if needed > free:
        raise ValueError(
            f"a classifier on {columns:,} features of {images:,} images needs {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are "
            "free. Take the layer pooled or embedding, fewer images (data.at_most_per_class), or a machine with more memory."
        )


def free_memory() -> int:
    """Bytes that a process could take now without swapping."""
    information = Path("/proc/meminfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def is_prepared(folder: Path, manifest: pd.DataFrame) -> bool:
    """Whether a base is ready for its folds, its features still in the cache.

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
    with np.load(folder / FRAME_FILE, allow_pickle=False) as frame:
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


def load_base(folder: Path) -> keras.Model:
    """Open the network of a base."""
    return keras.models.load_model(folder / BASE_FILE, compile=False, safe_mode=True)


def remove_intermediate(folder: Path) -> None:
    """Give back the space of what only the fits needed."""
    for name in (ROWS_FILE, FRAME_FILE):
        (folder / name).unlink(missing_ok=True)


def settings_of(folder: Path) -> dict[str, Any]:
    """What the features of a base were made with."""
    return read_json(folder / DONE_FILE)["settings"]


def _store(folder: Path) -> FeatureStore:
    return open_store(cache_folder() / "features", settings_of(folder))
