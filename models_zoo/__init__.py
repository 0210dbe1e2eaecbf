"""Network architectures for grey images, each one flat Keras graph with the same four named layers.

Example:
    model = models_zoo.build("resnet50", (224, 224), num_classes=4, weights="imagenet", dropout=0.5)
"""

from models_zoo.parts import (
    base_layers,
    base_model,
    batch_norm_layers,
    frozen_layer,
    head_layers,
    head_model,
    loss_weights,
    prediction_model,
    random_layers,
)
from models_zoo.registry import ARCHITECTURES, build, build_base, check_parameters, check_values, get_spec, list_models
from models_zoo.spec import ArchitectureSpec

__all__ = [
    "ARCHITECTURES",
    "ArchitectureSpec",
    "base_layers",
    "base_model",
    "batch_norm_layers",
    "build",
    "build_base",
    "check_parameters",
    "check_values",
    "frozen_layer",
    "get_spec",
    "head_layers",
    "head_model",
    "list_models",
    "loss_weights",
    "prediction_model",
    "random_layers",
]
