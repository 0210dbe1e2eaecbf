"""Gross faults are flagged, and no real radiograph is."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from cxr_keras.data.phantom import generate_phantom
from cxr_keras.data.sources import build_manifest
from cxr_keras.pixels.quality import FLAGS, flag_file, flag_grey


def _chest(size: tuple[int, int] = (120, 140)) -> np.ndarray:
    """A light middle, darker lungs, black air: what the rules look at."""
    rows, columns = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    body = 170 * np.exp(-((columns / 0.75) ** 4) - ((rows - 0.4) / 1.2) ** 4)
    lungs = 110 * (
        np.exp(-(((columns - 0.4) / 0.22) ** 2) - (rows / 0.6) ** 2) + np.exp(-(((columns + 0.4) / 0.22) ** 2) - (rows / 0.6) ** 2)
    )
    noise = np.random.default_rng(0).normal(0, 3, size)
    return np.clip(body - lungs + noise + 10, 0, 255).astype(np.float32)


def _page() -> np.ndarray:
    page = np.full((400, 300), 255, np.uint8)
    for line in range(30, 400, 18):
        cv2.putText(page, "Findings: no consolidation", (12, line), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 0, 1, cv2.LINE_AA)
    return page


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def test_a_chest_has_no_flag() -> None:
    assert flag_grey(_chest()) == {} and flag_grey(_chest()[..., np.newaxis]) == {}
    assert flag_file(_png(_chest().astype(np.uint8))) == {}


def _gradient() -> np.ndarray:
    return np.tile(np.linspace(100, 112, 200, dtype=np.float32), (200, 1))


def _drawing() -> np.ndarray:
    drawing = np.zeros((200, 200), np.uint8)
    return cv2.putText(drawing, "L", (80, 120), cv2.FONT_HERSHEY_SIMPLEX, 3, 200, 8)


@pytest.mark.parametrize(
    ("picture", "flags", "words"),
    [
        (255 - _chest(), {"inverted"}, "the middle is 1.. grey levels darker"),
        (_chest((63, 80)), {"small"}, "80×63 pixels, at least 64 a side"),
        (_chest((70, 360)), {"strip"}, "360×70 pixels, no chest has this shape"),
        (np.full((200, 200), 7, np.uint8), {"blank"}, "between the grey levels 7 and 7"),
        (_gradient(), {"blank"}, "between the grey levels 100 and 112"),
        (_drawing(), {"flat"}, "one grey level fills 9.% of the picture"),
        (_page(), {"page"}, ".*% of the picture is white"),
    ],
    ids=["inverted", "small", "strip", "constant", "gradient", "drawing", "page"],
)
def test_each_fault_is_flagged(picture: np.ndarray, flags: set[str], words: str) -> None:
    found = flag_grey(picture)
    assert flags <= set(found) <= set(FLAGS), found
    assert re.search(words, found[next(iter(flags))])
    if "page" not in flags and "flat" not in flags:
        assert set(found) == flags


def test_colour_photographs_are_flagged_by_their_colours() -> None:
    for photograph in load_sample_images().images:
        assert "colour" in flag_file(cv2.imencode(".jpeg", photograph[..., ::-1])[1].tobytes())
    assert "colour" not in flag_file(_png(np.dstack([_chest().astype(np.uint8)] * 3)))


def test_dicom_is_flagged_by_its_polarity(dicom_files: ModuleType) -> None:
    stored = (_chest() * 16).astype(np.uint16)
    assert flag_file(dicom_files.encoded(dicom_files.radiograph(stored, BitsStored=12))) == {}
    right = dicom_files.radiograph(4095 - stored, BitsStored=12, PhotometricInterpretation="MONOCHROME1")
    assert flag_file(dicom_files.encoded(right)) == {}
    wrong = dicom_files.radiograph(4095 - stored, BitsStored=12)
    assert set(flag_file(dicom_files.encoded(wrong))) == {"inverted"}


def test_phantoms_have_no_flag(tmp_path: Path) -> None:
    generate_phantom(tmp_path / "set", patients_per_class=4, image_size=96, labels="binary")
    paths = build_manifest([f"phantom:{tmp_path / 'set'}"], show_progress=False)["path"]
    assert len(paths) >= 8 and not [flags for path in paths if (flags := flag_file(Path(path).read_bytes()))]


def test_other_shapes_and_files_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the shape \(8, 8, 3\); expected"):
        flag_grey(np.zeros((8, 8, 3)))
    with pytest.raises(ValueError, match="neither JPEG, PNG nor DICOM"):
        flag_file(b"text")


def _real_files(real_data: Path, step: int) -> list[Path]:
    files = [path for name in ("kermany224", "covid224", "kermany_fullsize") for path in (real_data / name).rglob("*.jp*g")]
    return sorted(files)[::step]


def test_no_real_radiograph_is_flagged(real_data: Path) -> None:
    """A tenth of them, to stay within seconds; all 6,091 were measured, see `cxr_keras/pixels/quality.py`."""
    files = _real_files(real_data, 10)
    assert len(files) > 600
    assert not {path.name: flags for path in files if (flags := flag_file(path.read_bytes()))}


def test_inverted_real_radiographs_are_found(real_data: Path) -> None:
    files = _real_files(real_data, 10)
    hits: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for path in files:
        name = path.relative_to(real_data).parts[0]
        counts[name] += 1
        hits[name] += "inverted" in flag_grey(255 - cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    assert hits["kermany224"] / counts["kermany224"] > 0.985
    assert hits["kermany_fullsize"] == counts["kermany_fullsize"] and hits["covid224"] / counts["covid224"] > 0.5
