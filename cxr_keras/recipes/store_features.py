"""`cxr features`: the features of all images of a config, computed once and kept for every later run."""

from __future__ import annotations

from cxr_keras.config.schema import RunConfig
from cxr_keras.features import FeatureStore
from cxr_keras.features.engines import check_engine
from cxr_keras.features.extract import check_layer
from cxr_keras.features.shards import INDEX_FILE
from cxr_keras.recipes.batches import cache_folder
from cxr_keras.recipes.data import folder_of_check, manifest_of, refuse_or_skip_bad_files
from cxr_keras.recipes.features import extract_features, own_weights
from cxr_keras.recipes.fixed_network import engine_of
from cxr_keras.recipes.run import announce_phantom
from cxr_keras.recipes.weights import check_model


def store_features(config: RunConfig, *, layer: str | None = None) -> FeatureStore:
    """Compute what is missing of a config's features and say where they lie; the same call continues after a kill.

    Args:
        config: decides images, pixels, network, weights and precision; everything else has no say.
        layer: which layer; by default the classifier's, else "features".

    Returns:
        The store.

    Raises:
        ValueError: no images, files that are no usable images, an unknown layer, an engine that cannot run here, or weights that belong to
            single folds.
    """
    layer = layer or (config.classifier.layer if config.classifier else "features")
    check_layer(layer)
    check_model(config.model, image_size=config.data.image_size, folds=range(0))
    check_engine(engine_of(config), config.training.precision)
    own_weights(config)
    announce_phantom(config)
    manifest = manifest_of(config.data, seed=config.seed_of_splits)
    folder = folder_of_check(manifest, cache_folder() / "checked")
    manifest = refuse_or_skip_bad_files(manifest, policy=config.data.on_bad_files, folder=folder, once=True)
    store = extract_features(config, manifest, layer=layer, show_progress=True)
    rows, columns = store.shape
    print(f"{rows:,} rows of {columns:,} numbers (float32, {rows * columns * 4 / 1e6:,.0f} MB) lie in {store.folder}")
    print(f"Other programs read {store.folder / INDEX_FILE}")
    return store
