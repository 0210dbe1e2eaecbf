"""The parts of a model: the base up to its layer `features`, the head after it, and auxiliary outputs for training."""

from __future__ import annotations

import keras


def base_model(model: keras.Model) -> keras.Model:
    """Give the part from the image to `features` (N, h, w, c) as a model that shares the layers of `model`."""
    return keras.Model(model.inputs[0], model.get_layer("features").output, name=f"{model.name}_base")


def head_model(model: keras.Model, *, start: str = "features") -> keras.Model:
    """Give the part from the layer `start` to the probabilities as a model that shares the layers of `model`.

    Training it trains the head of `model`: so a head learns from stored features.
    """
    return keras.Model(model.get_layer(start).output, model.outputs[0], name=f"{model.name}_head")


def frozen_layer(model: keras.Model) -> str:
    """Name the last layer whose output is fixed while the base is frozen: `pooled` where the head begins so, else `features`.

    Pooled values are a fiftieth of the features of 7 × 7 positions. Flattened ones are the features themselves.
    """
    return "pooled" if any(layer.name == "pooled" for layer in model.layers) else "features"


def random_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """List the layers of the base that draw at random in training, such as dropout: frozen, they go on drawing."""
    return [layer for layer in base_layers(model) if getattr(layer, "seed_generator", None) is not None]


def prediction_model(model: keras.Model) -> keras.Model:
    """Give the part from the image to `probabilities`: `model` itself, or one of the same layers without auxiliary outputs."""
    if len(model.outputs) == 1:
        return model
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def loss_weights(model: keras.Model) -> list[float]:
    """Give the weight of each output's loss in training: 1 for `probabilities`, .3 for each auxiliary output.

    The .3 is that of Szegedy et al. 2015, section 5.
    """
    return [1.0] + [0.3] * (len(model.outputs) - 1)


def finalize_statistics(model: keras.Model) -> None:
    """Make `Normalization` layers use weights that `set_weights` gave them: they compute with a copy made before."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def base_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """List the layers that `features` depends on, itself last: what is frozen while a head is trained."""
    return list(base_model(model).layers)


def head_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """List the layers that are not in the base."""
    base = {id(layer) for layer in base_layers(model)}
    return [layer for layer in model.layers if id(layer) not in base]


def batch_norm_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """List the batch normalisation layers of base and head."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
