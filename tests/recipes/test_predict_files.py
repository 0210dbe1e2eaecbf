"""Which files a prediction takes from what the user names."""

import os

import pytest

from cxr_keras.recipes.predict_files import find_images


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("scans/b.PNG", "scans/a.jpg", "scans/deep/c.dcm", "scans/.hidden.png", "scans/text.txt", "x[1].png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "scans" / "archive").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "scans" / "short").write_bytes(b"DICM")
    return tmp_path


def paths(*given):
    return [str(wanted.path) for wanted in find_images(given)]


def test_folders_give_pictures_by_suffix_and_dicom_by_content(place):
    assert paths("scans") == ["scans/a.jpg", "scans/archive", "scans/b.PNG", "scans/deep/c.dcm"]


def test_named_files_are_taken_whatever_they_are_called(place):
    assert paths("scans/text.txt", "x[1].png") == ["scans/text.txt", "x[1].png"]


def test_patterns_are_sorted_and_reach_below(place):
    assert paths("scans/**/*.[dj]*") == ["scans/a.jpg", "scans/deep/c.dcm"]


def test_tables_take_paths_from_their_folder(place):
    (place / "scans" / "list.csv").write_text("\ufeffpath,image_id\na.jpg,one\n/else/b.png,\n", encoding="utf-8")
    found = list(find_images(["scans/list.csv"]))
    assert [(wanted.image_id, str(wanted.path)) for wanted in found] == [("one", "scans/a.jpg"), ("/else/b.png", "/else/b.png")]


def test_what_leads_to_nothing_is_refused(place):
    for given, message in (
        ([], "give image files"),
        (["gone.png"], "there is no gone.png"),
        (["*.gif"], r"nothing is found by \*\.gif"),
    ):
        with pytest.raises(ValueError, match=message):
            find_images(given)
    (place / "odd.csv").write_text("file,label\n")
    with pytest.raises(ValueError, match="has no column `path`; it has file, label"):
        find_images(["scans", "odd.csv"])


def test_links_to_folders_are_not_followed_in_circles(place):
    os.symlink(place / "scans", place / "scans" / "deep" / "again")
    assert len(paths("scans")) == 4
