"""Networks that know nothing: copies of a model with weights drawn anew, all of them or from the top down.

A map that hardly changes when the network forgets what it learned shows the picture and not the network (Adebayo et al. 2018,
arXiv:1810.03292).
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import keras
import numpy as np


def randomised(model: keras.Model, *, seed: int) -> keras.Model:
    """Copy a model with every weight as its layer first draws it, batch normalisation's statistics (mean 0, variance 1) included.

    Args:
        model: the trained model; it is left as it is.
        seed: of the draw.

    Returns:
        A model of the same layers and names.
    """
    state = random.getstate()
    # Keras draws the seeds of its initialisers from here. The words keep them apart from `keras.utils.set_random_seed(seed)`: with the same
    # number the copy would get the very weights that the model's training began with, which its trained ones still resemble.
    random.seed(f"randomised weights, {seed}")
    try:
        return keras.models.clone_model(model)
    finally:
        random.setstate(state)


def cascade(model: keras.Model, *, seed: int, steps: int = 8) -> Iterator[tuple[str, keras.Model]]:
    """Randomise a model from the top down: first the last layer, then the one before it too, until nothing learned is left.

    Args:
        model: the trained model; it is left as it is.
        seed: of the draw.
        steps: at most so many stages, the first and the last among them.

    Yields:
        The lowest layer that is randomised, and the model, which is the same object every time.
    """
    fresh = randomised(model, seed=seed)
    # A part of the model, and so each of its layers, may have been saved with other names for nothing but its inputs.
    weighted = [layer.name for layer in model.layers if layer.weights][::-1]
    drawn = {name: fresh.get_layer(name).get_weights() for name in weighted}
    for name in weighted:
        fresh.get_layer(name).set_weights(model.get_layer(name).get_weights())
    stages = np.unique(np.linspace(0, len(weighted) - 1, min(steps, len(weighted))).round().astype(int))
    done = 0
    for stage in stages:
        for name in weighted[done : stage + 1]:
            fresh.get_layer(name).set_weights(drawn[name])
        done = stage + 1
        yield weighted[stage], fresh
