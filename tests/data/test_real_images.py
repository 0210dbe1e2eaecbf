"""What must hold on the real images; every figure was counted independently of this code."""

import re

import pandas as pd

from cxr_keras.data.check import check_images
from cxr_keras.data.describe import describe_manifest
from cxr_keras.data.folds import make_folds, official_split, split_by_group
from cxr_keras.data.groups import count_copies


def test_kermany_has_the_published_counts(kermany_manifest):
    assert len(kermany_manifest) == 5856
    assert kermany_manifest["label"].value_counts().to_dict() == {"bacterial": 2780, "normal": 1583, "viral": 1493}
    assert kermany_manifest["split"].value_counts().to_dict() == {"train": 5216, "val": 16, "test": 624}
    assert (kermany_manifest[["width", "height"]] == 224).all(axis=None)


def test_official_folders_share_no_patient_under_the_right_key(kermany_manifest):
    in_test = kermany_manifest["split"] == "test"
    patients = kermany_manifest["patient_id"]
    assert (patients[~in_test].nunique(), patients[in_test].nunique()) == (3669, 428)
    assert not set(patients[in_test]) & set(patients[~in_test])
    assert official_split(kermany_manifest).value_counts().to_dict() == {"train": 5232, "test": 624}


def test_bare_numbers_collide_across_subtypes_and_prefixes(kermany_manifest):
    """The key of most public code: the first number of the name, with `person` and `IM` told apart."""
    in_test = kermany_manifest["split"] == "test"
    bare = kermany_manifest["image_id"].map(lambda name: re.search(r"(person|IM-)(\d+)", name).group(0))
    assert len(set(bare[in_test]) & set(bare[~in_test])) == 264


def test_identical_files_join_two_patients(kermany_manifest):
    assert count_copies(kermany_manifest) == {"groups": 30, "files": 62, "across_sources": 0, "across_patients": 1}
    joined = kermany_manifest[kermany_manifest["image_id"].str.contains("NORMAL2-IM-009[56]-0001$")]
    assert joined["patient_id"].nunique() == 2
    assert joined["group_id"].nunique() == 1


def test_four_classes_and_their_folds(four_class_manifest):
    assert len(four_class_manifest) == 6057
    covid = four_class_manifest[four_class_manifest["label"] == "covid19"]
    assert (len(covid), covid["patient_id"].nunique()) == (201, 117)
    folds = four_class_manifest["image_id"].map(make_folds(four_class_manifest, n_folds=5, seed=0))
    assert (folds.groupby(four_class_manifest["group_id"]).nunique() == 1).all()
    shares = pd.crosstab(folds, four_class_manifest["label"], normalize="columns")
    assert shares.min(axis=None) > 0.19 and shares.max(axis=None) < 0.21


def test_three_quarters_by_patient(kermany_manifest):
    parts = split_by_group(kermany_manifest, fractions={"train": 0.75, "test": 0.25}, seed=1)
    shares = pd.crosstab(parts.to_numpy(), kermany_manifest["label"].to_numpy(), normalize="columns")
    assert shares.loc["test"].between(0.245, 0.255).all()


def test_no_real_file_is_bad(four_class_manifest, real_data):
    sample = four_class_manifest.iloc[::20]
    assert check_images(sample, show_progress=False).empty


def test_description_names_the_counts(four_class_manifest):
    text = describe_manifest(four_class_manifest)
    assert re.search(r"total +2780 +201 +1583 +1493 +6057 +4214 +4213", text)
    assert "62 in 30 groups" in text
    assert "overlap" not in text
