"""What `train` and `cv` share: opening the run, its jobs, and its end with tables and figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.loader import flatten, to_yaml
from cxr_keras.config.schema import DataSection, ModelSection, RunConfig
from cxr_keras.data.labels import class_order
from cxr_keras.data.manifest import manifest_digest, write_manifest
from cxr_keras.data.sources.phantom import holds_phantoms
from cxr_keras.evaluation import read_predictions
from cxr_keras.evaluation.baselines import thumbnail_baseline
from cxr_keras.evaluation.calls import refuse_idle_prevalence
from cxr_keras.evaluation.fitting import flaw_of
from cxr_keras.recipes.batches import augmented_columns, open_cache
from cxr_keras.recipes.classifier import check_classifier, classifier_provenance, finish_classifier
from cxr_keras.recipes.data import BAD_FILES, manifest_of, refuse_or_skip_bad_files
from cxr_keras.recipes.frozen import check_frozen_base
from cxr_keras.recipes.parts import PARTS_FILE
from cxr_keras.recipes.readings import with_lasting_ledger
from cxr_keras.recipes.replicas import check_distribution
from cxr_keras.recipes.report import REPORT_FILE, report
from cxr_keras.recipes.results import score_fitted, write_results
from cxr_keras.recipes.tracking import begin_tracking, check_tracking, finish_tracking
from cxr_keras.recipes.weights import check_model, model_of
from cxr_keras.runs.directory import open_run_directory, refuse_foreign_files
from cxr_keras.runs.files import read_json, write_csv, write_json
from cxr_keras.runs.jobs import Job
from cxr_keras.runs.provenance import commits_of, note_environment
from cxr_keras.startup import spare_gpu_memory
from cxr_keras.training.class_weights import class_weights

NO_PART_OF_THE_RESULT = ("evaluation.ledger", "evaluation.mistakes_shown", "tracking.tensorboard", "tracking.mlflow")
"""Settings that a continued run may change."""


def open_run(config: RunConfig, folder: Path, *, verb: str) -> pd.DataFrame:
    """Open the run directory and give the run's images.

    Builds the manifest, opens every file once, refuses the directory of another run, and fills the pixel cache, so that folds only
    read.

    Returns:
        The manifest without bad files, also written as `manifest.csv`.
    """
    spare_gpu_memory()
    if verb == "tune":
        config.refuse_missing_parts("cv")
    else:
        config = config.model_copy(update={"tune": None})
        config.refuse_missing_parts(verb)
    folds = range(1) if verb == "train" else range(config.cross_validation.folds)
    check_model(model_of(config), image_size=config.data.image_size, folds=folds)
    check_frozen_base(config)
    check_classifier(config)
    check_tracking(config, folder)
    check_distribution(config)
    announce_phantom(config)
    refuse_foreign_files(folder)
    manifest = manifest_of(config.data, seed=config.seed_of_splits)
    _check_names_of_classes(config, manifest)
    manifest = refuse_or_skip_bad_files(manifest, policy=config.data.on_bad_files, folder=folder)
    continued = open_run_directory(
        folder,
        verb=verb,
        config_yaml=to_yaml(with_lasting_ledger(config)),
        settings=_decisive(config),
        data_digest=manifest_digest(manifest),
        defaults=_decisive(RunConfig(name=config.name, data=DataSection(), model=ModelSection(name=config.model.name))),
    )
    print(f"{'continues' if continued else 'begins'} {folder}", file=sys.stderr)
    note_environment(folder / "environment.json")
    write_manifest(manifest, folder / "manifest.csv")
    if verb != "tune":  # whose trials are told, each as a run of its own
        begin_tracking(config, folder, verb=verb)
    open_cache(manifest, config, show_progress=True)
    return manifest


def _check_names_of_classes(config: RunConfig, manifest: pd.DataFrame) -> None:
    """Raise ValueError for settings that name classes the images do not have, or that are of two classes alone."""
    classes = class_order(manifest["label"])
    class_weights(config.training.class_weights, classes, training_labels=manifest["label"])
    augmented_columns(config, classes)
    refuse_idle_prevalence(config.evaluation.prevalence, classes)


def _decisive(config: RunConfig) -> dict[str, Any]:
    """The settings that determine a run's result, by dotted name."""
    return {key: value for key, value in flatten(config.model_dump(mode="json")).items() if key not in NO_PART_OF_THE_RESULT}


def fold_job(folder: Path, run_directory: Path, parts: pd.Series, **arguments: Any) -> Job:
    """Make the job of one fold and write its parts.

    Args:
        folder: the fold's folder.
        run_directory: the run's directory.
        parts: part ("train", "validation", "test") of each image, by image_id.
        arguments: fold, label, tracking and perhaps epochs, see `train_fold`.
    """
    table = parts.rename("part").rename_axis("image_id").reset_index()
    write_csv(folder / PARTS_FILE, table)
    return Job(
        "cxr_keras.recipes.fold:train_fold",
        folder,
        {"run_directory": str(run_directory), **arguments},
        before="cxr_keras.startup:start_backend",
    )


def finish_run(config: RunConfig, folder: Path, fold_folders: list[Path], *, verb: str, manifest: pd.DataFrame) -> dict[str, Any]:
    """Pool the folds' predictions, score them, draw the figures and print the table; `close_run` comes last.

    Returns:
        The scores, as in `metrics.json`.
    """
    predictions = pd.concat([read_predictions(fold / "predictions.csv") for fold in fold_folders], ignore_index=True)
    validated = fold_folders[0] / "validation_predictions.csv"
    validation = read_predictions(validated) if len(fold_folders) == 1 and validated.exists() else None
    settings, draws = config.evaluation, config.evaluation.bootstrap_draws
    target, prevalence = settings.target_sensitivity, settings.prevalence
    if len(fold_folders) > 1:
        # The other folds serve, which have a validation part of their own each; only this protocol chooses on images that return in them.
        flaw = flaw_of(chose_epoch=config.cross_validation.protocol == "bozickovic")
    else:
        # A classifier on stored features has no epochs, whatever the strategy that its config leaves unused would do.
        chose_epoch = config.classifier is None and config.chooses_epoch
        flaw = flaw_of(chose_epoch=chose_epoch, other_look=settings.validation_appearance is not None)
    write_csv(folder / "predictions.csv", predictions)
    fitted = score_fitted(predictions, validation, folder, target=target, prevalence=prevalence, draws=draws, seed=config.seed, flaw=flaw)
    scores = write_results(
        predictions,
        folder,
        name=config.name,
        provenance=provenance_of(config, folder, fold_folders, manifest=manifest, verb=verb),
        histories_in=folder,
        draws=draws,
        seed=config.seed,
        further=fitted,
        manifest=manifest,
    )
    if config.classifier:
        scores["classifier"] = finish_classifier(config, folder, fold_folders)
        write_json(folder / "metrics.json", scores)
    if holds_phantoms(manifest):
        scores["thumbnail_baseline"] = _thumbnail_logistic_regression(config, manifest, predictions)
        write_json(folder / "metrics.json", scores)
    finish_tracking(config, folder, fold_folders, scores, verb=verb)
    return scores


def close_run(config: RunConfig, folder: Path, *, manifest: pd.DataFrame) -> None:
    """Write the report, which says all there is to say of the run by now, and tell where everything lies."""
    report([folder])
    print(f"Everything lies in {folder}; read {REPORT_FILE} first")
    announce_phantom(config, manifest)


def provenance_of(config: RunConfig, folder: Path, fold_folders: list[Path], *, manifest: pd.DataFrame, verb: str) -> dict[str, str]:
    """What a line of results must say of itself: data, pixels, epochs, seed, weights and the conditions."""
    done = [read_json(fold / "done.json") for fold in fold_folders]
    epochs = []
    for index, phase in enumerate(done[0]["phases"]):
        kept = sorted({d["phases"][index]["epochs_kept"] for d in done})
        epochs.append(f"{phase['phase']} {kept[0]}" if len(kept) == 1 else f"{phase['phase']} {kept[0]} to {kept[-1]}")
    environment = read_json(folder / "environment.json")
    machine = environment["machine"]
    skipped = len(pd.read_csv(folder / BAD_FILES))
    row = {
        **data_provenance(manifest),
        "pixels": f"{config.data.image_size[0]}x{config.data.image_size[1]} {config.data.resize}",
        "epochs": ", ".join(epochs),
        "seeds": str(config.seed),
        "weights": config.model.weights or "random",
        "model": config.model.name,
        "strategy": config.learner,
        "evaluation": _evaluation_of(config, verb),
        "training": f"{sum(d['training_seconds'] for d in done) / 60:.1f} min on {machine['cores']} cores, {environment['backend']}",
        "commit": commits_of(environment),
    }
    row |= classifier_provenance(config, fold_folders)
    if config.data.permute_labels:
        row["labels"] = "permuted between patients (negative control)"
    if skipped:
        row["bad files skipped"] = str(skipped)
    return row


def data_provenance(manifest: pd.DataFrame) -> dict[str, str]:
    """What a line of results must say of the images: how many of which source, and whether their patients are unknown."""
    row = {"data": " + ".join(f"{name} {count:,}" for name, count in manifest["source"].value_counts().items())}
    if "patients_known" in manifest and (manifest["patients_known"] == "no").any():
        row["patients known"] = "no: patient overlap not excluded"
    return row


_EVALUATIONS = {
    "official": "official test folder",
    "official_halves": "half of the official test folder, epoch chosen on the other half (flatters)",
}


def _evaluation_of(config: RunConfig, verb: str) -> str:
    """How the test images were set apart, in words."""
    if verb == "train":
        return _EVALUATIONS.get(config.split.kind) or f"{config.split.test:.0%} of patients held out"
    folds = f"{config.cross_validation.folds} folds by patient"
    if config.cross_validation.protocol == "bozickovic":
        return f"{folds}, epochs chosen on images that return in the folds (optimistic)"
    return folds


def announce_phantom(config: RunConfig, manifest: pd.DataFrame | None = None) -> None:
    """Say that phantoms are no X-rays, if the config names them or the manifest holds them."""
    named = any(source.partition("=")[2].startswith("phantom:") or source.startswith("phantom:") for source in config.data.sources)
    if named or (manifest is not None and holds_phantoms(manifest)):
        print("PHANTOM: drawn images, no X-rays. These figures show that the program works, and nothing about medicine.", flush=True)


def _thumbnail_logistic_regression(config: RunConfig, manifest: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, Any]:
    """The yardstick beside a phantom run: what the brightness of 64 fields tells about the class, on the same folds."""
    table = manifest[manifest["image_id"].isin(predictions["image_id"])]
    fold_of = predictions.set_index("image_id")["fold"]
    if fold_of.nunique() < 2:
        return {}
    cache = open_cache(manifest, config, show_progress=False)
    images = cache.images[cache.rows_of(table)]
    baseline = thumbnail_baseline(
        images, table["label"].to_numpy(), table["group_id"].to_numpy(), fold_ids=table["image_id"].map(fold_of).to_numpy()
    )
    print(f"Beside it: logistic regression on 8x8 thumbnails, same folds, macro AUROC {baseline['macro_auroc']:.3f}")
    return baseline
