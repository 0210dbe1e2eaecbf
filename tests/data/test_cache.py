"""The pixel cache: right pixels, made once, by two processes at a time, continued after a kill."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from cxr_keras.data import cache as cache_module
from cxr_keras.data import decode_files as decode_files_module
from cxr_keras.data.cache import open_pixel_cache
from cxr_keras.pixels.decode import DecodeSettings, decode_and_resize
from cxr_keras.runs.files import file_sha256

SETTINGS = DecodeSettings(16, 20)


@pytest.fixture
def manifest(tmp_path: Path) -> pd.DataFrame:
    """Seven images, the last a byte-identical copy of the first."""
    rows = []
    for number in range(7):
        path = tmp_path / "images" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number % 6).integers(0, 256, (30, 40), dtype=np.uint8)
        cv2.imwrite(str(path), pixels)
        rows.append((f"image{number}", str(path), file_sha256(path)))
    return pd.DataFrame(rows, columns=["image_id", "path", "sha256"])


def _open(manifest: pd.DataFrame, folder: Path, settings: DecodeSettings = SETTINGS) -> cache_module.PixelCache:
    return open_pixel_cache(manifest, settings, cache_dir=folder, workers=2, show_progress=False)


@pytest.fixture
def files_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every file that is read is hashed once; these are their paths."""
    read: list[str] = []

    def hashed(path: str) -> str:
        read.append(path)
        return file_sha256(path)

    monkeypatch.setattr(decode_files_module, "file_sha256", hashed)
    return read


def test_holds_what_the_decoder_gives_and_is_reused(manifest: pd.DataFrame, tmp_path: Path, files_read: list[str]) -> None:
    made = _open(manifest, tmp_path / "cache")
    assert not made.reused and len(files_read) == 6
    assert made.images.shape == (6, 16, 20, 1) and made.images.dtype == np.uint8
    assert isinstance(made.images, np.memmap) and not made.images.flags.writeable
    rows = made.rows_of(manifest)
    assert rows.dtype == np.int64 and rows[0] == rows[6] and len(set(rows)) == 6
    for row, path in zip(rows, manifest["path"], strict=True):
        np.testing.assert_array_equal(made.images[row], decode_and_resize(Path(path).read_bytes(), SETTINGS))
    shuffled = manifest.sample(frac=1, random_state=1)
    again = _open(shuffled, tmp_path / "cache")
    assert again.reused and again.key == made.key and len(files_read) == 6
    np.testing.assert_array_equal(again.rows_of(shuffled), pd.Series(rows, manifest.index)[shuffled.index])
    assert sorted(path.name for path in (tmp_path / "cache" / made.key).iterdir()) == ["contents.json", "digests.npy", "pixels.npy"]


def test_other_settings_or_contents_are_another_cache(manifest: pd.DataFrame, tmp_path: Path, files_read: list[str]) -> None:
    whole = _open(manifest, tmp_path)
    assert _open(manifest, tmp_path, DecodeSettings(16, 20, resize="pad")).key != whole.key
    assert len(files_read) == 12
    part = _open(manifest.iloc[1:4], tmp_path)
    assert part.key != whole.key and not part.reused
    assert len(files_read) == 12, "pictures of another cache with the same settings are taken over"
    np.testing.assert_array_equal(part.images[part.rows_of(manifest[1:4])], whole.images[whole.rows_of(manifest[1:4])])
    with pytest.raises(ValueError, match=r"4 of 7 images are not in the pixel cache .*'image0'"):
        part.rows_of(manifest)


def test_bad_files_stop_it_and_the_good_ones_are_kept(manifest: pd.DataFrame, tmp_path: Path, files_read: list[str]) -> None:
    paths = [Path(path) for path in manifest["path"]]
    before = [path.read_bytes() for path in paths]
    paths[1].unlink()
    paths[2].write_bytes(before[3])
    with pytest.raises(ValueError, match="2 of 6 images could not be read") as stop:
        _open(manifest, tmp_path / "cache")
    message = str(stop.value)
    assert f"image1: {paths[1]} cannot be opened (No such file" in message
    assert f"image2: {paths[2]} is no longer the file of the manifest" in message
    assert "the same command then continues" in message
    assert len(files_read) == 6
    paths[1].write_bytes(before[1])
    paths[2].write_bytes(before[2])
    assert len(_open(manifest, tmp_path / "cache").images) == 6
    assert len(files_read) == 8, "only the two mended files were decoded by the second call"


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "report.jpeg"
    path.write_text("a report")
    table = pd.DataFrame({"image_id": ["x"], "path": [str(path)], "sha256": [file_sha256(path)]})
    with pytest.raises(ValueError, match=r"x: .*report\.jpeg: .*neither JPEG, PNG nor DICOM"):
        _open(table, tmp_path / "cache")
    with pytest.raises(ValueError, match="no images"):
        _open(table[:0], tmp_path / "cache")


def test_a_full_disk_is_noticed_before_the_first_file(
    manifest: pd.DataFrame, tmp_path: Path, files_read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="make room") as stop:
        _open(manifest, tmp_path / "cache")
    assert stop.value.errno == errno.ENOSPC and not files_read
    monkeypatch.undo()
    assert len(_open(manifest, tmp_path / "cache").images) == 6


def test_a_damaged_cache_is_refused(manifest: pd.DataFrame, tmp_path: Path) -> None:
    made = _open(manifest, tmp_path)
    pixels = tmp_path / made.key / "pixels.npy"
    os.truncate(pixels, 500)
    with pytest.raises(ValueError, match=r"pixel cache .* is damaged .* remove that folder"):
        _open(manifest, tmp_path)
    np.save(pixels, np.zeros((2, 16, 20, 1), np.uint8))
    with pytest.raises(ValueError, match=r"\(2, 16, 20, 1\) where uint8 \(6, 16, 20, 1\) was expected"):
        _open(manifest, tmp_path)


def test_damaged_digests_of_a_cache_are_not_shared_from(manifest: pd.DataFrame, tmp_path: Path) -> None:
    some = _open(manifest.head(3), tmp_path)
    (tmp_path / some.key / "digests.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"pixel cache .*{some.key} is damaged .* remove that folder"):
        _open(manifest, tmp_path)


BUILDER = """
import pathlib, sys, time
import numpy as np, pandas as pd
from cxr_keras.data import cache, decode_files
from cxr_keras.pixels.decode import DecodeSettings
table, folder, role = pd.read_csv(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
digest, count = decode_files.file_sha256, 0
cache._ROWS_PER_FLUSH = 1
def counted(path):
    global count
    count += 1
    if role == "killed" and count > 2:
        time.sleep(600)
    return digest(path)
decode_files.file_sha256 = counted
if role == "waiting":
    while not any(np.load(marks).sum() == 2 for marks in folder.glob("*.partial/done.npy")):
        time.sleep(0.02)
made = cache.open_pixel_cache(table, DecodeSettings(16, 20), cache_dir=folder, workers=1, show_progress=role == "waiting")
print(made.reused, count, int(made.images.sum()), flush=True)
"""


def _start(table: Path, folder: Path, role: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILDER, str(table), str(folder), role]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)


def test_two_processes_at_once_and_a_kill(manifest: pd.DataFrame, tmp_path: Path) -> None:
    """The first is killed after two images while the second waits for its lock: the second decodes the other four."""
    table, folder = tmp_path / "manifest.csv", tmp_path / "cache"
    manifest.to_csv(table, index=False)
    first, second = _start(table, folder, "killed"), _start(table, folder, "waiting")
    try:
        assert second.stdout is not None
        assert "another process is decoding these images" in second.stdout.readline()
        first.kill()
        output, _ = second.communicate(timeout=60)
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()
    expected = _open(manifest, tmp_path / "other")
    assert output.split() == ["False", "4", str(int(expected.images.sum()))]
    assert _open(manifest, folder).reused
    assert not list(folder.glob("*.partial"))
