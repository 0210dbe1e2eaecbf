"""From pictures to stored features: one pass of a fixed network over what the store does not have yet."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from cxr_keras.features.engines import Forward, describe_engine, open_engine
from cxr_keras.features.shards import INDEX_FILE, index_is_current, write_index, write_shard
from cxr_keras.features.store import (
    FORMAT,
    FeatureStore,
    check_disk_space,
    free_shard_paths,
    hold_store,
    name_pictures,
    open_store,
    with_counts,
)
from cxr_keras.progress import track

LAYERS = ("features", "pooled", "embedding")
"""What can be stored: the base's output, flattened; its pooled values, where the head begins by pooling; or the vector that the last layer
reads."""

BATCH_SIZE = 32
"""Images a call of the network, always: the last batch is filled up. Another number of rows may sum in another order."""

_SHARD_ROWS = 512
_SHARD_BYTES = 64 * 10**6
"""A kill loses at most one shard: 512 images, or fewer where 64 MB hold fewer."""

# What does not change the numbers that a layer with given weights computes at inference.
_IDLE_SETTINGS = ("name", "trainable", "seed")
_IDLE_ENDINGS = ("_initializer", "_regularizer", "_constraint")


def check_layer(layer: str) -> None:
    """Raise ValueError if `layer` is none of `LAYERS`."""
    if layer not in LAYERS:
        near = difflib.get_close_matches(str(layer), LAYERS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"layer {layer!r}: expected one of {', '.join(LAYERS)}.{hint}")


def layer_model(model: keras.Model, layer: str) -> keras.Model:
    """Give the part of a model from the image to one of `LAYERS`; it shares the model's layers.

    Raises:
        ValueError: the layer is neither, or the model does not have it.
    """
    check_layer(layer)
    if layer not in {each.name for each in model.layers}:
        raise ValueError(
            f"the model {model.name} has no layer {layer!r}. Models of models_zoo.build have features and embedding, and pooled where the "
            "head begins by pooling."
        )
    return keras.Model(model.inputs[0], model.get_layer(layer).output, name=f"{model.name}_{layer}")


def describe_model(model: keras.Model, layer: str, *, engine: str = "keras", precision: str | None = None) -> dict[str, Any]:
    """Say everything about a model that decides the numbers in `layer`; for the settings of a store.

    Args:
        model: a model of `models_zoo` with its weights.
        layer: one of `LAYERS`.
        engine: what will run it, see `cxr_keras.features.engines`.
        precision: of OpenVINO, `engines.OPENVINO_PRECISIONS`; Keras takes that of the model's layers.

    Returns:
        Plain values: `layer`, `dimensions`, `image_size`, `weights_sha256` over all arrays before `layer` in their order with their names,
        `layers_sha256` over the layers' kinds and settings, `precision`, `keras` and `backend` with their versions, `device`, and `engine`
        where it is not Keras.

    Raises:
        ValueError: as in `layer_model`.
    """
    part = layer_model(model, layer)
    weights, kinds = hashlib.sha256(), []
    for each in part.layers:
        settings = {
            name: value for name, value in each.get_config().items() if name not in _IDLE_SETTINGS and not name.endswith(_IDLE_ENDINGS)
        }
        kinds.append((type(each).__name__, settings))
        for weight in each.weights:
            array = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
            # The layer's own name is left out: Keras numbers unnamed layers on and on within a process.
            weights.update(f"{len(kinds)} {type(each).__name__} {weight.name} {array.dtype} {array.shape}\n".encode())
            weights.update(array.data)
    return {
        "layer": layer,
        "dimensions": int(np.prod(part.outputs[0].shape[1:])),
        "image_size": list(part.inputs[0].shape[1:3]),
        "weights_sha256": weights.hexdigest(),
        "layers_sha256": hashlib.sha256(json.dumps(kinds, sort_keys=True).encode()).hexdigest(),
        "precision": precision if engine != "keras" else model.get_layer(layer).dtype_policy.name,
        "keras": ".".join(keras.__version__.split(".")[:2]),
        **describe_engine(engine),
        "format": FORMAT,
    }


def check_room(root: str | Path, settings: Mapping[str, Any], manifest: pd.DataFrame) -> None:
    """Refuse what the disk cannot hold before images are decoded for it; copies are not counted yet.

    Args:
        root: the folder of all stores.
        settings: as in `extract_rows`.
        manifest: the images.

    Raises:
        ValueError: stored files that are damaged or were made otherwise.
        OSError: not enough space (`ENOSPC`).
    """
    store = open_store(root, settings)
    originals = np.unique(name_pictures(manifest, np.zeros(len(manifest), np.int64), None))
    check_disk_space(store.folder, rows=int((store.find(originals) < 0).sum()), dimensions=store.dimensions)


def extract_rows(
    model: keras.Model,
    wanted: pd.DataFrame,
    batches_of: Callable[[np.ndarray], Iterable[Any]],
    *,
    root: str | Path,
    settings: Mapping[str, Any],
    variation: Mapping[str, Any] | None = None,
    show_progress: bool = True,
) -> FeatureStore:
    """Open the features of these pictures, computing first what is not stored.

    Args:
        model: a model of `models_zoo` with its weights.
        wanted: a table with the columns `image_id`, `label`, `group_id`, `sha256` and `copy` (0 for an original); identical
            pictures are computed once.
        batches_of: gives the pictures at these positions of `wanted` (int64, in the order given) as batches of `BATCH_SIZE`, the
            last one smaller; each float32 (b, h, w, 1) in [0, 255].
        root: the folder of all stores.
        settings: `describe_model(model, layer)` and whatever decides about the pixels and the architecture; its `engine` and `precision`
            say what runs the network.
        variation: how the copies are made; needed if there are any.
        show_progress: whether to show how far it is.

    Returns:
        The store, with the counts `reused` and `wanted`.

    Raises:
        ValueError: no rows, stored files that are damaged or were made otherwise, features that are not finite, or batches of another
            size than asked for. Shards that are finished stay, and the same call continues.
        OSError: not enough space on the disk (`ENOSPC`), found before the first picture.
    """
    if not len(wanted):
        raise ValueError("there are no images, so there are no features to extract")
    pictures = name_pictures(wanted, wanted["copy"].to_numpy(), variation)
    # The same order for the same pictures, whatever the order of the manifest: originals first, as they are what runs share.
    order = np.lexsort((pictures, wanted["copy"].to_numpy()))
    order = order[np.append(True, pictures[order[1:]] != pictures[order[:-1]])]
    store = open_store(root, settings, variation=variation)
    found = store.find(pictures[order]) >= 0
    if not found.all():
        with hold_store(store.folder, show_progress=show_progress):
            store = open_store(root, settings, variation=variation)
            found = store.find(pictures[order]) >= 0
            missing = order[~found]
            check_disk_space(store.folder, rows=len(missing), dimensions=store.dimensions)
            if len(missing):
                forward = open_engine(
                    layer_model(model, settings["layer"]),
                    settings.get("engine", "keras"),
                    precision=settings["precision"],
                    batch_size=BATCH_SIZE,
                )
                # It would show other rows than it names if a removed shard came back with others and no new index followed.
                (store.folder / INDEX_FILE).unlink(missing_ok=True)
                rows = (wanted.iloc[places].assign(picture=pictures[places]) for places in _shards(missing, store.dimensions))
                steps = _fill(store, forward, rows, batches_of(missing))
                for _ in track(steps, total=len(missing), description="features") if show_progress else steps:
                    pass
            store = open_store(root, settings, variation=variation)
            write_index(store.folder, store.shards, settings)
    elif not index_is_current(store.folder, store.shards):
        # A killed process left it so, or one at work that will write it: not worth waiting for.
        with hold_store(store.folder, wait=False) as held:
            if held:
                write_index(store.folder, open_store(root, settings).shards, settings)
    return with_counts(store, reused=int(found.sum()), wanted=len(order))


def _shards(places: np.ndarray, dimensions: int) -> Iterator[np.ndarray]:
    """Cut pictures into those of each shard: whole batches, so that a continued extraction forms the same batches as an unbroken one."""
    count = max(1, min(_SHARD_ROWS, _SHARD_BYTES // (4 * dimensions)) // BATCH_SIZE) * BATCH_SIZE
    return (places[first : first + count] for first in range(0, len(places), count))


def _fill(store: FeatureStore, forward: Forward, shards: Iterable[pd.DataFrame], batches: Iterable[Any]) -> Iterator[None]:
    """Compute and write shard after shard, yielding once an image."""
    paths, source = free_shard_paths(store.folder), iter(batches)
    for rows in shards:
        with write_shard(next(paths), rows, settings=store.settings, variation=store.variation) as features:
            for start in range(0, len(rows), BATCH_SIZE):
                image_ids = rows["image_id"].iloc[start : start + BATCH_SIZE]
                values = _compute(forward, next(source, ()), image_ids, precision=store.settings["precision"])
                features[start : start + len(values)] = values
                yield from (None for _ in image_ids)


def _compute(forward: Forward, batch: Any, image_ids: pd.Series, *, precision: str) -> np.ndarray:
    """Run the network on one batch, filled up to the usual size; float32 (b, d).

    Raises:
        ValueError: another number of pictures than names, or features that are not finite.
    """
    images = np.asarray(batch, dtype=np.float32)
    if len(images) != len(image_ids):
        raise ValueError(
            f"a batch has {len(images)} pictures where {len(image_ids)} were asked for; batches_of must give {BATCH_SIZE} each"
        )
    count = len(images)
    if count < BATCH_SIZE:
        images = np.concatenate([images, np.zeros((BATCH_SIZE - count, *images.shape[1:]), np.float32)])
    values = np.asarray(forward(images))[:count].astype(np.float32).reshape(count, -1)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise ValueError(
            f"the features of {image_ids.iloc[int(bad.argmax())]!r} are not finite in {precision}: "
            "check the weights, or compute in float32."
        )
    return values
