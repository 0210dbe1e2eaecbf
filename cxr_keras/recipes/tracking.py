"""What a run tells TensorBoard and MLflow: which of them, how they begin, and what they hold at its end."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from cxr_keras.config.classifier import prune
from cxr_keras.config.loader import flatten
from cxr_keras.config.schema import RunConfig
from cxr_keras.runs.directory import DONE_FILE
from cxr_keras.runs.files import read_json, write_text
from cxr_keras.tracking import FoldResults, RunResults, Trackers, open_trackers
from cxr_keras.training.recorder import HISTORY_FILE
from cxr_keras.training.strategies import Phase, phases_of

STORE_FILE = "mlflow.db"

UNTOLD = (
    *("name", "description", "paper", "seeds", "data.manifest", "data.sources", "data.on_bad_files", "evaluation.ledger"),
    *("evaluation.mistakes_shown", "evaluation.batch_size", "training.checkpoint_seconds", "training.save_models"),
    *("training.save_optimizer", "tracking.tensorboard", "tracking.mlflow"),
)
"""Settings that are no hyperparameters: names, places of files, and what changes no figure."""

AS_ONE = (("data", "label_map"), ("data", "at_most_per_class"), ("model", "params"))
"""Settings that hold names of their own; each is told as one text."""


def store_of(config: RunConfig, run: Path) -> str | None:
    """Address of the MLflow store: the one that the config names, or a database beside the run; None where MLflow is off."""
    wanted = config.tracking.mlflow
    return f"sqlite:///{run.absolute().parent / STORE_FILE}" if wanted is True else wanted or None


def with_store_of(config: RunConfig, folder: Path) -> RunConfig:
    """The config for runs inside `folder`, which share the store beside it."""
    tracking = config.tracking.model_copy(update={"mlflow": store_of(config, folder)})
    return config.model_copy(update={"tracking": tracking})


def check_tracking(config: RunConfig, folder: Path) -> None:
    """Raise ValueError where the run cannot be tracked as its settings say, before any image is read."""
    if store := store_of(config, folder):
        from cxr_keras.tracking.mlflow_store import check_store

        check_store(store)


def begin_tracking(config: RunConfig, folder: Path, *, verb: str) -> None:
    """Begin the run in the MLflow store, or go on with it."""
    if store := store_of(config, folder):
        from cxr_keras.tracking.mlflow_store import begin_run

        begin_run(store, folder, tags={"verb": verb, "config": config.name})


def told_to(config: RunConfig, folder: Path) -> dict[str, Any]:
    """What the job of a fold must know to be tracked.

    Not from the `config.yaml` of the run, as a continued run may be tracked otherwise.
    """
    return {"tensorboard": config.tracking.tensorboard, "mlflow": store_of(config, folder)}


def trackers_of_fold(told: Mapping[str, Any] | None, run_directory: Path, *, label: str) -> Trackers:
    """The trackers of a fold's training; one that cannot be opened any more is told and left out."""
    return open_trackers(**(told or {"tensorboard": False, "mlflow": None}), run_directory=run_directory, label=label)


def finish_tracking(config: RunConfig, folder: Path, fold_folders: Sequence[Path], scores: Mapping[str, Any], *, verb: str) -> None:
    """Give the trackers what the run has left, and note in `summary.md` where one failed.

    Everything is told anew from the run's files, so what a tracker missed it has now.

    Args:
        config: of the run.
        folder: the run directory, its figures drawn.
        fold_folders: its folds, done.
        scores: of the run, as in `metrics.json`.
        verb: "cv" or "train".
    """
    initial = [folder / "initial"] if (folder / "initial" / DONE_FILE).exists() else []
    results = RunResults(
        folds=[_fold_results(path) for path in (*initial, *fold_folders)],
        scores=_values(scores["scores"]),
        hyperparameters=hyperparameters(config, verb=verb, provenance=scores["provenance"]),
        figures=sorted((folder / "figures").glob("*.png")),
    )
    trackers = open_trackers(**told_to(config, folder), run_directory=folder, label="end of the run")
    trackers.end_run(results)
    remarks = [f"{path.name}: {failure}" for path in fold_folders for failure in read_json(path / DONE_FILE).get("tracking_failures", ())]
    if remarks or trackers.failures:
        lines = "".join(f"- {remark}\n" for remark in (*remarks, *(f"at the end: {failure}" for failure in trackers.failures)))
        after = "What is missing there is told by the same command." if trackers.failures else "What was missed was told at the end."
        summary = folder / "summary.md"
        write_text(summary, f"{summary.read_text(encoding='utf-8')}\n## Tracking\n\n{lines}\n{after}\n")


def finish_trial_tracking(config: RunConfig, folder: Path, fold_folders: Sequence[Path], settings: Mapping[str, Any]) -> None:
    """Give the trackers what a trial of a search has left, the settings that it varied for hyperparameters.

    Args:
        config: of the trial.
        folder: of the trial.
        fold_folders: those of its folds that were run.
        settings: dotted name to value.
    """
    folds = [_fold_results(path) for path in fold_folders]
    names = [name for name in folds[0].scores if all(name in fold.scores for fold in folds)]
    results = RunResults(
        folds=folds,
        scores={name: statistics.fmean(fold.scores[name] for fold in folds) for name in names},
        hyperparameters={name: "none" if value is None else _plain(value) for name, value in settings.items()},
        figures=[],
    )
    open_trackers(**told_to(config, folder), run_directory=folder, label=f"trial {folder.name}").end_run(results)


def hyperparameters(config: RunConfig, *, verb: str, provenance: Mapping[str, str]) -> dict[str, bool | float | str]:
    """Dotted names to plain values of the settings by which runs are told apart.

    Args:
        config: of the run; phases are told as they are run, whatever of them the config says.
        verb: "cv" or "train"; how the other one divides the images is left out.
        provenance: of the run's results, for the data and how they were divided, without any path.
    """
    settings = config.model_dump(mode="json")
    for section, key in AS_ONE:
        settings[section][key] = yaml.safe_dump(settings[section][key], default_flow_style=True).strip()
    if config.classifier is not None:
        settings = prune(settings)
    else:
        phases = phases_of(config.training.strategy, config.training.phases)
        settings["training"]["phases"] = {phase.name: _settings_of(phase) for phase in phases}
        del settings["classifier"]
    of_other = "split." if verb == "cv" else "cross_validation."
    told = {name: value for name, value in flatten(settings).items() if name not in UNTOLD and not name.startswith(of_other)}
    told |= {"data": provenance["data"], "evaluation": provenance["evaluation"], "learner": config.learner}
    return {name: "none" if value is None else _plain(value) for name, value in told.items()}


def _settings_of(phase: Phase) -> dict[str, Any]:
    """What is set of a phase, but for its name."""
    return {key: value for key, value in dataclasses.asdict(phase).items() if key != "name"}


def _plain(value: Any) -> bool | float | str:
    """Numbers and truth values as they are, all else as text."""
    return value if isinstance(value, bool | int | float | str) else str(value)


def _fold_results(folder: Path) -> FoldResults:
    """What a fold that is done has left."""
    history = folder / HISTORY_FILE
    rows = [dict(row) for _, row in pd.read_csv(history).iterrows()] if history.exists() else []
    ended = (history if history.exists() else folder / DONE_FILE).stat().st_mtime
    return FoldResults(folder=folder, rows=rows, ended=ended, scores=_values(read_json(folder / "metrics.json")["scores"]))


def _values(scores: Mapping[str, Any]) -> dict[str, float]:
    """The scores that are defined, without their intervals."""
    return {name: score["value"] for name, score in scores.items() if score["value"] is not None}
