"""How long a training step takes here: a few steps on noise, before anything real begins."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from cxr_keras.training.fit import compile_phase
from cxr_keras.training.strategies import Phase

STEPS = 3
"""Timed steps after a first one that compiles; the median is taken."""

LONG_STEP = 10.0
"""Seconds; after a timed step that took longer no further one is timed."""


@dataclass(frozen=True)
class Timing:
    """What was measured.

    Attributes:
        seconds: a step, or an image.
        steps: how many steps were timed, after one that was not counted.
    """

    seconds: float
    steps: int


def time_training(model: keras.Model, phase: Phase, *, batch_size: int, jit_compile: bool) -> Timing:
    """Time training steps of a phase on noise.

    Args:
        model: a model of `models_zoo`, or its head, prepared by `set_trainable`; its weights change.
        phase: decides the optimizer.
        batch_size: images a step.
        jit_compile: XLA on or off.

    Returns:
        Seconds a step, the median of three steps after one that is not counted; of fewer where a step takes long.
    """
    compile_phase(model, phase, jit_compile=jit_compile)
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (batch_size, *model.inputs[0].shape[1:])).astype(np.float32)
    targets = np.eye(model.outputs[0].shape[-1], dtype=np.float32)[random.integers(model.outputs[0].shape[-1], size=batch_size)]
    return _median(lambda: model.train_on_batch(images, [targets] * len(model.outputs) if len(model.outputs) > 1 else targets))


def time_prediction(predict: Callable[[np.ndarray], object], shape: tuple[int, ...], *, batch_size: int) -> Timing:
    """Time prediction on noise; seconds an image.

    Args:
        predict: takes float32 (batch_size, *shape) in [0, 255].
        shape: of an image.
        batch_size: images a call.
    """
    images = np.random.default_rng(0).uniform(0, 255, (batch_size, *shape)).astype(np.float32)
    timing = _median(lambda: predict(images))
    return Timing(timing.seconds / batch_size, timing.steps)


def _median(step: Callable[[], object]) -> Timing:
    step()
    seconds: list[float] = []
    while len(seconds) < STEPS and (not seconds or seconds[-1] <= LONG_STEP):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return Timing(statistics.median(seconds), len(seconds))
