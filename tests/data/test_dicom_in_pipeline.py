"""DICOM files go through check, measuring and cache as JPEG and PNG do, beside them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pandas as pd
import pytest

from cxr_keras.data.cache import open_pixel_cache
from cxr_keras.data.check import check_images
from cxr_keras.data.inspect_image import read_header
from cxr_keras.data.sources import build_manifest
from cxr_keras.pixels.decode import DecodeSettings, decode_and_resize
from cxr_keras.runs.files import file_sha256

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
SETTINGS = DecodeSettings(24, 32, resize="pad")


def _values(seed: int) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random((62, 84)), (7, 7), 2)
    return np.round((noise - noise.min()) / np.ptp(noise) * 4095).astype(np.uint16)


def _manifest(folder: Path, contents: dict[str, bytes]) -> pd.DataFrame:
    for name, body in contents.items():
        (folder / name).write_bytes(body)
    paths = [folder / name for name in contents]
    return pd.DataFrame(
        {"image_id": list(contents), "path": [str(path) for path in paths], "sha256": [file_sha256(path) for path in paths]}
    )


@pytest.fixture
def mixed(dicom_files: ModuleType, tmp_path: Path) -> dict[str, bytes]:
    """Twenty files of several kinds, more than one block of the decoder; one DICOM file has no suffix."""
    contents: dict[str, bytes] = {}
    for seed in range(5):
        stored = _values(seed)
        dataset = dicom_files.radiograph(stored, BitsStored=12, WindowCenter=2000, WindowWidth=2700)
        contents[f"{seed}.png"] = cv2.imencode(".png", stored)[1].tobytes()
        contents[f"{seed}.jpeg"] = cv2.imencode(".jpeg", (stored >> 4).astype(np.uint8))[1].tobytes()
        contents[f"{seed}.dcm"] = dicom_files.encoded(dataset)
        contents[f"IM{seed}"] = dicom_files.compressed(dataset, "JPEGLosslessSV1", tmp_path)
    return contents


def test_the_cache_holds_what_the_decoder_gives(mixed: dict[str, bytes], tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, mixed)
    cache = open_pixel_cache(manifest, SETTINGS, cache_dir=tmp_path / "cache", workers=2, show_progress=False)
    for name, row in zip(mixed, cache.rows_of(manifest)):
        np.testing.assert_array_equal(cache.images[row], decode_and_resize(mixed[name], SETTINGS), err_msg=name)
    rows = dict(zip(mixed, cache.rows_of(manifest)))
    np.testing.assert_array_equal(cache.images[rows["3.dcm"]], cache.images[rows["IM3"]])
    assert np.abs(cache.images[rows["3.dcm"]].astype(int) - cache.images[rows["4.dcm"]]).mean() > 5


def test_bad_dicom_stops_the_cache_in_words_and_costs_no_other_file(
    mixed: dict[str, bytes], dicom_files: ModuleType, tmp_path: Path
) -> None:
    frames = dicom_files.encoded(dicom_files.radiograph(_values(9), NumberOfFrames=3))
    manifest = _manifest(tmp_path, {**mixed, "frames.dcm": frames})
    with pytest.raises(ValueError, match=r"1 of 21 images .*\n  frames\.dcm: .*it has 3 frames") as caught:
        open_pixel_cache(manifest, SETTINGS, cache_dir=tmp_path / "cache", workers=2, show_progress=False)
    assert not any(secret in str(caught.value) for secret in dicom_files.SECRETS.values())


def test_headers_tell_the_size_of_dicom(mixed: dict[str, bytes]) -> None:
    assert read_header(mixed["0.dcm"]) == read_header(mixed["IM0"]) == ("dicom", 84, 62, "")


def test_good_dicom_passes_the_check(mixed: dict[str, bytes], tmp_path: Path) -> None:
    assert check_images(_manifest(tmp_path, mixed), workers=2, show_progress=False).empty


def test_each_bad_dicom_is_found_with_its_reason(dicom_files: ModuleType, tmp_path: Path) -> None:
    stored = _values(1)
    plain = dicom_files.encoded(dicom_files.radiograph(stored))
    packed = dicom_files.compressed(dicom_files.radiograph((stored >> 4).astype(np.uint8)), "JPEGLosslessSV1", tmp_path)
    middle = len(packed) // 2
    bad = {
        "constant.dcm": (dicom_files.encoded(dicom_files.radiograph(np.full((64, 64), 257 * 9, np.uint16))), "constant: every pixel is 9"),
        "cut.dcm": (plain[:-100], "unreadable: the pixels of the DICOM file cannot be decoded"),
        "cut_packed.dcm": (packed[:-100], "unsupported: the DICOM file is cut short"),
        "hole.dcm": (packed[:middle] + bytes(300) + packed[middle + 300 :], "damaged: Corrupt JPEG data"),
        "report.dcm": (
            dicom_files.encoded(dicom_files.radiograph(stored, Rows=None, Columns=None, PixelData=None, Modality="SR")),
            "unsupported: the DICOM file holds no image",
        ),
        "tiny.dcm": (dicom_files.encoded(dicom_files.radiograph(stored[:20].copy())), "tiny: 84x20 pixels"),
        "huge.dcm": (dicom_files.encoded(dicom_files.radiograph(stored, Rows=60_000, Columns=60_000)), "huge: 60000x60000 pixels"),
    }
    manifest = _manifest(tmp_path, {"good.dcm": plain, **{name: contents for name, (contents, _) in bad.items()}})
    found = check_images(manifest, workers=2, show_progress=False).set_index("image_id")["reason"]
    assert sorted(found.index) == sorted(bad)
    for name, (_, reason) in bad.items():
        assert found[name].startswith(reason), found[name]
    assert not any(secret in "".join(found) for secret in dicom_files.SECRETS.values())


def test_a_table_of_files_may_name_dicom(mixed: dict[str, bytes], tmp_path: Path) -> None:
    _manifest(tmp_path, mixed)
    table = pd.DataFrame({"path": ["0.dcm", "IM1", "2.png"], "label": ["normal", "pneumonia", "normal"], "patient_id": ["a", "b", "c"]})
    table.to_csv(tmp_path / "table.csv", index=False)
    manifest = build_manifest([f"manifest_csv:{tmp_path / 'table.csv'}"], show_progress=False)
    assert list(manifest["width"]) == [84, 84, 84] and list(manifest["height"]) == [62, 62, 62]
