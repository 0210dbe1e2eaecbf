"""The classifiers of a finished run on other images: the run's own network makes the features, its own files classify them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.features.model_files import feature_key
from cxr_keras.features.neighbours import NeighboursModel
from cxr_keras.features.rows import SelectedRows
from cxr_keras.features.saved import load_classifier, predict_by_neighbours, predict_probabilities
from cxr_keras.recipes.classifier_base import load_base
from cxr_keras.recipes.classifier_files import base_folder, saved_features
from cxr_keras.recipes.classifier_fold import in_order
from cxr_keras.recipes.features import extract_features


def classify_elsewhere(
    config: RunConfig, models: dict[str, Path], manifest: pd.DataFrame, classes: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Predict other images with every classifier of a run.

    Args:
        config: of the run, with a classifier.
        models: name of the fold -> its classifier's file.
        manifest: the images.
        classes: class names in the order of the columns that are wanted.

    Returns:
        Name of the fold -> float64 (len(manifest), k), in the order of the manifest.

    Raises:
        ValueError: a file is damaged, or of other features than the network beside it makes.
    """
    section = config.classifier
    assert section is not None
    found: dict[str, np.ndarray] = {}
    stores: dict[Path, SelectedRows] = {}
    keys: dict[Path, str] = {}
    for name, path in models.items():
        base = base_folder(path.parent, config.model.weights)
        if base not in stores:
            store = extract_features(config, manifest, layer=section.layer, show_progress=True, model=load_base(base))
            stores[base], keys[base] = SelectedRows(store, store.rows_of(manifest)), feature_key(store.settings)
        model = load_classifier(path, feature_key=keys[base])
        if isinstance(model, NeighboursModel):
            probabilities = predict_by_neighbours(model, stores[base], saved_features(base, model.image_ids))
        else:
            probabilities = predict_probabilities(model, stores[base])
        found[name] = in_order(probabilities, model.classes, classes)
    return found
