"""The loop of a search: ask the oracle, run the trial, tell it the score."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial
from keras_tuner.errors import FailedTrialError, FatalError
from keras_tuner.src import config as keras_tuner_config

from cxr_keras.tuning.oracle import STATE_FILE

keras_tuner_config.DEBUG = False  # it would print a traceback for each trial whose settings cannot be used

SECONDS_BETWEEN_REQUESTS = 0.05
"""Hyperband may have nothing to give out until others have finished; without a pause it would be asked as fast as it can answer."""

RunTrial = Callable[[str, Mapping[str, Any]], float]
"""Takes a trial's id and its values in KerasTuner's terms, gives its score; raises `TrialFailed` where these values cannot be used."""


class TrialFailed(Exception):
    """The values of a trial cannot be used, or its training broke down; the search goes on with others."""


def search(oracle: Any, folder: Path, run: RunTrial) -> None:
    """Run trials until the oracle has no more; an interrupted search goes on.

    Within a worker, which `worker_environment` marks, the oracle of the chief is asked in its place.

    Args:
        oracle: of `make_oracle`.
        folder: of the oracle's state.
        run: runs a trial.

    Raises:
        Exception: whatever `run` raised other than `TrialFailed`; that trial is repeated when the search goes on.
    """
    runner = _Runner(oracle, folder, run)
    try:
        runner.search()
    except FatalError as error:
        raise (error.__cause__ or error) from None


def open_state(oracle: Any, folder: Path) -> None:
    """Give the oracle its folder and, if it was there before, its state."""
    oracle._set_project_dir(str(folder.parent), folder.name)
    if (folder / STATE_FILE).exists():
        oracle.reload()


class _Runner(BaseTuner):
    """KerasTuner's loop around a function."""

    def __init__(self, oracle: Any, folder: Path, run: RunTrial) -> None:
        self._run = run
        super().__init__(oracle, directory=str(folder.parent), project_name=folder.name)
        if not self._is_worker():
            open_state(self.oracle, folder)

    def _get_tuner_fname(self) -> str:
        """Where KerasTuner would keep an empty state of its own, and read it back; there is none."""
        return str(Path(self.project_dir) / "no_state_of_the_tuner.json")

    def save(self) -> None:
        """The oracle saves itself."""

    def pre_create_trial(self) -> None:
        """Leave the oracle a moment."""
        time.sleep(SECONDS_BETWEEN_REQUESTS)

    def run_trial(self, trial: Trial, *_: Any, **__: Any) -> dict[str, float]:
        """Run a trial and give its score; errors other than of the trial's own values end the search."""
        try:
            return {self.oracle.objective.name: self._run(trial.trial_id, dict(trial.hyperparameters.values))}
        except TrialFailed as error:
            raise FailedTrialError(str(error)) from error
        except Exception as error:
            raise FatalError(str(error)) from error
