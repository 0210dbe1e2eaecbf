"""A folder of DICOM files with a table becomes a manifest that tells of nobody."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxr_keras.data.manifest import write_manifest
from cxr_keras.data.sources import build_manifest
from cxr_keras.data.sources.dicom import read
from cxr_keras.evaluation.subgroups import attributes_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
SALT = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path, dicom_files: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`folder(files, table)` writes DICOM files (name -> elements) and labels.csv (rows of columns) and gives the folder."""
    monkeypatch.delenv("CXR_PATIENT_SALT", raising=False)
    (tmp_path / "patient_salt.txt").write_text(SALT + "\n")

    def make(files: dict[str, dict[str, Any]], table: list[dict[str, str]] | None = None) -> Path:
        for number, (name, elements) in enumerate(files.items()):
            pixels = np.random.default_rng(number).integers(0, 4096, (40, 48)).astype(np.uint16)
            uid = {"SOPInstanceUID": f"1.2.826.0.1.3680043.8.498.77{number}"}
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(dicom_files.encoded(dicom_files.radiograph(pixels, **uid | {"BitsStored": 12} | elements)))
        rows = table or [{"path": name, "label": ("Normal", "Pneumonia")[number % 2]} for number, name in enumerate(files)]
        pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
        return tmp_path

    return make


FILES = {
    "a/1.dcm": {"PatientID": "HOSP-0001", "PatientSex": "F", "PatientAge": "034Y"},
    "a/2": {"PatientID": "hosp-0001 ", "ViewPosition": "AP", "PatientSex": "F", "PatientAge": "034Y"},
    "b/1.dcm": {"PatientID": "HOSP-0002", "PatientSex": "M", "PatientAge": "097Y"},
    "b/3.dcm": {"PatientID": "HOSP-0003", "PatientSex": "X", "PatientAge": "007M", "Modality": "CR"},
}


def test_patients_views_and_ages(folder):
    table = read(folder(FILES))
    assert list(table["label"]) == ["normal", "pneumonia", "normal", "pneumonia"]
    assert list(table["view"]) == ["PA", "AP", "PA", "PA"]
    assert list(table["sex"]) == ["F", "F", "M", ""]
    assert list(table["age"]) == ["34", "34", "90", "0"]
    patients = list(table["patient_id"])
    assert patients[0] == patients[1] and len(set(patients)) == 3
    assert set(table["patients_known"]) == {"yes"} and table["image_id"].is_unique


def test_nothing_in_the_manifest_tells_who(folder, dicom_files, tmp_path):
    root = folder(FILES)
    manifest = build_manifest([f"dicom:{root}"], show_progress=False)
    write_manifest(manifest, tmp_path / "manifest.csv")
    text = (tmp_path / "manifest.csv").read_text().lower()
    for secret in (*dicom_files.SECRETS.values(), "hosp-", "1.2.826", "doe", "1970", "2020-", SALT):
        assert secret.lower() not in text, secret
    assert list(manifest["group_id"]).count(manifest["group_id"][0]) == 2
    attributes = attributes_of(manifest)
    assert set(attributes["age"]) == {"18 to 44", "65 and over", "under 18"}
    assert set(attributes["view"]) == {"PA", "AP"} and set(attributes["sex"]) == {"F", "M", "not stated"}


def test_names_depend_on_the_salt_and_on_nothing_else(folder, monkeypatch, tmp_path):
    root = folder(FILES)
    first = read(root)
    pd.read_csv(root / "labels.csv")[::-1].to_csv(root / "labels.csv", index=False)
    os.rename(root / "a", root / "c")
    (root / "labels.csv").write_text((root / "labels.csv").read_text().replace("a/", "c/"))
    again = read(root / "labels.csv")
    assert set(again["image_id"]) == set(first["image_id"]) and set(again["patient_id"]) == set(first["patient_id"])
    monkeypatch.setenv("CXR_PATIENT_SALT", SALT)
    (root / "patient_salt.txt").unlink()
    assert set(read(root)["patient_id"]) == set(first["patient_id"])
    monkeypatch.setenv("CXR_PATIENT_SALT", SALT[::-1])
    assert not set(read(root)["patient_id"]) & set(first["patient_id"])


def test_no_salt_or_a_short_one_is_refused(folder, monkeypatch):
    root = folder(FILES)
    (root / "patient_salt.txt").write_text("hospital\n")
    with pytest.raises(ValueError, match=r"patient_salt.txt: the salt has 8 characters; expected 16 or more"):
        read(root)
    (root / "patient_salt.txt").unlink()
    with pytest.raises(ValueError, match=r"there is no salt: CXR_PATIENT_SALT is not set .*secrets.token_hex\(32\).* > .*patient_salt.txt"):
        read(root)
    assert not (root / "patient_salt.txt").exists(), "none is made up"


def test_lateral_views_and_other_kinds_are_left_out_and_counted(folder):
    others = {
        "lateral.dcm": {"ViewPosition": "LL"},
        "silent.dcm": {"ViewPosition": None},
        "ct.dcm": {"Modality": "CT"},
        "odd.dcm": {"ViewPosition": "Doe^Secretive"},
        "supine.dcm": {"ViewPosition": "AP SUPINE"},
    }
    root = folder({**FILES, **others})
    (root / "notes.docx").write_bytes(b"text")
    (root / ".hidden.dcm").write_bytes(b"text")
    table = read(root)
    assert len(table) == 5 and table["view"].iloc[-1] == "AP"
    assert table.attrs["skipped"] == {"files that are no DICOM images": 1, "view LL": 1, "view unknown": 2, "modality CT": 1}


def test_the_table_can_say_view_and_patient(folder):
    files = {"1.dcm": {"ViewPosition": None, "PatientID": "ANON"}, "2.dcm": {"ViewPosition": "LL", "PatientID": "ANON"}, "3.dcm": {}}
    rows = [
        {"path": "./1.dcm", "label": "a", "view": "pa", "patient_id": "p1", "split": "train", "name": "Doe"},
        {"path": "2.dcm", "label": "b", "view": "AP Supine", "patient_id": "p2", "split": "test", "name": "Doe"},
        {"path": "3.dcm", "label": "b", "view": "", "patient_id": "p2", "split": "", "name": "Doe"},
    ]
    table = read(folder(files, rows))
    assert list(table["view"]) == ["PA", "AP SUPINE", "PA"] and list(table["split"]) == ["train", "test", ""]
    assert table["patient_id"].nunique() == 2 and table["patient_id"][1] == table["patient_id"][2]
    assert "name" not in table.columns


def test_rows_are_joined_by_instance(folder):
    rows = [{"SOPInstanceUID": f"1.2.826.0.1.3680043.8.498.77{number}", "label": f"class{number}"} for number in (2, 0)]
    table = read(folder(FILES, rows))
    assert [Path(path).parent.name + "/" + Path(path).name for path in table["path"]] == ["a/1.dcm", "b/1.dcm"]
    assert list(table["label"]) == ["class0", "class2"]
    assert table.attrs["skipped"] == {"DICOM files without a row in labels.csv": 2}


def test_files_without_patient_are_refused_unless_told(folder):
    root = folder({**FILES, "c.dcm": {"PatientID": ""}})
    with pytest.raises(ValueError, match=r"1 of 5 files have no PatientID.*column patient_id, or patients: one_per_image"):
        read(root)
    table = read(root, patients="one_per_image")
    assert list(table["patients_known"]) == ["yes"] * 4 + ["no"]
    assert table["patient_id"].iloc[-1] == table["image_id"].iloc[-1]


def test_all_faults_of_table_and_files_come_together(folder, dicom_files):
    files = {"1.dcm": {}, "2.dcm": {"SOPInstanceUID": "1.2.826.0.1.3680043.8.498.770"}, "3.dcm": {}, "cut.dcm": {}}
    rows = [{"path": name, "label": "a"} for name in files]
    rows += [{"path": "gone.dcm", "label": "a"}, {"path": "3.dcm", "label": ""}]
    root = folder(files, rows)
    (root / "cut.dcm").write_bytes((root / "cut.dcm").read_bytes()[:200])
    with pytest.raises(ValueError, match="6 faults in .*row 7: empty label; row 4: its file is in the table twice;") as caught:
        read(root)
    rows = [{"path": name, "label": "a"} for name in (*files, "gone.dcm")]
    pd.DataFrame(rows).to_csv(root / "labels.csv", index=False)
    with pytest.raises(ValueError) as caught:
        read(root)
    message = str(caught.value)
    assert "2.dcm: has the SOPInstanceUID of 1.dcm, keep one" in message and "row 6: this path is no DICOM file" in message
    assert "cut.dcm: its header" in message
    assert not any(secret in message for secret in dicom_files.SECRETS.values())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("file,label\na,b\n", "has the columns file, label; expected a folder of DICOM files"),
        ("path,label\n", "has no rows"),
        ("path,label\na.dcm,b\n", "this path is no DICOM file"),
    ],
)
def test_tables_that_say_too_little(folder, content, reason):
    root = folder(FILES)
    (root / "labels.csv").write_text(content)
    with pytest.raises(ValueError, match=reason):
        read(root)


def test_missing_folder_and_table(folder, tmp_path):
    with pytest.raises(ValueError, match=r"none does not exist; expected a folder of DICOM files with labels.csv"):
        read(tmp_path / "none")
    with pytest.raises(ValueError, match=r"labels.csv does not exist; expected"):
        read(tmp_path)


def test_a_folder_of_lateral_views_says_how_to_go_on(folder):
    with pytest.raises(ValueError, match=r"labels no frontal radiograph; left out: {'view unknown': 1}.*a column view with AP or PA"):
        read(folder({"1.dcm": {"ViewPosition": None}}))


def test_ages_from_dates(folder):
    dates = [("19800615", "20200614"), ("19800615", "20200615"), ("19800615", ""), ("2030.01.01", "20200615")]
    files = {
        f"{number}.dcm": {"PatientAge": None, "PatientBirthDate": born, "StudyDate": taken} for number, (born, taken) in enumerate(dates)
    }
    assert list(read(folder(files))["age"]) == ["39", "40", "", ""]


def test_paths_that_hold_patient_numbers_are_told(folder, capsys):
    read(folder(FILES))
    assert capsys.readouterr().err == ""
    read(folder({"hosp-0009/x.dcm": {"PatientID": "HOSP-0009"}, "2.dcm": {"PatientID": "2"}}))
    message = capsys.readouterr().err
    assert message.startswith("dicom: the paths of 1 files contain the file's PatientID") and "0009" not in message


def test_a_person_in_two_folders_is_one_patient(folder, monkeypatch, tmp_path):
    root = folder(FILES)
    other = tmp_path / "other"
    other.mkdir()
    (root / "b" / "1.dcm").rename(other / "new.dcm")
    pd.DataFrame([{"path": "new.dcm", "label": "Normal"}]).to_csv(other / "labels.csv", index=False)
    (other / "patient_salt.txt").write_text(SALT)
    (root / "a" / "1.dcm").rename(other / "known.dcm")
    pd.DataFrame([{"path": "new.dcm", "label": "Normal"}, {"path": "known.dcm", "label": "Pneumonia"}]).to_csv(
        other / "labels.csv", index=False
    )
    pd.DataFrame([{"path": "a/2", "label": "Normal"}, {"path": "b/3.dcm", "label": "Pneumonia"}]).to_csv(root / "labels.csv", index=False)
    manifest = build_manifest([f"first=dicom:{root}", f"second=dicom:{other}"], show_progress=False)
    by_person = manifest.groupby("group_id")["source"].nunique()
    assert sorted(by_person) == [1, 1, 2] and manifest["image_id"].str.split("/").str[0].isin(["first", "second"]).all()


def test_a_folder_may_be_named_with_dots(folder, monkeypatch):
    root = folder(FILES)
    (root / "elsewhere").mkdir()
    monkeypatch.chdir(root / "elsewhere")
    assert len(read("../")) == len(read(root)) == 4
