"""`cxr plan`: what a run will need, measured on this machine before anything starts."""

from __future__ import annotations

import math
import resource
import sys
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd

import models_zoo
from cxr_keras.config.schema import RunConfig
from cxr_keras.data.examples import Examples
from cxr_keras.data.folds import make_folds
from cxr_keras.data.labels import class_order
from cxr_keras.recipes.batches import expanded
from cxr_keras.recipes.cross_validate import parts_of_fold
from cxr_keras.recipes.data import manifest_of
from cxr_keras.recipes.fold import phases_and_settings, prepare_backend
from cxr_keras.recipes.train import parts_of_split
from cxr_keras.recipes.weights import check_model
from cxr_keras.reporting.tables import Table, render_text
from cxr_keras.training.batch_norm import set_trainable
from cxr_keras.training.measure import seconds_per_image_predicted, seconds_per_step

FLOAT_BYTES = 4

NOTE = "Steps were timed on noise just now; a busy machine is slower. Decoding and passes that set BatchNorm statistics come on top."

SLOTS = {"adam": 2, "sgd": 0}
"""Variables of the optimizer for each trainable weight; momentum and averaged weights add one each."""


@dataclass(frozen=True)
class Sizes:
    """How many images the first fold (or the split) trains on and scores.

    Attributes:
        training: training examples, augmented copies among them.
        validation: images scored after each epoch, the test part with `split.curves_on_test`.
        test: images predicted at the end.
        decoded: files decoded once for all folds.
    """

    training: int
    validation: int
    test: int
    decoded: int


def plan_run(config: RunConfig, *, verb: Literal["cv", "train"]) -> dict[str, Any]:
    """Print what a run of this config needs: parameters, memory, disk, and time at the most epochs.

    The model is built and a few steps of each phase are timed on noise. Nothing is written but what phantoms need.

    Args:
        config: all settings, the images among them.
        verb: "cv" or "train".

    Returns:
        What is printed: images, parameters, memory and disk in bytes, seconds a step and of the whole run.

    Raises:
        ValueError: the config names no images, or cannot be run.
    """
    jobs = config.cross_validation.folds if verb == "cv" else 1
    config.refuse_missing_parts(verb)
    unweighted = config.model.model_copy(update={"weights": None})
    check_model(unweighted, image_size=config.data.image_size, folds=range(jobs))
    manifest = manifest_of(config.data, seed=config.seed_of_splits)
    classes = class_order(manifest["label"])
    sizes = sizes_of(config, manifest, classes, verb=verb)
    initial = verb == "cv" and config.cross_validation.protocol == "bozickovic"
    runs = (jobs + initial) * max(len(config.seeds), 1)
    prepare_backend(config, 0)
    # Without the weights: they change nothing of this, and need not be here yet.
    model = models_zoo.build(config.model.name, config.data.image_size, len(classes), **config.model.params)
    phases, settings = phases_and_settings(config, None)
    batch_size = min(config.data.batch_size, sizes.training)
    steps = math.ceil(sizes.training / batch_size)
    predicted = _predicted(models_zoo.prediction_model(model), config)
    rows, seconds, outputs = [], 0.0, 0
    for phase in phases:
        fitted = model
        if phase.train == "head" and config.trains_behind_frozen_base:
            fitted = models_zoo.head_model(model, start=models_zoo.frozen_layer(model))
            pictures = (sizes.training + sizes.validation) * (phase.epochs > 0)
            once = predicted * pictures
            outputs = max(outputs, pictures * math.prod(model.get_layer(models_zoo.frozen_layer(model)).output.shape[1:]))
            seconds += once
            rows.append((f"{phase.name}: features", "1", "", "", duration(once), duration(once)))
        set_trainable(model, phase)
        each = seconds_per_step(fitted, phase, batch_size=batch_size, jit_compile=settings.jit_compile)
        scored = _predicted(fitted, config) if fitted is not model else predicted
        epoch = each * steps + scored * sizes.validation
        seconds += epoch * phase.epochs
        stop = f", stops after {phase.patience} without a better one" if phase.patience is not None else ""
        rows.append(
            (phase.name, f"at most {phase.epochs}{stop}", f"{each:.2f} s", f"{steps:,}", duration(epoch), duration(epoch * phase.epochs))
        )
    seconds += predicted * sizes.test
    weights = model.count_params() * FLOAT_BYTES
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_variables)
    optimizers = [phase.optimizer for phase in phases]
    slots = max(SLOTS[settings.name] + (settings.momentum > 0) + (settings.average > 0) for settings in optimizers)
    stored_size = config.data.stored_size or config.data.image_size
    answer = {
        "images": {"training": sizes.training, "validation": sizes.validation, "test": sizes.test},
        "parameters": {"trainable": trainable, "all": model.count_params()},
        "peak_memory_bytes": peak_memory(),
        "pixel_cache_bytes": sizes.decoded * math.prod(stored_size),
        "base_outputs_bytes": outputs * FLOAT_BYTES,
        "model_bytes": runs * weights * (1 + slots * config.training.save_optimizer) * config.training.save_models,
        "state_bytes": weights * (1 + slots + (settings.keep == "best")),
        "seconds_per_job": seconds,
        "seconds": seconds * runs,
    }
    print(render_text([_summary(config, verb, answer, runs=runs), _phases_table(rows)]), end="")
    return answer


def sizes_of(config: RunConfig, manifest: pd.DataFrame, classes: tuple[str, ...], *, verb: str) -> Sizes:
    """Count the parts of the first fold, or of the split, by the run's own rules."""
    if verb == "cv":
        folds = make_folds(manifest, n_folds=config.cross_validation.folds, seed=config.seed_of_splits)
        parts = parts_of_fold(manifest, folds, 0, config=config)
    else:
        parts = parts_of_split(manifest, config)
    part = manifest["image_id"].map(parts)
    columns = manifest["label"].map(classes.index).to_numpy()[(part == "train").to_numpy()]
    numbers = np.arange(len(columns))
    originals = Examples(numbers, np.zeros_like(numbers), numbers, np.eye(len(classes), dtype=np.float32)[columns])
    training = expanded(originals, config, classes)
    validation, test = (int((part == name).sum()) for name in ("validation", "test"))
    if verb == "train" and config.split.curves_on_test:
        validation = test
    return Sizes(len(training), validation, test, manifest["sha256"].nunique())


def peak_memory() -> int:
    """Highest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def duration(seconds: float) -> str:
    """Write a time as "45 s", "12 min" or "3.4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _summary(config: RunConfig, verb: str, answer: dict[str, Any], *, runs: int) -> Table:
    images = answer["images"]
    copies = ", augmented copies among them" if config.augmentation.mode == "copies" else ""
    kept = ", outputs of the frozen base among them" if answer["base_outputs_bytes"] else ""
    row = {
        "config": f"cxr {verb} {config.name}",
        "jobs": f"{runs} one after another" if runs > 1 else "1",
        "training images": f"{images['training']:,}{copies}",
        "scored each epoch, at the end": f"{images['validation']:,}, {images['test']:,}",
        "parameters": f"{answer['parameters']['trainable']:,} trainable, {answer['parameters']['all']:,} in all",
        "memory": f"{answer['peak_memory_bytes'] / 1e9:.1f} GB of this process at the peak of the steps timed here, without a GPU's own",
        "disk": f"{answer['pixel_cache_bytes'] / 1e6:,.0f} MB pixel cache, {answer['model_bytes'] / 1e6:,.0f} MB models, "
        f"{(answer['state_bytes'] + answer['base_outputs_bytes']) / 1e6:,.0f} MB while a job runs{kept}",
        "time": f"at most {duration(answer['seconds'])}, without decoding; {duration(answer['seconds_per_job'])} a job",
    }
    return Table("Plan", tuple(row), (tuple(row.values()),), note=NOTE)


def _phases_table(rows: list[tuple[str, ...]]) -> Table:
    return Table("Phases", ("phase", "epochs", "a step", "steps", "an epoch", "all of them"), tuple(rows))


def _predicted(model: keras.Model, config: RunConfig) -> float:
    """Seconds that the model takes to predict an image of its batches of evaluation."""
    return seconds_per_image_predicted(model.predict_on_batch, model.inputs[0].shape[1:], batch_size=config.evaluation.batch_size)
