"""metadata.csv of the COVID-19 collection: findings, views, faults."""

import pandas as pd
import pytest

from cxr_keras.data.sources.ieee8023 import is_frontal, label_of, read

ROWS = [
    ("1", "COVID-19", "PA", "X-ray", "a.png"),
    ("1", "Pneumonia/Viral/COVID-19", "AP Supine", "X-ray", "b.png"),
    ("2", "COVID-19, ARDS", "AP", "X-ray", "c.png"),
    ("3", "No Finding", "AP Erect", "X-ray", "d.png"),
    ("4", "COVID-19", "L", "X-ray", "e.png"),
    ("5", "COVID-19", "Axial", "CT", "f.png"),
]


@pytest.fixture
def collection(write_images):
    """The collection with `rows`; the lateral view and the CT slice have no file, as if not downloaded."""

    def make(rows=ROWS):
        root = write_images([f"images/{row[4]}" for row in rows if row[4] not in ("e.png", "f.png")])
        table = pd.DataFrame(rows, columns=["patientid", "finding", "view", "modality", "filename"]).assign(folder="images", license="CC0")
        table.to_csv(root / "metadata.csv", index=False)
        return root

    return make


def test_frontal_radiographs_are_taken_and_the_rest_counted(collection):
    table = read(collection())
    assert list(table["image_id"]) == ["a", "b", "c", "d"]
    assert list(table["label"]) == ["covid19", "covid19", "covid19", "no_finding"]
    assert list(table["patient_id"]) == ["1", "1", "2", "3"]
    assert set(table["license"]) == {"CC0"}
    assert table.attrs["skipped"] == {"view L": 1, "modality CT": 1}


@pytest.mark.parametrize(
    ("finding", "label"),
    [
        ("COVID-19", "covid19"),
        ("COVID-19, ARDS", "covid19"),
        ("Pneumonia/Viral/COVID-19", "covid19"),
        ("Pneumonia/Viral/SARS", "pneumonia_viral_sars"),
        ("No Finding", "no_finding"),
    ],
)
def test_findings(finding, label):
    assert label_of(finding) == label


def test_views():
    assert [is_frontal(view) for view in ("PA", "AP", "AP Supine", "ap erect", "L", "Axial", "Coronal", "")] == [True] * 4 + [False] * 4


def test_absent_files_and_empty_patients_are_named_together(collection):
    rows = [("", *ROWS[0][1:]), *ROWS[1:3]]
    root = collection(rows)
    (root / "images/b.png").unlink()
    with pytest.raises(ValueError, match=r"2 rows of .*b.png: file not found; a.png: empty patientid"):
        read(root)


def test_other_tables_are_refused(collection, tmp_path):
    with pytest.raises(ValueError, match="no metadata.csv in"):
        read(tmp_path)
    with pytest.raises(ValueError, match="lists no frontal radiograph; left out: {'view L': 1}"):
        read(collection([ROWS[4]]))
    (tmp_path / "metadata.csv").write_text("patient,finding\n1,COVID-19\n")
    with pytest.raises(ValueError, match="lacks the columns patientid, view, modality, folder, filename; it has patient, finding"):
        read(tmp_path)
