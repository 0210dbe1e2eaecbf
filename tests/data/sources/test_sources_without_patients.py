"""Radiography, class folders and CSV tables: patients are given, or the user says that each image is one."""

import pytest

from cxr_keras.data.sources import class_folders, manifest_csv, radiography

RADIOGRAPHY = [
    "COVID/images/COVID-1.png",
    "COVID/masks/COVID-1.png",
    "Normal/images/Normal-1.png",
    "Viral Pneumonia/images/Viral Pneumonia-1.png",
    "Lung_Opacity/images/Lung_Opacity-1.png",
]


@pytest.mark.parametrize("prefix", ["", "COVID-19_Radiography_Dataset/"])
def test_radiography_reads_images_and_leaves_masks(write_images, prefix):
    root = write_images([prefix + name for name in RADIOGRAPHY])
    (root / prefix / "COVID.metadata.xlsx").write_bytes(b"")
    table = radiography.read(root, patients="one_per_image")
    assert dict(zip(table["image_id"], table["label"], strict=True)) == {
        "COVID-1": "covid19",
        "Normal-1": "normal",
        "Viral Pneumonia-1": "viral",
        "Lung_Opacity-1": "lung_opacity",
    }
    assert not table["path"].str.contains("masks").any()
    assert set(table["patients_known"]) == {"no"} and table["patient_id"].is_unique


def test_radiography_of_the_first_release(write_images):
    root = write_images(["COVID-19/COVID-19 (1).png", "NORMAL/NORMAL (1).png"])
    assert list(radiography.read(root, patients="one_per_image")["label"]) == ["covid19", "normal"]


def test_radiography_refusals(write_images, tmp_path):
    root = write_images(["lungs/a.png"])
    with pytest.raises(ValueError, match="which images are of one patient.*patients: one_per_image.*manifest_csv"):
        radiography.read(root)
    with pytest.raises(ValueError, match="holds a.png|holds no folders|expected the class folders COVID"):
        radiography.read(root, patients="one_per_image")
    (tmp_path / "COVID" / "images").mkdir(parents=True)
    with pytest.raises(ValueError, match="radiography: no image in .*COVID/images"):
        radiography.read(root, patients="one_per_image")


def test_class_folders_take_the_folder_as_label(write_images):
    root = write_images(["Normal/1.png", "Viral Pneumonia/1.png", "Viral Pneumonia/more/2.jpg", ".hidden/3.png"])
    table = class_folders.read(root, patients="one_per_image")
    assert list(table["image_id"]) == ["Normal/1.png", "Viral Pneumonia/1.png", "Viral Pneumonia/more/2.jpg"]
    assert list(table["label"]) == ["normal", "viral_pneumonia", "viral_pneumonia"]


def test_class_folder_refusals(write_images):
    root = write_images(["Normal/1.png", "a.png"])
    with pytest.raises(ValueError, match="patients: one_per_image"):
        class_folders.read(root)
    with pytest.raises(ValueError, match="holds Normal; expected one folder for each class.*Name the folder above"):
        class_folders.read(root, patients="one_per_image")
    (root / "Sick").mkdir()
    (root / "Sick" / "x.dcm").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"no image in .*Sick \(found 1 files with suffix '.dcm'\)"):
        class_folders.read(root, patients="one_per_image")
    (root / "normal").mkdir()
    with pytest.raises(ValueError, match="folders Normal, normal of .* do not give each class a label of its own"):
        class_folders.read(root, patients="one_per_image")


def _write(folder, *lines):
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder / "t.csv"


def test_csv_with_patients_and_free_columns(write_images):
    root = write_images(["x/a.png", "x/b.png"])
    sheet = _write(root, "path,label,patient_id,split,age", "x/a.png,Normal,p1,train,3", f"{root}/x/b.png,viral,p1,test,NA")
    table = manifest_csv.read(sheet)
    assert list(table["image_id"]) == ["a", "b"] and list(table["label"]) == ["normal", "viral"]
    assert set(table["patient_id"]) == {"p1"} and list(table["age"]) == ["3", "NA"]
    assert list(table["split"]) == ["train", "test"] and set(table["patients_known"]) == {"yes"}
    assert list(table["path"]) == [str(root / "x/a.png"), str(root / "x/b.png")]


def test_csv_without_patients(write_images):
    sheet = _write(write_images(["x/a.png", "y/a.png"]), "path,label", "x/a.png,normal", "y/a.png,viral")
    with pytest.raises(ValueError, match="patients: one_per_image"):
        manifest_csv.read(sheet)
    table = manifest_csv.read(sheet, patients="one_per_image")
    assert list(table["image_id"]) == list(table["patient_id"]) == ["x/a.png", "y/a.png"]
    assert set(table["patients_known"]) == {"no"}


def test_faults_of_a_csv_are_named_together(write_images):
    root = write_images(["a.png", "b.png"])
    sheet = _write(root, "image_id,path,label,patient_id,split", "i,a.png,normal,p,", "i,b.png,,p,dev", "j,c.png,viral,,test")
    with pytest.raises(ValueError) as error:
        manifest_csv.read(sheet)
    for part in (
        "5 faults",
        "row 4: ",
        "c.png not found",
        "row 3: empty label",
        "row 4: empty patient_id",
        "row 3: image_id i repeated",
        "row 3: split 'dev' is none of",
    ):
        assert part in str(error.value)


def test_files_that_are_no_table(tmp_path):
    with pytest.raises(ValueError, match="is no file; expected a CSV file"):
        manifest_csv.read(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="lacks the columns path, label; it has file, class"):
        manifest_csv.read(_write(tmp_path, "file,class", "a,b"))
    with pytest.raises(ValueError, match="has no rows"):
        manifest_csv.read(_write(tmp_path, "path,label"))
