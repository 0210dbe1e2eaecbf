"""A difference of accuracies and its parts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_keras.evaluation.gap import take_gap_apart


def table_of(truth, probabilities, *, groups=None, name="a") -> pd.DataFrame:
    n = len(truth)
    return pd.DataFrame(
        {
            "image_id": [f"{name}{index}" for index in range(n)],
            "group_id": [f"{name}{group}" for group in (groups if groups is not None else range(n))],
            "fold": 0,
            "label": ["sick" if sick else "healthy" for sick in truth],
            "p_healthy": 1 - np.asarray(probabilities),
            "p_sick": probabilities,
        }
    )


def test_parts_by_hand():
    # First: sensitivity 3/4 and specificity 2/2, so .833 of 6 images. Second: two of each class, everything called sick at 0.5, and
    # perfectly ranked.
    first = table_of([1, 1, 1, 1, 0, 0], [0.9, 0.8, 0.7, 0.2, 0.1, 0.3])
    second = table_of([1, 1, 0, 0], [0.9, 0.8, 0.7, 0.6], name="b")
    gap = take_gap_apart(first, second, draws=0)
    values = {name: value for name, (value, _, _) in gap.values.items()}
    assert values["first"] == pytest.approx(5 / 6) and values["second"] == pytest.approx(0.5)
    assert values["prevalence"] == pytest.approx(5 / 6 - (0.75 + 1) / 2)
    assert values["threshold"] == pytest.approx(0.5) and values["rest"] == pytest.approx(0.875 - 1)
    assert gap.best_threshold == pytest.approx(0.75) and gap.prevalences == (pytest.approx(4 / 6), 0.5)
    assert gap.values["gap"][1:] == (None, None)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(6, 40), st.integers(6, 40))
def test_the_parts_add_up_and_no_threshold_beats_the_best(seed, n, m):
    rng = np.random.default_rng(seed)

    def drawn(size, name):
        truth = np.arange(size) % 3 > 0
        # Few distinct probabilities, so that images share them.
        return table_of(truth, rng.integers(0, 8, size) / 7, groups=rng.integers(0, size, size), name=name)

    first, second = drawn(n, "a"), drawn(m, "b")
    gap = take_gap_apart(first, second, draws=0)
    values = {name: value for name, (value, _, _) in gap.values.items()}
    assert values["gap"] == pytest.approx(values["first"] - values["second"])
    assert values["gap"] == pytest.approx(values["prevalence"] + values["threshold"] + values["rest"])
    truth, probabilities = (second["label"] == "sick").to_numpy(), second["p_sick"].to_numpy()
    best = max(((probabilities >= threshold) == truth).mean() for threshold in [*np.unique(probabilities), 1.1])
    assert values["second"] + values["threshold"] == pytest.approx(best)
    assert ((probabilities >= gap.best_threshold) == truth).mean() == pytest.approx(best)


def test_intervals_hold_the_values_and_narrow_with_patients():
    rng = np.random.default_rng(0)

    def drawn(size, name):
        truth = rng.random(size) < 0.6
        return table_of(truth, 1 / (1 + np.exp(-(3 * truth - 1.5 + rng.normal(size=size)))), name=name)

    widths = []
    for size in (100, 1600):
        gap = take_gap_apart(drawn(size, "a"), drawn(size, "b"), draws=400, seed=1)
        for value, low, high in (gap.values[name] for name in ("first", "second", "gap", "prevalence")):
            assert low <= value <= high
        widths.append(gap.values["gap"][2] - gap.values["gap"][1])
    assert widths[1] < widths[0] / 2


def test_sets_that_cannot_be_compared_are_refused():
    good = table_of([1, 0], [0.9, 0.1])
    with pytest.raises(ValueError, match="images of one class"):
        take_gap_apart(good, table_of([1, 1], [0.9, 0.1]))
    other = good.rename(columns={"p_sick": "p_ill"}).assign(label=["ill", "healthy"])
    with pytest.raises(ValueError, match="two classes, the same in both"):
        take_gap_apart(good, other)
