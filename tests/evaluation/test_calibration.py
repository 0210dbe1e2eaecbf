import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from cxr_keras.evaluation.calibration import (
    HIGHEST,
    LOWEST,
    apply_temperature,
    calibrate,
    calibration,
    error_if_calibrated,
    fit_temperature,
    score_locked_temperature,
)
from cxr_keras.evaluation.fitting import out_of_fold_rows, validation_rows

CLASSES = ("bacterial", "normal", "viral")


def predictions(n=900, *, temperature=1.0, classes=CLASSES, folds=3, seed=0, first=0):
    """Predictions whose true temperature is known: labels are drawn from the softmax of the logits, shown ones are that of logits · T."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(n, len(classes)))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = (random.random(n)[:, None] > true.cumsum(axis=1)).sum(axis=1)
    shown = np.exp(temperature * logits) / np.exp(temperature * logits).sum(axis=1, keepdims=True)
    numbers = np.arange(first, first + n)
    table = pd.DataFrame({"image_id": [f"i{k}" for k in numbers], "group_id": [f"g{k // 2}" for k in numbers]})
    table = table.assign(fold=(numbers // 2) % folds, label=np.array(classes)[label])
    return table.assign(**{f"p_{name}": shown[:, k] for k, name in enumerate(classes)})


def columns(table):
    return [name for name in table if name.startswith("p_")]


@pytest.mark.parametrize("classes", [CLASSES, ("normal", "pneumonia")])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(classes, temperature):
    table = predictions(6000, temperature=temperature, classes=classes)
    assert fit_temperature(out_of_fold_rows(table)).value == pytest.approx(temperature, rel=0.06)


def test_no_other_temperature_has_less_log_loss():
    table = predictions(temperature=2.0)
    found = fit_temperature(out_of_fold_rows(table)).value

    def loss(temperature):
        return log_loss(table["label"], apply_temperature(table, temperature)[columns(table)], labels=CLASSES)

    best = loss(found)
    assert all(best <= loss(found * factor) for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2))


def test_temperature_one_changes_nothing_and_another_no_order():
    table = predictions(classes=("normal", "pneumonia"))
    np.testing.assert_allclose(apply_temperature(table, 1.0)[columns(table)], table[columns(table)], atol=1e-12)
    scaled = apply_temperature(table, 2.5)
    assert (scaled["p_pneumonia"].rank() == table["p_pneumonia"].rank()).all()
    np.testing.assert_allclose(scaled[columns(table)].sum(axis=1), 1)
    three = predictions()
    assert (apply_temperature(three, 0.3)[columns(three)].idxmax(axis=1) == three[columns(three)].idxmax(axis=1)).all()


def test_probabilities_of_0_and_1_stay_finite():
    table = predictions(300, classes=("normal", "pneumonia"))
    sure = table["p_pneumonia"] > 0.5
    table = table.assign(p_normal=1.0 - sure, p_pneumonia=sure.astype(float))
    rows = out_of_fold_rows(table)
    found = fit_temperature(rows).value
    assert np.isfinite(found) and 1 < found <= HIGHEST
    scaled = apply_temperature(table, found)
    assert np.isfinite(scaled[columns(table)]).all().all() and 0 < scaled["p_pneumonia"].min() < scaled["p_pneumonia"].max() < 1
    told, _ = calibration(table, draws=50)
    assert told["scores"]["after"]["log_loss"]["value"] < told["scores"]["before"]["log_loss"]["value"]


def test_rows_without_an_error_end_at_the_limit_and_say_so():
    table = predictions(300, classes=("normal", "pneumonia"))
    right = (table["label"] == "pneumonia").to_numpy()
    told, _ = calibration(table.assign(p_normal=np.where(right, 0.2, 0.8), p_pneumonia=np.where(right, 0.8, 0.2)), draws=10)
    assert told["locked"] == pytest.approx(LOWEST, rel=1e-3) and "say too little" in told["remark"]


def test_a_folds_temperature_does_not_depend_on_its_own_rows():
    table = predictions(temperature=2.0)
    changed = table.copy()
    changed.loc[changed["fold"] == 1, "label"] = "normal"
    _, before, locked = calibrate(table)
    _, after, other_locked = calibrate(changed)
    assert before["1"] == after["1"] and before["0"] != after["0"] and locked != other_locked


def test_scores_before_and_after_equal_scikit_learn_and_improve():
    table = predictions(3000, temperature=3.0)
    told, scaled = calibration(table, draws=200)
    scores = told["scores"]
    assert scores["before"]["log_loss"]["value"] == pytest.approx(log_loss(table["label"], table[columns(table)], labels=CLASSES))
    assert scores["after"]["log_loss"]["value"] == pytest.approx(log_loss(table["label"], scaled[columns(table)], labels=CLASSES))
    for name in ("expected_calibration_error", "brier", "log_loss"):
        entry = scores["difference"][name]
        assert entry["value"] == pytest.approx(scores["after"][name]["value"] - scores["before"][name]["value"])
        if name == "expected_calibration_error":
            assert entry["low"] is None is scores["before"][name]["high"] and entry["value"] < 0
        else:
            assert entry["low"] <= entry["value"] <= entry["high"] < 0
    assert told["fitted_on"] == "the other folds" and set(told["temperatures"]) == {"0", "1", "2"}
    assert scores["after"]["expected_calibration_error"]["value"] < 0.03 < scores["before"]["expected_calibration_error"]["value"]


@pytest.mark.parametrize("n", [100, 1000])
def test_chance_alone_makes_the_error_of_a_calibrated_model(n):
    tables = [predictions(n, seed=seed) for seed in range(40)]
    errors = [calibration(table.assign(fold=0), draws=0)[0]["scores"]["before"]["expected_calibration_error"]["value"] for table in tables]
    expected = np.mean([error_if_calibrated(table) for table in tables])
    assert np.mean(errors) == pytest.approx(expected, rel=0.1) and expected > 0.02
    told, _ = calibration(predictions(2000, temperature=3.0), draws=0)
    for when, far in (("before", True), ("after", False)):
        error = told["scores"][when]["expected_calibration_error"]["value"]
        assert (error > 3 * told["error_if_calibrated"][when]) == far
    assert error_if_calibrated(tables[0], seed=1) == error_if_calibrated(tables[0], seed=1) != error_if_calibrated(tables[0])


def test_one_split_takes_the_validation_part_or_nothing():
    test, validation = predictions(300, folds=1, temperature=2.0), predictions(300, folds=1, temperature=2.0, seed=1, first=1000)
    told, scaled = calibration(test, draws=20)
    assert scaled is None and told["locked"] is None and "no rows to fit" in told["reason"] and set(told["scores"]) == {"before"}
    told, scaled = calibration(test, validation, draws=20)
    assert told["locked"] == told["temperatures"]["0"] == fit_temperature(validation_rows(validation, scored=test)).value
    pd.testing.assert_frame_equal(scaled, apply_temperature(test, told["locked"]))
    assert told["fitted_on"] == "the validation part" and "remark" not in told
    flawed, _ = calibration(test, validation, flaw="chose the epoch", draws=20)
    assert flawed["fitted_on"].endswith("whose images chose the epoch") and "mostly for the worse" in flawed["remark"]
    assert flawed["locked"] == told["locked"]


def test_test_rows_cannot_fit():
    test = predictions(60, folds=1)
    with pytest.raises(ValueError, match="60 images are among the rows that are scored"):
        calibration(test, test, draws=10)
    with pytest.raises(TypeError, match="fitting takes FittingRows"):
        fit_temperature(test)
    with pytest.raises(ValueError, match="temperature is not above 0"):
        apply_temperature(test, 0.0)


def test_a_locked_temperature_scales_each_model_before_the_mean():
    found, _ = calibration(predictions(temperature=2.0), draws=20)
    one, other = (predictions(100, temperature=2.0, folds=1, seed=seed).assign(label="normal") for seed in (5, 6))
    told, scaled = score_locked_temperature(found, [one, other], draws=20)
    expected = (apply_temperature(one, found["locked"])[columns(one)] + apply_temperature(other, found["locked"])[columns(one)]) / 2
    np.testing.assert_allclose(scaled[columns(one)], expected)
    mean = (one[columns(one)] + other[columns(one)]) / 2
    assert told["scores"]["before"]["log_loss"]["value"] == pytest.approx(-np.log(mean["p_normal"]).mean())
    assert told["temperatures"] == {"0": found["locked"]} and told["fitted_on"].endswith("locked")
    told, scaled = score_locked_temperature(None, [one, other], draws=20)
    assert scaled is None and told["reason"] == "the run has no locked temperature"
