"""Learning rates over time, and the optimizers that carry them."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras

from cxr_keras.training.strategies import Optimizer


def paper_epoch_rate(first_rate: float, epochs: int, epoch: int) -> float:
    """Laban's learning rate of one epoch.

    After epoch i the rate becomes α[i+1] = α[i] / (1 + k·i), with k = α[0] / epochs (Laban, section on decay). From 0.05 over 30 epochs
    it falls to 0.0257 in the last and would be 0.0245 after it.

    Args:
        first_rate: α[0].
        epochs: how many epochs the phase was planned for.
        epoch: the epoch's number inside its phase, from 0.

    Returns:
        The learning rate that this epoch trains with.
    """
    decay = first_rate / epochs
    rate = first_rate
    for finished in range(epoch):
        rate /= 1.0 + decay * finished
    return rate


def cosine_rate(first_rate: float, epochs: int, epoch: int) -> float:
    """Half a cosine over the epochs of a phase (Loshchilov and Hutter 2017, SGDR, without restarts).

    Args:
        first_rate: the rate of epoch 0.
        epochs: the phase's planned epochs.
        epoch: the epoch's number inside its phase, from 0.

    Returns:
        The learning rate that this epoch trains with; it would reach 0 in the epoch after the last.
    """
    return first_rate * 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))


EPOCH_RATES: dict[str, Callable[[float, int, int], float]] = {"paper_epoch": paper_epoch_rate, "cosine": cosine_rate}
"""Decays that set the rate before each epoch: of the first rate, the planned epochs and the epoch."""


def make_optimizer(settings: Optimizer, *, epochs: int) -> keras.optimizers.Optimizer:
    """Make a fresh Keras optimizer.

    Args:
        settings: name, rate, epsilon, momentum and decay, as `phases_of` has checked them.
        epochs: the phase's planned epochs; Laban's k is the first rate divided by it.

    Returns:
        An optimizer without state. With a decay of `EPOCH_RATES` its rate is set by the fit engine before each epoch.

    Raises:
        ValueError: the optimizer's name is unknown.
    """
    rate: float | keras.optimizers.schedules.LearningRateSchedule = settings.learning_rate
    if settings.decay == "keras_batch":
        # keras.optimizers.SGD(decay=...) is ignored by Keras 3; this schedule is what it computed.
        rate = keras.optimizers.schedules.InverseTimeDecay(
            settings.learning_rate, decay_steps=1, decay_rate=settings.learning_rate / max(epochs, 1)
        )
    averaging = {"use_ema": True, "ema_momentum": settings.average} if settings.average else {}
    if settings.name == "adam":
        return keras.optimizers.Adam(rate, epsilon=settings.epsilon, **averaging)
    if settings.name == "sgd":
        return keras.optimizers.SGD(rate, momentum=settings.momentum, **averaging)
    raise ValueError(f"Unknown optimizer {settings.name!r}. Known optimizers: adam, sgd.")
