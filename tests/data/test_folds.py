"""Folds and parts: every image once, no group torn, every class everywhere, and clear words otherwise."""

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_keras.data.folds import (
    assert_no_shared_group,
    check_folds,
    make_folds,
    official_halves,
    official_split,
    read_folds,
    split_by_group,
    write_folds,
)

SIZES = st.lists(st.integers(1, 4), min_size=8, max_size=20)


@settings(max_examples=25, deadline=None)
@given(normal=SIZES, viral=SIZES, seed=st.integers(0, 1000), order=st.integers(0, 1000))
def test_folds_hold_every_image_once_and_no_group_twice(make_manifest, normal, viral, seed, order):
    manifest = make_manifest({"normal": normal, "viral": viral})
    folds = make_folds(manifest, n_folds=4, seed=seed)
    assert set(folds) == set(manifest["image_id"]) and set(folds.values()) == {0, 1, 2, 3}
    assert (manifest["image_id"].map(folds).groupby(manifest["group_id"]).nunique() == 1).all()
    assert make_folds(manifest.sample(frac=1, random_state=order), n_folds=4, seed=seed) == folds


@settings(max_examples=25, deadline=None)
@given(normal=SIZES, viral=SIZES, seed=st.integers(0, 1000), order=st.integers(0, 1000))
def test_parts_hold_every_image_once_and_no_group_twice(make_manifest, normal, viral, seed, order):
    manifest = make_manifest({"normal": normal, "viral": viral})
    fractions = {"train": 0.7, "validation": 0.15, "test": 0.15}
    parts = split_by_group(manifest, fractions=fractions, seed=seed)
    assert list(parts.index) == list(manifest["image_id"]) and set(parts) == set(fractions)
    assert_no_shared_group(manifest, parts)
    shuffled = split_by_group(manifest.sample(frac=1, random_state=order), fractions=fractions, seed=seed)
    assert shuffled.to_dict() == parts.to_dict()


@pytest.mark.parametrize(
    "fractions",
    [{"train": 0.75, "test": 0.25}, {"train": 0.85, "validation": 0.15}, {"a": 0.8, "b": 0.1, "c": 0.1}, {"a": 1 / 3, "b": 2 / 3}],
)
def test_fractions_are_met_in_every_class(make_manifest, fractions):
    manifest = make_manifest({"normal": [1] * 60, "viral": [1] * 120})
    parts = split_by_group(manifest, fractions=fractions, seed=3)
    shares = pd.crosstab(parts.to_numpy(), manifest["label"].to_numpy(), normalize="columns")
    for part, fraction in fractions.items():
        assert shares.loc[part].between(fraction - 0.02, fraction + 0.02).all()


def test_another_seed_gives_another_split(make_manifest):
    manifest = make_manifest({"normal": [1] * 40, "viral": [1] * 40})
    assert make_folds(manifest, n_folds=5, seed=0) != make_folds(manifest, n_folds=5, seed=1)


def test_too_few_patients_are_counted_per_class(make_manifest):
    manifest = make_manifest({"normal": [1] * 9, "covid19": [5, 5, 5]})
    with pytest.raises(ValueError, match=r"too few patients for 5 folds: 5 needed .* covid19 3, normal 9 .*Take fewer folds"):
        make_folds(manifest, n_folds=5, seed=0)


def test_one_patient_cannot_be_split(make_manifest):
    manifest = make_manifest({"normal": [1] * 9, "viral": [8]})
    with pytest.raises(ValueError, match="too few patients for 2 parts.*viral 1"):
        split_by_group(manifest, fractions={"train": 0.5, "test": 0.5}, seed=0)


@pytest.mark.parametrize("fractions", [{"train": 1.0}, {"train": 0.7, "test": 0.2}, {"train": 1.2, "test": -0.2}])
def test_fractions_must_divide_one(make_manifest, fractions):
    with pytest.raises(ValueError, match="expected two or more parts between 0 and 1 that sum to 1"):
        split_by_group(make_manifest({"normal": [1] * 9}), fractions=fractions, seed=0)


def test_all_faults_of_folds_are_named_together(make_manifest):
    manifest = make_manifest({"normal": [2, 1], "viral": [1, 1]})
    with pytest.raises(ValueError) as error:
        check_folds({"normal0_0": 0, "normal0_1": 7, "other": 1}, manifest, n_folds=2)
    for part in ("3 images have no fold", "1 images are not in the manifest: other", "the folds 7 are odd, expected 0 to 1"):
        assert part in str(error.value)


def test_shared_group_and_absent_class_are_refused(make_manifest):
    manifest = make_manifest({"normal": [2, 1], "viral": [1, 1]})
    torn = {"normal0_0": 0, "normal0_1": 1, "normal1_0": 1, "viral0_0": 0, "viral1_0": 0}
    with pytest.raises(ValueError, match="1 patients lie in several folds: normal0; class viral is absent from fold 1"):
        check_folds(torn, manifest, n_folds=2)
    with pytest.raises(ValueError, match=r"several parts: normal0.*A patient must lie in one part"):
        assert_no_shared_group(manifest, pd.Series(torn))
    with pytest.raises(ValueError, match="1 images lie in no part: normal0_0"):
        assert_no_shared_group(manifest, pd.Series(torn).drop("normal0_0"))


def test_folds_survive_the_file(tmp_path, make_manifest):
    manifest = make_manifest({"normal": [2] * 6, "viral": [1] * 6})
    folds = make_folds(manifest, n_folds=3, seed=7)
    write_folds(tmp_path / "folds.json", folds, manifest, seed=7)
    assert read_folds(tmp_path / "folds.json", manifest.sample(frac=1, random_state=0)) == folds
    assert json.loads((tmp_path / "folds.json").read_text())["seed"] == 7


def test_folds_of_another_manifest_are_refused(tmp_path, make_manifest):
    manifest = make_manifest({"normal": [2] * 6, "viral": [1] * 6})
    path = tmp_path / "folds.json"
    write_folds(path, make_folds(manifest, n_folds=3, seed=7), manifest, seed=7)
    with pytest.raises(ValueError, match="made from another manifest"):
        read_folds(path, manifest.iloc[1:])
    path.write_text('{"folds": {}}')
    with pytest.raises(ValueError, match="no fold file of format 1"):
        read_folds(path, manifest)
    with pytest.raises(ValueError, match="does not exist"):
        read_folds(tmp_path / "absent.json", manifest)


def test_official_split_needs_every_image_to_have_one(make_manifest):
    manifest = make_manifest({"normal": [1, 1, 1], "viral": [1, 1]}).assign(split=["train", "val", "test", "train", "test"])
    assert list(official_split(manifest)) == ["train", "train", "test", "train", "test"]
    with pytest.raises(ValueError, match="1 of test have none"):
        official_split(manifest.assign(split=["train", "val", "test", "train", ""]))
    with pytest.raises(ValueError, match="class viral is absent from part test"):
        official_split(manifest.assign(split=["train", "val", "test", "train", "train"]))


def test_official_halves_divide_the_test_folder_by_patient(make_manifest):
    manifest = make_manifest({"normal": [1, 2] * 8, "viral": [1, 2] * 6})
    in_test = manifest["group_id"].isin(sorted(manifest["group_id"].unique())[::2])
    parts = official_halves(manifest.assign(split=in_test.map({True: "test", False: "train"})), seed=0)
    assert (parts[~in_test.to_numpy()] == "train").all()
    assert set(parts[in_test.to_numpy()]) == {"validation", "test"}
    assert parts.groupby(manifest["group_id"].to_numpy()).nunique().max() == 1
    assert 0.35 < (parts == "test").sum() / in_test.sum() < 0.65
