"""Paired differences between runs: known cases, symmetry, coverage, p-values and Holm's correction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_keras.evaluation.intervals import group_draws
from cxr_keras.evaluation.paired import (
    SCORES,
    check_draws,
    check_same_classes,
    draws_for,
    holm,
    paired_differences,
    two_sided_p,
    why_unpaired,
)
from cxr_keras.evaluation.scores import score_predictions

CLASSES = ("bacterial", "normal", "viral")


def predictions(n: int = 120, *, seed: int = 0, noise: float = 1.0, noise_seed: int = 0, classes=CLASSES, patients: int | None = None):
    """A table of n images; `seed` makes truth and patients, `noise_seed` one network's errors."""
    shared, own = np.random.default_rng(seed), np.random.default_rng([seed, noise_seed])
    truth = np.concatenate([np.arange(len(classes)), shared.integers(len(classes), size=n - len(classes))])
    groups = shared.integers(patients or n, size=n)
    logits = 1.5 * np.eye(len(classes))[truth] + shared.normal(size=(n, len(classes))) + noise * own.normal(size=(n, len(classes)))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = pd.DataFrame(
        {
            "image_id": [f"image{index:04d}" for index in range(n)],
            "group_id": [f"patient{group}" for group in groups],
            "fold": groups % 5,
            "label": [classes[index] for index in truth],
        }
    )
    return table.assign(**{f"p_{name}": probabilities[:, index] for index, name in enumerate(classes)})


def by_score(rows):
    return {row.score: row for row in rows}


def test_differences_are_those_of_the_scores():
    tables = {"a": predictions(noise_seed=1), "b": predictions(noise=3.0, noise_seed=2)}
    rows = by_score(paired_differences(tables, [("b", "a")], draws=200))
    a, b = (score_predictions(table, draws=0)["scores"] for table in tables.values())
    assert list(rows) == list(SCORES)
    for score, row in rows.items():
        assert (row.run, row.against) == ("b", "a")
        assert row.value == pytest.approx(b[score]["value"] - a[score]["value"])
        assert row.low < row.value < row.high


def test_both_runs_are_scored_on_the_same_resamples():
    # The interval of the difference is exactly that of the differences of accuracies, draw by draw.
    a, b = predictions(noise_seed=1, patients=50), predictions(noise=2.0, noise_seed=2, patients=50)
    right = [(t[[f"p_{name}" for name in CLASSES]].to_numpy().argmax(axis=1) == t["label"].map(CLASSES.index)).to_numpy() for t in (a, b)]
    groups = np.unique(a["group_id"].to_numpy(dtype=str), return_inverse=True)[1]
    weights = np.concatenate(list(group_draws(groups.max() + 1, draws=300, seed=4)))[:, groups]
    differences = (weights * (right[1] * 1.0 - right[0])).sum(axis=1) / weights.sum(axis=1)
    row = by_score(paired_differences({"a": a, "b": b}, [("b", "a")], draws=300, seed=4))["accuracy"]
    assert (row.low, row.high) == tuple(pytest.approx(end) for end in np.quantile(differences, [0.025, 0.975]))
    assert row.p_value == pytest.approx(two_sided_p(differences))


def test_a_network_is_tied_with_itself():
    rows = paired_differences({"a": predictions(), "b": predictions()}, [("b", "a")], draws=100)
    assert {(row.value, row.low, row.high, row.p_value, row.p_holm, row.verdict) for row in rows} == {(0.0, 0.0, 0.0, 1.0, 1.0, "tie")}


def test_another_seed_of_the_same_quality_is_a_tie_and_a_much_worse_network_is_lower():
    tables = {"first": predictions(400, noise_seed=1), "seed": predictions(400, noise_seed=2), "worse": predictions(400, noise=6.0)}
    rows = paired_differences(tables, [("seed", "first"), ("worse", "first")], draws=1000)
    assert {row.verdict for row in rows if row.run == "seed"} == {"tie"}
    assert {row.verdict for row in rows if row.run == "worse"} == {"lower"}
    assert all(row.p_holm == pytest.approx(8 * 2 / 1001) for row in rows if row.run == "worse")  # the least p of 1000 draws, times 8


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), patients=st.integers(15, 60), order=st.randoms(use_true_random=False))
def test_exchanging_the_runs_mirrors_and_the_order_of_rows_is_nothing(seed, patients, order):
    a, b = (predictions(60, seed=seed, noise_seed=number, patients=patients) for number in (1, 2))
    rows = list(range(len(b)))
    order.shuffle(rows)
    there = paired_differences({"a": a, "b": b}, [("b", "a")], draws=100)
    back = paired_differences({"b": b.iloc[rows], "a": a}, [("a", "b")], draws=100)
    for one, other in zip(there, back, strict=True):
        assert one.value == pytest.approx(-other.value, abs=1e-12)
        assert (one.low, one.high) == (pytest.approx(-other.high, abs=1e-12), pytest.approx(-other.low, abs=1e-12))
        assert one.p_value == other.p_value


def test_the_interval_covers_no_difference_about_as_often_as_it_says():
    """Two networks of equal quality, images clustered in patients: 95 % of the intervals should hold 0."""
    covered, significant, rounds = dict.fromkeys(SCORES, 0), 0, 120
    for seed in range(rounds):
        tables = {name: predictions(150, seed=seed, noise_seed=number, patients=90) for number, name in enumerate("ab")}
        rows = paired_differences(tables, [("b", "a")], draws=200)
        for row in rows:
            covered[row.score] += row.low <= 0 <= row.high
        significant += any(row.verdict != "tie" for row in rows)
    # Binomial(120, .95) lies in [106, 120] with 99.9 %; the percentile bootstrap of 200 draws runs about a point short.
    assert all(104 <= count < rounds for count in covered.values()), covered
    assert significant <= 12


def test_one_image_is_below_the_resolution():
    # 200 patients; b has one more right: 0.005 of accuracy.
    base = predictions(200, classes=("normal", "pneumonia"))
    columns = ["p_normal", "p_pneumonia"]
    sure = np.where(base[["label"]] == "pneumonia", [[0.0, 1.0]], [[1.0, 0.0]])
    a, b = base.assign(**dict(zip(columns, sure.T))), base.assign(**dict(zip(columns, sure.T)))
    a.loc[:29, columns] = a.loc[:29, columns].to_numpy()[:, ::-1]
    b.loc[:28, columns] = b.loc[:28, columns].to_numpy()[:, ::-1]
    row = by_score(paired_differences({"a": a, "b": b}, [("b", "a")], draws=400))["accuracy"]
    assert row.value == pytest.approx(1 / 200) and row.one_image == pytest.approx(1 / 200)
    assert row.verdict == "tie" and row.reason == "interval holds 0"
    rarest = base["label"].value_counts().min()
    assert by_score(paired_differences({"a": a, "b": b}, [("b", "a")], draws=100))["macro_f1"].one_image == pytest.approx(1 / (2 * rarest))


def test_a_difference_that_is_certain_but_smaller_than_one_image_is_a_tie():
    # 100 normals and 100 sick in perfect order, but for 8 of each that network a has mixed up.
    n, mixed = 100, 8
    table = predictions(2 * n, classes=("normal", "pneumonia")).assign(
        group_id=[f"g{index}" for index in range(2 * n)], label=["normal"] * n + ["pneumonia"] * n
    )
    in_order = np.concatenate([np.linspace(0.0, 0.4, n), np.linspace(0.6, 1.0, n)])
    some = in_order.copy()
    some[n - mixed : n] = 0.55 + np.arange(mixed) * 1e-3 + 1e-4
    some[n : n + mixed] = 0.55 + np.arange(mixed) * 1e-3
    a, b = (table.assign(p_normal=1 - sick, p_pneumonia=sick) for sick in (some, in_order))
    row = by_score(paired_differences({"a": a, "b": b}, [("b", "a")], draws=400))["macro_auroc"]
    assert row.value == pytest.approx(mixed * (mixed + 1) / 2 / n**2)
    assert row.low > 0 and row.value < row.one_image == pytest.approx(1 / 200)
    assert (row.verdict, row.reason) == ("tie", "below one image")


def test_a_difference_that_the_correction_takes_away_is_a_tie():
    tables = {"a": predictions(200, noise_seed=1), "b": predictions(200, noise=1.7, noise_seed=2)}
    alone = by_score(paired_differences(tables, [("b", "a")], draws=400))["accuracy"]
    among_many = by_score(paired_differences(tables, [("b", "a")] * 30, draws=400))["accuracy"]
    assert alone.verdict == "lower" and alone.p_holm < 0.05
    assert (among_many.low, among_many.p_value) == (alone.low, alone.p_value)
    assert (among_many.verdict, among_many.reason) == ("tie", "p (Holm) too high")


def test_a_single_patient_gives_no_verdict():
    tables = {name: predictions(noise_seed=number).assign(group_id="only", fold=0) for number, name in enumerate("ab")}
    assert {(row.low, row.p_value, row.p_holm, row.verdict) for row in paired_differences(tables, [("b", "a")])} == {
        (None, None, None, "undefined")
    }


def test_other_classes_are_an_error_that_lists_them():
    other = predictions(classes=("normal", "pneumonia"))
    with pytest.raises(ValueError, match=r"different classes.*\n  - a: bacterial, normal, viral\n  - b: normal, pneumonia"):
        check_same_classes({"a": predictions(), "b": other})


def test_why_runs_cannot_be_paired():
    table = predictions().assign(sha256="0")
    assert why_unpaired(table, table.sample(frac=1, random_state=0)) == ""
    assert why_unpaired(table, table.iloc[20:]) == "100 images are in both, of 120 and 100"
    elsewhere = table.assign(image_id="other" + table["image_id"])
    assert why_unpaired(table, elsewhere) == "0 images are in both, of 120 and 120"
    for column, words in {"sha256": "are other files", "label": "carry other labels", "group_id": "are of other patients"}.items():
        changed = table.copy()
        changed.loc[:2, column] = "else"
        assert why_unpaired(table, changed) == f"120 images of the same names are in both, but 3 of them {words}"
    with pytest.raises(ValueError, match="b cannot be paired with a: 100 images are in both"):
        paired_differences({"a": table, "b": table.iloc[20:]}, [("b", "a")])


def test_two_sided_p_by_hand():
    assert two_sided_p(np.array([0.1] * 99)) == pytest.approx(2 / 100)
    assert two_sided_p(np.array([-0.1] * 4 + [0.1] * 95)) == pytest.approx(2 * 5 / 100)
    assert two_sided_p(np.zeros(99)) == 1.0


def test_many_differences_need_more_draws():
    assert draws_for(1) == 2000 and draws_for(11) == 7040
    assert 2 * 44 / (draws_for(11) + 1) == pytest.approx(0.0125, rel=1e-3)
    check_draws(2000, 11)
    with pytest.raises(ValueError, match=r"draws is 1,000: none of 44 differences .* would be 0\.088\. Give 7,040 or more"):
        check_draws(1000, 11)


def test_holm_by_hand():
    # Four p-values times 4, 3, 2, 1, never falling: .005·4 = .02, .01·3 = .03, .03·2 = .06, .04·1 -> .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == [pytest.approx(p) for p in (0.03, 0.06, 0.06, 0.02)]
    assert holm([0.5, None, 0.6]) == [1.0, None, 1.0]
    assert holm([]) == []
    assert holm([0.02]) == [0.02]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_order_and_lies_between_p_and_bonferroni(p_values):
    corrected = holm(p_values)
    assert all(p <= q <= min(1.0, len(p_values) * p) + 1e-12 for p, q in zip(p_values, corrected, strict=True))
    ranked = [q for _, q in sorted(zip(p_values, corrected, strict=True))]
    assert ranked == sorted(ranked)
