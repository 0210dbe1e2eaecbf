"""Bootstrap draws and percentile intervals."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_keras.evaluation.intervals import exact_interval, group_draws, interval_of_rate, mean_with_interval, percentile_interval


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


def test_near_0_and_1_a_rate_reaches_as_far_as_the_exact_interval():
    from scipy import stats

    exact = stats.binomtest(387, 390).proportion_ci(0.95, method="exact")
    assert exact_interval(387 / 390, 390) == pytest.approx((exact.low, exact.high))
    narrow = np.full(100, 387 / 390)
    assert interval_of_rate(387 / 390, narrow, groups=390)[:2] == pytest.approx((exact.low, exact.high))
    assert interval_of_rate(3 / 390, 1 - narrow, groups=390)[:2] == pytest.approx((1 - exact.high, 1 - exact.low))
    assert interval_of_rate(1.0, np.ones(100), groups=20)[:2] == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    middle = np.linspace(0.85, 0.95, 101)
    assert interval_of_rate(0.9, middle, groups=390) == percentile_interval(middle)
    assert interval_of_rate(0.99, np.empty(0), groups=390) == (None, None, 0)


@pytest.mark.parametrize("rate, patients", [(0.99, 390), (0.97, 245), (0.98, 60)])
def test_the_interval_of_a_high_rate_holds_it_in_95_of_100_studies(rate, patients):
    from scipy import stats

    hits = np.arange(patients + 1)
    chance = stats.binom.pmf(hits, patients, rate)
    shown = hits[chance > 1e-7]
    ends = []
    for found in shown:
        # Resamples of independent patients are binomial, so their percentiles are known.
        samples = stats.binom.ppf((np.arange(2000) + 0.5) / 2000, patients, found / patients) / patients
        ends.append(interval_of_rate(found / patients, samples, groups=patients)[:2])
    low, high = np.array(ends).T
    likely = chance[chance > 1e-7]
    assert likely[(low <= rate) & (rate <= high)].sum() >= 0.94 and likely[low > rate].sum() <= 0.035


def test_a_mean_over_images_has_an_interval_over_patients():
    values, groups = np.array([1.0, 2.0, np.nan, 3.0]), np.array(["a", "a", "b", "c"])
    mean, low, high = mean_with_interval(values, groups, draws=200)
    assert mean == 2.0 and low < 2.0 < high
    assert mean_with_interval(values[:2], groups[:2]) == (1.5, None, None)
    assert mean_with_interval(np.array([np.nan]), np.array(["a"])) == (None, None, None)
