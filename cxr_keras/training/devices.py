"""What a training runs on, as the fit engine sees it, and the one device of the usual case."""

from __future__ import annotations

import contextlib
from typing import Any, Protocol

import keras

import models_zoo


class Devices(Protocol):
    """What a training runs on, as far as the fit engine must know."""

    count: int

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Where models that are trained, and their optimizers, are made."""

    def share(self, batches: Any) -> Any:
        """Give what `fit` takes: the batches themselves, or split among the devices."""

    def prepare(self, model: keras.Model) -> None:
        """Make a compiled model ready for `fit`."""

    def scored(self, model: keras.Model) -> keras.Model:
        """Give what predicts the validation part: the model's own layers up to `probabilities`."""


class OneDevice:
    """One device, Keras's own way."""

    count = 1

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Nowhere special."""
        return contextlib.nullcontext()

    def share(self, batches: Any) -> Any:
        """Give the batches as they are."""
        return batches

    def prepare(self, model: keras.Model) -> None:
        """Leave the model as it is."""

    def scored(self, model: keras.Model) -> keras.Model:
        """Give the model itself, or one of the same layers without auxiliary outputs."""
        return models_zoo.prediction_model(model)
