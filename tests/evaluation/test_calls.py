import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from cxr_keras.evaluation import score_predictions
from cxr_keras.evaluation.calls import predictive_values, score_calls


def calls(n=200, *, seed=0, right=0.8):
    random = np.random.default_rng(seed)
    sick = random.random(n) < 0.4
    called = np.where(random.random(n) < right, sick, ~sick)
    label = np.where(sick, "pneumonia", "normal")
    return pd.DataFrame({"group_id": [f"g{k // 2}" for k in range(n)], "label": label}), called, sick


def test_scores_equal_scikit_learn_and_intervals_hold_them():
    table, called, sick = calls()
    scores = score_calls(table, called, positive="pneumonia", draws=200, seed=0)
    assert scores["accuracy"]["value"] == pytest.approx(accuracy_score(sick, called))
    assert scores["f1"]["value"] == pytest.approx(f1_score(sick, called))
    assert scores["sensitivity"]["value"] == pytest.approx(recall_score(sick, called))
    assert scores["precision"]["value"] == pytest.approx(precision_score(sick, called))
    assert all(entry["low"] < entry["value"] < entry["high"] for entry in scores.values())


def test_predictive_values_at_the_images_own_prevalence_are_the_plain_ones():
    table, called, sick = calls()
    scores = score_calls(table, called, positive="pneumonia", draws=0, seed=0, prevalence=float(sick.mean()))
    assert scores["ppv_at_prevalence"]["value"] == pytest.approx(scores["precision"]["value"])
    assert scores["npv_at_prevalence"]["value"] == pytest.approx((~sick & ~called).sum() / (~called).sum())


def test_predictive_values_by_hand():
    # 1,000 people, 100 of them sick: 90 found, 10 missed; of 900 healthy 180 alarms and 720 left alone.
    ppv, npv = predictive_values(np.array([0.9]), np.array([0.8]), 0.1)
    assert ppv[0] == pytest.approx(90 / 270) and npv[0] == pytest.approx(720 / 730)


def test_a_rarer_disease_lowers_the_positive_predictive_value_and_its_interval():
    table, called, _ = calls()
    often, rarely = (score_calls(table, called, positive="pneumonia", draws=100, seed=0, prevalence=p) for p in (0.4, 0.02))
    assert rarely["ppv_at_prevalence"]["high"] < often["ppv_at_prevalence"]["low"]
    assert rarely["sensitivity"] == often["sensitivity"]


def test_no_error_at_all_is_no_certainty():
    table, _, sick = calls(60)
    scores = score_calls(table, sick, positive="pneumonia", draws=100, seed=0, prevalence=0.05)
    patients = table.loc[sick, "group_id"].nunique()
    exact = stats.binomtest(patients, patients).proportion_ci(0.95, method="exact").low
    assert scores["sensitivity"]["low"] == pytest.approx(exact) and scores["sensitivity"]["high"] == 1.0
    healthy = table.loc[~sick, "group_id"].nunique()
    specificity = stats.binomtest(healthy, healthy).proportion_ci(0.95, method="exact").low
    assert scores["ppv_at_prevalence"]["low"] == pytest.approx(0.05 / (0.05 + (1 - specificity) * 0.95))
    assert scores["npv_at_prevalence"]["low"] < scores["npv_at_prevalence"]["value"] == 1.0
    nothing_found = score_calls(table, np.zeros(60, bool), positive="pneumonia", draws=100, seed=0)
    assert nothing_found["sensitivity"]["high"] == pytest.approx(1 - exact) and nothing_found["precision"]["value"] is None


@pytest.mark.parametrize("right", [0.8, 1.0, 0.0])
def test_a_rate_has_one_interval_whoever_computes_it(right):
    table, called, _ = calls(80, right=right)
    columns = {"image_id": [f"i{k}" for k in range(80)], "fold": 0, "p_normal": np.where(called, 0.1, 0.9)}
    every = score_predictions(table.assign(**columns, p_pneumonia=np.where(called, 0.9, 0.1)), draws=100)
    of_calls = score_calls(table, called, positive="pneumonia", draws=100, seed=0)
    for name in ("sensitivity", "specificity", "precision", "f1"):
        assert of_calls[name] == pytest.approx(every["per_class"]["pneumonia"][name]), name
    for name in ("accuracy", "balanced_accuracy"):
        assert of_calls[name] == pytest.approx(every["scores"][name]), name
    if right == 1.0:
        assert of_calls["accuracy"]["low"] == pytest.approx(0.025 ** (1 / 40)) and of_calls["accuracy"]["high"] == 1.0
        assert 0.8 < of_calls["precision"]["low"] < 1 and of_calls["f1"]["low"] is None and of_calls["balanced_accuracy"]["high"] is None
        assert every["scores"]["auroc"]["low"] is None and every["scores"]["weighted_sensitivity"] == every["scores"]["accuracy"]


@pytest.mark.parametrize("prevalence", [0.0, 1.0, 30])
def test_an_impossible_prevalence_is_refused(prevalence):
    table, called, _ = calls(20)
    with pytest.raises(ValueError, match="share of sick among those tested, between 0 and 1"):
        score_calls(table, called, positive="pneumonia", draws=0, seed=0, prevalence=prevalence)
