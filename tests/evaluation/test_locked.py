import numpy as np
import pandas as pd

from cxr_keras.evaluation.locked import score_locked
from cxr_keras.evaluation.thresholds import operating_points


def predictions(n, *, folds, seed=0, first=0):
    random = np.random.default_rng(seed)
    sick = random.random(n)
    names = [f"i{k + first}" for k in range(n)]
    label = np.where(random.random(n) < sick, "pneumonia", "normal")
    columns = {"image_id": names, "group_id": names, "fold": np.arange(n) % folds, "label": label}
    return pd.DataFrame(columns | {"p_normal": 1 - sick, "p_pneumonia": sick})


def test_locked_thresholds_are_scored_as_they_are():
    own, elsewhere = operating_points(predictions(600, folds=3), draws=10), predictions(80, folds=1, seed=3, first=5000)
    for before, after in zip(own, score_locked(own, elsewhere, draws=10), strict=True):
        called = elsewhere["p_pneumonia"] >= before["locked"]
        assert after["thresholds"] == {"0": before["locked"]}
        assert after["scores"]["sensitivity"]["value"] == called[elsewhere["label"] == "pneumonia"].mean()
    few = operating_points(predictions(60, folds=3), draws=10)
    guaranteed = score_locked(few, elsewhere, draws=10)[3]
    assert guaranteed["scores"] is None and guaranteed["reason"] == few[3]["reason"]


def test_on_images_from_elsewhere_a_locked_threshold_promises_nothing():
    own, elsewhere = operating_points(predictions(600, folds=3), draws=10), predictions(80, folds=1, seed=3, first=5000)
    one, mean = score_locked(own, elsewhere, draws=10), score_locked(own, elsewhere, models=3, draws=10)
    assert "promise" in own[3] and not any("promise" in point for point in one + mean)
    assert "promised for the run's own population only" in one[3]["criterion"] and "promised" not in one[2]["criterion"]
    assert one[3]["chosen_on"] == "the run's own images (the other folds)"
    assert all("mean of 3, which is another operating point" in point["criterion"] for point in mean[1:])
    assert mean[0] == one[0] and [point["scores"] for point in mean] == [point["scores"] for point in one]
