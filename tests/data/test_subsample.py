import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_keras.data.subsample import keep_official_parts, subsample_by_group


def manifest(sizes):
    rows = [(f"{g}-{i}", "normal" if g % 2 else "viral", str(g)) for g, size in enumerate(sizes) for i in range(size)]
    return pd.DataFrame(rows, columns=["image_id", "label", "group_id"])


@given(st.lists(st.integers(1, 4), min_size=2, max_size=30), st.integers(1, 20), st.integers(0, 5))
def test_limits_hold_and_no_group_is_torn(sizes, limit, seed):
    table = manifest(sizes)
    kept = subsample_by_group(table, {"normal": limit}, seed=seed)
    assert (kept["label"] == "normal").sum() <= limit
    assert (kept["label"] == "viral").sum() == (table["label"] == "viral").sum()
    whole = table["group_id"].value_counts()
    assert all(whole[group] == count for group, count in kept["group_id"].value_counts().items())


def test_the_limit_is_met_as_far_as_whole_groups_allow():
    table = manifest([1] * 40)
    assert (subsample_by_group(table, {"normal": 7}, seed=0)["label"] == "normal").sum() == 7


def test_unknown_classes_and_empty_limits_are_refused():
    with pytest.raises(ValueError, match="names covid19; classes of this manifest: normal, viral"):
        subsample_by_group(manifest([1, 1]), {"covid19": 3}, seed=0)
    with pytest.raises(ValueError, match="of normal is below 1"):
        subsample_by_group(manifest([1, 1]), {"normal": 0}, seed=0)


def with_splits(splits):
    return manifest([1] * len(splits)).assign(split=splits, source="kermany")


def test_official_parts_keep_their_images_in_order():
    table = with_splits(["train", "test", "val", "test", "train"])
    assert keep_official_parts(table, ("train", "val"))["image_id"].tolist() == ["0-0", "2-0", "4-0"]


def test_official_parts_of_images_without_them_or_of_none_are_refused():
    with pytest.raises(ValueError, match="official_parts needs train, val or test for every image; 1 of kermany have none"):
        keep_official_parts(with_splits(["train", ""]), ("train",))
    with pytest.raises(ValueError, match=r"is \['val'\], in which no image lies; found: 2 in train, 1 in test"):
        keep_official_parts(with_splits(["train", "train", "test"]), ("val",))
