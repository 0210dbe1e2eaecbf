"""A network that stays as it is, built as far as the layer whose output is stored."""

from __future__ import annotations

from pathlib import Path

import keras

import models_zoo
from cxr_keras.config.schema import RunConfig
from cxr_keras.features.extract import layer_model
from models_zoo.spec import keyword_defaults


def engine_of(config: RunConfig) -> str:
    """What runs the config's network over the images, one of `engines.ENGINES`."""
    return config.classifier.engine if config.classifier else "keras"


def build_up_to(config: RunConfig, *, layer: str, weights: str | Path | None) -> keras.Model:
    """Build the config's network, random weights drawn as those of fold 0.

    Its layers have the config's precision, or float32 for OpenVINO, which rounds by itself.

    Args:
        config: architecture, parameters, image size, precision and seed.
        layer: the last layer that is needed.
        weights: what `models_zoo.build` takes.

    Returns:
        A model that has `layer`; of "features" nothing behind it, as the head of VGG16 alone takes 500 MB.

    Raises:
        ValueError: layers of the head that come before `layer` would keep their random weights although the base does not.
    """
    name, size, params = config.model.name, config.data.image_size, config.model.params
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.training.precision if engine_of(config) == "keras" else "float32")
    try:
        keras.utils.set_random_seed((config.seed * 1009) % 2**31)
        if layer == "features":
            return models_zoo.build_base(name, size, weights=weights, **params)
        model = models_zoo.build(name, size, 2, weights=weights, **params)
    finally:
        keras.config.set_dtype_policy(policy)
    if weights is not None:
        _load_head(model, layer, weights)
    return model


def check_pooled(config: RunConfig) -> None:
    """Raise ValueError where a classifier wants the layer `pooled` of a network whose head does not begin by pooling."""
    spec = models_zoo.get_spec(config.model.name)
    pooling = config.model.params.get("pooling", spec.parameters.get("pooling", "flatten"))  # small networks' heads have no choice
    if config.classifier and config.classifier.layer == "pooled" and pooling == "flatten":
        raise ValueError(
            f"classifier.layer is pooled, and the head of {config.model.name} does not begin by pooling. Take the layer features or "
            "embedding" + (", or set model.params={pooling: average}." if "pooling" in spec.parameters else ".")
        )


def idle_parameters(config: RunConfig, layer: str) -> list[str]:
    """Parameters of the model section that belong to what comes after `layer`, and so change nothing."""
    spec = models_zoo.get_spec(config.model.name)
    if layer == "embedding":
        return []
    used = {*keyword_defaults(spec.base), *(["pooling"] if layer == "pooled" else [])}
    return [name for name in config.model.params if name not in used]


def _load_head(model: keras.Model, layer: str, weights: str | Path) -> None:
    """Take the weights of the head's layers before `layer` from the file that the base came from.

    Raises:
        ValueError: there are such layers, and the file has none for them.
    """
    of_base = {each.name for each in models_zoo.base_model(model).layers}
    head = [each for each in layer_model(model, layer).layers if each.weights and each.name not in of_base]
    if not head:
        return
    trained = keras.models.load_model(weights, compile=False, safe_mode=True) if str(weights).endswith(".keras") else None
    named = {} if trained is None else {each.name: each for each in trained.layers}
    for each in head:
        shapes = [tuple(weight.shape) for weight in each.weights]
        if each.name not in named or [tuple(weight.shape) for weight in named[each.name].weights] != shapes:
            raise ValueError(
                f"{layer} of {model.name} lies behind layers of its head with weights of their own ({head[0].name}, …), and "
                f"{weights} has none of those shapes for them, so they would stay random. Take the layer features, a head without hidden "
                "layers (model.params={pooling: average, dense: []}), or weights of a run with the same head and image size."
            )
        each.set_weights(named[each.name].get_weights())
