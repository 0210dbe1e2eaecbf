"""Sources combined into one manifest."""

import shutil

import pytest

from cxr_keras.data.describe import describe_manifest, patients_unknown
from cxr_keras.data.sources import build_manifest, get_source, list_sources

KERMANY = [
    "k/chest_xray/train/NORMAL/IM-0001-0001.jpeg",
    "k/chest_xray/train/PNEUMONIA/person1_bacteria_1.jpeg",
    "k/chest_xray/train/PNEUMONIA/person1_virus_2.jpeg",
    "k/chest_xray/test/NORMAL/IM-0002-0001.jpeg",
    "k/chest_xray/test/PNEUMONIA/person2_virus_3.jpeg",
]


@pytest.fixture
def kermany(write_images):
    return write_images([*KERMANY, "c/covid19/x.png", "c/normal/y.png"])


def _build(*sources, **choices):
    return build_manifest(list(sources), show_progress=False, **choices)


def test_two_sources_make_four_classes(kermany):
    manifest = _build(f"kermany:{kermany}/k", f"class_folders:{kermany}/c", labels="four", patients="one_per_image")
    assert list(manifest["source"]) == ["kermany"] * 5 + ["class_folders"] * 2
    assert manifest["image_id"][0] == "kermany/IM-0001-0001" and manifest["patient_id"][1] == "kermany/person1_bacteria"
    assert set(manifest["label"]) == {"normal", "bacterial", "viral", "covid19"}
    assert (manifest["width"] == 48).all() and (manifest["height"] == 40).all()
    assert patients_unknown(manifest) == ("class_folders",)
    assert "patient overlap not excluded: class_folders" in describe_manifest(manifest)


def test_the_place_of_the_data_does_not_matter(kermany, tmp_path):
    before = _build(f"kermany:{kermany}/k", labels="three")
    shutil.move(kermany / "k", tmp_path / "moved")
    after = _build(f"kermany:{tmp_path}/moved", labels="three")
    assert before.drop(columns="path").equals(after.drop(columns="path"))


def test_one_source_twice_needs_two_names(kermany):
    folder = f"class_folders:{kermany}/c"
    with pytest.raises(ValueError, match="class_folders is given more than once; tell them apart as first=class_folders:PATH"):
        _build(folder, folder, labels="as_given", patients="one_per_image")
    manifest = _build(f"here={folder}", f"there={folder}", labels="as_given", patients="one_per_image")
    assert manifest["source"].value_counts().to_dict() == {"here": 2, "there": 2}
    assert manifest.attrs["copies"]["across_sources"] == 2
    assert manifest["group_id"].nunique() == 2


def test_copies_of_another_class_need_a_decision(kermany):
    copy = kermany / "c/covid19/x.png"
    copy.unlink()
    shutil.copy(kermany / KERMANY[1], copy)
    sources = (f"kermany:{kermany}/k", f"class_folders:{kermany}/c")
    choices = {"labels": "four", "patients": "one_per_image"}
    with pytest.raises(ValueError, match=r"kermany/person1_bacteria_1 \(bacterial\) = class_folders/covid19/x.png \(covid19\).*drop"):
        _build(*sources, **choices)
    with pytest.raises(ValueError, match="four needs bacterial, covid19"):
        _build(*sources, **choices, on_label_conflict="drop")
    choices["labels"] = "as_given"
    dropped = _build(*sources, **choices, on_label_conflict="drop")
    assert len(dropped) == 5 and dropped.attrs["skipped"]["label conflicts"] == {"identical files of different class": 2}
    first = _build(*sources, **choices, on_label_conflict="first_source").set_index("image_id")
    assert first.loc["class_folders/covid19/x.png", "label"] == "bacterial"
    assert first.loc["class_folders/covid19/x.png", "group_id"] == first.loc["kermany/person1_bacteria_1", "group_id"]
    second = _build(*reversed(sources), **choices, on_label_conflict="first_source").set_index("image_id")
    assert second.loc["kermany/person1_bacteria_1", "label"] == "covid19"
    with pytest.raises(ValueError, match="expected one of error, drop, first_source"):
        _build(*sources, **choices, on_label_conflict="ignore")


def test_a_source_that_contradicts_itself_cannot_be_believed(kermany):
    shutil.copy(kermany / "c/normal/y.png", kermany / "c/covid19/x.png")
    with pytest.raises(ValueError, match="must not contradict itself"):
        _build(f"class_folders:{kermany}/c", labels="as_given", patients="one_per_image", on_label_conflict="first_source")


def test_empty_and_broken_files_stay_for_the_check(kermany):
    (kermany / KERMANY[0]).write_bytes(b"")
    (kermany / KERMANY[2]).write_bytes(b"")
    (kermany / KERMANY[1]).write_bytes(b"no picture")
    manifest = _build(f"kermany:{kermany}/k", labels="three")
    assert list(manifest["width"]) == [0, 0, 0, 48, 48]
    assert manifest["group_id"].nunique() == 5
    assert "3 files are no whole images" in describe_manifest(manifest)


def test_unneeded_one_per_image_is_refused(kermany):
    with pytest.raises(ValueError, match="one_per_image was given, but kermany tells the patient of every image"):
        _build(f"kermany:{kermany}/k", patients="one_per_image")


def test_a_scheme_that_needs_another_source(kermany):
    with pytest.raises(ValueError, match=r"four needs covid19, of which no source has an image \(kermany gives bacterial, normal, viral\)"):
        _build(f"kermany:{kermany}/k", labels="four")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("kermani:/x", r"unknown source 'kermani'. Did you mean kermany\?.*\n  kermany: "),
        ("/data/chest_xray", "expected NAME:PATH, e.g. kermany:/data"),
        ("kermany:", "expected NAME:PATH"),
        ("kermany:/nowhere/at/all", "kermany: /nowhere/at/all does not exist"),
    ],
)
def test_sources_that_cannot_be_read(source, words):
    with pytest.raises(ValueError, match=words):
        _build(source)


def test_sources_must_be_a_list():
    with pytest.raises(ValueError, match="expected a list of NAME:PATH"):
        build_manifest("kermany:/data")
    with pytest.raises(ValueError, match="expected a list of NAME:PATH"):
        build_manifest([])


def test_every_source_has_a_name_of_its_own():
    assert len(set(list_sources())) == len(list_sources())
    assert all(get_source(name).name == name and get_source(name).description for name in list_sources())


def test_manifest_csv_of_a_built_manifest_gives_it_again(kermany):
    from cxr_keras.data.manifest import write_manifest

    built = _build(f"kermany:{kermany}/k", labels="three")
    write_manifest(built, kermany / "m.csv")
    again = _build(f"again=manifest_csv:{kermany}/m.csv", labels="three")
    assert list(again["label"]) == list(built["label"]) and list(again["sha256"]) == list(built["sha256"])
