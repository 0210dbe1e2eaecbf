"""What the folds of a classifier share, made by one job: stored features of all images and their exact reduction."""

from __future__ import annotations

import time
from pathlib import Path

import keras

from cxr_keras.config.loader import read_config
from cxr_keras.data.manifest import read_manifest
from cxr_keras.features.extract import describe_model, layer_model
from cxr_keras.features.gram import bytes_needed, represent
from cxr_keras.features.rows import SelectedRows
from cxr_keras.recipes.classifier_files import BASE_FILE, copy_features, write_representation
from cxr_keras.recipes.features import extract_features
from cxr_keras.recipes.fixed_network import build_up_to
from cxr_keras.recipes.weights import lineage_of, weights_of_fold
from cxr_keras.runs.directory import CONFIG_FILE, DONE_FILE
from cxr_keras.runs.files import write_atomically, write_json
from cxr_keras.runs.memory import free_memory


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
        if not (isinstance(weights, Path) and lineage_of(weights).folds):
            break  # of weights from elsewhere every fold says the same
    model = build_up_to(config, layer=classifier.layer, weights=weights)
    columns = describe_model(model, classifier.layer)["dimensions"]
    check_memory(len(manifest), columns, on_products=classifier.kind == "linear_svm")
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


def check_memory(images: int, columns: int, *, on_products: bool = False) -> None:
    """Refuse what memory cannot hold before hours of extraction.

    Args:
        images: of the run.
        columns: features an image.
        on_products: whether the classifier holds the inner products of all pairs of training images.

    Raises:
        ValueError: the reduction, or the search of one fold, needs more than the machine has free.
    """
    needed, free = bytes_needed(images, columns, on_products=on_products), free_memory()
    if needed > free:
        raise ValueError(
            f"a classifier on {columns:,} features of {images:,} images needs {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are "
            "free. Take the layer pooled or embedding, fewer images (data.at_most_per_class), or a machine with more memory."
        )


def load_base(folder: Path) -> keras.Model:
    """Open the network of a base.

    Raises:
        ValueError: it is not there.
    """
    if not (folder / BASE_FILE).is_file():
        raise ValueError(
            f"{folder / BASE_FILE} is not there, the network that the classifiers' features come from; restore it, or run again."
        )
    return keras.models.load_model(folder / BASE_FILE, compile=False, safe_mode=True)
