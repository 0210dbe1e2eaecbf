import importlib.util

import pytest

from cxr_keras.tracking.mlflow_store import check_store
from cxr_keras.tracking.trackers import Trackers, epoch_ends, measured


class Broken:
    name = "Broken"

    def __init__(self):
        self.calls = 0

    def epoch_done(self, row):
        self.calls += 1
        raise OSError("no route\nto the host")


class Listening:
    name = "Listening"

    def __init__(self):
        self.rows = []

    def epoch_done(self, row):
        self.rows.append(row)


def test_a_tracker_that_fails_is_told_once_and_the_others_go_on(capsys):
    broken, listening = Broken(), Listening()
    trackers = Trackers([broken, listening], label="fold 1 of 2")
    for epoch in (1, 2):
        trackers.epoch_done({"epoch": epoch})
    assert broken.calls == 1 and len(listening.rows) == 2
    assert trackers.failures == ["Broken failed (OSError: no route)"]
    assert capsys.readouterr().err.count("WARNING: fold 1 of 2: Broken failed (OSError: no route); the run goes on without it.") == 1


def test_an_interruption_is_no_failure():
    class Interrupted(Broken):
        def epoch_done(self, row):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trackers([Interrupted()], label="x").epoch_done({})


def test_times_of_epochs_leave_out_pauses():
    rows = [{"seconds": 5.0}, {"seconds": 2.0}, {"seconds": 3.0}]
    assert epoch_ends(rows, 100.0) == [95.0, 97.0, 100.0]
    assert epoch_ends([], 100.0) == []


def test_series_are_the_numbers_of_a_row():
    row = {"phase": "all", "epoch": 3, "loss": 1, "val_auroc": float("nan"), "val_loss": None}
    assert measured(row) == {"loss": 1.0}


def test_without_mlflow_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'cxr-keras\[mlflow\]', or set tracking.mlflow=null"):
        check_store("sqlite:///runs/mlflow.db")
