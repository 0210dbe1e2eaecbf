"""Planted faults: each one can be found in the files, and nothing but it differs from the clean set."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from cxr_keras.data.phantom import Faults, generate_phantom
from cxr_keras.data.phantom.plan import make_plan

SETTINGS = {"patients_per_class": 5, "image_size": 64, "seed": 3}


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return generate_phantom(tmp_path_factory.mktemp("phantom") / "clean", **SETTINGS)


def make(tmp_path, **faults):
    return generate_phantom(tmp_path / "set", **SETTINGS, faults=Faults(**faults))


def noted(manifest, fault):
    return manifest["fault"].str.split(";").map(lambda names: fault in names)


def test_patients_in_two_splits(tmp_path, clean):
    manifest = make(tmp_path, patients_in_two_splits=3)
    splits = manifest.groupby("patient_id")["split"].nunique()
    torn = splits.index[splits > 1]
    assert len(torn) == 3
    assert set(manifest.loc[noted(manifest, "patient_in_two_splits"), "patient_id"]) == set(torn)
    assert manifest["sha256"].tolist() == clean["sha256"].tolist()


def test_copied_files_lie_under_another_patient_of_the_label_across_the_split(tmp_path, clean):
    manifest = make(tmp_path, copied_files=4)
    assert len(manifest) == len(clean) + 4
    copies = manifest[manifest["sha256"].duplicated(keep=False)]
    assert len(copies) == 8 and set(copies.index) == set(manifest.index[noted(manifest, "copied_file")])
    for _, pair in copies.groupby("sha256"):
        assert pair["patient_id"].nunique() == 2 and pair["split"].nunique() == 2
        assert pair["label"].nunique() == 1 and pair["group_id"].nunique() == 1
    assert set(clean["sha256"]) == set(manifest["sha256"])


def test_marker_is_in_the_corner_of_one_class_only(tmp_path, clean):
    manifest = make(tmp_path, marker_class="viral")
    for row, before in zip(manifest.itertuples(), clean.itertuples(), strict=True):
        marked, plain = (cv2.imread(path, cv2.IMREAD_GRAYSCALE)[2:10, 55:].astype(int) for path in (row.path, before.path))
        assert (row.sha256 != before.sha256) == (row.label == "viral") == ("marker" in row.fault)
        if row.label == "viral":
            assert marked.max() > 220 and np.abs(marked - plain).mean() > 10


def test_compression_of_one_class_differs(tmp_path):
    manifest = make(tmp_path, compression_class="normal")
    for row in manifest.itertuples():
        with Image.open(row.path) as image:
            coarse = image.quantization[0][0] > 10
        assert coarse == (row.label == "normal") == ("compression" in row.fault)


def test_wrong_labels_differ_from_the_true_ones(tmp_path, clean):
    manifest = make(tmp_path, wrong_labels=0.2)
    wrong = manifest["label"] != manifest["true_label"]
    assert wrong.sum() == round(0.2 * len(manifest))
    assert (wrong == noted(manifest, "wrong_label")).all()
    assert manifest["true_label"].tolist() == clean["label"].tolist()
    assert manifest["sha256"].tolist() == clean["sha256"].tolist()


def test_all_faults_together_are_noted_and_never_contradict():
    faults = Faults(3, 6, "viral", "normal", 0.3)
    plan = make_plan(8, labels="four", seed=1, faults=faults)
    copied = plan[plan["fault"].str.contains("copied_file")]
    assert len(copied) == 12 and (copied["label"] == copied["true_label"]).all()
    assert plan["image_id"].is_unique
    assert plan["fault"].str.contains("marker").sum() == (plan["true_label"] == "viral").sum()


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (Faults(patients_in_two_splits=99), "only .* patients have two images"),
        (Faults(copied_files=10_000), "only .* files"),
        (Faults(copied_files=-1), "copied_files=-1"),
        (Faults(wrong_labels=1.5), r"must lie in \[0, 1\)"),
        (Faults(compression_class="covid"), "Did you mean 'covid19'"),
    ],
)
def test_more_faults_than_the_set_can_hold_are_refused(faults, message):
    with pytest.raises(ValueError, match=message):
        make_plan(3, labels="four", seed=0, faults=faults)
