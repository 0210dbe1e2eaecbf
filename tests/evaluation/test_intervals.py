"""Bootstrap draws and percentile intervals."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_keras.evaluation.intervals import group_draws, percentile_interval


def test_draws_have_the_sum_of_the_groups_and_follow_the_seed():
    first, again, other = (np.concatenate(list(group_draws(37, draws=250, seed=seed))) for seed in (1, 1, 2))
    assert first.shape == (250, 37)
    assert (first.sum(axis=1) == 37).all()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    # Each count is binomial with mean 1 and variance 36/37; the means over 250 draws scatter by about 0.06.
    assert abs(first.mean(axis=0) - 1).max() < 0.3
    assert first.var() == pytest.approx(36 / 37, rel=0.1)


def test_more_draws_begin_with_the_fewer():
    few, many = (np.concatenate(list(group_draws(11, draws=draws, seed=5))) for draws in (100, 300))
    np.testing.assert_array_equal(few, many[:100])


def test_percentiles_of_known_samples():
    low, high, dropped = percentile_interval(np.arange(1001) / 1000)
    assert (low, high, dropped) == (pytest.approx(0.025), pytest.approx(0.975), 0)


def test_undefined_draws_are_dropped_and_counted():
    samples = np.concatenate([np.arange(1001) / 1000, np.full(40, np.nan)])
    low, high, dropped = percentile_interval(samples)
    assert (low, high, dropped) == (pytest.approx(0.025), pytest.approx(0.975), 40)


def test_no_interval_when_most_draws_are_dropped():
    assert percentile_interval(np.array([0.5, np.nan, np.nan])) == (None, None, 2)
    assert percentile_interval(np.array([])) == (None, None, 0)
