"""`cxr cv`: k folds that no patient crosses, one job a fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.schema import RunConfig
from cxr_keras.data.folds import check_folds, make_folds, read_folds, split_by_group, write_folds
from cxr_keras.recipes.bozickovic import initial_epochs
from cxr_keras.recipes.classifier import classifier_jobs
from cxr_keras.recipes.run import close_run, finish_run, fold_job, open_run
from cxr_keras.recipes.tracking import told_to
from cxr_keras.runs.directory import hold_run_directory
from cxr_keras.runs.jobs import Engine, run_jobs


def cross_validate(config: RunConfig, folder: str | Path, *, workers: int = 1, engine: Engine | None = None) -> dict[str, Any]:
    """Cross-validate a config; the same call continues an interrupted run.

    Protocol "plain": from each training part a share of the patients may be kept apart to choose the epoch on. Protocol "bozickovic":
    the epochs are found once on an initial split and carried into the folds, which have no validation part.

    Args:
        config: all settings.
        folder: the run directory.
        workers: folds that are trained at a time.
        engine: where they are trained, see `open_engine`; by default in processes of this machine.

    Returns:
        The scores of the pooled out-of-fold predictions and over folds, as in `metrics.json`.

    Raises:
        ValueError: the images, folds or settings cannot be used, or the directory holds another run.
    """
    folder = Path(folder)
    with hold_run_directory(folder):
        manifest = open_run(config, folder, verb="cv")
        folds = _folds_of_run(config, folder, manifest)
        epochs = None
        if config.cross_validation.protocol == "bozickovic":
            epochs = initial_epochs(config, folder, manifest, engine=engine)
        jobs = []
        for fold in range(config.cross_validation.folds):
            parts = parts_of_fold(manifest, folds, fold, config=config)
            label = f"fold {fold + 1} of {config.cross_validation.folds}"
            tracking = told_to(config, folder)
            jobs.append(fold_job(folder / f"fold-{fold}", folder, parts, fold=fold, label=label, epochs=epochs, tracking=tracking))
        run_jobs(classifier_jobs(jobs, config), workers=workers, engine=engine)
        scores = finish_run(config, folder, [job.folder for job in jobs], verb="cv", manifest=manifest)
        close_run(config, folder, manifest=manifest)
        return scores


def parts_of_fold(manifest: pd.DataFrame, folds: dict[str, int], fold: int, *, config: RunConfig) -> pd.Series:
    """Which image is in which part when `fold` is the test part."""
    in_test = manifest["image_id"].map(folds) == fold
    parts = pd.Series("train", index=manifest["image_id"], name="part")
    parts[in_test.to_numpy()] = "test"
    share = config.cross_validation.validation
    if config.cross_validation.protocol == "plain" and share > 0:
        fractions = {"train": 1 - share, "validation": share}
        inner = split_by_group(manifest[~in_test], fractions=fractions, seed=config.seed_of_splits + 1 + fold)
        parts.update(inner)
    return parts


def _folds_of_run(config: RunConfig, folder: Path, manifest: pd.DataFrame) -> dict[str, int]:
    """The folds written in the run directory, made at its first start."""
    path = folder / "folds.json"
    if not path.exists():
        folds = make_folds(manifest, n_folds=config.cross_validation.folds, seed=config.seed_of_splits)
        write_folds(path, folds, manifest=manifest, seed=config.seed_of_splits)
    folds = read_folds(path, manifest=manifest)
    check_folds(folds, manifest, n_folds=config.cross_validation.folds)
    return folds
