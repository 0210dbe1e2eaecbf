"""A classifier on stored features as what `train` and `cv` fit: its jobs, and what a finished run says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.loader import read_config
from cxr_keras.config.schema import RunConfig
from cxr_keras.data.manifest import read_manifest
from cxr_keras.features.classify import check_sizes
from cxr_keras.features.engines import check_engine
from cxr_keras.features.inner_folds import grouped_splits
from cxr_keras.recipes.classifier_files import base_folder, is_prepared, remove_intermediate
from cxr_keras.recipes.classifier_fold import GRID_FILE, search_settings
from cxr_keras.recipes.fixed_network import check_pooled, idle_parameters
from cxr_keras.recipes.parts import parts_of
from cxr_keras.reporting import save_figure
from cxr_keras.reporting.grid import grid_figure, grid_table
from cxr_keras.reporting.tables import Table, render_markdown, render_text
from cxr_keras.runs.directory import CONFIG_FILE, DONE_FILE
from cxr_keras.runs.files import read_json, write_csv, write_text
from cxr_keras.runs.jobs import Job


def check_classifier(config: RunConfig) -> None:
    """Raise ValueError for a classifier or an engine that cannot be, or settings that change nothing, before any image is read."""
    if config.classifier is None:
        return
    search_settings(config)
    check_engine(config.classifier.engine, config.training.precision)
    check_pooled(config)
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
            jobs.append(
                dataclasses.replace(
                    job, call="cxr_keras.recipes.classifier_fold:classify_fold", arguments=arguments, before=None, after=(folder,)
                )
            )
    return jobs


def classifier_provenance(config: RunConfig, fold_folders: Sequence[Path]) -> dict[str, str]:
    """What a line of results says of a classifier where it says epochs and training time of a network."""
    if config.classifier is None:
        return {}
    chosen = sorted({value for folder in fold_folders for value in read_json(folder / DONE_FILE)["chosen"].values()})
    parameter = search_settings(config).kind.parameter
    span = f"{chosen[0]:g}" if len(chosen) == 1 else f"{chosen[0]:g} to {chosen[-1]:g}"
    fits = sum(read_json(folder / DONE_FILE)["seconds"] for folder in fold_folders)
    bases = [read_json(base / DONE_FILE) for base in {base_folder(folder, config.model.weights) for folder in fold_folders}]
    minutes, reused, wanted = (sum(base[key] for base in bases) for key in ("seconds", "reused", "wanted"))
    # What was there, from another run or from before a kill, took its time elsewhere.
    made = f"features of {wanted - reused:,} images {minutes / 60:.1f} min ({reused:,} were there)"
    return {"epochs": f"none; {parameter} {span}", "training": f"{made}, classifier {fits / 60:.1f} min"}


def grid_tables(folder: Path) -> list[Table]:
    """Tabulate the grid search of a finished run's folds; empty for a network's run."""
    config = read_config(folder / CONFIG_FILE)
    if config.classifier is None:
        return []
    settings = search_settings(config)
    curves, chosen = _read_grid(sorted(path.parent for path in folder.glob(f"*/{GRID_FILE}")), settings.kind.parameter)
    return [grid_table(curves, chosen, parameter=settings.kind.parameter, choose_by=settings.score)]


def _read_grid(fold_folders: Sequence[Path], parameter: str) -> tuple[dict[str, pd.DataFrame], dict[str, float]]:
    """The curve of each fold, and the value that it chose."""
    curves = {path.name: pd.read_csv(path / GRID_FILE) for path in fold_folders}
    return curves, {path.name: read_json(path / DONE_FILE)["chosen"][parameter] for path in fold_folders}


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
    curves, chosen = _read_grid(fold_folders, parameter)
    write_csv(
        folder / GRID_FILE, pd.concat([curve.assign(fold=name, chosen=curve[parameter] == chosen[name]) for name, curve in curves.items()])
    )
    figure = grid_figure(curves, chosen, parameter=parameter, choose_by=settings.score, title=f"{config.name}: grid search")
    save_figure(figure, folder / "figures" / "grid.png", svg=True)
    [table] = grid_tables(folder)
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
    parts = parts_of(folder)
    training = manifest[manifest["image_id"].map(parts) == "train"]
    labels, weights = training["label"].to_numpy(str), config.classifier.class_weights if config.classifier else "none"
    if isinstance(weights, dict) and set(weights) != set(labels):
        raise ValueError(f"classifier.class_weights names {', '.join(sorted(weights))}; the classes are {', '.join(sorted(set(labels)))}.")
    settings = search_settings(config)
    try:
        splits = grouped_splits(labels, training["group_id"].to_numpy(str), folds=settings.folds, seed=settings.seed)
        check_sizes(settings, rows=len(training), smallest=min(len(inner) for inner, _ in splits))
    except ValueError as error:
        raise ValueError(f"{folder.name}, classifier: {error}") from error
