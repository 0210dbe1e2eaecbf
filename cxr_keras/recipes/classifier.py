"""A classifier on stored features as what `train` and `cv` fit: its jobs, one fold, and what a finished run says of it."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxr_keras.config.loader import read_config
from cxr_keras.config.schema import RunConfig
from cxr_keras.data.folds import assert_no_shared_group
from cxr_keras.data.labels import class_order
from cxr_keras.data.manifest import read_manifest, select_images
from cxr_keras.evaluation import predictions_table, score_predictions
from cxr_keras.features.classify import Fitted, SearchSettings, fit_rows
from cxr_keras.features.model_files import feature_key
from cxr_keras.features.neighbours import NeighboursModel
from cxr_keras.features.saved import save_classifier
from cxr_keras.features.search import FitSettings, grouped_splits
from cxr_keras.recipes.classifier_base import base_folder, is_prepared, read_representation, remove_intermediate, settings_of
from cxr_keras.recipes.fixed_network import idle_parameters
from cxr_keras.recipes.weights import PARTS_FILE, UNUSED
from cxr_keras.reporting import save_figure
from cxr_keras.reporting.grid import grid_figure, grid_table
from cxr_keras.reporting.tables import render_markdown, render_text
from cxr_keras.runs.directory import CONFIG_FILE, DONE_FILE
from cxr_keras.runs.files import read_json, write_csv, write_json, write_text
from cxr_keras.runs.jobs import Job

CLASSIFIER_FILE = "classifier.npz"
GRID_FILE = "grid.csv"
INNER_FILE = "grid_by_inner_fold.csv"


def search_settings(config: RunConfig) -> SearchSettings:
    """The config's classifier as the features stage takes it.

    Raises:
        ValueError: the config has no classifier, or one that cannot be.
    """
    section = config.classifier
    if section is None:
        raise ValueError(f"{config.name} has no section `classifier`; its network is trained.")
    fit = FitSettings(
        class_weight=None if section.class_weights == "none" else section.class_weights,
        scale=section.scale,
        tol=section.tolerance,
        max_iter=section.max_iterations,
    )
    return SearchSettings(section.kind, section.grid, section.folds, config.seed_of_splits, section.choose_by, fit)


def check_classifier(config: RunConfig) -> None:
    """Refuse settings of a classifier's network that would change nothing, before any image is read."""
    if config.classifier is None:
        return
    search_settings(config)
    if idle := idle_parameters(config, config.classifier.layer):
        raise ValueError(
            f"model.params has {', '.join(idle)}, which belong to the head of {config.model.name}, and the classifier reads the layer "
            f"{config.classifier.layer} before it. Leave them out, or take classifier.layer=embedding."
        )


def classifier_jobs(fold_jobs: Sequence[Job], config: RunConfig) -> list[Job]:
    """Turn the jobs of a run's folds into those of a classifier, what they share first; the jobs of a network stay as they are.

    Args:
        fold_jobs: of `run.fold_job`.
        config: of the run.

    Returns:
        For each base the job that prepares it, unless all of its folds are done or it is ready, then its folds.

    Raises:
        ValueError: a training part has too few patients for the inner folds, or class weights name other classes.
    """
    if config.classifier is None:
        return list(fold_jobs)
    manifest = read_manifest(fold_jobs[0].folder.parent / "manifest.csv")
    of_base: dict[Path, list[Job]] = {}
    for job in fold_jobs:
        _check_training_part(job.folder, manifest, config)
        of_base.setdefault(base_folder(job.folder, config.model.weights), []).append(job)
    jobs: list[Job] = []
    for folder, served in of_base.items():
        if all(job.done for job in served):
            continue
        if not is_prepared(folder, manifest):
            (folder / DONE_FILE).unlink(missing_ok=True)
        folds = {job.folder.name: job.arguments["fold"] for job in served}
        arguments = {"run_directory": served[0].arguments["run_directory"], "folds": folds}
        jobs.append(Job("cxr_keras.recipes.classifier_base:prepare_base", folder, arguments, before=served[0].before))
        for job in served:
            arguments = {key: job.arguments[key] for key in ("run_directory", "fold", "label")}
            jobs.append(dataclasses.replace(job, call="cxr_keras.recipes.classifier:classify_fold", arguments=arguments))
    return jobs


def classify_fold(*, folder: Path, run_directory: str, fold: int, label: str) -> None:
    """Search, fit and score one fold; everything it leaves lies in `folder`, `done.json` last.

    Args:
        folder: the fold's folder; holds `parts.csv` (image_id, part) with the parts train, test and perhaps validation and unused.
        run_directory: the run's directory with `config.yaml` and `manifest.csv`; the base of the fold is prepared.
        fold: the fold's number.
        label: what progress lines call it.

    Raises:
        ValueError: the parts share a patient, the search finds no model, or stored features are damaged.
    """
    started = time.monotonic()
    root = Path(run_directory)
    config, manifest = read_config(root / CONFIG_FILE), read_manifest(root / "manifest.csv")
    base = base_folder(folder, config.model.weights)
    representation, row_of = read_representation(base, manifest)
    parts = _parts(folder)
    used = select_images(manifest, parts.index)
    assert_no_shared_group(used, parts)
    tables = {part: used[used["image_id"].map(parts) == part] for part in ("train", "validation", "test")}
    classes = class_order(used["label"])
    settings = search_settings(config)
    tried = f"{len(settings.values)} values of {settings.kind.parameter}, {settings.folds} inner folds"
    print(f"{label}: {settings.classifier.replace('_', ' ')}, {tried}, {len(tables['train']):,} images", file=sys.stderr, flush=True)

    aligned = manifest.set_index("image_id").loc[row_of.index]
    fitted = fit_rows(
        representation,
        aligned["label"].to_numpy(str),
        aligned["group_id"].to_numpy(str),
        training_rows=row_of[tables["train"]["image_id"]].to_numpy(),
        settings=settings,
    )
    predicted = {}
    for part, name in (("validation", "validation_predictions.csv"), ("test", "predictions.csv")):
        if len(tables[part]):
            probabilities = in_order(fitted.predict(row_of[tables[part]["image_id"]].to_numpy()), fitted.classes, classes)
            predicted[part] = predictions_table(tables[part], probabilities, classes, fold=fold)
            write_csv(folder / name, predicted[part])
    write_csv(folder / GRID_FILE, fitted.search.curve)
    write_csv(folder / INNER_FILE, fitted.search.per_fold)
    scores = score_predictions(predicted["test"], draws=config.evaluation.bootstrap_draws, seed=config.seed, classes=classes)
    write_json(folder / "metrics.json", scores)
    if config.training.save_models:
        kept = fitted.model() if settings.classifier != "nearest_neighbours" else _neighbours(fitted, tables["train"])
        save_classifier(folder / CLASSIFIER_FILE, kept, feature_key=feature_key(settings_of(base)))
    seconds = round(time.monotonic() - started, 1)
    print(f"{label}: {settings.kind.parameter} {fitted.search.best:g} chosen, {seconds:,.1f} s", file=sys.stderr, flush=True)
    done = {
        "images": {part: len(table) for part, table in tables.items()},
        "patients": {part: int(table["group_id"].nunique()) for part, table in tables.items()},
        "training_examples": len(tables["train"]),
        "chosen": {fitted.search.parameter: fitted.search.best},
        "phases": [],
        "seconds": seconds,
        "training_seconds": seconds,
    }
    write_json(folder / DONE_FILE, done)


def in_order(probabilities: np.ndarray, found: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Put columns of probabilities into the order of `classes`.

    Raises:
        ValueError: the classifier does not know one of them, because its training part had none.
    """
    if absent := sorted(set(classes) - set(found)):
        raise ValueError(f"the training part has no image of {', '.join(absent)}; take fewer folds, another seed, or more patients.")
    return probabilities[:, [list(found).index(name) for name in classes]]


def classifier_provenance(config: RunConfig, fold_folders: Sequence[Path]) -> dict[str, str]:
    """What a line of results says of a classifier where it says epochs and training time of a network."""
    if config.classifier is None:
        return {}
    chosen = sorted({value for folder in fold_folders for value in read_json(folder / DONE_FILE)["chosen"].values()})
    parameter = search_settings(config).kind.parameter
    span = f"{chosen[0]:g}" if len(chosen) == 1 else f"{chosen[0]:g} to {chosen[-1]:g}"
    fits = sum(read_json(folder / DONE_FILE)["seconds"] for folder in fold_folders)
    bases = {base_folder(folder, config.model.weights) for folder in fold_folders}
    shared = sum(read_json(folder / DONE_FILE)["seconds"] for folder in bases)
    return {"epochs": f"none; {parameter} {span}", "training": f"features {shared / 60:.1f} min, classifier {fits / 60:.1f} min"}


def finish_classifier(config: RunConfig, folder: Path, fold_folders: Sequence[Path]) -> dict[str, Any]:
    """Write the grid of all folds as table and figure, add what was chosen to `summary.md`, and remove what only the fits needed.

    Args:
        config: of the run.
        folder: the run directory.
        fold_folders: its folds.

    Returns:
        What `metrics.json` holds under `classifier`; empty for a network.
    """
    if config.classifier is None:
        return {}
    settings = search_settings(config)
    parameter = settings.kind.parameter
    curves = {path.name: pd.read_csv(path / GRID_FILE) for path in fold_folders}
    chosen = {path.name: read_json(path / DONE_FILE)["chosen"][parameter] for path in fold_folders}
    write_csv(
        folder / GRID_FILE, pd.concat([curve.assign(fold=name, chosen=curve[parameter] == chosen[name]) for name, curve in curves.items()])
    )
    figure = grid_figure(curves, chosen, parameter=parameter, choose_by=settings.score, title=f"{config.name}: grid search")
    save_figure(figure, folder / "figures" / "grid.png", svg=True)
    table = grid_table(curves, chosen, parameter=parameter, choose_by=settings.score)
    summary = folder / "summary.md"
    text = summary.read_text(encoding="utf-8")
    if table.title not in text:
        write_text(summary, f"{text}\n{render_markdown([table])}")
    print(render_text([table]))
    bases = {base_folder(path, config.model.weights) for path in fold_folders}
    for base in bases:
        remove_intermediate(base)
    first = read_json(min(bases) / DONE_FILE)
    return {
        "kind": settings.classifier,
        "layer": config.classifier.layer,
        "features": first["features"],
        "parameter": parameter,
        "choose_by": settings.score,
        "chosen": chosen,
    }


def _check_training_part(folder: Path, manifest: pd.DataFrame, config: RunConfig) -> None:
    """Raise ValueError for what the search of a fold would refuse, before features are computed."""
    parts = _parts(folder)
    training = manifest[manifest["image_id"].map(parts) == "train"]
    labels, weights = training["label"].to_numpy(str), config.classifier.class_weights if config.classifier else "none"
    if isinstance(weights, dict) and set(weights) != set(labels):
        raise ValueError(f"classifier.class_weights names {', '.join(sorted(weights))}; the classes are {', '.join(sorted(set(labels)))}.")
    settings = search_settings(config)
    try:
        grouped_splits(labels, training["group_id"].to_numpy(str), folds=settings.folds, seed=settings.seed)
    except ValueError as error:
        raise ValueError(f"{folder.name}, classifier.folds: {error}") from error


def _parts(folder: Path) -> pd.Series:
    parts = pd.read_csv(folder / PARTS_FILE, dtype=str).set_index("image_id")["part"]
    return parts[parts != UNUSED]


def _neighbours(fitted: Fitted, training: pd.DataFrame) -> NeighboursModel:
    return NeighboursModel(training["image_id"].to_numpy(str), training["label"].to_numpy(str), int(fitted.search.best), fitted.classes)
