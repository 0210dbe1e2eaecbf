"""Learning rates over time, and the optimizers that carry them."""

from __future__ import annotations

import keras

from cxr_keras.training.strategies import Optimizer


def paper_epoch_rate(first_rate: float, epochs: int, epoch: int) -> float:
    """Laban's learning rate of one epoch.

    After epoch i the rate becomes α[i+1] = α[i] / (1 + k·i), with k = α[0] / epochs (Laban, section on decay). From 0.05 over 30 epochs
    it ends at 0.0245.

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


def make_optimizer(settings: Optimizer, *, epochs: int) -> keras.optimizers.Optimizer:
    """Make a fresh Keras optimizer.

    Args:
        settings: name, rate, epsilon, momentum and decay.
        epochs: the phase's planned epochs; Laban's k is the first rate divided by it.

    Returns:
        An optimizer without state. With `decay="paper_epoch"` its rate is set by the fit engine before each epoch.

    Raises:
        ValueError: the optimizer's name is unknown or the rate is not positive.
    """
    if settings.learning_rate <= 0:
        raise ValueError(f"learning_rate is {settings.learning_rate}; it must be above 0.")
    rate: float | keras.optimizers.schedules.LearningRateSchedule = settings.learning_rate
    if settings.decay == "keras_batch":
        # keras.optimizers.SGD(decay=...) is ignored by Keras 3; this schedule is what it computed.
        rate = keras.optimizers.schedules.InverseTimeDecay(
            settings.learning_rate, decay_steps=1, decay_rate=settings.learning_rate / max(epochs, 1)
        )
    if settings.name == "adam":
        return keras.optimizers.Adam(rate, epsilon=settings.epsilon)
    if settings.name == "sgd":
        return keras.optimizers.SGD(rate, momentum=settings.momentum)
    raise ValueError(f"Unknown optimizer {settings.name!r}. Known optimizers: adam, sgd.")
