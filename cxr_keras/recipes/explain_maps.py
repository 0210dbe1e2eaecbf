"""Maps of a run's images, model by model and batch by batch, so that memory does not grow with the images."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd

from cxr_keras.evaluation.predictions import probability_columns
from cxr_keras.explain.maps import Explain, get_method, resize_maps
from cxr_keras.explain.trust import positive
from cxr_keras.recipes.explain_images import EVERY_MODEL, Explained, framed, load_models, network_images
from cxr_keras.reporting.maps import MapPicture

LARGEST_DIFFERENCE = 0.05
"""How far a probability may lie from that in predictions.csv. Another device or backend moves it by 1e-3 in half precision; more means that
the model file is not the one that predicted."""

METHODS_WITH_LAYER = ("grad_cam", "hires_cam", "activation")


class MappedBatch(NamedTuple):
    """Maps of some images.

    Attributes:
        rows: their rows of `Explained.table`.
        images: float32 (b, h, w, 1) in [0, 255], as the network saw them.
        maps: float32 (b, h', w').
        columns: int64 (b,), the class that each map is of.
        logits: float32 (b,), of that class.
        difference: largest difference of a probability from that in the table.
    """

    rows: pd.DataFrame
    images: np.ndarray
    maps: np.ndarray
    columns: np.ndarray
    logits: np.ndarray
    difference: float


def method_maker(method: str, *, layer: str | None) -> Callable[[keras.Model], Explain]:
    """Give the function that makes a method ready for a model.

    Raises:
        ValueError: an unknown method, or a layer for one that takes none.
    """
    maker = get_method(method)
    if layer is not None and method not in METHODS_WITH_LAYER:
        raise ValueError(f"--layer goes with {', '.join(METHODS_WITH_LAYER)}; {method} takes no layer.")
    return (lambda model: maker(model, layer=layer)) if layer is not None else maker


def columns_to_explain(table: pd.DataFrame, classes: tuple[str, ...], *, class_name: str | None) -> np.ndarray:
    """Which class each map is of: int64 (n,), that of `class_name`, or the predicted one.

    Raises:
        ValueError: no such class.
    """
    if class_name is not None and class_name not in classes:
        near = difflib.get_close_matches(class_name, classes, n=1)
        raise ValueError(f"--class {class_name}: the classes are {', '.join(classes)}.{f' Did you mean {near[0]!r}?' if near else ''}")
    names = table["predicted"] if class_name is None else [class_name] * len(table)
    return np.array([classes.index(name) for name in names], np.int64)


def map_images(
    explained: Explained,
    maker: Callable[[keras.Model], Explain],
    columns: np.ndarray,
    *,
    change: Callable[[keras.Model], keras.Model] = lambda model: model,
) -> Iterator[MappedBatch]:
    """Explain every image of the table with its own model.

    Images of `EVERY_MODEL` get the mean of the models' maps, which is the map of the mean logit.

    Args:
        explained: the run and the images.
        maker: from `method_maker`.
        columns: int64 (n,), the class to explain for each row.
        change: what is done to each model first, such as forgetting its weights; the probabilities are then not compared.

    Yields:
        Batch by batch, grouped by model in the order of the table.

    Raises:
        ValueError: a model that does not give the probabilities of the table.
    """
    table = explained.table
    for name in dict.fromkeys(table["model"]):
        mine = np.flatnonzero((table["model"] == name).to_numpy())
        part = explained.with_table(table.iloc[mine])
        loaded = load_models(part, name)
        models = [change(model) for model in loaded]
        changed = any(model is not former for model, former in zip(models, loaded, strict=True))
        ready = [maker(model) for model in models]
        first = 0
        for batch in network_images(part):
            images = np.asarray(batch[0], np.float32)
            rows, wanted = part.table.iloc[first : first + len(images)], columns[mine[first : first + len(images)]]
            first += len(images)
            found = [explain(images, wanted) for explain in ready]
            stored = rows[probability_columns(explained.classes)].to_numpy(float)
            difference = 0.0 if changed else float(np.abs(np.mean([_softmax(each.logits) for each in found], axis=0) - stored).max())
            _refuse_another_model(difference, part, name)
            logits = np.mean([each.logits for each in found], axis=0)[np.arange(len(rows)), wanted]
            yield MappedBatch(rows, images, np.mean([each.maps for each in found], axis=0), wanted, logits, difference)


def map_picture(explained: Explained, batch: MappedBatch, index: int, *, method: str) -> MapPicture:
    """What a picture of one map of a batch shows: the file in the network's framing, the map in its size, and the words."""
    row = batch.rows.iloc[index]
    image = framed(Path(row["path"]).read_bytes(), explained.config)
    return MapPicture(
        image=image,
        evidence=resize_maps(positive(batch.maps[index : index + 1]), (image.shape[0], image.shape[1]))[0],
        image_id=row["image_id"],
        label=row["label"],
        predicted=row["predicted"],
        probability=float(row["probability"]),
        method=method,
        explained_class=explained.classes[batch.columns[index]],
        grid=(batch.maps.shape[1], batch.maps.shape[2]),
        decided=row["decided"],
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _refuse_another_model(difference: float, part: Explained, name: str) -> None:
    if difference > LARGEST_DIFFERENCE:
        path: Any = "its models" if name == EVERY_MODEL else part.models[name]
        raise ValueError(
            f"{path} gives probabilities up to {difference:.2f} away from {part.run / 'predictions.csv'}, so it is not the model that "
            "predicted. Train the run again, or restore the file."
        )
