"""One fold as a job: model, training, predictions, scores. Runs in its own interpreter."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import models_zoo
from cxr_keras.config.loader import read_config
from cxr_keras.config.schema import RunConfig
from cxr_keras.data.examples import Examples, examples_of
from cxr_keras.data.folds import assert_no_shared_group
from cxr_keras.data.labels import class_order
from cxr_keras.data.manifest import read_manifest, select_images
from cxr_keras.evaluation import predictions_table
from cxr_keras.evaluation.scores import score_predictions
from cxr_keras.recipes.batches import batches_in_order, expanded, look_of, open_cache, training_data
from cxr_keras.recipes.frozen import PRIVATE_STORE, behind_frozen_base
from cxr_keras.recipes.parts import parts_of
from cxr_keras.recipes.replicas import check_batch, devices_of
from cxr_keras.recipes.tracking import trackers_of_fold
from cxr_keras.recipes.weights import model_of, weights_of_fold
from cxr_keras.runs.directory import CONFIG_FILE, DONE_FILE
from cxr_keras.runs.files import write_atomically, write_csv, write_json
from cxr_keras.training.class_weights import class_weights
from cxr_keras.training.display import TrainingDisplay
from cxr_keras.training.fit import FitSettings, run_phases
from cxr_keras.training.recorder import STATE_FILE
from cxr_keras.training.strategies import Phase, phases_of
from cxr_keras.training.validation import predict_from_logits


def train_fold(
    *,
    folder: Path,
    run_directory: str,
    fold: int,
    label: str,
    epochs: dict[str, int] | None = None,
    tracking: dict[str, Any] | None = None,
) -> None:
    """Train and score one fold; everything it leaves lies in `folder`, `done.json` last.

    Args:
        folder: the fold's folder; holds `parts.csv` (image_id, part) with the parts train, test and perhaps validation and unused.
        run_directory: the run's directory with `config.yaml` and `manifest.csv`.
        fold: the fold's number; with the seed it determines initial weights, order of batches and dropout.
        label: what progress lines call it.
        epochs: epochs a phase that were found beforehand (Božičković); they are run to the end, nothing is chosen.
        tracking: of `cxr_keras.recipes.tracking.told_to`; None tells nobody.

    Raises:
        ValueError: the parts share a patient, the weights do not fit, or files changed.
    """
    started = time.monotonic()
    root = Path(run_directory)
    config = read_config(root / CONFIG_FILE)
    manifest = read_manifest(root / "manifest.csv")
    parts = parts_of(folder)
    manifest = select_images(manifest, parts.index)
    assert_no_shared_group(manifest, parts)
    tables = {part: manifest[manifest["image_id"].map(parts) == part] for part in ("train", "validation", "test")}
    classes = class_order(manifest["label"])

    prepare_backend(config, fold)
    display = TrainingDisplay(label)
    devices = devices_of(config)
    if config.training.distribution == "mirrored":
        listed = ", ".join(devices.names)
        display.note(f"one copy of the network on each of {listed}" if devices.count > 1 else f"only one device was found ({listed})")
    with devices.scope():
        model = build_model(config, num_classes=len(classes), fold=fold, folder=folder)
    cache = open_cache(manifest, config, show_progress=False)
    examples = {part: examples_of(table, cache, classes) for part, table in tables.items() if len(table)}
    training = expanded(examples["train"], config, classes)
    check_batch(min(config.data.batch_size, len(training)), devices)
    weights = class_weights(config.training.class_weights, classes, training_labels=_labels(training, classes))
    phases, settings = phases_and_settings(config, epochs)
    scored = "test" if config.split.curves_on_test and epochs is None else "validation"
    curves = examples.get(scored)
    data = training_data(
        cache.images, training, curves, config=config, fold=fold, classes=classes, weights=weights, jit=settings.jit_compile
    )
    if config.trains_behind_frozen_base:
        behind_base = behind_frozen_base(
            config,
            pd.concat([tables["train"], tables[scored]]),
            training,
            curves,
            classes=classes,
            weights=weights,
            settings=settings,
            fold=fold,
            folder=folder,
        )
        data = dataclasses.replace(data, behind_base=behind_base)
    trackers = trackers_of_fold(tracking, root, label=label)
    state = run_phases(model, phases, data, settings=settings, folder=folder, display=display, tracker=trackers, devices=devices)

    predicted: dict[str, pd.DataFrame] = {}
    for part, name in (("validation", "validation_predictions.csv"), ("test", "predictions.csv")):
        if part in examples:
            predicted[part] = predict_table(model, tables[part], examples[part], cache.images, classes, fold=fold, config=config, part=part)
            write_csv(folder / name, predicted[part])
    scores = score_predictions(predicted["test"], draws=config.evaluation.bootstrap_draws, seed=config.seed, classes=classes)
    write_json(folder / "metrics.json", scores)
    if config.training.save_models:
        with write_atomically(folder / "model.keras") as temporary:
            saved_part(model, with_optimizer=config.training.save_optimizer).save(temporary)
    done = {
        "images": {part: len(table) for part, table in tables.items()},
        "patients": {part: int(table["group_id"].nunique()) for part, table in tables.items()},
        "training_examples": len(training.rows),
        "parameters": model.count_params(),
        "class_weights": None if weights is None else dict(zip(classes, map(float, weights), strict=True)),
        "phases": state.phases_done,
        "jit_compile": settings.jit_compile,
        "devices": devices.count,
        "seconds": round(time.monotonic() - started, 1),
        "training_seconds": round(sum(row["seconds"] for row in state.history), 1),
        "tracking_failures": trackers.failures,
    }
    # First, as nobody would come back for it after a kill: a fold that is done is not run again.
    shutil.rmtree(folder / PRIVATE_STORE, ignore_errors=True)
    write_json(folder / DONE_FILE, done)
    (folder / STATE_FILE).unlink(missing_ok=True)


def prepare_backend(config: RunConfig, fold: int) -> None:
    """Set precision and every random seed of this interpreter."""
    keras.config.set_dtype_policy(config.training.precision)
    keras.utils.set_random_seed((config.seed * 1009 + fold) % 2**31)


def build_model(config: RunConfig, *, num_classes: int, fold: int, folder: Path) -> keras.Model:
    """Build the config's model for this fold, its weights checked against the fold's images."""
    model = model_of(config)
    weights = weights_of_fold(config.model, fold=fold, folder=folder)
    return models_zoo.build(model.name, config.data.image_size, num_classes, weights=weights, **model.params)


def phases_and_settings(config: RunConfig, epochs: dict[str, int] | None) -> tuple[tuple[Phase, ...], FitSettings]:
    """The phases and fit settings of this config; with `epochs` given, exactly so many and nothing chosen."""
    training = config.training
    phases = phases_of(training.strategy, training.phases)
    if epochs is not None:
        phases = tuple(dataclasses.replace(phase, epochs=epochs[phase.name], patience=None) for phase in phases)
    # JAX without XLA runs operation by operation; TensorFlow on a CPU was two to four times slower with it.
    compiles = keras.backend.backend() == "jax" or any(device.startswith("gpu") for device in keras.distribution.list_devices())
    compiles = compiles and training.distribution == "none"
    jit = compiles if training.jit_compile == "auto" else training.jit_compile
    calibrate = config.model.weights is None if training.calibrate_batch_norm == "auto" else training.calibrate_batch_norm
    settings = FitSettings(
        monitor=training.monitor,
        keep="last" if epochs is not None else training.keep,
        jit_compile=bool(jit),
        calibrate_batch_norm=bool(calibrate),
        checkpoint_seconds=training.checkpoint_seconds,
        keep_optimizer=training.save_models and training.save_optimizer,
    )
    return phases, settings


def saved_part(model: keras.Model, *, with_optimizer: bool) -> keras.Model:
    """The model itself, or one of the same layers that was never compiled and so is saved without an optimizer.

    Auxiliary outputs serve training alone and are left out.
    """
    return model if with_optimizer else keras.Model(model.inputs, model.outputs[0], name=model.name)


def predict_table(
    model: keras.Model,
    manifest: pd.DataFrame,
    examples: Examples,
    images: np.ndarray,
    classes: tuple[str, ...],
    *,
    fold: int,
    config: RunConfig,
    part: str,
) -> pd.DataFrame:
    """Predict a part: one row an image with its id, patient group, fold, label and one probability a class.

    The validation part has the look that its epochs were scored with, so that a threshold is chosen for the same images as the epoch.
    """
    batches = batches_in_order(images, examples, config, appearance=look_of(part, config))
    probabilities, _ = predict_from_logits(model, batches)
    return predictions_table(manifest, probabilities, classes, fold=fold, part=part)


def _labels(examples: Examples, classes: tuple[str, ...]) -> list[str]:
    """Label of each example."""
    return [classes[index] for index in examples.targets.argmax(axis=1)]
