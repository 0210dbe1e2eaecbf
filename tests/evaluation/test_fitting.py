import numpy as np
import pandas as pd
import pytest

from cxr_keras.evaluation.fitting import Fitted, FittingRows, fitting_rows, out_of_fold_rows, validation_rows


def table(first=0, n=12, *, folds=1, **columns):
    numbers = np.arange(first, first + n)
    made = pd.DataFrame({"image_id": [f"i{k}" for k in numbers], "group_id": [f"g{k // 2}" for k in numbers]})
    label = np.where(numbers % 2 == 0, "normal", "pneumonia")
    return made.assign(fold=(numbers // 2) % folds, label=label, p_normal=0.5, p_pneumonia=0.5, **columns)


def test_validation_rows_are_none_of_those_that_are_scored():
    assert validation_rows(table(0), scored=table(100)).origin == "the validation part"
    with pytest.raises(ValueError, match=r"12 images are among the rows that are scored .* i0, i1, i10, …"):
        validation_rows(table(), scored=table())
    other_images = table(100).assign(group_id=table()["group_id"])
    with pytest.raises(ValueError, match="6 patients are among the rows that are scored"):
        validation_rows(table(), scored=other_images)


def test_rows_that_say_they_are_test_rows_are_refused():
    assert len(validation_rows(table(part="validation"), scored=table(100, part="test")).table) == 12
    with pytest.raises(ValueError, match=r"of the part 'test'; .* never on test rows"):
        validation_rows(table(part="test"), scored=table(100))


def test_no_one_else_makes_fitting_rows():
    with pytest.raises(TypeError, match="FittingRows are made by validation_rows"):
        FittingRows(table(part="test"), "test part")
    with pytest.raises(ValueError, match="no rows are to be scored"):
        validation_rows(table(), scored=table(100).iloc[:0])


def test_a_test_part_alone_is_no_out_of_fold_table():
    with pytest.raises(ValueError, match="one fold: these are held-out test rows"):
        out_of_fold_rows(table(folds=1))
    with pytest.raises(ValueError, match="no fold 3; the folds are 0, 1, 2"):
        out_of_fold_rows(table(folds=3), without=3)


def test_other_folds_hold_nothing_of_the_fold():
    whole = table(folds=3)
    rows = out_of_fold_rows(whole, without=1)
    assert set(rows.table["fold"]) == {0, 2} and rows.origin == "the other folds"
    assert Fitted(0.3, rows).for_rows(whole[whole["fold"] == 1]) == 0.3
    with pytest.raises(ValueError, match=r"4 images are among .*fitted on \(the other folds\)"):
        Fitted(0.3, rows).for_rows(whole[whole["fold"] == 0])


def test_which_rows_serve_which_table():
    assert fitting_rows(table(), None) is None
    of_folds, of_all = fitting_rows(table(folds=3), None)
    assert [set(of_folds[fold].table["fold"]) for fold in (0, 1, 2)] == [{1, 2}, {0, 2}, {0, 1}] and len(of_all.table) == 12
    of_folds, of_all = fitting_rows(table(), table(100))
    assert of_folds[0] is of_all and of_all.table["image_id"].iloc[0] == "i100"
    with pytest.raises(ValueError, match="3 folds, which fit on each other"):
        fitting_rows(table(folds=3), table(100))


def test_rows_of_other_folds_that_chose_the_epochs_of_all_say_so():
    of_folds, of_all = fitting_rows(table(folds=3), None, flaw="chose the epoch")
    assert of_folds[0].origin == "the other folds, whose images chose the epoch" and of_all.flaw == "chose the epoch"
    assert "new ones may differ" in of_folds[2].remark
