"""The dictionary of scores: hand-computed cases, intervals by patient, folds, undefined scores."""

from __future__ import annotations

import json
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxr_keras.evaluation import score_predictions


def table_of(labels, probabilities, classes, *, groups=None, folds=None) -> pd.DataFrame:
    n = len(labels)
    columns = {
        "image_id": [f"image{index:05d}" for index in range(n)],
        "group_id": [f"patient{group}" for group in (groups if groups is not None else range(n))],
        "fold": folds if folds is not None else [0] * n,
        "label": labels,
    }
    probabilities = np.asarray(probabilities, dtype=float)
    return pd.DataFrame(columns | {f"p_{name}": probabilities[:, index] for index, name in enumerate(classes)})


def random_table(n: int, *, seed: int = 0, classes=("bacterial", "covid19", "normal", "viral"), patients=None, folds=5):
    random = np.random.default_rng(seed)
    truth = random.integers(len(classes), size=n)
    logits = random.normal(size=(n, len(classes))) + 1.5 * np.eye(len(classes))[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    groups = random.integers(patients or n, size=n)
    return table_of([classes[index] for index in truth], probabilities, classes, groups=groups, folds=groups % folds)


BINARY = ("normal", "pneumonia")


def test_binary_case_by_hand():
    # Decisions: N, P, P, P, N, so one of two normals and two of three pneumonias are right.
    positive = np.array([0.1, 0.6, 0.9, 0.7, 0.4])
    labels = ["normal", "normal", "pneumonia", "pneumonia", "pneumonia"]
    scores = score_predictions(table_of(labels, np.stack([1 - positive, positive], axis=1), BINARY), draws=0)
    value = {name: entry["value"] for name, entry in scores["scores"].items()}
    assert scores["positive_class"] == "pneumonia"
    assert scores["confusion_matrix"] == [[1, 1], [1, 2]]
    assert value["accuracy"] == pytest.approx(3 / 5)
    assert value["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert value["auroc"] == pytest.approx(5 / 6)  # of 6 pairs only (0.6, 0.4) is in the wrong order
    assert value["auprc"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert value["brier"] == pytest.approx(2 * (0.01 + 0.36 + 0.01 + 0.09 + 0.36) / 5)
    pneumonia = {name: entry["value"] for name, entry in scores["per_class"]["pneumonia"].items() if name != "support"}
    assert scores["per_class"]["pneumonia"]["support"] == 3
    assert pneumonia["precision"] == pytest.approx(2 / 3)
    assert pneumonia["sensitivity"] == pytest.approx(2 / 3)
    assert pneumonia["specificity"] == pytest.approx(1 / 2)
    assert pneumonia["f1"] == pytest.approx(2 / 3)
    # Four bins hold one or two images; 0.6 is the top probability of images 2 (wrong) and 5 (wrong).
    assert value["expected_calibration_error"] == pytest.approx((0.1 + 0.1 + 0.3 + 1.2) / 5)


def test_goes_into_json_without_nan():
    scores = score_predictions(random_table(80), draws=50)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_undefined_scores_are_null_and_dropped_draws_counted():
    # A class of one image is missing in about (1 - 1/n)^n = 37 % of the draws.
    labels = ["normal"] * 29 + ["pneumonia"]
    probabilities = np.full((30, 2), [0.9, 0.1])
    scores = score_predictions(table_of(labels, probabilities, BINARY), draws=1000)
    assert scores["per_class"]["pneumonia"]["precision"] == {
        "value": None,
        "low": None,
        "high": None,
        "dropped_draws": 1000,
    }
    assert scores["scores"]["macro_precision"]["value"] is None
    assert scores["per_class"]["pneumonia"]["f1"]["value"] == 0
    auroc = scores["scores"]["auroc"]
    assert auroc["value"] == 0.5
    assert 300 < auroc["dropped_draws"] < 440
    assert scores["scores"]["accuracy"]["dropped_draws"] == 0


def test_patients_are_resampled_and_not_images():
    # Ten copies of an image add nothing when they are of one patient: the interval stays that of the 60 patients.
    once = random_table(60, seed=4, folds=1)
    once["group_id"] = [f"patient{index:02d}" for index in range(60)]
    tenfold = once.loc[once.index.repeat(10)].reset_index(drop=True)
    tenfold["image_id"] = [f"image{index}" for index in range(len(tenfold))]
    as_images = tenfold.assign(group_id=tenfold["image_id"])

    def interval(table):
        entry = score_predictions(table, draws=500, seed=1)["scores"]["accuracy"]
        return entry["low"], entry["high"]

    assert interval(tenfold) == pytest.approx(interval(once))
    width, naive = np.diff(interval(tenfold))[0], np.diff(interval(as_images))[0]
    assert naive == pytest.approx(width / np.sqrt(10), rel=0.25)


def test_order_of_rows_does_not_matter_and_the_seed_does():
    table = random_table(150, patients=60)
    shuffled = table.sample(frac=1, random_state=3)
    first, again = score_predictions(table, draws=100), score_predictions(shuffled, draws=100)
    for name, entry in first["scores"].items():
        assert again["scores"][name] == pytest.approx(entry, abs=1e-12), name
    assert score_predictions(table, draws=100, seed=9)["scores"]["accuracy"] != first["scores"]["accuracy"]


def test_interval_covers_the_truth_about_as_often_as_it_says():
    # Patients with four images, all right or all wrong: true accuracy 0.8. Nominal 95 %; 60 patients reach about 93 %.
    random = np.random.default_rng(0)
    by_patient = by_image = 0
    for _ in range(120):
        right = np.repeat(random.random(60) < 0.8, 4)
        truth = random.integers(2, size=240)
        decided = np.where(right, truth, 1 - truth)
        labels = [BINARY[index] for index in truth]
        table = table_of(labels, np.eye(2)[decided] * 0.8 + 0.1, BINARY, groups=np.repeat(np.arange(60), 4))
        entry = score_predictions(table, draws=300)["scores"]["accuracy"]
        by_patient += entry["low"] <= 0.8 <= entry["high"]
        entry = score_predictions(table.assign(group_id=table["image_id"]), draws=300)["scores"]["accuracy"]
        by_image += entry["low"] <= 0.8 <= entry["high"]
    assert by_patient / 120 > 0.88
    assert by_image / 120 < 0.8


def test_folds_are_scored_one_by_one():
    table = random_table(400, patients=200)
    scores = score_predictions(table, draws=0)
    folds = scores["folds"]
    assert folds["count"] == 5
    aurocs = [
        np.mean([roc_auc_score(rows["label"] == name, rows[f"p_{name}"]) for name in scores["classes"]])
        for _, rows in table.groupby("fold")
    ]
    assert [fold["scores"]["macro_auroc"] for fold in folds["per_fold"]] == pytest.approx(aurocs)
    spread = folds["scores"]["macro_auroc"]
    assert spread["mean"] == pytest.approx(np.mean(aurocs))
    assert spread["standard_deviation"] == pytest.approx(np.std(aurocs, ddof=1))
    assert sum(fold["n_images"] for fold in folds["per_fold"]) == scores["n_images"] == 400
    assert sum(fold["n_groups"] for fold in folds["per_fold"]) == scores["n_groups"]


def test_a_fold_where_a_score_is_undefined_is_counted():
    labels = ["normal", "pneumonia", "normal", "normal"]
    probabilities = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]]
    scores = score_predictions(table_of(labels, probabilities, BINARY, folds=[0, 0, 1, 1]), draws=0)
    assert scores["folds"]["scores"]["auroc"] == {"mean": 1.0, "standard_deviation": None, "undefined_folds": 1}
    assert scores["folds"]["scores"]["accuracy"]["undefined_folds"] == 0


def test_no_interval_without_draws_or_with_a_single_patient():
    table = random_table(40)
    assert score_predictions(table, draws=0)["scores"]["accuracy"]["low"] is None
    single = score_predictions(table.assign(group_id="one", fold=0), draws=100)["scores"]["accuracy"]
    assert single["low"] is None and single["value"] is not None


def test_the_calibration_error_has_no_interval():
    scores = score_predictions(random_table(80), draws=50)["scores"]
    assert scores["expected_calibration_error"] | {"value": None} == {"value": None, "low": None, "high": None, "dropped_draws": 0}
    assert scores["brier"]["low"] < scores["brier"]["high"]


def test_classes_set_the_order():
    table = random_table(60, classes=("normal", "pneumonia"))
    scores = score_predictions(table, draws=0, classes=("pneumonia", "normal"))
    assert scores["classes"] == ["pneumonia", "normal"]
    assert scores["positive_class"] == "normal"


def test_negative_draws_are_refused():
    with pytest.raises(ValueError, match="draws is -1; give 0 for no intervals"):
        score_predictions(random_table(20), draws=-1)


def test_the_full_set_is_scored_in_seconds():
    table = random_table(6057, patients=3700)
    started = time.process_time()
    score_predictions(table)
    assert time.process_time() - started < 20  # measured 1.7 s on one core
