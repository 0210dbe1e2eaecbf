"""The Kermany folders: names, nested folders, and what is refused."""

import pytest

from cxr_keras.data.sources.kermany import parse_name, read

NAMES = [
    "train/NORMAL/IM-0115-0001.jpeg",
    "train/NORMAL/NORMAL2-IM-0115-0001-0002.jpeg",
    "train/PNEUMONIA/person7_bacteria_1.jpeg",
    "train/PNEUMONIA/person7_virus_2.jpeg",
    "test/NORMAL/IM-0001-0001.jpeg",
    "test/PNEUMONIA/person8_virus_6_1.jpeg",
]


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("person7_bacteria_1", ("bacterial", "person7_bacteria")),
        ("person0007_virus_22", ("viral", "person7_virus")),
        ("person8_virus_6_1", ("viral", "person8_virus")),
        ("IM-0115-0001", ("normal", "IM-115")),
        ("NORMAL2-IM-0115-0001-0002", ("normal", "NORMAL2-IM-115")),
        ("person7_fungus_1", None),
        ("IM-0115", None),
        ("xIM-0115-0001", None),
    ],
)
def test_names(stem, expected):
    assert parse_name(stem) == expected


@pytest.mark.parametrize("prefix", ["", "chest_xray/", "chest_xray/chest_xray/"])
def test_the_folder_may_lie_deeper(write_images, prefix):
    root = write_images([prefix + name for name in NAMES])
    table = read(root)
    assert list(table["split"]) == ["train"] * 4 + ["test"] * 2
    assert list(table["label"]) == ["normal", "normal", "bacterial", "viral", "normal", "viral"]
    assert table["patient_id"].nunique() == 6
    assert "person7_bacteria_1" in set(table["image_id"])


def test_second_copy_and_system_files_of_the_archive_are_left_out(write_images):
    archive = [f"chest_xray/{name}" for name in NAMES] + [f"chest_xray/chest_xray/{name}" for name in NAMES]
    root = write_images(archive)
    (root / "chest_xray/train/NORMAL/.DS_Store").write_bytes(b"x")
    (root / "chest_xray/train/NORMAL/._IM-0115-0001.jpeg").write_bytes(b"x")
    (root / "chest_xray/train/NORMAL/readme.txt").write_bytes(b"x")
    (root / "chest_xray/__MACOSX/train/NORMAL").mkdir(parents=True)
    table = read(root)
    assert len(table) == 6
    assert table.attrs["skipped"] == {"hidden files": 2, "files with suffix '.txt'": 1}


def test_missing_folder_says_what_is_there(tmp_path):
    (tmp_path / "chest-xray").mkdir()
    with pytest.raises(ValueError, match=r"chest_xray does not exist; expected .*train/, val/, test/.*nearest existing folder.*chest-xray"):
        read(tmp_path / "chest_xray")
    with pytest.raises(ValueError, match=r"holds chest-xray; expected the folder chest_xray"):
        read(tmp_path)


def test_empty_class_is_refused(write_images):
    root = write_images(NAMES[:4])
    (root / "test/NORMAL").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"no image in .*test/NORMAL \(found nothing else\); expected at least one file ending in"):
        read(root)


def test_missing_class_folder_is_refused(write_images):
    with pytest.raises(ValueError, match="PNEUMONIA does not exist"):
        read(write_images(NAMES[:2]))


def test_names_without_patient_or_in_the_wrong_folder_are_listed(write_images):
    root = write_images([*NAMES, "train/PNEUMONIA/scan17.jpeg", "train/NORMAL/person9_virus_1.jpeg"])
    with pytest.raises(ValueError, match="2 file names.*train/NORMAL/person9_virus_1.jpeg, train/PNEUMONIA/scan17.jpeg.*class_folders"):
        read(root)
