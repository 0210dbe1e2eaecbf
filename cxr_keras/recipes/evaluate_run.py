"""`cxr evaluate RUN --on MANIFEST`: a finished run on labelled images from elsewhere, its thresholds and temperature locked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from cxr_keras.config.loader import read_config
from cxr_keras.config.schema import RunConfig
from cxr_keras.data.examples import examples_of
from cxr_keras.data.labels import class_order
from cxr_keras.data.manifest import read_manifest
from cxr_keras.evaluation import predictions_table, score_predictions
from cxr_keras.evaluation.calibration import score_locked_temperature
from cxr_keras.evaluation.calls import check_prevalence, refuse_idle_prevalence
from cxr_keras.evaluation.locked import score_locked
from cxr_keras.evaluation.predictions import probability_columns
from cxr_keras.recipes.batches import batches_in_order, open_cache
from cxr_keras.recipes.classifier_elsewhere import classify_elsewhere
from cxr_keras.recipes.classifier_fold import CLASSIFIER_FILE
from cxr_keras.recipes.finished_runs import refuse_search
from cxr_keras.recipes.readings import ledger_of, note_reading
from cxr_keras.recipes.results import write_calibrated, write_results
from cxr_keras.recipes.run import announce_phantom, data_provenance
from cxr_keras.runs.directory import CONFIG_FILE, DONE_FILE, refuse_file
from cxr_keras.runs.files import read_json, write_csv
from cxr_keras.training.validation import predict_from_logits

OF_THE_RUN = ("pixels", "epochs", "seeds", "weights", "model", "strategy", "training", "commit", "labels")
"""What a run's provenance says of its training; the rest is of its own images."""


def evaluate_run(
    run: str | Path,
    manifest_path: str | Path,
    *,
    folder: str | Path | None = None,
    prevalence: float | None = None,
    draws: int | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Predict labelled images with every model of a finished run, and score each model and their ensemble.

    The ensemble is the mean probability of the folds' models. Thresholds and temperature are those that the run locked; nothing is
    fitted here.

    Args:
        run: a run directory of `cxr cv` or `cxr train` with its models.
        manifest_path: a CSV made by `cxr data build`, with the classes of the run.
        folder: where the results go; by default `RUN/on-<manifest's name>`.
        prevalence: share of sick among those who will be tested, for predictive values; by default the run's `evaluation.prevalence`.
        draws: bootstrap resamples of patients; by default the run's.
        seed: of the resamples; by default the run's.

    Returns:
        The scores of the ensemble with its provenance, as in `metrics.json`; `by_model` holds those of the single models, which the
        thresholds were chosen for, with their `operating_points` in a binary problem.

    Raises:
        ValueError: the run is not finished or has no models, the manifest has other classes, or images or patients that the run trained on,
            the folder is a file or holds the scores of other images or of another run, or a prevalence is given for more than two classes.
    """
    check_prevalence(prevalence)
    run, manifest_path = Path(os.path.abspath(Path(run).expanduser())), Path(manifest_path)
    folder = Path(folder) if folder else run / f"on-{manifest_path.stem}"
    refuse_file(folder, option="--out")
    config, models = open_finished(run, classifiers=True)
    classes = class_order(read_manifest(run / "manifest.csv")["label"])
    refuse_idle_prevalence(prevalence, classes)
    manifest = read_manifest(manifest_path)
    refuse_unfit(manifest, classes, run=run)
    announce_phantom(config, manifest)
    _refuse_other_scores(folder, manifest, run=run)
    predict = classify_elsewhere if config.classifier else _predict
    tables = {}
    for name, probabilities in predict(config, models, manifest, classes).items():
        tables[name] = predictions_table(manifest, probabilities, classes, fold=0)
        write_csv(folder / "by_model" / f"{name}.csv", tables[name])
    for former in (folder / "by_model").glob("*.csv"):
        if former.stem not in tables:
            former.unlink()
    mean = np.mean([table[probability_columns(classes)].to_numpy() for table in tables.values()], axis=0)
    ensemble = predictions_table(manifest, mean, classes, fold=0)
    write_csv(folder / "predictions.csv", ensemble)
    own = read_json(run / "metrics.json")
    draws = config.evaluation.bootstrap_draws if draws is None else draws
    seed = config.seed if seed is None else seed
    scored = score_predictions(ensemble, draws=draws, seed=seed)
    official = manifest.loc[manifest["split"] == "test", "image_id"]
    if len(official):
        where = f"official test, {len(official)} of {len(manifest)} images scored with a finished run"
        note_reading(ledger_of(config, run), run=run, where=where, image_ids=official, scores=scored["scores"])
    by_model: dict[str, dict[str, Any]] = {
        name: score_predictions(table, draws=draws, seed=seed)["scores"] for name, table in tables.items()
    }
    prevalence = config.evaluation.prevalence if prevalence is None else prevalence
    locked = own.get("operating_points") or ()
    told: dict[str, Any] = {"prevalence": prevalence, "draws": draws, "seed": seed}
    points = score_locked(locked, ensemble, models=len(tables), **told)
    if locked:
        by_model = {name: scored | {"operating_points": score_locked(locked, tables[name], **told)} for name, scored in by_model.items()}
    calibrated, scaled = score_locked_temperature(own.get("calibration"), list(tables.values()), draws=draws, seed=seed)
    write_calibrated(scaled, folder)
    scores = write_results(
        ensemble,
        folder,
        name=f"{run.name} on {manifest_path.stem}",
        provenance={key: own["provenance"][key] for key in OF_THE_RUN if key in own["provenance"]}
        | data_provenance(manifest)
        | {
            "evaluation": f"{manifest_path.name}, mean of {len(models)} models" if len(models) > 1 else manifest_path.name,
            "trained on": own["provenance"]["data"],
        },
        histories_in=None,
        draws=draws,
        seed=seed,
        further={"operating_points": points or None, "calibration": calibrated, "by_model": by_model, "run": str(run)},
        manifest=manifest,
        scored=scored,
    )
    print(f"Everything lies in {folder}")
    announce_phantom(config, manifest)
    return scores


def _refuse_other_scores(folder: Path, manifest: pd.DataFrame, *, run: Path) -> None:
    """Raise ValueError where a folder holds the scores of other images or of another run, which would be lost."""
    path = folder / "predictions.csv"
    if not path.is_file():
        return
    remedy = "Give another folder with --out, or remove it."
    held = pd.read_csv(path, usecols=["image_id"], dtype=str, keep_default_na=False)
    if set(held["image_id"]) != set(manifest["image_id"]):
        raise ValueError(f"{folder} holds the scores of other images. {remedy}")
    metrics = folder / "metrics.json"
    of_run = read_json(metrics).get("run") if metrics.is_file() else None
    if of_run is not None and of_run != str(run) and not Path(os.path.abspath(folder)).is_relative_to(run):  # a run may be moved
        raise ValueError(f"{folder} holds the scores of the run {of_run}. {remedy}")


def _predict(config: RunConfig, models: dict[str, Path], manifest: pd.DataFrame, classes: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Probabilities of every model of a run, float (len(manifest), k) each, in the order of the manifest."""
    cache = open_cache(manifest, config, show_progress=True)
    examples = examples_of(manifest, cache, classes)
    found = {}
    for name, path in models.items():
        model = keras.models.load_model(path, compile=False, safe_mode=True)
        found[name], _ = predict_from_logits(model, batches_in_order(cache.images, examples, config))
    return found


def open_finished(run: Path, *, classifiers: bool = False) -> tuple[RunConfig, dict[str, Path]]:
    """Give the config of a finished run and its models by name.

    Args:
        run: its directory.
        classifiers: whether classifiers on stored features will do; else a run must have networks of its own.

    Raises:
        ValueError: no run, an unfinished one, or one without saved models of the wanted kind.
    """
    if not (run / CONFIG_FILE).is_file():
        inside = sorted(str(path.parent) for path in run.glob(f"*/{CONFIG_FILE}"))
        advice = f"It holds {', '.join(inside)}; give one of them" if inside else "Give one that `cxr cv` or `cxr train` made"
        raise ValueError(f"{run} is no run directory: it has no {CONFIG_FILE}. {advice}.")
    refuse_search(run)
    folds = sorted(path for path in (*run.glob("fold-*"), run / "split") if path.is_dir())
    if not folds or not (run / "metrics.json").exists() or not all((path / DONE_FILE).exists() for path in folds):
        raise ValueError(f"{run} is not finished: run the command that began it again, it continues.")
    config = read_config(run / CONFIG_FILE)
    if config.classifier and not classifiers:
        raise ValueError(
            f"{run} holds a {config.classifier.in_words} on stored features, and no network that gives its answer from the image. Take a "
            "run whose network was trained."
        )
    models = {path.name: path / (CLASSIFIER_FILE if config.classifier else "model.keras") for path in folds}
    if absent := [name for name, path in models.items() if not path.is_file()]:
        raise ValueError(f"{run} has no saved models in {', '.join(absent)}; train with training.save_models=true.")
    return config, models


def refuse_unfit(manifest: pd.DataFrame, classes: tuple[str, ...], *, run: Path) -> None:
    """Raise ValueError for labels that the run does not know, and for images or patients that it trained on."""
    if unknown := sorted(set(manifest["label"]) - set(classes)):
        raise ValueError(
            f"the manifest has the labels {', '.join(unknown)}; {run} was trained on {', '.join(classes)}. Build the manifest with the "
            "same --labels, or map them with --label-map."
        )
    seen = read_manifest(run / "manifest.csv")
    names = ["patient_id", "group_id"]
    known = {"files": set(seen["sha256"]), "patients": set(seen[names].to_numpy().ravel())}
    given = {"files": set(manifest["sha256"]), "patients": set(manifest[names].to_numpy().ravel())}
    for what in known:
        if shared := sorted(given[what] & known[what]):
            raise ValueError(
                f"{len(shared)} {what} of the manifest belong to {run} itself ({', '.join(shared[:3])}), so its models may have trained on "
                "them. Take other images; the run's own held-out scores are in its metrics.json. If other people only have the same names, "
                "build the manifest with another name for the source, --source other=reader:PATH."
            )
