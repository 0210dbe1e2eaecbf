"""One trial of a search: the folds of its settings, one after another, and its record."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_keras.config.loader import check_config, put, to_yaml
from cxr_keras.config.schema import RunConfig
from cxr_keras.config.tune import TuneSection
from cxr_keras.data.folds import read_folds
from cxr_keras.data.manifest import read_manifest, write_manifest
from cxr_keras.evaluation import read_predictions, score_predictions
from cxr_keras.recipes.batches import open_cache
from cxr_keras.recipes.classifier import check_classifier, classifier_jobs
from cxr_keras.recipes.classifier_files import base_folder, remove_intermediate
from cxr_keras.recipes.cross_validate import parts_of_fold
from cxr_keras.recipes.frozen import check_frozen_base
from cxr_keras.recipes.run import fold_job
from cxr_keras.recipes.tracking import begin_tracking, finish_trial_tracking, told_to, with_store_of
from cxr_keras.recipes.weights import check_model
from cxr_keras.runs.directory import CONFIG_FILE, hold_run_directory
from cxr_keras.runs.failures import USER_ERROR
from cxr_keras.runs.files import read_json, write_json, write_text
from cxr_keras.runs.jobs import FAILURE_FILE, SECONDS_FOR_AN_ORPHAN_TO_END, Job, JobFailed, run_jobs
from cxr_keras.training.strategies import phases_of
from cxr_keras.tuning.hopeless import is_hopeless
from cxr_keras.tuning.search import TrialFailed
from cxr_keras.tuning.space import Dimension, settings_of

SEARCH_FOLDER = "search"
TRIALS_FOLDER = "trials"
FOLDS_FILE = "folds.json"
TRIAL_FILE = "trial.json"
EPOCHS = "tuner/epochs"
"""Hyperband's name for the epochs of a trial."""

COMPLETE, ENDED, FAILED = "complete", "ended", "failed"

LOWER_IS_BETTER = ("log_loss",)

FAILURES_IN_A_ROW = 3
"""After so many the fault is likelier in what all trials share than in their settings."""


@dataclass(frozen=True)
class TrialRecord:
    """What became of a trial.

    Attributes:
        trial: its id, which is its number.
        settings: the varied settings, by dotted name.
        status: "complete", "ended" after some folds, or "failed".
        scores: one a fold, in the order of the folds.
        epochs: share of the config's epochs that it ran; below 1 in the earlier rounds of hyperband.
        seconds: it took, what a kill lost left out.
        reason: why it failed, else "".
    """

    trial: str
    settings: dict[str, Any]
    status: str
    scores: tuple[float, ...]
    epochs: float
    seconds: float
    reason: str = ""

    @property
    def mean(self) -> float | None:
        """Mean over the folds that it ran; None without any."""
        return statistics.fmean(self.scores) if self.scores else None

    @property
    def standard_deviation(self) -> float | None:
        """Sample standard deviation over folds; None below two."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None

    @property
    def eligible(self) -> bool:
        """Whether it may be the best: all folds and all epochs were run."""
        return self.status == COMPLETE and self.epochs == 1


def higher_is_better(tune: TuneSection) -> bool:
    """The direction of the search's score."""
    return tune.score not in LOWER_IS_BETTER


def space_of(tune: TuneSection) -> dict[str, Dimension]:
    """The section's space in the words of `cxr_keras.tuning`."""
    return {
        name: Dimension(parameter.values, parameter.low, parameter.high, parameter.step, parameter.scale == "log", parameter.when)
        for name, parameter in tune.space.items()
    }


def with_settings(config: RunConfig, settings: Mapping[str, Any], *, origin: str, epochs: float = 1.0) -> RunConfig:
    """Put varied settings on a config.

    Args:
        config: the config that is searched.
        settings: dotted name -> value.
        origin: what an error calls the result.
        epochs: share of each phase's epochs, rounded up.

    Returns:
        The config, checked as a whole and without a search of its own.

    Raises:
        ValueError: these settings do not go together.
    """
    plain = config.model_dump(mode="json") | {"tune": None}
    for name, value in settings.items():
        put(plain, name.split("."), value, origin=name)
    made = check_config(plain, origin=origin)
    if epochs == 1.0:
        return made
    for phase in phases_of(made.training.strategy, made.training.phases):
        put(plain, ["training", "phases", phase.name, "epochs"], math.ceil(phase.epochs * epochs), origin=origin)
    return check_config(plain, origin=origin)


def total_epochs(config: RunConfig) -> int:
    """Epochs of all phases together."""
    return sum(phase.epochs for phase in phases_of(config.training.strategy, config.training.phases))


def run_trial(config: RunConfig, folder: Path, trial: str, values: Mapping[str, Any]) -> float:
    """Run a trial, or what a kill left of it.

    Args:
        config: with its section `tune`.
        folder: the run directory of the search, with the images that it may use in `search/manifest.csv` and their folds.
        trial: the trial's id.
        values: as KerasTuner gave them.

    Returns:
        Mean score over the folds that it ran.

    Raises:
        TrialFailed: its settings cannot be used together, or its training broke down.
        ValueError: several trials in a row failed.
    """
    tune = config.tune
    assert tune is not None
    own = folder / TRIALS_FOLDER / trial
    with hold_run_directory(own, wait_seconds=SECONDS_FOR_AN_ORPHAN_TO_END):
        if (own / TRIAL_FILE).exists():
            return _told(read_record(own), folder)
        settings = settings_of(values, space_of(tune))
        epochs = values[EPOCHS] / total_epochs(config) if EPOCHS in values else 1.0
        shown = ", ".join(f"{name}={value}" for name, value in settings.items())
        print(f"trial {trial}: {shown}{f', {epochs:.0%} of the epochs' if epochs != 1 else ''}", flush=True)
        before = _seconds_before(own)
        started = time.monotonic()
        try:
            status, scores, reason = *_run_folds(config, folder, own, settings, epochs), ""
        except TrialFailed as error:
            status, scores, reason = FAILED, (), str(error)
        record = TrialRecord(trial, settings, status, scores, epochs, round(before + time.monotonic() - started, 1), reason)
        write_json(own / TRIAL_FILE, asdict(record))
        return _told(record, folder)


def in_folds(record: TrialRecord) -> str:
    """How many folds a trial ran, in words."""
    return f"{len(record.scores)} fold{'' if len(record.scores) == 1 else 's'}"


def read_record(folder: Path) -> TrialRecord:
    """Read what became of the trial in `folder`."""
    saved = read_json(folder / TRIAL_FILE)
    return TrialRecord(**saved | {"scores": tuple(saved["scores"])})


def read_records(folder: Path) -> list[TrialRecord]:
    """Read the records of a search's finished trials, in the order of their ids."""
    return [read_record(path.parent) for path in sorted((folder / TRIALS_FOLDER).glob(f"*/{TRIAL_FILE}"))]


def _run_folds(config: RunConfig, folder: Path, own: Path, settings: Mapping[str, Any], epochs: float) -> tuple[str, tuple[float, ...]]:
    """Train and score the folds; the status and the scores so far."""
    tune = config.tune
    assert tune is not None
    try:
        made = with_settings(config, settings, origin="these settings", epochs=epochs)
        check_model(made.model, image_size=made.data.image_size, folds=range(tune.folds))
        check_frozen_base(made)
        check_classifier(made)
    except ValueError as error:
        raise TrialFailed(str(error)) from None
    # A trial needs its scores alone: no models, no curves on held-out images.
    evaluation = made.evaluation.model_copy(update={"bootstrap_draws": 100})
    training = made.training.model_copy(update={"save_models": False})
    split = made.split.model_copy(update={"curves_on_test": False})
    made = made.model_copy(update={"evaluation": evaluation, "training": training, "split": split})
    made = with_store_of(made, folder)
    begin_tracking(made, own, verb="trial")
    manifest = read_manifest(folder / SEARCH_FOLDER / "manifest.csv")
    folds = read_folds(folder / SEARCH_FOLDER / FOLDS_FILE, manifest=manifest)
    write_text(own / CONFIG_FILE, to_yaml(made))
    write_manifest(manifest, own / "manifest.csv")
    open_cache(manifest, made, show_progress=True)
    jobs = [
        fold_job(
            own / f"fold-{fold}",
            own,
            parts_of_fold(manifest, folds, fold, config=made),
            fold=fold,
            label=f"trial {own.name}, fold {fold + 1} of {tune.folds}",
            tracking=told_to(made, own),
        )
        for fold in range(tune.folds)
    ]
    try:
        queue = classifier_jobs(jobs, made)
    except ValueError as error:
        raise TrialFailed(str(error)) from None
    scores: list[float] = []
    status = COMPLETE
    for job in jobs:
        # A fold has what it needs before it in the queue, and is not there if it was done before a kill.
        while job.folder in [waiting.folder for waiting in queue]:
            _run(queue.pop(0))
        scores.append(_score(job.folder, tune.score))
        if tune.end_hopeless and 0 < len(scores) < tune.folds and _hopeless(scores, folder, tune):
            print(f"trial {own.name}: ended after fold {len(scores)}, behind the median of the complete trials", flush=True)
            status = ENDED
            break
    if made.classifier:
        for base in {base_folder(job.folder, made.model.weights) for job in jobs}:
            remove_intermediate(base)
    finish_trial_tracking(made, own, [job.folder for job in jobs[: len(scores)]], settings)
    return status, tuple(scores)


def _run(job: Job) -> None:
    """Run one job; what it refuses is a fault of the trial's settings."""
    try:
        run_jobs([job])
    except JobFailed as error:
        if error.exit_code != USER_ERROR or not (job.folder / FAILURE_FILE).exists():
            raise
        raise TrialFailed(read_json(job.folder / FAILURE_FILE)["message"]) from None


def _score(folder: Path, name: str) -> float:
    """Score of a fold's held-out images."""
    value = score_predictions(read_predictions(folder / "predictions.csv"), draws=0)["scores"][name]["value"]
    if value is None:
        raise TrialFailed(f"{name} is undefined on the held-out images of {folder.name}")
    return float(value)


def _hopeless(scores: list[float], folder: Path, tune: TuneSection) -> bool:
    complete = [record.scores for record in read_records(folder) if record.eligible]
    return is_hopeless(scores, complete, higher_is_better=higher_is_better(tune), complete_first=tune.complete_first)


def _seconds_before(own: Path) -> float:
    """What the folds took that an earlier start of this trial has finished."""
    return sum(read_json(done)["seconds"] for done in own.glob("fold-*/done.json"))


def _told(record: TrialRecord, folder: Path) -> float:
    """The score to report; raises for a failed trial, and stops the search after several in a row."""
    if record.status != FAILED:
        assert record.mean is not None
        spread = f" ± {record.standard_deviation:.4f}" if record.standard_deviation is not None else ""
        print(f"trial {record.trial}: {record.mean:.4f}{spread} over {in_folds(record)}, {record.seconds:.0f} s", flush=True)
        return record.mean
    print(f"trial {record.trial} failed: {record.reason}", flush=True)
    last = [other.status for other in read_records(folder)][-FAILURES_IN_A_ROW:]
    if last == [FAILED] * FAILURES_IN_A_ROW:
        raise ValueError(
            f"{FAILURES_IN_A_ROW} trials in a row failed, the last one because: {record.reason}\nMend the space, or what failed, and begin "
            "a new search with --run DIR: this one has counted them."
        )
    raise TrialFailed(record.reason)


def held_out_fold(parts: pd.Series) -> dict[str, int]:
    """One split in the words of folds: fold 0 is held out, fold 1 never is."""
    return {image: 0 if part == "test" else 1 for image, part in parts.items()}
