"""MLflow: one run for a run directory, and for a cross-validation one nested run a fold.

Values are told by `MlflowClient` alone, never by MLflow's global state, so nothing of the user's own MLflow run is touched. A value cannot
be taken back in MLflow, so a step that a store holds already is not told again.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_keras.runs.files import read_json, write_json
from cxr_keras.tracking.trackers import Row, RunResults, epoch_ends, first_line, measured

EXPERIMENT = "cxr-keras"
"""All runs are in one experiment, because MLflow compares within one."""

RUN_FILE = "mlflow.json"
"""In the run directory and in each fold's folder: address of a store to the id of the run there."""

ARTIFACTS = "mlartifacts"
"""Beside a local database; MLflow's own default is the folder in which a command was started."""

SCHEME = "sqlite:///"
INSTALL = "pip install 'cxr-keras[mlflow]'"

ENVIRONMENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""Used where not set: by MLflow's defaults, 7 retries of 120 seconds, a server that went away holds up a training for minutes."""


def check_store(uri: str) -> None:
    """Reach the store and make the experiment where it is not there.

    Raises:
        ValueError: MLflow is not installed, or the store cannot be used; the message says how to go on.
    """
    if importlib.util.find_spec("mlflow") is None or (uri.startswith("sqlite:") and importlib.util.find_spec("sqlalchemy") is None):
        raise ValueError(f"tracking.mlflow needs MLflow. Install it with {INSTALL}, or set tracking.mlflow=null.")
    try:
        if uri.startswith(SCHEME):
            Path(uri.removeprefix(SCHEME)).absolute().parent.mkdir(parents=True, exist_ok=True)
        _experiment(_client(uri), uri)
    except Exception as error:
        raise ValueError(
            f"The MLflow store {uri} cannot be used: {first_line(error)}. Start the server or give another address as tracking.mlflow, or "
            "go on without it: tracking.mlflow=null (a later start with it catches up)."
        ) from error


def begin_run(uri: str, run_directory: Path, *, tags: Mapping[str, str]) -> None:
    """Begin the MLflow run of a run directory, or go on with the one that it began.

    Args:
        uri: address of the store, checked by `check_store`.
        run_directory: its name becomes that of the run.
        tags: what the run is labelled with.
    """
    client = _client(uri)
    _run_of(client, uri, run_directory, name=run_directory.absolute().name, tags=tags)


class MLflow:
    """A `Tracker` that tells an MLflow store."""

    name = "MLflow"

    def __init__(self, uri: str, run_directory: Path) -> None:
        """Remember the store and the directory whose run `begin_run` has begun."""
        self.uri = uri
        self.run_directory = run_directory
        self.client = _client(uri)
        self.run_id: str = read_json(run_directory / RUN_FILE)[uri]
        self.fold_id = self.run_id
        self.told: set[int] = set()

    def begin_fold(self, folder: Path, rows: Sequence[Row], *, ended: float) -> None:
        """Begin or go on with the fold's run, and tell those of `rows` that it does not hold.

        A killed training may have told epochs that are trained again; they come out the same, and are not told twice.
        """
        self.fold_id = self._run_of_fold(folder)
        self.told = {metric.step for metric in self.client.get_metric_history(self.fold_id, "loss")}
        for row, when in zip(rows, epoch_ends(rows, ended), strict=True):
            self._tell(row, when)

    def epoch_done(self, row: Row) -> None:
        """Tell the numbers of an epoch."""
        self._tell(row, time.time())

    def end_run(self, results: RunResults) -> None:
        """Complete every fold, then scores, hyperparameters and figures of the run; both end as finished."""
        for fold in results.folds:
            self.begin_fold(fold.folder, fold.rows, ended=fold.ended)
            if self.fold_id != self.run_id:
                self._scores(self.fold_id, fold.scores)
                self._finish(self.fold_id, fold.ended)
        self._hyperparameters(results.hyperparameters)
        self._scores(self.run_id, results.scores)
        for path in results.figures:
            self.client.log_artifact(self.run_id, str(path), "figures")
        self._finish(self.run_id, max(fold.ended for fold in results.folds))

    def _run_of_fold(self, folder: Path) -> str:
        """The nested run of a fold; the run itself where one split is all there is."""
        if folder.name == SINGLE:
            return self.run_id
        tags = {"mlflow.parentRunId": self.run_id}
        return _run_of(self.client, self.uri, folder, name=f"{self.run_directory.absolute().name} {folder.name}", tags=tags)

    def _tell(self, row: Row, when: float) -> None:
        from mlflow.entities import Metric

        step = int(row["epoch"])
        if step in self.told:
            return
        metrics = [Metric(name, value, round(when * 1000), step) for name, value in measured(row).items()]
        self.client.log_batch(self.fold_id, metrics=metrics)
        self.told.add(step)

    def _finish(self, run_id: str, ended: float) -> None:
        """Mark a run as finished; one that was begun after the training, to catch up, has no duration."""
        begun = self.client.get_run(run_id).info.start_time
        self.client.set_terminated(run_id, "FINISHED", end_time=max(begun, round(ended * 1000)))

    def _scores(self, run_id: str, scores: Mapping[str, float]) -> None:
        """Tell scores that the run does not hold."""
        from mlflow.entities import Metric

        held = self.client.get_run(run_id).data.metrics
        named = {f"test/{name}": value for name, value in scores.items()}
        now = round(time.time() * 1000)
        metrics = [Metric(name, value, now, 0) for name, value in named.items() if held.get(name) != value]
        self.client.log_batch(run_id, metrics=metrics)

    def _hyperparameters(self, values: Mapping[str, bool | float | str]) -> None:
        """Tell hyperparameters that the run does not hold; MLflow refuses other values for one that it holds."""
        from mlflow.entities import Param

        held = self.client.get_run(self.run_id).data.params
        self.client.log_batch(self.run_id, params=[Param(name, str(value)) for name, value in values.items() if name not in held])


SINGLE = "split"
"""Name of the only fold of `cxr train`."""


def _client(uri: str) -> Any:
    """MLflow's client, without its telemetry and its lines about tables that it makes."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    from mlflow.tracking import MlflowClient

    for logger in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def _experiment(client: Any, uri: str) -> str:
    """Id of the experiment, made where it is not there."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return found.experiment_id
    place = None
    if uri.startswith(SCHEME):
        place = (Path(uri.removeprefix(SCHEME)).absolute().parent / ARTIFACTS).as_uri()
    from mlflow.exceptions import MlflowException

    try:
        return client.create_experiment(EXPERIMENT, artifact_location=place)
    except MlflowException:
        if (made_meanwhile := client.get_experiment_by_name(EXPERIMENT)) is not None:
            return made_meanwhile.experiment_id
        raise


def _run_of(client: Any, uri: str, folder: Path, *, name: str, tags: Mapping[str, str]) -> str:
    """Id of the run that a folder has in a store: the one noted there, or a new one where there is none or it was deleted."""
    from mlflow.exceptions import MlflowException

    note = folder / RUN_FILE
    noted: dict[str, str] = read_json(note) if note.exists() else {}
    if uri in noted:
        try:
            if client.get_run(noted[uri]).info.lifecycle_stage == "active":
                client.update_run(noted[uri], status="RUNNING")
                return noted[uri]
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    run = client.create_run(_experiment(client, uri), run_name=name, tags={"mlflow.source.name": "cxr", **tags})
    write_json(note, noted | {uri: run.info.run_id})
    return run.info.run_id
