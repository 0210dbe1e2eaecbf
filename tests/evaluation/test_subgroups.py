import numpy as np
import pandas as pd
import pytest

from cxr_keras.evaluation.scores import score_predictions
from cxr_keras.evaluation.subgroups import attributes_of, score_subgroups


@pytest.fixture
def manifest():
    return pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(40)],
            "source": "kermany",
            "sex": ["F", "M", "", "F"] * 10,
            "age": ["3", "44", "45.5", "70", "x"] * 8,
            "view": [" PA"] * 40,
        }
    )


@pytest.fixture
def predictions():
    p = np.random.default_rng(0).random(40)
    return pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in reversed(range(40))],
            "group_id": [f"g{k // 2}" for k in range(40)],
            "fold": 0,
            "label": ["n", "p"] * 20,
            "p_n": 1 - p,
            "p_p": p,
        }
    )


def test_only_attributes_that_vary_are_kept_and_ages_become_bands(manifest):
    found = attributes_of(manifest)
    assert list(found) == ["sex", "age"]
    assert found["age"].iloc[:5].tolist() == ["under 18", "18 to 44", "45 to 64", "65 and over", "not stated"]
    assert set(found["sex"]) == {"F", "M", "not stated"}


def test_each_subgroup_is_scored_on_its_own_images(manifest, predictions):
    rows = score_subgroups(predictions, attributes_of(manifest), draws=20)
    women = next(row for row in rows if row["value"] == "F")
    mine = predictions[predictions["image_id"].isin(manifest.loc[manifest["sex"] == "F", "image_id"])]
    assert women["n_images"] == len(mine) == 20
    assert women["scores"]["accuracy"] == score_predictions(mine, draws=20)["scores"]["accuracy"]
    by_attribute = pd.DataFrame(rows).groupby("attribute")["n_images"].sum()
    assert by_attribute.to_dict() == {"age": 40, "sex": 40}


def test_subgroups_are_scored_at_the_points_of_the_whole(manifest, predictions):
    points = [
        {"name": "sensitive", "thresholds": {"0": 0.3}, "scores": {}},
        {"name": "guaranteed", "thresholds": {}, "scores": None},
    ]
    women = next(row for row in score_subgroups(predictions, attributes_of(manifest), points=points, draws=20) if row["value"] == "F")
    assert [point["name"] for point in women["points"]] == ["sensitive"]
    mine = predictions[predictions["image_id"].isin(manifest.loc[manifest["sex"] == "F", "image_id"])]
    sick = mine["label"] == "p"
    found = women["points"][0]["scores"]
    assert found["sensitivity"]["value"] == pytest.approx((mine.loc[sick, "p_p"] >= 0.3).mean())
    assert found["specificity"]["value"] == pytest.approx((mine.loc[~sick, "p_p"] < 0.3).mean())


def test_a_subgroup_of_one_class_has_no_mean_over_classes(manifest, predictions):
    manifest["sex"] = manifest["image_id"].map(predictions.set_index("image_id")["label"])
    rows = score_subgroups(predictions, attributes_of(manifest)[["sex"]], draws=20)
    assert all(row["scores"][name]["value"] is None for row in rows for name in ("macro_auroc", "macro_f1", "balanced_accuracy"))
    assert [row["images"] for row in rows] == [{"n": 20, "p": 0}, {"n": 0, "p": 20}]
