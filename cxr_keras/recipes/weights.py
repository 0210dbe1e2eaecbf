"""Which weights a fold starts from, and whether they have seen its held-out images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd

import models_zoo
from cxr_keras.config.loader import read_config
from cxr_keras.config.schema import ModelSection, RunConfig
from cxr_keras.data.manifest import read_manifest
from cxr_keras.recipes.classifier_files import BASE_FOLDER
from cxr_keras.recipes.parts import PARTS_FILE
from cxr_keras.runs.directory import CONFIG_FILE
from cxr_keras.training.strategies import get_strategy
from cxr_keras.weights import resolve_weights


def model_of(config: RunConfig) -> ModelSection:
    """Give the model section of a run, the dropout that its strategy puts before the head among the parameters."""
    dropout = None if config.classifier else get_strategy(config.training.strategy).head_dropout
    if dropout is None:
        return config.model
    return config.model.model_copy(update={"params": {"dropout": dropout, **config.model.params}})


def check_model(model: ModelSection, *, image_size: tuple[int, int], folds: range) -> None:
    """Refuse an architecture, parameters or weights that cannot be used, before any image is read.

    Args:
        model: the config's model section.
        image_size: height and width in pixels.
        folds: the folds that will be trained; each has its own weights file where the path holds "{fold}".

    Raises:
        ValueError: unknown architecture or parameter, a value that a parameter cannot have, too small images, or weights that are
            missing or do not fit.
    """
    smallest = models_zoo.get_spec(model.name).minimum_image_size
    models_zoo.check_values(model.name, model.params)
    if min(image_size) < smallest:
        raise ValueError(f"{model.name} needs images of {smallest} pixels or more; data.image_size is {list(image_size)}.")
    if model.weights is None:
        return
    for value in dict.fromkeys(model.weights.replace("{fold}", str(fold)) for fold in folds):
        resolve_weights(value, architecture=model.name, parameters=model.params)


class Lineage(NamedTuple):
    """What a file of weights has been trained on.

    Attributes:
        folds: folders of the folds, with their `parts.csv`, that trained it: the last first, then that whose weights it began with, and
            so on.
        unknown: the file, its own or the first one's, whose training images are not recorded, or None.
    """

    folds: tuple[Path, ...]
    unknown: Path | None


def lineage_of(path: Path, *, followed: frozenset[Path] = frozenset()) -> Lineage:
    """Follow weights back to the runs of this package that trained them.

    Args:
        path: a file; of a fold of a run (`fold-k/model.keras`), or the network that a run of a classifier keeps (`base/model.keras`), which
            that run did not train.
        followed: files that were followed on the way here; one that comes again, as its run was trained anew, is taken as unknown.
    """
    if path.resolve() in followed:
        return Lineage((), path)
    kept = path.parent.name == BASE_FOLDER
    fold_folder = path.parent.parent if kept else path.parent
    run = fold_folder if (fold_folder / CONFIG_FILE).exists() else fold_folder.parent
    trained = () if kept else (fold_folder,)
    if not kept and not (fold_folder / PARTS_FILE).exists():
        return Lineage((), path)
    if not (run / CONFIG_FILE).exists():
        return Lineage(trained, path if kept else None)
    began_with = read_config(run / CONFIG_FILE).model.weights
    if began_with in (None, "imagenet"):
        return Lineage(trained, None)
    number = fold_folder.name.removeprefix("fold-")
    earlier = Path(began_with.replace("{fold}", number if number.isdigit() else "0")).expanduser()
    before = lineage_of(earlier, followed=followed | {path.resolve()})
    return Lineage((*trained, *before.folds), before.unknown)


def weights_of_fold(model: ModelSection, *, fold: int, folder: Path) -> str | Path | None:
    """Resolve the config's `model.weights` for one fold.

    Weights that a run of this package trained carry their own parts beside them, so their training images are known, and those of the
    weights that they began with: none of them may be an image, or belong to a patient, that this fold holds out. A validation part may be
    that of the earlier run. Of other files the training images are unknown, which is said.

    Args:
        model: the config's model section; "{fold}" in its weights stands for the number of the fold.
        fold: number of the fold.
        folder: the fold's folder with its `parts.csv`; the run directory above holds the manifest.

    Returns:
        What `models_zoo.build` takes.

    Raises:
        ValueError: the file is missing or of another architecture, or its training saw images or patients that this fold holds out.
    """
    value = None if model.weights is None else model.weights.replace("{fold}", str(fold))
    path = resolve_weights(value, architecture=model.name, parameters=model.params)
    if not isinstance(path, Path):
        return path
    lineage = lineage_of(path)
    if lineage.unknown is not None:
        print(f"weights {lineage.unknown}: the images they were trained on are not recorded beside them", file=sys.stderr)
    for trained in lineage.folds:
        # A validation part may choose twice, but what is tested must not have been seen, and what chooses not trained on.
        for old, new in (({"train", "validation"}, {"test"}), ({"train"}, {"validation"})):
            seen, held_out = _rows_of_part(trained, old), _rows_of_part(folder, new)
            for column, what in (("sha256", "images"), ("group_id", "patients")):
                if shared := set(seen[column]) & set(held_out[column]):
                    by = "" if trained == path.parent else f" (in {trained})"
                    raise ValueError(
                        f"{path} was trained on {len(shared)} {what} that fold {fold} holds out{by}, so its scores would be too good. Use "
                        "weights of a run with the same folds and {fold} in the path, or weights from other images."
                    )
    return path


def _rows_of_part(folder: Path, parts: set[str]) -> pd.DataFrame:
    """The manifest rows of a fold's parts."""
    manifest = read_manifest(folder.parent / "manifest.csv")
    part = pd.read_csv(folder / PARTS_FILE, dtype=str).set_index("image_id")["part"]
    return manifest[manifest["image_id"].map(part).isin(parts)]
