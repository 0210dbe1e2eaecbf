"""The store's files: found by their settings, damage named, rows read in any order."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from cxr_keras.features.shards import INDEX_FILE, index_is_current, write_index, write_shard
from cxr_keras.features.store import check_disk_space, free_shard_paths, name_pictures, open_store, store_folder

SETTINGS = {
    "architecture": "mini_vgg",
    "layer": "features",
    "dimensions": 5,
    "weights_sha256": "a" * 64,
    "decode": {"height": 8, "clahe": None},
}
VARIATION = {"seed": 3, "augmentation": {"zoom": [1, 2]}}


def _table(first: int, count: int, copies: tuple[int, ...] = (0,)) -> pd.DataFrame:
    rows = [
        (f"bild-ä{number}", "normal", f"patient{number // 2}", hashlib.sha256(str(number).encode()).hexdigest(), copy)
        for number, copy in itertools.product(range(first, first + count), copies)
    ]
    table = pd.DataFrame(rows, columns=["image_id", "label", "group_id", "sha256", "copy"])
    return table.assign(picture=name_pictures(table, table["copy"].to_numpy(), VARIATION))


def _values(table: pd.DataFrame) -> np.ndarray:
    """Features that a row can be recognised by."""
    return np.array([[int(picture[:6], 16) + column for column in range(5)] for picture in table["picture"]], np.float32)


def _write(root: Path, table: pd.DataFrame, settings: dict = SETTINGS) -> Path:
    path = next(free_shard_paths(store_folder(root, settings)))
    with write_shard(path, table, settings=settings, variation=VARIATION) as features:
        features[:] = _values(table)
    return path


def test_rows_are_found_by_picture_and_read_in_any_order(tmp_path: Path) -> None:
    parts = [_table(0, 40), _table(40, 7), _table(10, 6, copies=(1, 2))]
    for part in parts:
        _write(tmp_path, part)
    store = open_store(tmp_path, SETTINGS, variation=VARIATION)
    everything = pd.concat(parts)
    assert len(store) == 59 and store.dimensions == 5
    shuffled = everything.sample(frac=1, random_state=2)
    rows = store.rows_of(shuffled, shuffled["copy"].to_numpy())
    assert rows.dtype == np.int64 and sorted(rows) == list(range(59))
    np.testing.assert_array_equal(store.read(rows), _values(shuffled))
    np.testing.assert_array_equal(store.read(np.array([45, 2, 2, 45])), _values(everything.iloc[[45, 2, 2, 45]]))
    assert store.read(np.array([], np.int64)).shape == (0, 5)


def test_wrong_questions_are_answered_with_what_is_there(tmp_path: Path) -> None:
    _write(tmp_path, _table(0, 4))
    store = open_store(tmp_path, SETTINGS)
    with pytest.raises(ValueError, match=r"features of 2 of 5 images are not in .*'bild-ä4'"):
        store.rows_of(_table(1, 5))
    with pytest.raises(ValueError, match="no variation says how they differ"):
        store.rows_of(_table(0, 2), np.array([0, 1]))
    with pytest.raises(ValueError, match="1 numbers of copies for 2 images"):
        store.rows_of(_table(0, 2), np.array([0]))
    varied = open_store(tmp_path, SETTINGS, variation=VARIATION)
    with pytest.raises(ValueError, match="copy 1 of 'bild-ä1'"):
        varied.rows_of(_table(0, 2), np.array([0, 1]))
    with pytest.raises(ValueError, match="between -1 and 9; the store has the rows 0 to 3"):
        store.read(np.array([-1, 9]))
    assert open_store(tmp_path, {**SETTINGS, "layer": "embedding"}).find(np.array([b"x"])).tolist() == [-1]


def test_copies_depend_on_image_and_variation_and_originals_on_their_bytes_alone() -> None:
    table = _table(0, 1).iloc[[0, 0]].assign(image_id=["a", "b"])
    originals = name_pictures(table, np.array([0, 0]), None)
    assert originals[0] == originals[1] == table["sha256"].iloc[0].encode()
    one, two = name_pictures(table, np.array([1, 2]), VARIATION), name_pictures(table, np.array([1, 1]), {**VARIATION, "seed": 4})
    assert len({*originals, *one, *two}) == 5


def test_shards_carry_settings_and_columns(tmp_path: Path) -> None:
    path = _write(tmp_path, _table(0, 3, copies=(0, 1)))
    plain = _write(tmp_path, _table(5, 3))
    with h5py.File(path) as file:
        assert file["image_id"].asstr()[:].tolist() == ["bild-ä0", "bild-ä0", "bild-ä1", "bild-ä1", "bild-ä2", "bild-ä2"]
        assert file["group_id"].asstr()[2] == "patient0" and file["label"].asstr()[0] == "normal"
        assert file["copy"][:].tolist() == [0, 1] * 3
        assert file.attrs["layer"] == "features" and file.attrs["dimensions"] == 5
        assert json.loads(file.attrs["decode"]) == SETTINGS["decode"]
        assert json.loads(file.attrs["variation"]) == VARIATION
    with h5py.File(plain) as file:
        assert file.attrs["variation"] == ""


def test_files_of_other_settings_are_refused(tmp_path: Path) -> None:
    other = {**SETTINGS, "weights_sha256": "b" * 64, "layer": "embedding"}
    stray = _write(tmp_path, _table(0, 3), other)
    path = _write(tmp_path, _table(0, 3))
    assert stray.parent != path.parent
    shutil.copy(stray, path.parent / "rows-000007.h5")
    with pytest.raises(
        ValueError, match=r"rows-000007.h5 .*layer is 'embedding' there and 'features' here; weights_sha256 is 'bbb.*remove it"
    ):
        open_store(tmp_path, SETTINGS)


def test_damaged_files_are_all_named(tmp_path: Path) -> None:
    paths = [_write(tmp_path, _table(first, 20)) for first in (0, 20, 40)]
    os.truncate(paths[0], 500)
    paths[2].write_bytes(b"no HDF5 at all")
    with pytest.raises(ValueError, match=r"(?s)rows-000000.h5 is damaged .*Remove that file.*rows-000002.h5 is damaged") as stop:
        open_store(tmp_path, SETTINGS)
    assert "rows-000001.h5" not in str(stop.value)
    for path in (paths[0], paths[2]):
        path.unlink()
    assert len(open_store(tmp_path, SETTINGS)) == 20
    assert _write(tmp_path, _table(0, 20)) == paths[0], "the number of a removed file is used again"


@pytest.mark.parametrize("dataset", ["features", "picture"])
def test_a_flipped_bit_is_noticed(tmp_path: Path, dataset: str) -> None:
    table = _table(0, 20)
    path = _write(tmp_path, table)
    needle = _values(table)[3].tobytes() if dataset == "features" else table["picture"].iloc[3]
    contents = bytearray(path.read_bytes())
    place = contents.rindex(needle) if dataset == "features" else contents.index(needle)
    for position in (place, *([contents.index(needle, place + 1)] if dataset == "picture" else [])):
        contents[position] ^= 1
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=r"rows-000000.h5 is damaged .*Remove that file"):
        store = open_store(tmp_path, SETTINGS)
        store.read(store.rows_of(table))


def test_no_flipped_byte_gives_other_numbers(tmp_path: Path) -> None:
    table = _table(0, 20)
    path = _write(tmp_path, table)
    whole, seen = path.read_bytes(), {"refused": 0, "harmless": 0}
    for position in range(0, len(whole), 31):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            store = open_store(tmp_path, SETTINGS)
            found = store.read(store.rows_of(table))
        except ValueError as error:
            assert str(path) in str(error)
            seen["refused"] += 1
        else:  # a byte that means nothing here, or belongs to a column that only other programs read
            np.testing.assert_array_equal(found, _values(table))
            seen["harmless"] += 1
    assert min(seen.values()) > 0


def test_rows_that_were_never_written_are_damage(tmp_path: Path) -> None:
    table = _table(0, 4)
    path = next(free_shard_paths(store_folder(tmp_path, SETTINGS)))
    with write_shard(path, table, settings=SETTINGS, variation=None) as features:
        features[:3] = _values(table)[:3]
    store = open_store(tmp_path, SETTINGS)
    np.testing.assert_array_equal(store.read(np.arange(3)), _values(table)[:3])
    with pytest.raises(ValueError, match="rows-000000.h5 is damaged .*rows 0 to 3 were never written"):
        store.read(np.arange(4))


def test_the_index_shows_all_shards_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [_table(0, 6), _table(6, 3)]
    for part in parts:
        _write(tmp_path, part)
    store = open_store(tmp_path, SETTINGS)
    assert not index_is_current(store.folder, store.shards)
    write_index(store.folder, store.shards, SETTINGS)
    assert index_is_current(store.folder, store.shards)
    monkeypatch.chdir("/")
    with h5py.File(store.folder / INDEX_FILE) as file:
        np.testing.assert_array_equal(file["features"][:], _values(pd.concat(parts)))
        assert file["image_id"].asstr()[:].tolist() == [f"bild-ä{number}" for number in range(9)]
        assert file["shard_rows"][:].tolist() == [6, 3] and file.attrs["weights_sha256"] == "a" * 64
    added = _write(tmp_path, _table(9, 1))
    assert not index_is_current(store.folder, open_store(tmp_path, SETTINGS).shards)
    added.unlink()
    assert index_is_current(store.folder, store.shards)
    store.shards[0].path.unlink()
    _write(tmp_path, _table(20, 6))  # as many rows of other pictures, under the same name
    assert not index_is_current(store.folder, open_store(tmp_path, SETTINGS).shards)
    store.shards[1].path.unlink()
    with h5py.File(store.folder / INDEX_FILE) as file:
        assert np.isnan(file["features"][6:]).all() and np.isfinite(file["features"][:6]).all()


def test_a_failed_shard_leaves_nothing(tmp_path: Path) -> None:
    folder = store_folder(tmp_path, SETTINGS)
    with (
        pytest.raises(OSError, match="make room") as stop,
        write_shard(folder / "rows-000000.h5", _table(0, 2), settings=SETTINGS, variation=None),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert stop.value.errno == errno.ENOSPC and not list(folder.iterdir())


def test_space_is_looked_at_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(10**12, 0, 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    check_disk_space(tmp_path, rows=9_000, dimensions=25088)
    with pytest.raises(OSError, match=r"need 1\.01 GB and 1\.00 GB are free; make room") as stop:
        check_disk_space(tmp_path, rows=10_000, dimensions=25088)
    assert stop.value.errno == errno.ENOSPC


def test_settings_name_the_folder(tmp_path: Path) -> None:
    folder = store_folder(tmp_path, SETTINGS)
    assert folder.name.startswith("mini_vgg-features-")
    assert store_folder(tmp_path, dict(reversed(SETTINGS.items()))) == folder
    for changed in ({"decode": {"height": 9, "clahe": None}}, {"weights_sha256": "c" * 64}, {"precision": "mixed_bfloat16"}):
        assert store_folder(tmp_path, {**SETTINGS, **changed}) != folder
