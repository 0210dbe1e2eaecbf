"""Tables of what was fitted on other rows: operating points and calibration."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxr_keras.evaluation.calibration import calibration
from cxr_keras.evaluation.thresholds import operating_points
from cxr_keras.reporting import render_text
from cxr_keras.reporting.summary import calibration_table, operating_points_table


def predictions(n, folds=3) -> pd.DataFrame:
    random = np.random.default_rng(0)
    sick = random.random(n)
    numbers = np.arange(n)
    table = pd.DataFrame({"image_id": numbers.astype(str), "group_id": numbers.astype(str), "fold": numbers % folds})
    label = np.where(random.random(n) < sick, "pneumonia", "normal")
    return table.assign(label=label, p_normal=1 - sick, p_pneumonia=sick)


def test_operating_points_tell_promise_and_prevalence():
    table = operating_points_table(operating_points(predictions(600), prevalence=0.05, draws=20))
    assert [row[0] for row in table.rows] == ["0.5", "youden", "sensitive", "guaranteed"]
    assert "youden: highest sensitivity + specificity." in table.note and "0.5: fixed" not in table.note
    assert table.header[-2:] == ("PPV", "NPV") and "where 0.05 of the people tested are sick" in table.note
    assert "patients at most" in table.note and "images of one patient may depend on each other in any way" in table.note
    assert len({len(row) for row in (table.header, *table.rows)}) == 1


def test_a_promise_that_cannot_be_made_is_a_row_without_figures():
    table = operating_points_table(operating_points(predictions(60), draws=20))
    assert set(table.rows[3][3:]) == {"n/a"} and table.rows[3][1] == "n/a"
    assert "guaranteed has no threshold: no threshold can promise" in table.note and "takes 59 patients of the positive class" in table.note


def test_points_without_a_threshold_stand_there_with_their_names():
    sick = predictions(60, folds=1).assign(label="pneumonia")
    sick["image_id"] = sick["group_id"] = "v" + sick["image_id"]
    table = operating_points_table(operating_points(predictions(60, folds=1), sick, draws=20))
    assert [row[:2] for row in table.rows[1:]] == [(name, "n/a") for name in ("youden", "sensitive", "guaranteed")]
    for name in ("youden", "sensitive", "guaranteed"):
        assert f"{name} has no threshold: every image to choose on for fold 0 (the validation part) is pneumonia." in table.note


def test_rows_that_chose_the_epoch_are_remarked_on_once():
    validation = predictions(300, folds=1)
    validation["image_id"] = validation["group_id"] = "v" + validation["image_id"]
    table = operating_points_table(operating_points(predictions(60, folds=1), validation, flaw="chose the epoch", draws=20))
    assert table.note.count("Remark: the images it was fitted on chose the epoch") == 1
    assert table.rows[1][2] == "the validation part, whose images chose the epoch" and table.rows[3][1] == "n/a"


def test_calibration_before_and_after():
    found, _ = calibration(predictions(600), draws=20)
    table = calibration_table(found)
    assert table.header == ("score", "as predicted", "after temperature scaling", "difference")
    assert [row[0] for row in table.rows] == [
        "calibration error",
        "that of a calibrated model",
        "Brier score (0 to 2)",
        "log loss (nats)",
    ]
    assert table.rows[1] == ("that of a calibrated model", *(f"{found['error_if_calibrated'][key]:.3f}" for key in ("before", "after")), "")
    assert "[" not in "".join(table.rows[0]) and "Chance gives a calibrated model" in table.note
    assert "fitted on the other folds" in table.note and " to " in table.note
    del found["error_if_calibrated"]
    assert len(calibration_table(found).rows) == 3 and "Chance" not in calibration_table(found).note
    assert "[" in table.rows[3][3] and "log loss" in render_text([table], width=100)


def test_without_rows_to_fit_on_the_reason_stands_there():
    found, _ = calibration(predictions(60, folds=1), draws=20)
    table = calibration_table(found)
    assert table.header == ("score", "as predicted") and "No temperature: one fold and no validation part" in table.note
