import numpy as np
import pandas as pd
import pytest

from cxr_keras.evaluation.reliability import reliability


def table(probabilities, labels, groups=None):
    n = len(probabilities)
    made = pd.DataFrame({"image_id": [f"i{k}" for k in range(n)], "group_id": groups or [f"g{k}" for k in range(n)], "fold": 0})
    p = np.asarray(probabilities, float)
    return made.assign(label=labels, p_normal=1 - p, p_sick=p)


def test_bins_by_hand():
    rows = reliability(table([0.0, 0.1, 0.11, 0.95, 1.0], ["normal", "sick", "normal", "sick", "sick"]), draws=0)["sick"]
    shown = [(row["from"], row["to"], row["images"], row["observed"]) for row in rows]
    assert shown == [(0.0, 0.1, 2, 0.5), (0.1, 0.2, 1, 0.0), (0.9, 1.0, 2, 1.0)]
    assert [row["predicted"] for row in rows] == pytest.approx([0.05, 0.11, 0.975])
    assert all(row["low"] is None for row in rows)


def test_true_probabilities_lie_on_the_diagonal_within_their_intervals():
    random = np.random.default_rng(0)
    p = random.random(5000)
    rows = reliability(table(p, np.where(random.random(5000) < p, "sick", "normal")), draws=300)["sick"]
    assert len(rows) == 10 and sum(row["images"] for row in rows) == 5000
    assert sum(row["low"] <= row["predicted"] <= row["high"] for row in rows) >= 8
    assert all(abs(row["observed"] - row["predicted"]) < 0.06 for row in rows)


def test_images_of_one_patient_widen_the_interval():
    random = np.random.default_rng(0)
    p = np.full(400, 0.55)
    labels = np.repeat(np.where(random.random(40) < 0.5, "sick", "normal"), 10)
    apart = reliability(table(p, labels), draws=300)["sick"][0]
    together = reliability(table(p, labels, [f"g{k // 10}" for k in range(400)]), draws=300)["sick"][0]
    assert together["high"] - together["low"] > 2 * (apart["high"] - apart["low"])


def test_every_class_of_more_than_two():
    made = table([0.3, 0.6], ["normal", "sick"]).assign(p_other=0.0)
    assert list(reliability(made, draws=10)) == ["normal", "sick", "other"]
