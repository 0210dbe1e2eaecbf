"""KerasTuner's oracles, made to survive a kill at any moment and to go on as if nothing had happened."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial
from keras_tuner.oracles import BayesianOptimizationOracle, HyperbandOracle, RandomSearchOracle
from sklearn.exceptions import ConvergenceWarning

from cxr_keras.runs.files import read_json, write_json

STATE_FILE = "oracle.json"
NEVER = 10**9
"""Failed trials in a row after which KerasTuner would raise while it holds its lock, and so hang all workers; the trials count them."""


class _Durable:
    """What KerasTuner keeps in several files, written one after another and not whole, kept in one that is replaced at once.

    A new class of oracle takes it as its first base.
    """

    failure: Exception | None = None
    """What a request has met, where `serves` is set."""

    serves = False
    """Whether requests come from other processes. An error would then leave KerasTuner's lock behind, so it is kept in `failure`."""

    @property
    def state_path(self) -> Path:
        """Where the state lies."""
        return Path(self._project_dir) / STATE_FILE

    def save(self) -> None:
        """Write oracle and trials."""
        with self._kept_where_serving():
            write_json(self.state_path, {"oracle": self.get_state(), "trials": [trial.get_state() for trial in self.trials.values()]})

    def _save_trial(self, trial: Trial) -> None:
        """Trials are written with the oracle."""

    def reload(self) -> None:
        """Read the state; trials that were running are the next to be given out, in their order."""
        state = read_json(self.state_path)
        # In the order of their making: the Gaussian process is fitted to them in this order.
        self.trials = {saved["trial_id"]: Trial.from_state(saved) for saved in state["trials"]}
        self.set_state(state["oracle"])
        running = [trial_id for trial_id, trial in self.trials.items() if trial.status == "RUNNING"]
        self._retry_queue = sorted(running, reverse=True)  # it is taken from the end
        self.ongoing_trials = {}

    exhausted = False
    """Whether someone was told that there are no more trials to begin."""

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """Give out a trial, or say that there is none."""
        with self._kept_where_serving():
            trial = super().create_trial(tuner_id)
            self.exhausted = self.exhausted or trial.status == "STOPPED"
            return trial
        return Trial(self.hyperparameters.copy(), trial_id="none", status="STOPPED")

    @keras_tuner.synchronized
    def update_trial(self, trial_id: str, metrics: dict[str, Any], step: int = 0) -> Trial:
        """Record a trial's score."""
        with self._kept_where_serving():
            return super().update_trial(trial_id, metrics, step)
        return Trial(self.hyperparameters.copy(), trial_id=trial_id, status="STOPPED")

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Record the end of a trial, once; a worker that was given up may come back with one that another has ended."""
        if trial.trial_id in self.end_order or trial.trial_id not in self.trials:
            self.ongoing_trials = {name: other for name, other in self.ongoing_trials.items() if other.trial_id != trial.trial_id}
            return
        with self._kept_where_serving():
            super().end_trial(trial)
            self.save()  # the trial is taken from the running ones after KerasTuner's own save

    @contextlib.contextmanager
    def _kept_where_serving(self) -> Iterator[None]:
        """Keep an error in `failure` instead of raising it, where requests come from other processes."""
        try:
            yield
        except Exception as error:
            if not self.serves:
                raise
            self.failure = error

    @keras_tuner.synchronized
    def give_up_worker(self, name: str) -> str | None:
        """Give the trial of a worker that is gone to the next that asks.

        Returns:
            The trial's id, or None if it had none.
        """
        self.tuner_ids.discard(name)
        trial = self.ongoing_trials.pop(name, None)
        if trial is None:
            return None
        self._retry_queue.append(trial.trial_id)
        self.save()
        return trial.trial_id

    @keras_tuner.synchronized
    def waits_for_worker(self) -> bool:
        """Whether a trial waits to go on and no worker is left to take it."""
        return bool(self._retry_queue) and not self.tuner_ids

    @keras_tuner.synchronized
    def is_over(self) -> bool:
        """Whether nothing runs or waits, and every worker was told that there is no more."""
        return not (self.ongoing_trials or self._retry_queue or self.tuner_ids)


class RandomOracle(_Durable, RandomSearchOracle):
    """Settings drawn independently."""


class BayesianOracle(_Durable, BayesianOptimizationOracle):
    """Settings that a Gaussian process of the scores so far deems promising."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Propose settings; the proposal is a function of the seed and of the trials before, so a restart changes nothing."""
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        with warnings.catch_warnings():
            # A setting that does not matter drives the kernel's length to its bound, which is no news to who searches.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().populate_space(trial_id)


class HalvingOracle(_Durable, HyperbandOracle):
    """Hyperband: many trials of few epochs, the best of which run again with more."""


def make_oracle(
    search: str,
    hyperparameters: keras_tuner.HyperParameters,
    *,
    score: str,
    higher_is_better: bool,
    seed: int,
    trials: int | None,
    initial_trials: int | None,
    epochs: int,
    factor: int,
    iterations: int,
) -> _Durable:
    """Make the oracle of a search.

    Args:
        search: "random", "bayesian" or "hyperband".
        hyperparameters: the declared space.
        score: name of what a trial reports.
        higher_is_better: its direction.
        seed: of all draws.
        trials: how many there will be; not of hyperband.
        initial_trials: bayesian: how many are drawn at random first; None for a third, at least 3.
        epochs: hyperband: of a trial that is run to the end.
        factor: hyperband: one in so many trials goes on.
        iterations: hyperband: how often it is gone through.

    Returns:
        The oracle. Its state is not read yet.
    """
    shared = {
        "objective": keras_tuner.Objective(score, "max" if higher_is_better else "min"),
        "hyperparameters": hyperparameters,
        "tune_new_entries": False,
        "seed": seed + 1,  # KerasTuner takes 0 for "draw one"
        "max_consecutive_failed_trials": NEVER,
    }
    oracle: Any
    if search == "hyperband":
        oracle = HalvingOracle(max_epochs=epochs, factor=factor, hyperband_iterations=iterations, **shared)
    elif search == "bayesian":
        assert trials is not None
        oracle = BayesianOracle(max_trials=trials, num_initial_points=initial_trials or max(3, trials // 3), **shared)
    else:
        oracle = RandomOracle(max_trials=trials, **shared)
    oracle.verbose = 0
    return oracle
