"""One fold of a classifier on stored features, as a job: search, fit, predictions, scores. It needs no keras and starts at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxr_keras.config.loader import read_config
from cxr_keras.config.schema import RunConfig
from cxr_keras.data.folds import assert_no_shared_group
from cxr_keras.data.labels import class_order
from cxr_keras.data.manifest import read_manifest, select_images
from cxr_keras.evaluation import predictions_table, score_predictions
from cxr_keras.features.classify import Fitted, SearchSettings, fit_rows
from cxr_keras.features.model_files import feature_key
from cxr_keras.features.neighbours import NeighboursModel
from cxr_keras.features.saved import save_classifier
from cxr_keras.features.search import FitSettings
from cxr_keras.progress import SECONDS_BETWEEN_LINES
from cxr_keras.recipes.classifier_files import base_folder, read_representation, settings_of
from cxr_keras.recipes.parts import parts_of
from cxr_keras.runs.directory import CONFIG_FILE, DONE_FILE
from cxr_keras.runs.files import write_csv, write_json

CLASSIFIER_FILE = "model.npz"
GRID_FILE = "grid.csv"
INNER_FILE = "grid_by_inner_fold.csv"


def search_settings(config: RunConfig) -> SearchSettings:
    """The config's classifier as the features stage takes it.

    Raises:
        ValueError: the config has no classifier, or one that cannot be.
    """
    section = config.classifier
    if section is None:
        raise ValueError(f"{config.name} has no section `classifier`; its network is trained.")
    fit = FitSettings(
        class_weight=None if section.class_weights == "none" else section.class_weights,
        scale=section.scale,
        tol=section.tolerance,
        max_iter=section.max_iterations,
    )
    return SearchSettings(section.kind, section.grid, section.folds, config.seed_of_splits, section.choose_by, fit)


def classify_fold(*, folder: Path, run_directory: str, fold: int, label: str) -> None:
    """Search, fit and score one fold; everything it leaves lies in `folder`, `done.json` last.

    Args:
        folder: the fold's folder; holds `parts.csv` (image_id, part) with the parts train, test and perhaps validation and unused.
        run_directory: the run's directory with `config.yaml` and `manifest.csv`; the base of the fold is prepared.
        fold: the fold's number.
        label: what progress lines call it.

    Raises:
        ValueError: the parts share a patient, the search finds no model, or stored features are damaged.
    """
    started = time.monotonic()
    root = Path(run_directory)
    config, manifest = read_config(root / CONFIG_FILE), read_manifest(root / "manifest.csv")
    base = base_folder(folder, config.model.weights)
    representation, row_of = read_representation(base, manifest)
    parts = parts_of(folder)
    used = select_images(manifest, parts.index)
    assert_no_shared_group(used, parts)
    tables = {part: used[used["image_id"].map(parts) == part] for part in ("train", "validation", "test")}
    classes = class_order(used["label"])
    settings = search_settings(config)
    tried = f"{len(settings.values)} values of {settings.kind.parameter}, {settings.folds} inner folds"
    print(f"{label}: {settings.classifier.replace('_', ' ')}, {tried}, {len(tables['train']):,} images", file=sys.stderr, flush=True)

    aligned = manifest.set_index("image_id").loc[row_of.index]
    fitted = fit_rows(
        representation,
        aligned["label"].to_numpy(str),
        aligned["group_id"].to_numpy(str),
        training_rows=row_of[tables["train"]["image_id"]].to_numpy(),
        settings=settings,
        on_fit=count_fits(label, len(settings.values) * settings.folds),
    )
    predicted = {}
    for part, name in (("validation", "validation_predictions.csv"), ("test", "predictions.csv")):
        if len(tables[part]):
            probabilities = in_order(fitted.predict(row_of[tables[part]["image_id"]].to_numpy()), fitted.classes, classes)
            predicted[part] = predictions_table(tables[part], probabilities, classes, fold=fold, part=part)
            write_csv(folder / name, predicted[part])
    write_csv(folder / GRID_FILE, fitted.search.curve)
    write_csv(folder / INNER_FILE, fitted.search.per_fold)
    scores = score_predictions(predicted["test"], draws=config.evaluation.bootstrap_draws, seed=config.seed, classes=classes)
    write_json(folder / "metrics.json", scores)
    if config.training.save_models:
        kept = fitted.model() if settings.classifier != "nearest_neighbours" else _neighbours(fitted, tables["train"])
        save_classifier(folder / CLASSIFIER_FILE, kept, feature_key=feature_key(settings_of(base)))
    seconds = round(time.monotonic() - started, 1)
    print(f"{label}: {settings.kind.parameter} {fitted.search.best:g} chosen, {seconds:,.1f} s", file=sys.stderr, flush=True)
    done = {
        "images": {part: len(table) for part, table in tables.items()},
        "patients": {part: int(table["group_id"].nunique()) for part, table in tables.items()},
        "training_examples": len(tables["train"]),
        "chosen": {fitted.search.parameter: fitted.search.best},
        "phases": [],
        "seconds": seconds,
        "training_seconds": seconds,
    }
    write_json(folder / DONE_FILE, done)


def count_fits(label: str, total: int) -> Callable[[], None]:
    """Give what is to be called after each fit of a search; it says now and then how far the search is.

    The time left is not told: fits of large C come last and take longest.
    """
    count, last = 0, time.monotonic()

    def fitted() -> None:
        nonlocal count, last
        count += 1
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{label}: {count} of {total} fits", file=sys.stderr, flush=True)

    return fitted


def in_order(probabilities: np.ndarray, found: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Put columns of probabilities into the order of `classes`.

    Raises:
        ValueError: the classifier does not know one of them, because its training part had none.
    """
    if absent := sorted(set(classes) - set(found)):
        raise ValueError(f"the training part has no image of {', '.join(absent)}; take fewer folds, another seed, or more patients.")
    return probabilities[:, [list(found).index(name) for name in classes]]


def _neighbours(fitted: Fitted, training: pd.DataFrame) -> NeighboursModel:
    return NeighboursModel(training["image_id"].to_numpy(str), training["label"].to_numpy(str), int(fitted.search.best), fitted.classes)
