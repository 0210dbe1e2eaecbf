import math

import pytest

from cxr_keras.training.best_epoch import BestEpoch


def run(monitor, values, patience=None):
    best = BestEpoch(monitor, patience=patience)
    for epoch, value in enumerate(values, start=1):
        best.update(epoch, value)
        if best.stop:
            return best, epoch
    return best, len(values)


def test_direction_follows_the_monitored_value():
    assert run("val_loss", [3, 1, 2])[0].best_epoch == 2
    assert run("val_auroc", [0.5, 0.9, 0.7])[0].best_epoch == 2


def test_first_of_equal_epochs_is_kept():
    assert run("val_accuracy", [0.9, 0.9, 0.9])[0].best_epoch == 1


def test_stops_when_patience_is_used_up():
    assert run("val_loss", [3, 1, 2, 2, 2, 0], patience=2)[1] == 4
    assert run("val_loss", [3, 1, 2, 0.5, 2, 0], patience=2)[1] == 6


def test_a_number_beats_nan_and_nan_beats_nothing():
    best, _ = run("val_auroc", [math.nan, 0.4, math.nan])
    assert (best.best_epoch, best.best_value) == (2, 0.4)


def test_unknown_values_are_refused():
    with pytest.raises(ValueError, match="Cannot monitor 'val_f1'"):
        BestEpoch("val_f1")
