"""Which layers learn in a phase, and the statistics of batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

import models_zoo
from cxr_keras.training.strategies import Phase

CALIBRATION_BATCH = 64
"""Images that are normalised together when BatchNorm statistics are set: layer by layer in Python, so small batches would be slow."""


def set_trainable(model: keras.Model, phase: Phase) -> None:
    """Freeze and thaw layers for a phase; the model must be compiled again afterwards.

    BatchNorm layers of a frozen base run in inference mode, as Keras does for `trainable = False`. Once a base is thawed, calling it with
    `training=False` is not enough to hold them still (Keras 3.15), so `batch_norm="frozen"` marks each of them as not trainable.
    """
    base = models_zoo.base_layers(model)
    for layer in model.layers:
        layer.trainable = True
    for layer in base:
        layer.trainable = phase.train == "all"
        if isinstance(layer, keras.layers.BatchNormalization) and phase.batch_norm == "frozen":
            layer.trainable = False


def calibrate_batch_norm(model: keras.Model, batches: Any, steps: int) -> int:
    """Set the statistics of all BatchNorm layers to the mean over the batches of one pass.

    With random weights and Keras's initial statistics (mean 0, variance 1) the activations of a deep frozen base grow or vanish; with
    the statistics of the data they keep their scale.

    Args:
        model: the model; only moving means and variances change.
        batches: dataset of (images, …).
        steps: batches to use, one pass over the training part.

    Returns:
        How many BatchNorm layers were set.
    """
    layers = models_zoo.batch_norm_layers(model)
    momenta = [layer.momentum for layer in layers]
    trainable = [layer.trainable for layer in layers]
    for layer in layers:
        layer.trainable = True
    seen = 0
    for images in _in_groups(batches, steps, at_least=CALIBRATION_BATCH):
        for layer in layers:
            layer.momentum = seen / (seen + len(images))  # a running mean over images
        model(keras.ops.convert_to_tensor(images), training=True)
        seen += len(images)
    for layer, momentum, was_trainable in zip(layers, momenta, trainable, strict=True):
        layer.momentum, layer.trainable = momentum, was_trainable
    return len(layers)


def _in_groups(batches: Any, steps: int, *, at_least: int) -> Iterator[np.ndarray]:
    """The images of the first `steps` batches, joined until a group has `at_least` images; the last group may have fewer."""
    group: list[np.ndarray] = []
    for step, batch in zip(range(steps), batches, strict=False):
        group.append(np.asarray(batch[0]))
        if sum(map(len, group)) >= at_least or step == steps - 1:
            yield np.concatenate(group)
            group = []
