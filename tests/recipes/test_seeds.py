import pandas as pd
import pytest

from cxr_keras.config.loader import read_config
from cxr_keras.recipes.over_seeds import ensemble_predictions, over_seeds
from cxr_keras.runs.files import read_json


def table(images, probabilities, fold=0):
    return pd.DataFrame(
        {
            "image_id": images,
            "group_id": images,
            "fold": fold,
            "label": ["n", "p"],
            "p_n": probabilities,
            "p_p": [1 - value for value in probabilities],
        }
    )


def test_the_ensemble_joins_by_image_and_not_by_position():
    joined = ensemble_predictions([table(["a", "b"], [0.8, 0.2]), table(["b", "a"], [0.4, 0.6], fold=1)])
    assert joined["image_id"].tolist() == ["a", "b"] and joined["p_n"].tolist() == pytest.approx([0.7, 0.3])
    assert ensemble_predictions([table(["a", "b"], [0.8, 0.2]), table(["a", "c"], [0.4, 0.6])]) is None


def test_mean_and_spread_leave_undefined_scores_out():
    spread = over_seeds([{"f1": {"value": 0.5}}, {"f1": {"value": None}}, {"f1": {"value": 0.7}}])["f1"]
    assert (
        spread["mean"] == pytest.approx(0.6) and spread["standard_deviation"] == pytest.approx(0.1414, abs=1e-4) and spread["defined"] == 2
    )


def test_seeds_in_one_command_share_a_split_and_one_ledger(cxr, tmp_path):
    settings = ["seeds=[0, 1]", "split_seed=5", "split.kind=official_halves", "split.curves_on_test=false"]
    code, output, errors = cxr("train", "mini_vgg", *settings)
    assert code == 0, errors
    assert "mean ± sd of 2 seeds" in output and "ensemble" in output
    folder = tmp_path / "runs" / "mini_vgg-train"
    assert read_json(folder / "seed-0" / "split.json") == read_json(folder / "seed-1" / "split.json")
    first, second = (pd.read_csv(folder / f"seed-{seed}" / "predictions.csv")["p_normal"] for seed in (0, 1))
    assert not first.equals(second)
    assert pd.read_csv(folder / "ensemble_predictions.csv")["p_normal"].to_numpy() == pytest.approx(((first + second) / 2).to_numpy())
    values = [read_json(folder / f"seed-{seed}" / "metrics.json")["scores"]["accuracy"]["value"] for seed in (0, 1)]
    assert read_json(folder / "seeds.json")["over_seeds"]["accuracy"]["mean"] == pytest.approx(sum(values) / 2)
    ledger = pd.read_csv(tmp_path / "runs" / "test_readings.csv")
    assert ledger["run"].tolist() == [*(f"mini_vgg-train/seed-{seed}" for seed in (0, 0, 1, 1)), "runs/mini_vgg-train"]
    assert ledger["split"].str.contains("after each of 2 epochs").tolist() == [False, True, False, True, False]
    assert ledger["split"].iloc[-1] == "official test, mean of seeds 0, 1"
    # The whole path: `cxr explain` from another folder would begin another file.
    assert read_config(folder / "seed-1" / "config.yaml").evaluation.ledger == str(tmp_path / "runs" / "test_readings.csv")
