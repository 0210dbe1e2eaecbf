import pytest

from cxr_keras.training.display import TrainingDisplay
from cxr_keras.training.strategies import Optimizer, Phase

PHASE = Phase("all", train="all", epochs=4, optimizer=Optimizer())
ROW = {"loss": 0.5, "accuracy": 0.75, "val_loss": 0.25, "val_accuracy": 0.9, "val_auroc": 0.95, "seconds": 2.0}


@pytest.fixture
def display(monkeypatch):
    def make(*, terminal):
        monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
        shown = TrainingDisplay("fold 2 of 5")
        shown.phase_started(PHASE, first_epoch=1, steps=3)
        return shown

    return make


def test_a_log_gets_one_line_an_epoch(display, capsys):
    shown = display(terminal=False)
    for batch in (1, 2, 3):
        shown.batch_done(batch, {"loss": 0.6})
    shown.epoch_done(ROW)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    for part in ("fold 2 of 5, phase all, epoch 2/4", "loss 0.5000", "val_auroc 0.9500", "left in this phase"):
        assert part in lines[0]


def test_a_terminal_gets_a_bar_that_moves_with_each_batch(display, capsys):
    shown = display(terminal=True)
    shown.batch_done(1, {"loss": 0.6})
    first = capsys.readouterr().err
    shown.batch_done(3, {"loss": 0.6})
    last = capsys.readouterr().err
    assert first.startswith("\r") and "1/3 loss 0.6000" in first and "░" in first
    assert "3/3" in last and "░" not in last


def test_time_left_counts_the_epochs_still_to_run(display, monkeypatch):
    shown = display(terminal=False)
    monkeypatch.setattr("time.monotonic", lambda: shown.started + 3.0)
    for batch in (1, 2, 3):
        shown.batch_done(batch, {})
    shown.epoch += 1
    assert shown._left() == "at most 0:06 left in this phase"  # two epochs of three batches, a second each
