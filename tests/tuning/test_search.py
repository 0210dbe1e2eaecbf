"""The loop of a search over a made-up score: no training, so every way of breaking off can be tried."""

import shutil

import pytest

from cxr_keras.tuning.oracle import STATE_FILE, make_oracle
from cxr_keras.tuning.search import TrialFailed, open_state, search
from cxr_keras.tuning.service import LOOPBACK, LostWorkers, parse_address, serve, signs_of_life, worker_environment
from cxr_keras.tuning.space import Dimension, hyperparameters_of, settings_of

SPACE = {"x": Dimension(low=-1.0, high=1.0), "kind": Dimension(values=("good", "bad"))}
LENGTH = {"random": 7, "bayesian": 4, "hyperband": 6}


def oracle(kind, *, seed=3):
    return make_oracle(
        kind,
        hyperparameters_of(SPACE),
        score="score",
        higher_is_better=True,
        seed=seed,
        trials=None if kind == "hyperband" else LENGTH[kind],
        initial_trials=None,
        epochs=4,
        factor=3,
        iterations=1,
    )


def score(values):
    return (1.0 if values["kind"] == "good" else 0.0) - values["x"] ** 2


def run_to(found, *, stop_at=None):
    """A function that notes what it is asked and breaks off at the beginning of its `stop_at`th trial."""
    calls = []

    def run(trial, values):
        calls.append(trial)
        if stop_at is not None and len(calls) == stop_at:
            raise KeyboardInterrupt
        found[trial] = (settings_of(values, SPACE), values.get("tuner/epochs"))
        return score(values)

    return run


def whole(kind, folder):
    found = {}
    search(oracle(kind), folder, run_to(found))
    return found


@pytest.mark.parametrize("kind", LENGTH)
def test_a_broken_search_gives_the_list_of_a_whole_one(kind, tmp_path):
    expected = whole(kind, tmp_path / "whole")
    assert len(expected) >= LENGTH[kind]
    found = {}
    for stop_at in (2, 2, 1):
        with pytest.raises(KeyboardInterrupt):
            search(oracle(kind), tmp_path / "broken", run_to(found, stop_at=stop_at))
    search(oracle(kind), tmp_path / "broken", run_to(found))
    assert found == expected
    search(oracle(kind), tmp_path / "broken", run_to({}, stop_at=1))  # nothing is left to run


def test_every_state_on_disk_leads_to_the_same_list(tmp_path):
    expected = whole("bayesian", tmp_path / "whole")
    states = []

    class Recording(type(oracle("bayesian"))):
        def save(self):
            super().save()
            states.append(self.state_path.read_bytes())

    recorded = oracle("bayesian")
    recorded.__class__ = Recording
    search(recorded, tmp_path / "recorded", run_to({}))
    assert len(states) > 2 * len(expected)
    for number, state in enumerate(states[len(states) // 2 :: 2]):  # those before lie before any proposal of the process
        folder = tmp_path / f"from-{number}"
        folder.mkdir()
        (folder / STATE_FILE).write_bytes(state)
        found = {}
        search(oracle("bayesian"), folder, run_to(found))
        reached = oracle("bayesian")
        open_state(reached, folder)
        assert {trial.trial_id: settings_of(trial.hyperparameters.values, SPACE) for trial in reached.trials.values()} == {
            trial: settings for trial, (settings, _) in expected.items()
        }
        shutil.rmtree(folder)


def test_seed_zero_is_a_seed_and_others_differ(tmp_path):
    lists = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        found = {}
        search(oracle("random", seed=seed), tmp_path / name, run_to(found))
        lists.append(found)
    assert lists[0] == lists[1] != lists[2]


def test_a_failed_trial_is_passed_over_and_another_fault_ends_the_search(tmp_path):
    def refuses_some(trial, values):
        if int(trial) < 3:
            raise TrialFailed("no")
        return score(values)

    made = oracle("random")
    search(made, tmp_path / "some", refuses_some)
    assert [trial.status for trial in made.trials.values()] == ["FAILED"] * 3 + ["COMPLETED"] * 4

    def breaks(trial, values):
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        search(oracle("random"), tmp_path / "breaks", breaks)


def test_workers_run_the_trials_of_a_chief_and_a_lost_one_loses_none(tmp_path, monkeypatch):
    chief = oracle("random")
    open_state(chief, tmp_path / "chief")
    with serve(chief, f"{LOOPBACK}:0") as address:
        for name, value in worker_environment("worker-lost", address).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(KeyboardInterrupt):
            search(oracle("random"), tmp_path / "chief", run_to({}, stop_at=2))  # it is gone with its second trial
        assert chief.give_up_worker("worker-lost") == "1" and chief.give_up_worker("worker-lost") is None
        found = {}
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker-other")
        search(oracle("random"), tmp_path / "chief", run_to(found))
        assert chief.exhausted and chief.is_over() and chief.failure is None
    assert list(found) == ["1", "2", "3", "4", "5", "6"]
    assert all(trial.status == "COMPLETED" for trial in chief.trials.values())
    monkeypatch.undo()
    alone = whole("random", tmp_path / "alone")
    assert {trial: found[trial] for trial in found} == {trial: alone[trial] for trial in found}


def test_a_lost_worker_is_told_once(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("cxr_keras.tuning.service.time.monotonic", lambda: clock[0])
    lost = LostWorkers(tmp_path, after_seconds=5)
    with signs_of_life(tmp_path, "alive"):
        pass
    assert not list(tmp_path.iterdir())  # who ends in order leaves no sign
    (tmp_path / "gone.json").write_text("1")
    assert lost.found() == []
    clock[0] = 4
    (tmp_path / "gone.json").write_text("2")
    assert lost.found() == []
    clock[0] = 8
    assert lost.found() == []
    clock[0] = 9.5
    assert lost.found() == ["gone"] and lost.found() == []
    with signs_of_life(tmp_path, "interrupted"):
        while not (tmp_path / "interrupted.json").exists():
            pass
        assert lost.found() == []
    assert lost.found() == ["interrupted"] and lost.found() == []  # at once: it may have left a trial


def test_an_error_in_the_chief_is_kept_and_leaves_no_lock_behind(tmp_path, monkeypatch):
    chief = oracle("random")
    open_state(chief, tmp_path / "chief")

    def breaks(trial_id):
        raise ArithmeticError("no proposal")

    monkeypatch.setattr(chief, "populate_space", breaks)
    with pytest.raises(ArithmeticError):
        oracle_alone = oracle("random")
        monkeypatch.setattr(oracle_alone, "populate_space", breaks)
        search(oracle_alone, tmp_path / "alone", run_to({}))
    with serve(chief, f"{LOOPBACK}:0") as address:
        for name, value in worker_environment("worker-0", address).items():
            monkeypatch.setenv(name, value)
        search(oracle("random"), tmp_path / "chief", run_to({}))  # the worker is told that there is no more
        assert isinstance(chief.failure, ArithmeticError)
        assert chief.give_up_worker("worker-0") is None  # it would wait for the lock for ever


@pytest.mark.parametrize("address", ["7777", "host:", "host:port", "host:70000", ":7777"])
def test_no_address(address):
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        parse_address(address)


def test_a_taken_port_is_refused(tmp_path):
    first, second = oracle("random"), oracle("random")
    open_state(first, tmp_path / "first")
    open_state(second, tmp_path / "second")
    with serve(first, f"{LOOPBACK}:0") as address, pytest.raises(ValueError, match="Cannot listen"), serve(second, address):
        pass
