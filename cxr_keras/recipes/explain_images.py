"""Which images are explained, by which of a run's models: those that a model did not train on, joined by image_id."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.data.examples import examples_of
from cxr_keras.data.inspect_image import read_header
from cxr_keras.data.labels import class_order
from cxr_keras.data.manifest import read_manifest, select_images
from cxr_keras.evaluation import read_predictions
from cxr_keras.evaluation.predictions import probability_columns
from cxr_keras.pixels.decode import decode_and_resize
from cxr_keras.recipes.batches import batches_in_order, decode_settings, open_cache
from cxr_keras.recipes.evaluate_run import open_finished
from cxr_keras.runs.files import read_json
from cxr_keras.training.validation import predict_probabilities

EVERY_MODEL = "mean"
"""What stands for the model of images from elsewhere, which every fold's model may explain: the mean over all of them."""

PICTURE_SIDE = 448
"""Pictures are drawn from the file at this many pixels or more, in the network's own framing; 64 pixels show no lung."""


@dataclass(frozen=True)
class Explained:
    """A finished run and the images to explain.

    Attributes:
        run: the run directory.
        config: its settings.
        classes: class names in order.
        models: path of each model by the name of its fold.
        table: one row an image: image_id, path, sha256, label ("" where unknown), group_id, split, model (a fold's name or `EVERY_MODEL`),
            fold, one column p_<class> a class, predicted, probability (of the predicted class), and the manifest's free columns.
    """

    run: Path
    config: RunConfig
    classes: tuple[str, ...]
    models: dict[str, Path]
    table: pd.DataFrame

    def with_table(self, table: pd.DataFrame) -> Explained:
        """The same run with other rows."""
        return replace(self, table=table.reset_index(drop=True))


def held_out_images(run: Path, *, point: str | None = None) -> Explained:
    """Take the images that a run has predicted, each with the model of its fold, which did not train on it.

    Args:
        run: a finished run with its models.
        point: name of a locked operating point that decides what is predicted; None takes the most probable class.

    Raises:
        ValueError: no finished run, or it has no such point.
    """
    config, models = open_finished(run)
    manifest = read_manifest(run / "manifest.csv")
    predictions = read_predictions(run / "predictions.csv")
    table = select_images(manifest, predictions["image_id"])
    classes = class_order(manifest["label"])
    for column in ("fold", *probability_columns(classes)):
        table[column] = predictions[column].to_numpy()  # select_images gives the order of these predictions
    only = next(iter(models))
    table["model"] = [f"fold-{fold}" if f"fold-{fold}" in models else only for fold in table["fold"]]
    found = Explained(run, config, classes, models, table)
    return found.with_table(with_calls(table, classes, point=find_point(run, point, classes)))


def given_images(
    run: Path, images: Sequence[Path], *, point: str | None = None, draw: Callable[[pd.DataFrame], pd.DataFrame] | None = None
) -> Explained:
    """Take images that the user names: a manifest, or files, whose labels are unknown.

    Images of the run itself get the model that did not train on them; images from elsewhere the mean over all models.

    Args:
        run: a finished run with its models.
        images: one CSV made by `cxr data build`, or JPEG, PNG and DICOM files.
        point: as in `held_out_images`.
        draw: takes those of the images that are wanted, from a table without predictions; only they are predicted. None takes all.

    Raises:
        ValueError: files that are missing, damaged or have one name, other classes, or images that a model of the run was trained on.
    """
    own = held_out_images(run, point=point)
    table = _read_images(images)
    if unknown := sorted(set(table["label"]) - {"", *own.classes}):
        raise ValueError(f"the images have the labels {', '.join(unknown)}; {run} was trained on {', '.join(own.classes)}.")
    held_out = own.table.drop_duplicates("sha256").set_index("sha256")
    is_own = table["sha256"].isin(held_out.index)
    trained = read_manifest(run / "manifest.csv")
    seen = ~is_own & table["sha256"].isin(trained["sha256"])
    if seen.any():
        raise ValueError(
            f"{seen.sum()} of {len(table)} images belong to {run} and are held out by none of its models "
            f"({', '.join(table.loc[seen, 'image_id'].head(3))}). A map of an image that the model has learned by heart says little; leave "
            "them out."
        )
    if draw is not None:
        table = draw(table)
        is_own = table["sha256"].isin(held_out.index)
    columns = ["model", "fold", *probability_columns(own.classes)]
    mine = table[is_own].reset_index(drop=True)
    mine[columns] = held_out.loc[mine["sha256"], columns].to_numpy()
    others = table[~is_own].reset_index(drop=True)
    if len(others):
        others["model"], others["fold"] = EVERY_MODEL, -1
        others[probability_columns(own.classes)] = predict_again(own.with_table(others))
    both = pd.concat([part for part in (mine, others) if len(part)], ignore_index=True)
    both[probability_columns(own.classes)] = both[probability_columns(own.classes)].astype(float)
    both["fold"] = both["fold"].astype(int)
    return own.with_table(with_calls(both, own.classes, point=find_point(run, point, own.classes)))


def choose_images(table: pd.DataFrame, *, sample: int, per_class: bool, which: str, seed: int) -> pd.DataFrame:
    """Draw images at random.

    Args:
        table: `Explained.table`.
        sample: how many, of each label or altogether; fewer where there are no more.
        per_class: whether to draw from each label apart.
        which: "correct", "wrong" or "any", of the predicted class against the label.
        seed: of the draw; it depends on the ids and not on their order.

    Returns:
        The rows, by label and then in the order drawn.

    Raises:
        ValueError: an unknown choice, or no image left.
    """
    if which not in ("any", "correct", "wrong"):
        raise ValueError(f"--which {which}: expected any, correct or wrong.")
    if sample < 1:
        raise ValueError(f"--sample {sample}: expected a number from 1 up.")
    if which != "any":
        if (table["label"] == "").any():
            raise ValueError(f"--which {which} needs labels, and image files have none. Give a manifest, see `cxr data build`.")
        table = table[(table["label"] == table["predicted"]) == (which == "correct")]
    if table.empty:
        raise ValueError(f"no image is left to explain: none of them is {which}ly predicted." if which != "any" else "there are no images.")
    lot = [hashlib.sha256(f"{seed} {image_id}".encode()).hexdigest() for image_id in table["image_id"]]
    drawn = table.assign(lot=lot).sort_values("lot")
    drawn = drawn.groupby("label").head(sample).sort_values(["label", "lot"]) if per_class else drawn.head(sample)
    return drawn.drop(columns="lot").reset_index(drop=True)


def network_images(explained: Explained) -> Any:
    """Give one pass over the images as the network sees them, in the order of the table: batches (float32 (b, h, w, 1) in [0, 255], y)."""
    table = explained.table
    # The targets are not used; images without a label need some class to go through the same pipeline.
    placed = table.assign(label=table["label"].where(table["label"] != "", explained.classes[0]))
    # The run's own cache holds all of its images; a selection of them needs none of its own.
    elsewhere = (table["model"] == EVERY_MODEL).any()
    cache = open_cache(placed if elsewhere else read_manifest(explained.run / "manifest.csv"), explained.config, show_progress=True)
    return batches_in_order(cache.images, examples_of(placed, cache, explained.classes), explained.config)


def framed(contents: bytes, config: RunConfig, *, side: int | None = PICTURE_SIDE) -> np.ndarray:
    """Decode one file in the framing that the network sees (resize mode and centre crop).

    Args:
        contents: bytes of an image, or of a mask of the same geometry.
        config: the run's settings.
        side: the longer side in pixels at least, or None for the network's own size.

    Returns:
        float32 (h, w) in [0, 255].
    """
    height, width = config.data.image_size
    factor = 1 if side is None else max(1, -(-side // max(height, width)))
    settings = decode_settings(config)
    settings = replace(settings, height=settings.height * factor, width=settings.width * factor)
    image = np.asarray(decode_and_resize(contents, settings))[..., 0]
    top, left = (image.shape[0] - height * factor) // 2, (image.shape[1] - width * factor) // 2
    return image[top : top + height * factor, left : left + width * factor]


def load_models(explained: Explained, name: str) -> list[keras.Model]:
    """Load the model of a fold, or all of them for `EVERY_MODEL`."""
    wanted = explained.models.values() if name == EVERY_MODEL else [explained.models[name]]
    return [keras.models.load_model(path, compile=False, safe_mode=True) for path in wanted]


def predict_again(explained: Explained) -> np.ndarray:
    """Predict the images with the models as they lie on the disk, the mean over all models for `EVERY_MODEL`; float64 (n, classes)."""
    table = explained.table
    probabilities = np.zeros((len(table), len(explained.classes)))
    for name in dict.fromkeys(table["model"]):
        mine = np.flatnonzero((table["model"] == name).to_numpy())
        part = explained.with_table(table.iloc[mine])
        models = load_models(part, name)
        probabilities[mine] = np.mean([predict_probabilities(model, network_images(part))[0] for model in models], axis=0, dtype=np.float64)
    return probabilities


def with_calls(table: pd.DataFrame, classes: tuple[str, ...], *, point: Mapping[str, Any] | None) -> pd.DataFrame:
    """Add what is predicted, by the operating point or else the most probable class, its probability, and what decided ("" if no point)."""
    probabilities = table[probability_columns(classes)].to_numpy(float)
    called = probabilities.argmax(axis=1)
    decided = [""] * len(table)
    if point is not None:
        thresholds = [point["thresholds"].get(str(fold), point["locked"]) for fold in table["fold"]]
        called = (probabilities[:, 1] >= np.asarray(thresholds)).astype(int)
        signs = (f"{classes[1]} <", "≥")
        decided = [f"{signs[index]} {threshold:.3f}, {point['name']}" for index, threshold in zip(called, thresholds, strict=True)]
    probability = probabilities[np.arange(len(table)), called]
    return table.assign(predicted=[classes[index] for index in called], probability=probability, decided=decided)


def find_point(run: Path, name: str | None, classes: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Find a locked operating point of the run by name; None for no name.

    Raises:
        ValueError: the run has no such point.
    """
    if name is None:
        return None
    points = {
        point["name"]: point for point in read_json(run / "metrics.json").get("operating_points") or () if point["locked"] is not None
    }
    if name not in points:
        known = f"It has {', '.join(points)}." if points else f"It has none ({len(classes)} classes)."
        raise ValueError(f"--point {name}: {run} has no such operating point. {known}")
    return points[name]


def _read_images(images: Sequence[Path]) -> pd.DataFrame:
    """Rows of a manifest, or of single files: image_id, path, sha256, label, group_id, split."""
    if len(images) == 1 and images[0].suffix.lower() == ".csv":
        return read_manifest(images[0])
    if manifests := [str(path) for path in images if path.suffix.lower() == ".csv"]:
        raise ValueError(f"--images: give one manifest alone, or image files; got {', '.join(manifests)} among {len(images)} files.")
    faults = [f"{path} is no file" for path in images if not path.is_file()]
    names = [path.stem for path in images]
    faults += [f"{name} is the name of several files" for name in sorted({name for name in names if names.count(name) > 1})]
    if faults:
        raise ValueError(f"--images: {'; '.join(faults)}. Several files of one name need a manifest, see `cxr data build`.")
    rows = []
    for path in images:
        contents = path.read_bytes()
        _, width, height, fault = read_header(contents)
        if fault:
            faults.append(f"{path}: {fault}")
        digest = hashlib.sha256(contents).hexdigest()
        rows.append((path.stem, str(path.absolute()), "", path.stem, path.stem, "files", "", digest, width, height))
    if faults:
        raise ValueError(f"--images: {'; '.join(faults)}. Expected whole JPEG, PNG or DICOM files.")
    names_of_columns = ["image_id", "path", "label", "patient_id", "group_id", "source", "split", "sha256", "width", "height"]
    return pd.DataFrame(rows, columns=names_of_columns)
