"""Phases that train the head on stored outputs of the frozen base: each picture goes through the base once, not once an epoch."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import models_zoo
from cxr_keras.config.schema import RunConfig
from cxr_keras.data.examples import Examples, examples_of
from cxr_keras.data.pipeline import evaluation_dataset
from cxr_keras.recipes.batches import batch_stream, open_cache
from cxr_keras.recipes.features import extract_features, positions_of
from cxr_keras.runs.memory import free_memory
from cxr_keras.training.fit import FitSettings, TrainingData

PRIVATE_STORE = "features"
"""Folder in a fold's folder for outputs of a base that no other fold has; removed when the fold is done."""


def check_frozen_base(config: RunConfig) -> None:
    """Refuse a base whose outputs change from epoch to epoch although it is frozen, before any image is read.

    Raises:
        ValueError: the base draws at random in training; the message names the layers.
    """
    if not config.trains_behind_frozen_base:
        return
    drawing = _drawing_layers(config.model.name, config.data.image_size, json.dumps(config.model.params, sort_keys=True))
    if drawing:
        raise ValueError(
            f"{config.model.name} has layers in its base that draw at random in training ({', '.join(drawing[:3])}"
            f"{', …' if len(drawing) > 3 else ''}), so a frozen base gives other outputs in every epoch. Set "
            "training.frozen_base=in_loop to compute it anew in every epoch, or take another architecture."
        )


@functools.cache  # a search asks once for each end of its ranges, a grid for each of its cells
def _drawing_layers(name: str, image_size: tuple[int, int], params: str) -> tuple[str, ...]:
    """Names of the layers of a base that draw at random in training; `params` are JSON."""
    # The random weights that are drawn here are thrown away; every fold sets its own seed before it builds.
    base = models_zoo.build_base(name, image_size, **json.loads(params))
    return tuple(layer.name for layer in models_zoo.random_layers(base))


def behind_frozen_base(
    config: RunConfig,
    manifest: pd.DataFrame,
    training: Examples,
    validation: Examples | None,
    *,
    classes: tuple[str, ...],
    weights: np.ndarray | None,
    settings: FitSettings,
    fold: int,
    folder: Path,
) -> Callable[[keras.Model], TrainingData]:
    """Prepare what `TrainingData.behind_base` needs; nothing is computed before it is called.

    Args:
        config: decides pixels, copies and order.
        manifest: the rows of all images that `training` and `validation` show.
        training: what is trained on, copies included.
        validation: what each epoch is scored on, if anything.
        classes: class names in the order of the outputs.
        weights: class weights, float32 (classes,), or `None`.
        settings: whether the base is calibrated for this fold, and XLA.
        fold: number of the fold.
        folder: the fold's folder.
    """
    # A random base is the fold's own, and so is one whose statistics were set on the fold's images: nobody else can use its outputs.
    private = config.model.weights is None or settings.calibrate_batch_norm

    def behind_base(model: keras.Model) -> TrainingData:
        layer = models_zoo.frozen_layer(model)
        shape = model.get_layer(layer).output.shape[1:]
        _check_memory(len(training) + (0 if validation is None else len(validation)), 4 * int(np.prod(shape)))
        store = extract_features(
            config,
            manifest,
            layer=layer,
            show_progress=True,
            model=model,
            training=[training],
            root=folder / PRIVATE_STORE if private else None,
        )
        originals = examples_of(manifest, open_cache(manifest, config, show_progress=False), classes)

        def outputs_of(examples: Examples) -> tuple[np.ndarray, Examples]:
            rows = store.rows_of(manifest.iloc[positions_of(examples, originals)], examples.copies)
            numbers = np.arange(len(examples))
            values = store.read(rows).reshape(-1, *shape)
            return values, Examples(numbers, np.zeros_like(numbers), examples.keys, examples.targets)

        batches, steps = batch_stream(
            *outputs_of(training), None, config=config, fold=fold, weights=weights, drop_remainder=settings.jit_compile
        )
        if validation is None:
            return TrainingData(batches, steps)
        return TrainingData(batches, steps, evaluation_dataset(*outputs_of(validation), batch_size=config.evaluation.batch_size))

    return behind_base


def _check_memory(pictures: int, bytes_each: int) -> None:
    """Refuse what memory cannot hold: the head reads its inputs in another order in every epoch, so they lie in memory.

    Raises:
        ValueError: they need more than is free.
    """
    needed, free = pictures * bytes_each, free_memory()
    if needed > free:
        raise ValueError(
            f"the frozen base's outputs for {pictures:,} pictures need {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free. Set "
            "training.frozen_base=in_loop to compute them anew in every epoch, or take smaller images, fewer copies or a machine with more "
            "memory."
        )
