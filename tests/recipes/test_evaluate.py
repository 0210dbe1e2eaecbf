import numpy as np
import pandas as pd
import pytest

from cxr_keras.recipes.evaluate import evaluate
from cxr_keras.runs.files import read_json


def predictions(n=60, *, folds=3, first=0, seed=0):
    random = np.random.default_rng(seed)
    sick = random.uniform(size=n)
    numbers = np.arange(first, first + n)
    return pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in numbers],
            "group_id": [f"g{number // 2}" for number in numbers],
            "fold": numbers // 2 % folds,
            "label": np.where(random.uniform(size=n) < sick, "pneumonia", "normal"),
            "p_normal": 1 - sick,
            "p_pneumonia": sick,
        }
    )


def test_anyones_predictions_get_table_figures_and_curves(tmp_path, capsys):
    predictions().to_csv(tmp_path / "predictions.csv", index=False)
    history = {"phase": ["all"], "epoch": [1], "learning_rate": [0.1], "loss": [0.5], "accuracy": [0.7], "seconds": [1.0]}
    pd.DataFrame(history).to_csv(tmp_path / "history.csv", index=False)
    scores = evaluate(tmp_path / "predictions.csv", folder=tmp_path / "scores", prevalence=0.1, draws=200)
    output = capsys.readouterr().out
    assert "AUROC" in output and "PPV" in output and "Calibration" in output
    written = read_json(tmp_path / "scores" / "metrics.json")
    assert written["scores"]["auroc"] == scores["scores"]["auroc"] and set(written["calibration"]["temperatures"]) == {"0", "1", "2"}
    assert len(pd.read_csv(tmp_path / "scores" / "calibrated_predictions.csv")) == 60
    figures = ("confusion_matrix", "roc", "precision_recall", "probabilities", "calibration", "thresholds", "learning_curves")
    assert {path.name for path in (tmp_path / "scores" / "figures").iterdir()} == {
        f"{n}.{kind}" for n in figures for kind in ("png", "svg")
    }
    assert (tmp_path / "scores" / "summary.md").stat().st_size > 0


def test_one_fold_takes_a_validation_part_of_other_images(tmp_path):
    predictions(folds=1).to_csv(tmp_path / "test.csv", index=False)
    predictions(300, folds=1, first=1000, seed=1).to_csv(tmp_path / "validation.csv", index=False)
    told = {"folder": tmp_path / "scores", "draws": 100}
    scores = evaluate(tmp_path / "test.csv", validation_path=tmp_path / "validation.csv", target_sensitivity=0.8, **told)
    points = {point["name"]: point for point in scores["operating_points"]}
    assert points["guaranteed"]["chosen_on"] == "the validation part" and points["guaranteed"]["promise"]["target"] == 0.8
    assert scores["calibration"]["fitted_on"] == "the validation part"
    with pytest.raises(ValueError, match="60 images are among the rows that are scored"):
        evaluate(tmp_path / "test.csv", validation_path=tmp_path / "test.csv", **told)
    scores = evaluate(tmp_path / "test.csv", **told)
    assert [point["name"] for point in scores["operating_points"]] == ["0.5"] and scores["calibration"]["locked"] is None
    with pytest.raises(ValueError, match="needs rows that it is not scored on: give --validation"):
        evaluate(tmp_path / "test.csv", target_sensitivity=0.9, **told)
    with pytest.raises(ValueError, match="the prevalence is 7"):
        evaluate(tmp_path / "absent.csv", prevalence=7, **told)


def test_a_history_of_something_else_is_left_out_and_said(tmp_path, capsys):
    predictions().to_csv(tmp_path / "predictions.csv", index=False)
    for content, reason in (("epoch,loss\n1,0.5\n", "lacks phase"), ("", "is no table")):
        (tmp_path / "history.csv").write_text(content)
        evaluate(tmp_path / "predictions.csv", folder=tmp_path / "scores", draws=100)
        assert reason in capsys.readouterr().err
    assert (tmp_path / "scores" / "figures" / "roc.png").exists()


def test_nothing_of_an_earlier_call_stays(tmp_path):
    predictions().to_csv(tmp_path / "several.csv", index=False)
    predictions(folds=1).to_csv(tmp_path / "one.csv", index=False)
    evaluate(tmp_path / "several.csv", folder=tmp_path / "scores", draws=100)
    assert (tmp_path / "scores" / "calibrated_predictions.csv").exists()
    evaluate(tmp_path / "one.csv", folder=tmp_path / "scores", draws=100)
    assert not (tmp_path / "scores" / "calibrated_predictions.csv").exists()


def test_options_without_effect_and_a_file_for_a_folder_are_refused(tmp_path):
    predictions().assign(p_other=0.0).to_csv(tmp_path / "three.csv", index=False)
    with pytest.raises(ValueError, match="a prevalence is of two classes"):
        evaluate(tmp_path / "three.csv", folder=tmp_path / "scores", prevalence=0.1)
    with pytest.raises(ValueError, match="is a file, and a folder is written to. Name another with --out"):
        evaluate(tmp_path / "three.csv", folder=tmp_path / "three.csv")
