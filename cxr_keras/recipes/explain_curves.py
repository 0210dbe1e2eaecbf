"""Deletion and insertion of `cxr explain RUN --check`: does the network's answer follow the order in which a map ranks the pixels?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd

from cxr_keras.evaluation.intervals import mean_with_interval
from cxr_keras.explain.maps import Explain, resize_maps
from cxr_keras.explain.trust import deletion_and_insertion, positive
from cxr_keras.recipes.explain_images import Explained, load_models
from cxr_keras.recipes.explain_maps import MappedBatch, map_images
from cxr_keras.reporting.deletion import MeanCurves

IMAGES_OF_CURVES = 48
"""Images at most; each method takes some 40 passes of the network an image."""

IMAGES_OF_OCCLUSION = 16
"""Occlusion takes some 170 passes more an image."""

OCCLUSION, RANDOM = "occlusion", "random"
KINDS = ("deletion", "insertion")


class FoundCurves(NamedTuple):
    """What deletion and insertion gave.

    Attributes:
        areas: one row an image: image_id, group_id, label, model, and for each method and "random" the columns `<method>_deletion` and
            `<method>_insertion`, nan where the map says nothing or the method was not tried.
        summary: one row a method: method, images (with evidence), tried, and for deletion and insertion the mean area, that in random order
            on the same images, and their difference with its interval over patients.
        curves: the mean curves.
    """

    areas: pd.DataFrame
    summary: pd.DataFrame
    curves: list[MeanCurves]


def spread_over_models(table: pd.DataFrame, number: int) -> np.ndarray:
    """Take rows from one model after another, so that no fold is left out.

    Args:
        table: `Explained.table`, grouped by model.
        number: how many rows, fewer where there are no more.

    Returns:
        int64, positions in rising order.
    """
    turn = table.groupby("model").cumcount().to_numpy()
    return np.sort(np.argsort(turn, kind="stable")[:number])


def deletion_curves(
    few: Explained, makers: Mapping[str, Callable[[keras.Model], Explain]], columns: np.ndarray, *, draws: int, seed: int
) -> FoundCurves:
    """Cover and uncover the pixels of images in the order of each method's maps, and in random order.

    Args:
        few: the images, grouped by model.
        makers: method -> what makes it ready for a model, from `method_maker`; the first one has gradients. Occlusion is tried on the first
            16 images, model by model in turn.
        columns: int64 (n,), the class of each image that is followed.
        draws: bootstrap resamples of patients.
        seed: of random orders and resamples.
    """
    rng = np.random.default_rng(seed)
    occluded = set(few.table["image_id"].iloc[spread_over_models(few.table, IMAGES_OF_OCCLUSION)])
    rows, kept = [], []
    for batch in map_images(few, next(iter(makers.values())), columns):
        model = load_models(few, batch.rows["model"].iloc[0])[0]
        # Squares of the map's own grain, so that the control differs in place alone. It also decides where the maps say nothing.
        random = resize_maps(rng.random(batch.maps.shape, np.float32), few.config.data.image_size)
        areas = {}
        for name, order in _orders(batch, model, makers, random, occluded=occluded).items():
            found = deletion_and_insertion(
                lambda images, model=model: np.asarray(model.predict_on_batch(images)), batch.images, order, batch.columns, ties=random
            )
            areas[f"{name}_deletion"], areas[f"{name}_insertion"] = found.areas()
            kept.append((name, found))
        rows.append(batch.rows[["image_id", "group_id", "label", "model"]].assign(**areas))
    by_image = pd.concat(rows, ignore_index=True)
    names = list(dict.fromkeys(name for name, _ in kept))
    shares = kept[0][1].shares
    curves = [
        MeanCurves(
            name,
            shares,
            *(np.nanmean(np.concatenate([getattr(found, kind) for own, found in kept if own == name]), axis=0) for kind in KINDS),
        )
        for name in names
        if by_image[f"{name}_deletion"].notna().any()
    ]
    methods = [name for name in names if name != RANDOM]
    summary = pd.DataFrame([_compared(by_image, name, tried=len(occluded), draws=draws, seed=seed) for name in methods])
    return FoundCurves(by_image, summary, curves)


def _orders(
    batch: MappedBatch,
    model: keras.Model,
    makers: Mapping[str, Callable[[keras.Model], Explain]],
    random: np.ndarray,
    *,
    occluded: set[str],
) -> dict[str, np.ndarray]:
    """What ranks the pixels of a batch: float32 (b, h, w) a method, 0 everywhere for an image that a method was not tried on."""
    size = (random.shape[1], random.shape[2])
    orders = {}
    for name, maker in makers.items():
        if name != OCCLUSION:
            orders[name] = resize_maps(positive(maker(model)(batch.images, batch.columns).maps), size)
            continue
        mine = batch.rows["image_id"].isin(occluded).to_numpy()
        orders[name] = np.zeros_like(random)
        if mine.any():
            orders[name][mine] = resize_maps(positive(maker(model)(batch.images[mine], batch.columns[mine]).maps), size)
    return orders | {RANDOM: random}


def _compared(by_image: pd.DataFrame, name: str, *, tried: int, draws: int, seed: int) -> dict[str, object]:
    """A method beside random order, on the images where its map says something."""
    known = by_image[by_image[f"{name}_deletion"].notna()]
    row: dict[str, object] = {"method": name, "images": len(known), "tried": tried if name == OCCLUSION else len(by_image)}
    for kind in KINDS:
        own, chance = known[f"{name}_{kind}"], known[f"{RANDOM}_{kind}"]
        low_to_high = mean_with_interval((own - chance).to_numpy(), known["group_id"].to_numpy(), draws=draws, seed=seed)
        row |= {kind: own.mean(), f"{kind}_random": chance.mean()}
        row |= zip((f"{kind}_difference", f"{kind}_low", f"{kind}_high"), low_to_high, strict=True)
    return row
