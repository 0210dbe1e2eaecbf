"""Reading and checking predictions: every fault is named with how to mend it, all of them together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_keras.evaluation import class_names, predictions_table, read_predictions, validate_predictions, write_predictions


def sound(n: int = 4) -> pd.DataFrame:
    positive = np.linspace(0.1, 0.9, n)
    return pd.DataFrame(
        {
            "image_id": [f"image{index}" for index in range(n)],
            "group_id": [f"patient{index}" for index in range(n)],
            "fold": [index % 2 for index in range(n)],
            "label": ["normal", "pneumonia"] * (n // 2),
            "p_normal": 1 - positive,
            "p_pneumonia": positive,
        }
    )


def faults_of(table: pd.DataFrame, **options) -> str:
    with pytest.raises(ValueError) as caught:
        validate_predictions(table, **options)
    return str(caught.value)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.sampled_from(["0012", "NA", "a,b", 'say "x"', "é", "1e5"]))
def test_write_and_read_keep_every_digit_and_every_name(tmp_path_factory, values, odd_name):
    table = sound(2 * len(values)).assign(group_id=odd_name, fold=0)
    table.loc[0, "image_id"] = odd_name
    table["p_pneumonia"] = values * 2
    table["p_normal"] = 1 - table["p_pneumonia"]
    path = tmp_path_factory.mktemp("round") / "predictions.csv"
    write_predictions(path, table)
    again = read_predictions(path)
    assert again.to_dict("list") == table.to_dict("list")
    assert again["fold"].dtype == np.int64 and again["p_normal"].dtype == np.float64


def test_columns_are_ordered_and_further_ones_kept():
    table = sound()[["p_normal", "label", "p_pneumonia", "fold", "image_id", "group_id"]].assign(note="x")
    checked = validate_predictions(table, classes=("pneumonia", "normal"))
    assert list(checked) == ["image_id", "group_id", "fold", "label", "p_pneumonia", "p_normal", "note"]
    assert class_names(checked) == ("pneumonia", "normal")


def test_all_missing_columns_are_named_together():
    message = faults_of(sound().drop(columns=["group_id", "fold", "p_pneumonia"]))
    assert "3 faults" in message
    assert "column 'group_id' is missing: add a column with the patient of each image" in message
    assert "column 'fold' is missing" in message and "0 everywhere for a single split" in message
    assert "one column of probabilities, p_normal: give one column p_<class> for each class" in message


def test_all_faults_of_rows_are_named_together():
    table = sound(8)
    table.loc[0, "image_id"] = "image1"
    table.loc[2, "label"] = "Pneumonia"
    table.loc[3, "p_normal"] = np.nan
    table.loc[4, ["p_normal", "p_pneumonia"]] = [-0.5, 1.5]
    table.loc[5, "p_normal"] = 0.9
    table["fold"] = table["fold"].astype(float)
    table.loc[6, "fold"] = 0.5
    table.loc[7, "group_id"] = ""
    message = faults_of(table)
    assert "8 faults" in message
    assert "image_id occurs more than once for 1 image (image1): keep one row an image" in message
    assert "label 'Pneumonia' in 1 image (image2) is none of the classes normal, pneumonia" in message
    assert "(did you mean 'pneumonia'?)" in message
    assert "p_normal is empty or no finite number in 1 image (image3): predict these images again" in message
    assert "p_normal is outside [0, 1] in 1 image (image4) (first -0.5): give probabilities, the softmax" in message
    assert "p_pneumonia is outside [0, 1] in 1 image (image4) (first 1.5)" in message
    assert "do not sum to 1 within 0.001 in 1 image (image5)" in message and "divide each row by its sum" in message
    assert "fold is no whole number in 1 image (image6)" in message
    assert "group_id is empty in 1 image (image7): fill it in" in message


def test_long_lists_are_cut():
    message = faults_of(sound(20).assign(label="covid19"))
    assert "in 20 images (image0, image1, image2, image3, image4, …)" in message


def test_sums_within_the_tolerance_pass():
    table = sound()
    table["p_normal"] = table["p_normal"] + 0.0009
    validate_predictions(table)
    table["p_normal"] = table["p_normal"] + 0.0002
    assert "do not sum to 1" in faults_of(table)


def test_a_patient_in_two_folds_is_refused():
    message = faults_of(sound().assign(group_id=["a", "a", "b", "c"]))
    assert "1 patient (group_id) is in more than one fold (a)" in message
    assert "make the folds by patient" in message


def test_asked_classes_must_be_the_columns():
    message = faults_of(sound(), classes=("normal", "pneumonias"))
    assert "column 'p_pneumonias' is missing: add it (did you mean 'pneumonia'?)" in message
    assert "column 'p_pneumonia' is of no asked class" in message


def test_text_where_a_number_belongs_is_named(tmp_path):
    path = tmp_path / "predictions.csv"
    table = sound().astype(object)
    table.loc[1, "p_normal"] = "high"
    table.to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"predictions\.csv cannot be scored, 1 fault:\n.*p_normal.*image1"):
        read_predictions(path)


def test_files_that_are_no_table(tmp_path):
    with pytest.raises(ValueError, match=r"No predictions at .*none\.csv\. Give the path"):
        read_predictions(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match=r"empty\.csv is not a CSV table"):
        read_predictions(tmp_path / "empty.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not a CSV table"):
        read_predictions(tmp_path / "picture.csv")


def test_no_rows_and_repeated_columns():
    assert "it has no rows: predict at least one image" in faults_of(sound().iloc[:0])
    table = sound()
    assert "column 'label' occurs twice" in faults_of(pd.concat([table, table[["label"]]], axis=1))


def test_faulty_predictions_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="cannot be scored"):
        write_predictions(tmp_path / "predictions.csv", sound().assign(label="covid19"))
    assert list(tmp_path.iterdir()) == []


def test_a_table_can_tell_its_part():
    manifest = pd.DataFrame({"image_id": ["a", "b"], "group_id": ["p", "q"], "label": ["x", "y"]})
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]])
    assert "part" not in predictions_table(manifest, probabilities, ("x", "y"), fold=2)
    table = predictions_table(manifest, probabilities, ("x", "y"), fold=2, part="validation")
    assert validate_predictions(table)["part"].tolist() == ["validation", "validation"]
