"""`cxr plan`: what a run will need, measured on this machine before anything starts."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Callable
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
from cxr_keras.recipes.weights import check_model, model_of
from cxr_keras.reporting.tables import Table, render_text
from cxr_keras.training.batch_norm import set_trainable
from cxr_keras.training.measure import LONG_STEP, STEPS, Timing, time_prediction, time_training

FLOAT_BYTES = 4

NOTE = (
    f"Steps were timed on noise just now, {STEPS} after one that is not counted, fewer where one takes more than {LONG_STEP:.0f} s; a busy "
    "machine is slower. Decoding and passes that set BatchNorm statistics come on top."
)

SLOTS = {"adam": 2, "sgd": 0}
"""Variables of the optimizer for each trainable weight; momentum and averaged weights add one each."""

Verb = Literal["cv", "train"]
Timings = dict[str, Timing]
"""What was timed, in words -> how long it took; runs that have the same in common take it from here."""


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


def plan_run(config: RunConfig, *, verb: Verb | None = None) -> dict[str, Any]:
    """Print what a run of this config needs: parameters and disk at once, then memory, and time at the most epochs.

    The model is built and a few steps of each phase are timed on noise. Nothing is written but what phantoms need.

    Args:
        config: all settings, the images among them.
        verb: "cv" or "train"; by default the one that the config's split is made for, see `fitting_verb`.

    Returns:
        What is printed: images, parameters, memory and disk in bytes, seconds a step and of the whole run.

    Raises:
        ValueError: the config names no images, or cannot be run.
    """
    verb = begin_plan(config, verb)
    manifest, classes = images_to_plan(config, verb)
    sizes = sizes_of(config, manifest, classes, verb=verb)
    prepare_backend(config, 0)
    # Without the weights: they change nothing of this, and need not be here yet.
    model = models_zoo.build(config.model.name, config.data.image_size, len(classes), **model_of(config).params)
    answer = needs_of(config, sizes, model, verb=verb)
    print(render_text([_summary(config, verb, answer)]), flush=True)
    seconds, rows = time_job(config, sizes, model, timings={})
    answer |= {"peak_memory_bytes": peak_memory(), "seconds_per_job": seconds, "seconds": seconds * answer["jobs"]}
    header = ("phase", "epochs", "a step", "timed", "steps", "an epoch", "all of them")
    print(render_text([Table("Phases", header, tuple(rows)), _time_table(answer)]), end="")
    return answer


def fitting_verb(config: RunConfig) -> Verb:
    """The verb that a config's split is made for: `train` where the source's own folders are the parts, else `cv`."""
    return "cv" if config.split.kind == "grouped" else "train"


def begin_plan(config: RunConfig, verb: Verb | None) -> Verb:
    """Say which verb is planned and why, before anything takes time, and give it."""
    chosen = verb or fitting_verb(config)
    other = "--cv plans folds instead" if chosen == "train" else "--train plans one split instead"
    why = "" if verb else f", as split.kind is {config.split.kind}; {other}"
    print(f"Plan of `cxr {chosen} {config.name}`{why}. Images are listed and hashed first.", flush=True)
    return chosen


def images_to_plan(config: RunConfig, verb: Verb) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Check what the run's start would check, weights left out, and give its manifest and classes."""
    config.refuse_missing_parts(verb)
    check_model(model_of(config).model_copy(update={"weights": None}), image_size=config.data.image_size, folds=range(0))
    manifest = manifest_of(config.data, seed=config.seed_of_splits)
    return manifest, class_order(manifest["label"])


def jobs_of(config: RunConfig, verb: Verb) -> int:
    """How many trainings a run is."""
    initial = verb == "cv" and config.cross_validation.protocol == "bozickovic"
    return ((config.cross_validation.folds if verb == "cv" else 1) + initial) * max(len(config.seeds), 1)


def needs_of(config: RunConfig, sizes: Sizes, model: keras.Model, *, verb: Verb) -> dict[str, Any]:
    """Count what needs no timing: jobs, images, parameters, and disk in bytes.

    Args:
        config: all settings.
        sizes: images of a job.
        model: as built, nothing frozen.
        verb: "cv" or "train".
    """
    phases, _ = phases_and_settings(config, None)
    weights = model.count_params() * FLOAT_BYTES
    optimizers = [phase.optimizer for phase in phases]
    slots = max(SLOTS[settings.name] + (settings.momentum > 0) + (settings.average > 0) for settings in optimizers)
    stored = any(_behind_base(config, phase) for phase in phases)
    outputs = (sizes.training + sizes.validation) * math.prod(model.get_layer(models_zoo.frozen_layer(model)).output.shape[1:]) * stored
    jobs = jobs_of(config, verb)
    return {
        "jobs": jobs,
        "images": {"training": sizes.training, "validation": sizes.validation, "test": sizes.test},
        "parameters": {
            "trainable": sum(math.prod(weight.shape) for weight in model.trainable_variables),
            "all": model.count_params(),
        },
        "pixel_cache_bytes": sizes.decoded * math.prod(config.data.stored_size or config.data.image_size),
        "base_outputs_bytes": outputs * FLOAT_BYTES,
        "model_bytes": jobs * weights * (1 + slots * config.training.save_optimizer) * config.training.save_models,
        "state_bytes": weights * (1 + slots + (config.training.keep == "best")),
    }


def time_job(config: RunConfig, sizes: Sizes, model: keras.Model, *, timings: Timings) -> tuple[float, list[tuple[str, ...]]]:
    """Time the phases of one job.

    Args:
        config: all settings.
        sizes: images of the job.
        model: the network; its weights and what of it trains are changed.
        timings: what was timed before; enlarged by what is timed here.

    Returns:
        Seconds at the most epochs, and a row a phase: phase, epochs, a step, steps timed, steps, an epoch, all of them.
    """
    phases, settings = phases_and_settings(config, None)
    batch_size = min(config.data.batch_size, sizes.training)
    steps = math.ceil(sizes.training / batch_size)
    predicted = _prediction(models_zoo.prediction_model(model), config, timings, what=f"{config.model.name}, prediction")
    rows: list[tuple[str, ...]] = []
    seconds = predicted.seconds * sizes.test
    for phase in phases:
        limit = f"at most {phase.epochs}" + (f", stops after {phase.patience} without a better one" if phase.patience is not None else "")
        if phase.epochs == 0:
            rows.append((phase.name, "0", "", "", "", "", ""))
            continue
        fitted, scored, part = model, predicted, "whole network" if phase.train == "all" else "head"
        if _behind_base(config, phase):
            once = predicted.seconds * (sizes.training + sizes.validation)
            seconds += once
            rows.append((f"{phase.name}: features", "1", "", f"{predicted.steps}", "", duration(once), duration(once)))
            fitted, part = models_zoo.head_model(model, start=models_zoo.frozen_layer(model)), "head on stored features"
            scored = _prediction(fitted, config, timings, what=f"{config.model.name}, prediction of the {part}")

        def measure(phase: Any = phase, fitted: keras.Model = fitted) -> Timing:
            set_trainable(model, phase)
            return time_training(fitted, phase, batch_size=batch_size, jit_compile=settings.jit_compile)

        what = f"{config.model.name}, training of the {part} with {phase.optimizer.name}, {batch_size} images a step"
        each = _once(timings, what if phase.batch_norm == "train" else f"{what}, BatchNorm {phase.batch_norm}", measure)
        epoch = each.seconds * steps + scored.seconds * sizes.validation
        seconds += epoch * phase.epochs
        timed = f"{each.steps} step{'s' if each.steps > 1 else ''}"
        rows.append((phase.name, limit, f"{each.seconds:.2f} s", timed, f"{steps:,}", duration(epoch), duration(epoch * phase.epochs)))
    return seconds, rows


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
    if config.split.curves_on_test:
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


def _summary(config: RunConfig, verb: str, answer: dict[str, Any]) -> Table:
    images = answer["images"]
    copies = ", augmented copies among them" if config.augmentation.mode == "copies" else ""
    kept = ", outputs of the frozen base among them" if answer["base_outputs_bytes"] else ""
    row = {
        "config": f"cxr {verb} {config.name}",
        "jobs": f"{answer['jobs']} one after another" if answer["jobs"] > 1 else "1",
        "training images": f"{images['training']:,}{copies}",
        "scored each epoch, at the end": f"{images['validation']:,}, {images['test']:,}",
        "parameters": f"{answer['parameters']['trainable']:,} trainable, {answer['parameters']['all']:,} in all",
        "disk": f"{answer['pixel_cache_bytes'] / 1e6:,.0f} MB pixel cache, {answer['model_bytes'] / 1e6:,.0f} MB models, "
        f"{(answer['state_bytes'] + answer['base_outputs_bytes']) / 1e6:,.0f} MB while a job runs{kept}",
    }
    return Table("Plan", tuple(row), (tuple(row.values()),))


def _time_table(answer: dict[str, Any]) -> Table:
    row = {
        "time": f"at most {duration(answer['seconds'])}, without decoding; {duration(answer['seconds_per_job'])} a job",
        "memory": f"{answer['peak_memory_bytes'] / 1e9:.1f} GB of this process at the peak of the steps timed here, without a GPU's own",
    }
    return Table("Time and memory", tuple(row), (tuple(row.values()),), note=NOTE)


def _behind_base(config: RunConfig, phase: Any) -> bool:
    """Whether a phase trains the head on stored outputs of the base."""
    return phase.train == "head" and phase.epochs > 0 and config.trains_behind_frozen_base


def _prediction(model: keras.Model, config: RunConfig, timings: Timings, *, what: str) -> Timing:
    """Seconds that the model takes to predict an image, in batches of no more images than a training step has."""
    batch_size = min(config.evaluation.batch_size, config.data.batch_size)
    shape = model.inputs[0].shape[1:]
    measure = lambda: time_prediction(model.predict_on_batch, shape, batch_size=batch_size)  # noqa: E731
    return _once(timings, f"{what}, {batch_size} images at a time", measure)


def _once(timings: Timings, what: str, measure: Callable[[], Timing]) -> Timing:
    """Measure what was not measured before, and say so first."""
    if what not in timings:
        print(f"timing: {what}", file=sys.stderr, flush=True)
        timings[what] = measure()
    return timings[what]
