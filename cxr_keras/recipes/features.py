"""Features of a config's images: the pixel cache, the base and the store brought together."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import models_zoo
from cxr_keras.config.schema import RunConfig
from cxr_keras.data.augment import Augmentation, RandomCrop
from cxr_keras.data.examples import Examples, examples_of
from cxr_keras.data.labels import class_order
from cxr_keras.data.pipeline import evaluation_dataset
from cxr_keras.features import FeatureStore
from cxr_keras.features.engines import check_engine
from cxr_keras.features.extract import BATCH_SIZE, check_layer, check_room, describe_model, extract_rows
from cxr_keras.recipes.batches import augmentation_of, cache_folder, decode_settings, open_cache
from cxr_keras.recipes.fixed_network import build_up_to, engine_of
from cxr_keras.recipes.weights import lineage_of
from cxr_keras.weights import resolve_weights
from models_zoo.spec import keyword_defaults


def extract_features(
    config: RunConfig,
    manifest: pd.DataFrame,
    *,
    layer: str,
    show_progress: bool,
    model: keras.Model | None = None,
    training: Sequence[Examples] = (),
    root: Path | None = None,
) -> FeatureStore:
    """Open the features of all images of a manifest, computing first what no earlier run has computed.

    Args:
        config: decides pixels, architecture, weights, precision and how copies are varied.
        manifest: the images; labels and groups are only noted.
        layer: "features" (flattened, h * w * c), "pooled" (c, where the head begins by pooling) or "embedding".
        show_progress: whether to show how far it is and how many rows were reused.
        model: the model whose weights are taken, such as that of a fold, built in the config's precision (for OpenVINO in float32); None
            builds the config's own, random weights drawn as those of fold 0.
        training: training parts (`batches.expanded`), whose augmented copies are wanted too; parts of several folds may share copies.
        root: the folder of the store's folder; None takes that of all runs, in the cache folder.

    Returns:
        The store. `store.rows_of(manifest)` finds the rows of images, `store.rows_of(manifest.iloc[positions], copies)` those of examples,
        see `positions_of`.

    Raises:
        ValueError: an unknown layer, an engine that cannot run here, weights that need a fold, images that cannot be read, or stored files
            that are damaged.
        OSError: not enough space on the disk.
    """
    check_layer(layer)
    check_engine(engine_of(config), config.training.precision)
    classes = class_order(manifest["label"])
    model = model or build_up_to(config, layer=layer, weights=own_weights(config))
    settings, root = _settings(config, model, layer), root or cache_folder() / "features"
    check_room(root, settings, manifest)
    cache = open_cache(manifest, config, show_progress=show_progress)
    originals = examples_of(manifest, cache, classes)
    positions, copies = _pictures(originals, training)
    pictures = dataclasses.replace(originals.take(positions), copies=copies)
    augmentation = _augmentation(config, classes, with_copies=bool(copies.any()))

    def batches_of(chosen: np.ndarray) -> Iterator[np.ndarray]:
        part = pictures.take(chosen)
        data = evaluation_dataset(cache.images, part, batch_size=BATCH_SIZE, augmentation=augmentation, seed=config.seed)
        return (images for images, _ in data.as_numpy_iterator())

    store = extract_rows(
        model,
        manifest.iloc[positions].assign(copy=copies),
        batches_of,
        root=root,
        settings=settings,
        variation=_variation(config, augmentation) if copies.any() else None,
        show_progress=show_progress,
    )
    if show_progress:
        shared = len(positions) - store.wanted
        identical = f" ({shared:,} images are identical files and share a row)" if shared else ""
        print(f"features: reused {store.reused:,} of {store.wanted:,}{identical}", file=sys.stderr)
    return store


def positions_of(examples: Examples, manifest: Examples) -> np.ndarray:
    """Find the image of each example.

    Args:
        examples: some of a manifest's examples, in any order, copies included.
        manifest: `examples_of` the manifest.

    Returns:
        int64 (len(examples),), rows of the manifest.

    Raises:
        ValueError: an example of another manifest.
    """
    order = np.argsort(manifest.keys)
    places = order[np.minimum(np.searchsorted(manifest.keys[order], examples.keys), len(order) - 1)]
    strange = manifest.keys[places] != examples.keys
    if strange.any():
        raise ValueError(f"{int(strange.sum())} of {len(examples)} examples are of images that the manifest does not have")
    return places


def own_weights(config: RunConfig) -> str | Path | None:
    """Resolve the config's weights where no fold is known that they could be checked for.

    Raises:
        ValueError: they depend on the fold, or were trained by a run, whose training images must be kept apart.
    """
    name, weights, params = config.model.name, config.model.weights, config.model.params
    path = resolve_weights(weights, architecture=name, parameters=params) if "{fold}" not in (weights or "") else None
    if "{fold}" in (weights or "") or (isinstance(path, Path) and lineage_of(path).folds):
        raise ValueError(
            f"model.weights is {weights}, trained on images that a fold may hold out, and nothing here knows the folds. `cxr cv` and "
            "`cxr train` check that, and extract the features themselves; from Python give extract_features the model of "
            "cxr_keras.recipes.fold.build_model."
        )
    return path


def _pictures(originals: Examples, training: Sequence[Examples]) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the manifest and numbers of copy of everything that is wanted: the originals, then each copy once."""
    positions, copies = [np.arange(len(originals))], [np.zeros(len(originals), np.int64)]
    varied = [part.take(part.copies > 0) for part in training]
    if pairs := [np.stack([positions_of(part, originals), part.copies], axis=1) for part in varied if len(part)]:
        distinct = np.unique(np.concatenate(pairs), axis=0)
        positions.append(distinct[:, 0])
        copies.append(distinct[:, 1])
    return np.concatenate(positions), np.concatenate(copies)


def _augmentation(config: RunConfig, classes: tuple[str, ...], *, with_copies: bool) -> Augmentation | None:
    """How copies are varied, or the centre crop alone; None where pictures are shown as they are stored."""
    if with_copies:
        return augmentation_of(config, classes)
    return Augmentation(crop=RandomCrop(*config.data.image_size)) if config.data.stored_size else None


def _variation(config: RunConfig, augmentation: Augmentation | None) -> dict[str, Any]:
    """Everything that copies depend on beside their image and number; the window is that of the originals."""
    kinds = {name: getattr(augmentation, name, None) for name in ("affine", "appearance")}
    return {"seed": config.seed, **{name: kind and dataclasses.asdict(kind) for name, kind in kinds.items()}}


def _settings(config: RunConfig, model: keras.Model, layer: str) -> dict[str, Any]:
    """What the store is found by. Parameters are the base's (and the way of pooling), so that strategies with other heads share it."""
    spec = models_zoo.get_spec(config.model.name)
    taken = spec.parameters if layer == "embedding" else keyword_defaults(spec.base)
    if layer == "pooled":
        taken = {**taken, "pooling": spec.parameters["pooling"]}
    return {
        "architecture": config.model.name,
        "parameters": {name: config.model.params.get(name, default) for name, default in taken.items()},
        **describe_model(model, layer, engine=engine_of(config), precision=config.training.precision),
        "decode": decode_settings(config).as_dict(),
        "crop": list(config.data.image_size) if config.data.stored_size else None,
    }
