import numpy as np
import pandas as pd
import pytest

from cxr_keras.recipes.bozickovic import initial_split


def manifest(patients=20, images=3):
    rows = [
        (f"{label}-{patient}-{image}", label, f"{label}-{patient}")
        for label, count in (("bacterial", 2 * patients), ("covid19", patients), ("normal", 2 * patients))
        for patient in range(count)
        for image in range(images)
    ]
    return pd.DataFrame(rows, columns=["image_id", "label", "group_id"])


def test_validation_and_test_hold_one_image_of_a_patient_and_as_many_of_each_class():
    table = manifest()
    parts = initial_split(table, share=0.15, seed=0)
    table["part"] = parts.to_numpy()
    for part in ("validation", "test"):
        chosen = table[table["part"] == part]
        assert chosen["label"].value_counts().to_dict() == {"bacterial": 3, "covid19": 3, "normal": 3}
        assert chosen["group_id"].is_unique
    used = table[table["part"] != "unused"]
    assert used.groupby("group_id")["part"].nunique().max() == 1
    assert (table["part"] == "unused").sum() == 2 * 9 * 2


def test_the_split_follows_its_seed():
    table = manifest()
    first, again, other = (initial_split(table, share=0.15, seed=seed) for seed in (0, 0, 1))
    assert first.equals(again) and not np.array_equal(first, other)


def test_too_few_patients_are_refused():
    with pytest.raises(ValueError, match="Class covid19 has 2 patients"):
        initial_split(manifest(patients=2), share=0.15, seed=0)
