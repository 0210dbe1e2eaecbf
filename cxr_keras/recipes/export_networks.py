"""The models of a finished run as networks to export, and what the run's own models give for some of its images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.data.examples import examples_of
from cxr_keras.evaluation import predictions_table
from cxr_keras.evaluation.calibration import apply_temperature
from cxr_keras.evaluation.predictions import probability_columns
from cxr_keras.explain.maps import class_activation_map
from cxr_keras.export.parity import Expected
from cxr_keras.export.serving import network_of, network_of_classifiers
from cxr_keras.features.linear_model import LinearModel
from cxr_keras.features.model_files import feature_key
from cxr_keras.features.saved import load_classifier
from cxr_keras.recipes.batches import batches_in_order, open_cache
from cxr_keras.recipes.classifier_base import load_base
from cxr_keras.recipes.classifier_elsewhere import classify_elsewhere
from cxr_keras.recipes.classifier_files import base_folder, settings_of
from cxr_keras.training.validation import predict_from_logits


class Networks(NamedTuple):
    """Networks to export.

    Attributes:
        networks: from `cxr_keras.export.serving`.
        no_maps: why there are no class activation maps; None where there are.
    """

    networks: list[keras.Model]
    no_maps: str | None


def networks_of(config: RunConfig, models: Mapping[str, Path], classes: tuple[str, ...]) -> Networks:
    """Load a run's models as networks to export.

    Raises:
        ValueError: a classifier that is no logistic regression.
    """
    if config.classifier:
        return Networks(_of_classifiers(config, models, classes), "a classifier on stored features has no layer that could be drawn.")
    loaded = [load_trained(path) for path in models.values()]
    no_maps = None
    try:
        for model in loaded:
            class_activation_map(model)
    except ValueError as error:
        no_maps = str(error)
    return Networks([network_of(model, maps=no_maps is None) for model in loaded], no_maps)


def load_trained(path: Path) -> keras.Model:
    """Open a model of a fold."""
    return keras.models.load_model(path, compile=False, safe_mode=True)


def _of_classifiers(config: RunConfig, models: Mapping[str, Path], classes: tuple[str, ...]) -> list[keras.Model]:
    """One network for each base, with the classifiers of all folds that read it."""
    section = config.classifier
    assert section is not None
    if section.kind != "logistic_regression":
        raise ValueError(
            f"classifier.kind is {section.kind}, and only a logistic regression goes into one graph with its network"
            + (": nearest neighbours carry the features of all training images. " if section.kind == "nearest_neighbours" else ". ")
            + "Score such a run on other images with `cxr evaluate RUN --on MANIFEST`."
        )
    of_base: dict[Path, list[LinearModel]] = {}
    for path in models.values():
        base = base_folder(path.parent, config.model.weights)
        found = load_classifier(path, feature_key=feature_key(settings_of(base)))
        assert isinstance(found, LinearModel)
        of_base.setdefault(base, []).append(found)
    return [
        network_of_classifiers(
            load_base(base),
            [each.coefficients[[each.classes.index(name) for name in classes]] for each in found],
            [each.intercept[[each.classes.index(name) for name in classes]] for each in found],
        )
        for base, found in of_base.items()
    ]


def answers_of_run(
    config: RunConfig, models: Mapping[str, Path], table: pd.DataFrame, *, classes: tuple[str, ...], temperature: float | None
) -> Expected:
    """Predict images of a run with all of its models, as training, scoring and `cxr evaluate --on` do: from the pixel cache.

    Args:
        config: of the run.
        models: path of each model by the name of its fold.
        table: rows of the run's manifest.
        classes: class names in order.
        temperature: T of the calibrated probabilities, or None.
    """
    # On the processor, where the export is asked too: a GPU may multiply in fewer digits.
    with keras.device("cpu:0"):
        if config.classifier:
            by_model = list(classify_elsewhere(config, dict(models), table, classes).values())
        else:
            cache = open_cache(table, config, show_progress=False)
            examples = examples_of(table, cache, classes)
            by_model = [
                predict_from_logits(load_trained(path), batches_in_order(cache.images, examples, config))[0] for path in models.values()
            ]
    calibrated = None
    if temperature is not None:
        columns = probability_columns(classes)
        tables = [predictions_table(table, each, classes, fold=0) for each in by_model]
        calibrated = np.mean([apply_temperature(each, temperature)[columns].to_numpy() for each in tables], axis=0)
    return Expected(np.mean(by_model, axis=0), calibrated)
