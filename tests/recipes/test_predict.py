"""Files in, rows out: every kind of file, bad ones, an interruption, and nothing of a patient."""

import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import typer

from cxr_keras.cli.predict import predict as predict_command
from cxr_keras.export.predictor import Opened
from cxr_keras.pixels.decode import DecodeSettings, decode_and_resize
from cxr_keras.recipes import predict as predict_module
from cxr_keras.recipes.predict import predict

MANIFEST = {
    "classes": ["normal", "pneumonia"],
    "threshold": 0.4,
    "temperature": 2.0,
    "operating_point": "sensitive",
    "image_size": [12, 12],
    "class_activation_maps": True,
    "no_class_activation_maps": None,
    "phantoms": False,
}


def write(path, *, seed=0, depth=np.uint8):
    image = cv2.resize(np.random.default_rng(seed).integers(0, np.iinfo(depth).max, (8, 8)).astype(depth), (120, 100))
    assert cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def export(monkeypatch, tmp_path):
    """An export whose probability of pneumonia is the mean grey level; gives its manifest, for changes."""
    manifest = dict(MANIFEST)

    class Brightness(Opened):
        batches = ()

        def answer(self, pixels):
            type(self).batches += (len(pixels),)
            bright = pixels.astype(np.float64).mean(axis=(1, 2, 3)) / 255
            both = np.stack([1 - bright, bright], axis=1)
            maps = np.ones((len(pixels), 3, 3, 2), np.float32) * both[:, np.newaxis, np.newaxis].astype(np.float32)
            return {
                "probabilities": both,
                **({"calibrated_probabilities": (both + 1) / 3} if manifest["temperature"] else {}),
                "decision_index": (bright >= 0.4).astype(np.int32),
                "class_activation_maps": maps,
            }

    monkeypatch.setattr(predict_module, "open_export", lambda folder: Brightness(manifest, DecodeSettings(12, 12), None))
    monkeypatch.chdir(tmp_path)
    manifest["opened"] = Brightness
    return manifest


@pytest.fixture(scope="module")
def dicom_files():
    path = Path(__file__).parents[1] / "pixels" / "dicom_files.py"
    specification = importlib.util.spec_from_file_location("dicom_files", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def files(tmp_path, dicom_files):
    """JPEG, PNG of 8 and 16 bits, DICOM without a suffix, and two bad files, in a folder with others below."""
    folder = tmp_path / "scans"
    (folder / "below").mkdir(parents=True)
    write(folder / "a.jpeg", seed=1)
    write(folder / "b.png", seed=2)
    write(folder / "below" / "c.png", seed=3, depth=np.uint16)
    stored = np.tile(np.arange(100, dtype=np.uint16) * 40, (90, 1))
    (folder / "below" / "IM0001").write_bytes(dicom_files.encoded(dicom_files.radiograph(stored, BitsStored=12)))
    (folder / "cut.jpeg").write_bytes((folder / "a.jpeg").read_bytes()[:300])
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("no image")
    (folder / "below" / "README").write_text("no image either")
    return folder


def test_every_file_gets_a_row_and_bad_ones_their_error(export, files, tmp_path, dicom_files):
    found = predict("export", [str(files)], out="rows.csv", batch_size=2)
    table = pd.read_csv("rows.csv", keep_default_na=False)
    names = [Path(path).name for path in table["path"]]
    assert names == ["a.jpeg", "b.png", "cut.jpeg", "empty.png", "IM0001", "c.png"]
    assert found == (6, 2, int((table["flags"] != "").sum()))
    errors = dict(zip(names, table["error"]))
    assert "damaged or cut short" in errors["cut.jpeg"] and errors["empty.png"] == "the file is empty"
    good = table[table["error"] == ""]
    for row in good.itertuples():
        expected = float(decode_and_resize(Path(row.path).read_bytes(), DecodeSettings(12, 12)).numpy().mean()) / 255
        assert float(row.p_pneumonia) == pytest.approx(expected, abs=1e-6)
        assert row.decision == ("pneumonia" if expected >= 0.4 else "normal") and float(row.threshold) == 0.4
        assert float(row.calibrated_pneumonia) == pytest.approx((expected + 1) / 3, abs=1e-6)
    assert set(table.loc[table["error"] != "", "decision"]) == {""}
    assert export["opened"].batches == (2, 2)  # the bad ones lie in the second batch, and the third has two again
    text = (tmp_path / "rows.csv").read_text()
    assert not [secret for secret in dicom_files.SECRETS.values() if secret in text]
    assert [path.name for path in tmp_path.iterdir() if "rows" in path.name] == ["rows.csv"]


def test_json_lines_hold_flags_by_name_and_no_empty_cells(export, files, tmp_path):
    cv2.imwrite(str(files / "blank.png"), np.full((90, 90), 7, np.uint8))
    predict("export", [str(files / "blank.png"), str(files / "empty.png")], out="rows.jsonl")
    blank, empty = (json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines())
    assert set(blank["flags"]) == {"blank"} and "error" not in blank and blank["p_normal"] > 0.9
    assert set(empty) == {"image_id", "path", "error"}
    predict("export", [str(files / "blank.png")], out="rows.csv")
    assert pd.read_csv("rows.csv")["flags"][0].startswith("blank: nearly all pixels")


def test_a_manifest_gives_its_ids_and_missing_files_are_rows(export, files):
    Path("list.csv").write_text("image_id,path\nfirst,scans/a.jpeg\nsecond,scans/gone.png\n")
    found = predict("export", ["list.csv"], out="rows.csv")
    table = pd.read_csv("rows.csv", keep_default_na=False)
    assert table["image_id"].tolist() == ["first", "second"] and found.errors == 1
    assert table["error"][1] == "the file cannot be read: No such file or directory"


def test_an_interruption_leaves_the_rows_so_far_under_another_name(export, files, tmp_path, monkeypatch, capsys):
    real, calls = predict_module.decode_file, []

    def decode(wanted, settings):
        calls.append(wanted)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return real(wanted, settings)

    monkeypatch.setattr(predict_module, "decode_file", decode)
    with pytest.raises(KeyboardInterrupt):
        predict("export", [str(files)], out="rows.csv", batch_size=2)
    assert not (tmp_path / "rows.csv").exists()
    assert len(pd.read_csv("rows.partial.csv")) in (2, 4) and "rows.partial.csv" in capsys.readouterr().err


def test_maps_are_drawn_for_good_files_and_named_in_their_rows(export, files):
    predict("export", [str(files / name) for name in ("a.jpeg", "empty.png", "b.png")], out="rows.csv", maps="maps")
    table = pd.read_csv("rows.csv", keep_default_na=False)
    assert table["map"].tolist() == ["000001_a.png", "", "000003_b.png"]
    assert cv2.imread("maps/000003_b.png").shape[2] == 3
    export |= {"class_activation_maps": False, "no_class_activation_maps": "the head is flat."}
    with pytest.raises(ValueError, match="has no class activation maps: the head is flat"):
        predict("export", [str(files)], out="other.csv", maps="maps")


def test_an_export_of_phantoms_says_so_each_time(export, files, capsys):
    predict("export", [str(files / "a.jpeg")], out="rows.csv")
    assert "PHANTOM" not in capsys.readouterr().out
    export["phantoms"] = True
    predict("export", [str(files / "a.jpeg")], out="rows.csv", overwrite=True)
    assert capsys.readouterr().out.startswith("PHANTOM: the export was trained on drawn images")


def test_three_classes_have_no_threshold(export, files):
    export |= {"threshold": None, "temperature": None}
    predict("export", [str(files / "a.jpeg")], out="rows.csv")
    assert pd.read_csv("rows.csv").columns.tolist() == ["image_id", "path", "error", "decision", "p_normal", "p_pneumonia", "flags"]


def test_what_cannot_be_written_or_read_is_told_first(export, files):
    Path("rows.csv").touch()
    Path("none").mkdir()
    for arguments, message in (
        ({"out": "rows.csv"}, "rows.csv exists. Give another file with --out, or --overwrite"),
        ({"out": "rows.xlsx"}, "expected a name that ends in .csv or .jsonl"),
        ({"out": "new.csv", "format_name": "json"}, "Did you mean jsonl"),
        ({"out": "new.csv", "batch_size": 0}, "--batch-size 0"),
        ({"out": "new.csv", "given": ["none"]}, "no JPEG, PNG or DICOM file in none"),
    ):
        with pytest.raises(ValueError, match=message):
            predict("export", **({"given": [str(files)]} | arguments))
    predict("export", [str(files / "a.jpeg")], out="rows.csv", overwrite=True)
    assert len(pd.read_csv("rows.csv")) == 1


def test_an_odd_fault_of_one_file_tells_its_kind_and_nothing_else(export, files, monkeypatch):
    monkeypatch.setattr(predict_module, "flag_file", lambda contents: {}["Doe^Secretive"])
    assert predict("export", [str(files / "a.jpeg")], out="rows.csv").errors == 1
    assert pd.read_csv("rows.csv")["error"][0] == "unexpected KeyError while decoding"


def test_the_exit_code_tells_of_errors(export, files, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cxr"])
    predict_command(Path("export"), [str(files / "a.jpeg")], out=Path("good.csv"))
    with pytest.raises(typer.Exit) as ended:
        predict_command(Path("export"), [str(files / "empty.png")], out=Path("bad.csv"))
    assert ended.value.exit_code == 1
