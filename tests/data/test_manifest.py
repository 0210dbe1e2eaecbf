"""A manifest survives its file, and a broken one is refused with all its faults."""

import pytest

from cxr_keras.data.manifest import check_manifest, manifest_digest, read_manifest, select_images, write_manifest


@pytest.fixture
def manifest(make_manifest):
    return make_manifest({"normal": [2, 1], "viral": [1, 2]}).assign(comment="né à 3 h, NA", age="")


def test_what_was_written_is_read(tmp_path, manifest):
    write_manifest(manifest, tmp_path / "m.csv")
    read = read_manifest(tmp_path / "m.csv")
    assert read.to_dict("list") == manifest[list(read.columns)].to_dict("list")
    assert read["width"].dtype == "int64"


def test_images_below_the_csv_are_written_relative(tmp_path, manifest):
    inside = manifest.assign(path=[str(tmp_path / "set" / "images" / name) for name in manifest["image_id"]])
    write_manifest(inside, tmp_path / "set" / "m.csv")
    assert "images/normal0_0" in (tmp_path / "set" / "m.csv").read_text()
    assert str(tmp_path) not in (tmp_path / "set" / "m.csv").read_text()
    (tmp_path / "set").rename(tmp_path / "moved")
    assert read_manifest(tmp_path / "moved" / "m.csv")["path"][0] == str(tmp_path / "moved" / "images" / "normal0_0")


def test_all_faults_are_named_together(manifest):
    manifest.loc[1, "image_id"] = "normal0_0"
    manifest.loc[2, "label"] = "Viral Pneumonia"
    manifest.loc[3, "split"] = "holdout"
    manifest.loc[4, "sha256"] = "abc"
    manifest.loc[5, "patient_id"] = ""
    manifest.loc[1, "group_id"] = "other"
    with pytest.raises(ValueError) as error:
        check_manifest(manifest)
    for part in (
        "image_id must be unique, 1 are repeated: normal0_0",
        "patient_id is empty in 1 rows, the first is row 7 of the file",
        "labels must be lower-case words (letters, digits, _), not Viral Pneumonia",
        "split must be train, val, test or empty, not holdout",
        "sha256 must be 64 hexadecimal digits, it is not for viral1_0",
        "1 patients lie in several groups: normal0",
    ):
        assert part in str(error.value)


def test_identical_files_in_two_groups_are_refused(manifest):
    manifest.loc[2, "sha256"] = manifest.loc[0, "sha256"]
    with pytest.raises(ValueError, match="1 files lie in several groups"):
        check_manifest(manifest)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is no CSV table"),
        ("path,label\na,b\n", "columns image_id, patient_id.*are missing; found path, label.*manifest_csv"),
        ("image_id,path,label,patient_id,group_id,source,split,sha256,width,height\n", "has no rows"),
        (
            "image_id,path,label,patient_id,group_id,source,split,sha256,width,height\na,p,l,p,g,s,,0,x,1\n",
            "width is no whole number of pixels for a",
        ),
    ],
)
def test_files_that_are_no_manifest(tmp_path, content, words):
    (tmp_path / "m.csv").write_text(content)
    with pytest.raises(ValueError, match=words):
        read_manifest(tmp_path / "m.csv")


def test_absent_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ValueError, match="does not exist.*cxr data build"):
        read_manifest(tmp_path / "m.csv")


def test_digest_knows_content_and_not_place_or_order(manifest):
    digest = manifest_digest(manifest)
    assert manifest_digest(manifest.sample(frac=1, random_state=1).assign(path="/elsewhere")) == digest
    for column, value in (("label", "viral"), ("group_id", "x"), ("sha256", "f" * 64), ("split", "test")):
        changed = manifest.copy()
        changed.loc[0, column] = value
        assert manifest_digest(changed) != digest


def test_images_are_selected_in_the_order_asked_for(manifest):
    assert list(select_images(manifest, ["viral1_1", "normal0_0"])["image_id"]) == ["viral1_1", "normal0_0"]
    with pytest.raises(ValueError, match="1 images are not in it: nobody"):
        select_images(manifest, ["nobody", "normal0_0"])
