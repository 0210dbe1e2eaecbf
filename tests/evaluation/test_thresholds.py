import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score

from cxr_keras.evaluation.thresholds import SENSITIVITY, choose_threshold, operating_points


def predictions(n=60, *, folds=3, seed=0, shift=0.0):
    random = np.random.default_rng(seed)
    positive = random.random(n) < 0.6
    p = np.clip(0.5 + 0.25 * (positive - 0.5) + random.normal(0, 0.2, n) + shift, 0, 1)
    return pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(n)],
            "group_id": [f"g{k // 2}" for k in range(n)],
            "fold": (np.arange(n) // 2) % folds,
            "label": np.where(positive, "pneumonia", "normal"),
            "p_normal": 1 - p,
            "p_pneumonia": p,
        }
    )


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=30).filter(lambda rows: len({r[0] for r in rows}) == 2))
def test_no_other_threshold_is_better(rows):
    positive, p = np.array([r[0] for r in rows]), np.array([r[1] / 20 for r in rows])

    def merits(threshold):
        called = p >= threshold
        return called[positive].mean(), (~called[~positive]).mean()

    every = [merits(t) for t in (*np.unique(p), -1.0)]
    sensitivity, specificity = merits(choose_threshold(positive, p, criterion="youden"))
    assert sensitivity + specificity >= max(a + b for a, b in every if a > 0) - 1e-9
    sensitivity, specificity = merits(choose_threshold(positive, p, criterion="sensitive"))
    assert sensitivity >= SENSITIVITY and specificity >= max(b for a, b in every if a >= SENSITIVITY) - 1e-9


def test_the_nearest_to_a_half_of_equally_good_ones():
    assert choose_threshold(np.array([False, True]), np.array([0.2, 0.9]), criterion="youden") == pytest.approx(0.55)


def test_thresholds_of_a_fold_do_not_depend_on_its_own_rows():
    table = predictions()
    changed = table.copy()
    changed.loc[changed["fold"] == 1, "label"] = "normal"
    before, after = operating_points(table, draws=50), operating_points(changed, draws=50)
    for one, other in zip(before, after, strict=True):
        assert one["thresholds"]["1"] == other["thresholds"]["1"]
    assert before[1]["thresholds"]["0"] != after[1]["thresholds"]["0"]


def test_scores_equal_scikit_learn_and_intervals_hold_them():
    table = predictions(200)
    for point in operating_points(table, draws=200):
        called = table["p_pneumonia"] >= table["fold"].astype(str).map(point["thresholds"])
        truth = table["label"] == "pneumonia"
        scores = point["scores"]
        assert scores["accuracy"]["value"] == pytest.approx(accuracy_score(truth, called))
        assert scores["f1"]["value"] == pytest.approx(f1_score(truth, called))
        assert scores["sensitivity"]["value"] == pytest.approx(recall_score(truth, called))
        assert all(entry["low"] <= entry["value"] <= entry["high"] for entry in scores.values())


def test_one_split_takes_the_validation_part_or_only_a_half():
    test, validation = predictions(folds=1), predictions(folds=1, seed=1, shift=0.1)
    assert [point["name"] for point in operating_points(test, draws=10)] == ["0.5"]
    points = operating_points(test, validation, draws=10)
    assert [point["name"] for point in points] == ["0.5", "youden", "sensitive"]
    truth = (validation["label"] == "pneumonia").to_numpy()
    assert points[1]["locked"] == choose_threshold(truth, validation["p_pneumonia"].to_numpy(), criterion="youden")


def test_faults():
    with pytest.raises(ValueError, match="one class"):
        choose_threshold(np.array([True, True]), np.array([0.1, 0.2]), criterion="youden")
    with pytest.raises(ValueError, match="youden, sensitive"):
        choose_threshold(np.array([True, False]), np.array([0.1, 0.2]), criterion="best")
    assert operating_points(predictions().assign(p_other=0.0)) is None
