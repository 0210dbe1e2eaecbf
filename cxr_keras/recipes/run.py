"""What `train` and `cv` share: opening the run, its jobs, and its end with tables and figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.loader import flatten, to_yaml
from cxr_keras.config.schema import RunConfig
from cxr_keras.data.manifest import manifest_digest, write_manifest
from cxr_keras.evaluation.baselines import thumbnail_baseline
from cxr_keras.evaluation.scores import score_predictions
from cxr_keras.recipes.batches import open_cache
from cxr_keras.recipes.data import manifest_of, refuse_or_skip_bad_files
from cxr_keras.recipes.fold import PARTS_FILE, classes_in_order
from cxr_keras.reporting.figures import save_run_figures
from cxr_keras.reporting.tables import markdown_report, scores_text
from cxr_keras.runs.directory import open_run_directory
from cxr_keras.runs.files import read_json, write_csv, write_json, write_text
from cxr_keras.runs.jobs import Job
from cxr_keras.runs.provenance import describe_environment


def open_run(config: RunConfig, folder: Path, *, verb: str) -> pd.DataFrame:
    """Open the run directory and give the run's images.

    Builds the manifest, opens every file once, refuses a directory of another run, and fills the pixel cache, so that the folds only read.

    Returns:
        The manifest without bad files, also written as `manifest.csv`.
    """
    announce(config)
    manifest = manifest_of(config.data, seed=config.seed)
    manifest = refuse_or_skip_bad_files(manifest, policy=config.data.on_bad_files, folder=folder)
    settings = flatten(config.model_dump(mode="json"))
    digest = manifest_digest(manifest)
    continued = open_run_directory(folder, verb=verb, config_yaml=to_yaml(config), settings=settings, data_digest=digest)
    print(f"{'continues' if continued else 'begins'} {folder}", file=sys.stderr)
    if not continued:
        write_json(folder / "environment.json", describe_environment())
    write_manifest(manifest, folder / "manifest.csv")
    open_cache(manifest, config, show_progress=True)
    return manifest


def fold_job(folder: Path, run_directory: Path, parts: pd.Series, **arguments: Any) -> Job:
    """Make the job of one fold and write its parts.

    Args:
        folder: the fold's folder.
        run_directory: the run's directory.
        parts: part ("train", "validation", "test") of each image, by image_id.
        arguments: fold, label and perhaps epochs, see `train_fold`.
    """
    table = parts.rename("part").rename_axis("image_id").reset_index()
    write_csv(folder / PARTS_FILE, table)
    return Job("cxr_keras.recipes.fold:train_fold", folder, {"run_directory": str(run_directory), **arguments})


def finish_run(config: RunConfig, folder: Path, fold_folders: list[Path], *, verb: str, manifest: pd.DataFrame) -> dict[str, Any]:
    """Pool the folds' predictions, score them, draw the figures and print the table.

    Returns:
        The scores, as in `metrics.json`.
    """
    classes = classes_in_order(manifest)
    predictions = pd.concat([pd.read_csv(f / "predictions.csv", dtype={"image_id": str, "group_id": str}) for f in fold_folders])
    write_csv(folder / "predictions.csv", predictions)
    scores = score_predictions(predictions, draws=config.evaluation.bootstrap_draws, seed=config.seed, classes=classes)
    scores["provenance"] = provenance_row(config, fold_folders, manifest, verb=verb)
    if is_phantom(manifest):
        scores["thumbnail_baseline"] = _thumbnail_logistic_regression(config, manifest, predictions)
    write_json(folder / "metrics.json", scores)
    histories = [(f.name, pd.read_csv(f / "history.csv")) for f in fold_folders if (f / "history.csv").exists()]
    save_run_figures(folder / "figures", predictions=predictions, classes=classes, histories=histories, title=config.name)
    write_text(folder / "summary.md", markdown_report(scores))
    print(scores_text(scores))
    if baseline := scores.get("thumbnail_baseline"):
        print(f"Logistic regression on 8x8 thumbnails, same folds: macro AUROC {baseline['macro_auroc']:.3f}")
    print(f"Everything lies in {folder}")
    announce(config)
    return scores


def provenance_row(config: RunConfig, fold_folders: list[Path], manifest: pd.DataFrame, *, verb: str) -> dict[str, Any]:
    """What a line of results must say of itself: data, pixels, n, epochs, seed, weights and the conditions."""
    done = [read_json(f / "done.json") for f in fold_folders]
    epochs = {phase["phase"]: sorted({d["phases"][i]["epochs_kept"] for d in done}) for i, phase in enumerate(done[0]["phases"])}
    environment = read_json(fold_folders[0].parent / "environment.json")
    unknown = (manifest.get("patients_known", pd.Series(["yes"])) == "no").any()
    bad = pd.read_csv(fold_folders[0].parent / "bad_files.csv")
    return {
        "run": config.name,
        "verb": verb,
        "data": " + ".join(sorted(manifest["source"].unique())),
        "labels": "permuted between patients (negative control)" if config.data.permute_labels else config.data.labels,
        "model": config.model.name,
        "weights": config.model.weights or "random",
        "strategy": config.training.strategy,
        "pixels": f"{config.data.image_size[0]}x{config.data.image_size[1]} {config.data.resize}",
        "images": len(manifest),
        "patients": int(manifest["group_id"].nunique()),
        "bad_files_skipped": len(bad),
        "patient_overlap": "not excluded" if unknown else "excluded",
        "epochs": {name: values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}" for name, values in epochs.items()},
        "seed": config.seed,
        "backend": environment["backend"],
        "commit": environment["commit"],
        "machine": environment["machine"],
        "training_seconds": round(sum(d["training_seconds"] for d in done), 1),
    }


def is_phantom(manifest: pd.DataFrame) -> bool:
    """Whether the images are drawn by the phantom generator."""
    return bool((manifest["source"] == "phantom").any())


def announce(config: RunConfig) -> None:
    """Say first and last that phantoms are no X-rays."""
    if any(source.startswith("phantom:") for source in config.data.sources):
        print("PHANTOM: drawn images, no X-rays. These figures show that the programs work, and nothing about medicine.")


def _thumbnail_logistic_regression(config: RunConfig, manifest: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, Any]:
    """The yardstick beside a phantom run: what the mean brightness of 64 fields tells."""
    table = manifest[manifest["image_id"].isin(predictions["image_id"])]
    fold_of = predictions.set_index("image_id")["fold"]
    cache = open_cache(table, config, show_progress=False)
    images = cache.images[cache.rows_of(table)]
    return thumbnail_baseline(
        images, table["label"].to_numpy(), table["group_id"].to_numpy(), fold_ids=table["image_id"].map(fold_of).to_numpy()
    )
