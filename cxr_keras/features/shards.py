"""The HDF5 files of a feature store: shards of rows, each written once and whole, and the index that joins them.

A shard holds `features` float32 (n, d) and one value a row of `image_id`, `label`, `group_id`, `sha256`, `copy` and `picture`; what the
numbers were made with stands in its attributes. The data carry HDF5's Fletcher-32 checksum, and the file is of the format of HDF5 1.10, in
which what says where the data lie has checksums too (that of h5py's default has none); rows that are found nowhere read as NaN. So a
flipped bit is an error on reading and not another number.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from cxr_keras.runs.files import write_atomically

INDEX_FILE = "features.h5"
SHARD_PATTERN = "rows-*.h5"
TEXT_COLUMNS = ("image_id", "label", "group_id", "sha256", "picture")
COLUMNS = (*TEXT_COLUMNS[:-1], "copy", "picture")

_CHUNK_BYTES = 32 * 1024
"""A chunk is read and checked as a whole, so it is one row, or as many short ones as fit here. Contiguous data would have no checksum."""

_FORMAT = ("v110", "v110")
"""Lowest and highest version of HDF5 that the files are for: the first with checksums of all metadata."""

# What h5py makes of damage, by where it lies; UnicodeDecodeError and json's are ValueErrors.
_DAMAGE = (OSError, KeyError, TypeError, ValueError, RuntimeError)

_MEND = "Remove that file; the same command computes its rows again and keeps all others."


@dataclass(frozen=True)
class Shard:
    """One file of rows.

    Attributes:
        path: the file.
        pictures: bytes (n,), what each row shows, see `name_pictures`.
    """

    path: Path
    pictures: np.ndarray

    def __len__(self) -> int:
        return len(self.pictures)


@contextlib.contextmanager
def write_shard(
    path: Path, rows: pd.DataFrame, *, settings: Mapping[str, Any], variation: Mapping[str, Any] | None
) -> Iterator[h5py.Dataset]:
    """Give the features of a new shard to be filled; at the end the file appears under `path`, whole or not at all.

    Args:
        path: name of the shard.
        rows: a table with `COLUMNS`, a row each.
        settings: what the numbers are made with; `dimensions` is their count d a row.
        variation: how the copies among the rows are made.

    Yields:
        The dataset `features`, float32 (n, d); every row must be written.

    Raises:
        OSError: the disk is full (`ENOSPC`); the shards that are there stay.
    """
    count, dimensions = len(rows), settings["dimensions"]
    try:
        # No chunk cache: whole chunks are written, so it would only cost memory.
        with write_atomically(path) as temporary, h5py.File(temporary, "w", rdcc_nbytes=0, libver=_FORMAT) as file:
            _set_attributes(file, settings)
            file.attrs["variation"] = json.dumps(variation, sort_keys=True) if rows["copy"].any() else ""
            _write_columns(file, rows)
            chunk = (min(count, max(1, _CHUNK_BYTES // (4 * dimensions))), dimensions)
            yield file.create_dataset("features", (count, dimensions), "float32", chunks=chunk, fletcher32=True, fillvalue=np.nan)
    except OSError as error:
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            raise OSError(
                errno.ENOSPC,
                "the disk is full; make room or set CXR_CACHE to another disk. What is computed stays, the same command continues",
                str(path.parent),
            ) from error
        raise


def read_shard(path: Path, settings: Mapping[str, Any]) -> Shard:
    """Read which rows a shard holds.

    Raises:
        ValueError: the file is damaged, or its features were made with other settings; the message names what differs.
    """
    with open_checked(path) as file:
        differences = [
            f"{name} is {found!r} there and {wanted!r} here"
            for name, wanted in _as_attributes(settings).items()
            if (found := _plain(file.attrs.get(name))) != wanted
        ]
        pictures = file["picture"][:]
        shape, kind = file["features"].shape, file["features"].dtype
    if differences:
        raise ValueError(
            f"{path} holds features that were made otherwise: {'; '.join(differences)}. It came from elsewhere; move it back there or "
            "remove it."
        )
    expected = (len(pictures), settings["dimensions"])
    if shape != expected or kind != np.float32:
        raise ValueError(f"{path} holds {kind} {shape} where float32 {expected} was expected. {_MEND}")
    return Shard(path, pictures)


def read_features(shard: Shard, rows: np.ndarray, out: np.ndarray, places: np.ndarray) -> None:
    """Copy rows of a shard to places of an array.

    Args:
        shard: where from.
        rows: int64 (n,), rows of the shard, ascending.
        out: float32 (m, d), C-contiguous; filled at `places`.
        places: int64 (n,), rows of `out`.

    Raises:
        ValueError: the file is damaged.
    """
    # Stretches that are contiguous in both are read at once: HDF5 needs 0.1 ms a row for single rows of 100 kB, and ten times that
    # for a list of rows (`dataset[[1, 5, 7]]`).
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(places) != 1)) + 1
    starts, ends = [0, *breaks.tolist()], [*breaks.tolist(), len(rows)]
    with open_checked(shard.path) as file:
        features = file["features"]
        for start, end in zip(starts, ends, strict=True):
            row, place, length = int(rows[start]), int(places[start]), end - start
            features.read_direct(out, np.s_[row : row + length], np.s_[place : place + length])
            if np.isnan(out[place : place + length]).any():
                raise ValueError(f"rows {row} to {row + length - 1} were never written")


@contextlib.contextmanager
def open_checked(path: Path) -> Iterator[h5py.File]:
    """Open a shard to read; what HDF5 finds wrong, at once or while it reads, becomes a ValueError that names the file."""
    try:
        with h5py.File(path, "r", rdcc_nbytes=0) as file:
            yield file
    except PermissionError:
        raise
    except _DAMAGE as error:
        raise ValueError(f"{path} is damaged or cut short ({error}). {_MEND}") from error


def write_index(folder: Path, shards: Sequence[Shard], settings: Mapping[str, Any]) -> None:
    """Write the file that shows all shards as one: `features` is virtual, the other columns are copies.

    For other programs. Rows of a shard that is gone read as NaN there.
    """
    counts = [len(shard) for shard in shards]
    total, dimensions = sum(counts), settings["dimensions"]
    layout = h5py.VirtualLayout((total, dimensions), "float32")
    first = 0
    for shard, count in zip(shards, counts, strict=True):
        layout[first : first + count] = h5py.VirtualSource(shard.path.name, "features", (count, dimensions))
        first += count
    with write_atomically(folder / INDEX_FILE) as temporary, h5py.File(temporary, "w", libver=_FORMAT) as file:
        _set_attributes(file, settings)
        file.create_virtual_dataset("features", layout, fillvalue=np.nan)
        for name in COLUMNS:  # one after another, as the texts of 100,000 images take 40 MB
            _write_column(file, name, np.concatenate([_read_column(shard, name) for shard in shards]))
        _write_column(file, "shard", np.array([shard.path.name.encode() for shard in shards]))
        _write_column(file, "shard_pictures", np.array([_digest(shard) for shard in shards]))
        _write_column(file, "shard_rows", np.array(counts, np.int64))


def _read_column(shard: Shard, name: str) -> np.ndarray:
    with open_checked(shard.path) as file:
        return file[name][:]


def index_is_current(folder: Path, shards: Sequence[Shard]) -> bool:
    """Whether the index joins just these shards, with these pictures."""
    try:
        with h5py.File(folder / INDEX_FILE, "r") as file:
            names, digests = file["shard"][:], file["shard_pictures"][:]
    except _DAMAGE:
        return False
    return names.tolist() == [shard.path.name.encode() for shard in shards] and digests.tolist() == [_digest(shard) for shard in shards]


def _digest(shard: Shard) -> bytes:
    return hashlib.sha256(b"\n".join(shard.pictures.tolist())).hexdigest().encode()


def _write_columns(file: h5py.File, rows: pd.DataFrame) -> None:
    for name in TEXT_COLUMNS:
        _write_column(file, name, np.array([value if isinstance(value, bytes) else str(value).encode() for value in rows[name]]))
    _write_column(file, "copy", rows["copy"].to_numpy(np.int64))


def _write_column(file: h5py.File, name: str, values: np.ndarray) -> None:
    """Write numbers, or UTF-8 texts, padded to the longest: texts of free length lie outside what the checksum covers."""
    kind = h5py.string_dtype("utf-8", values.dtype.itemsize) if values.dtype.kind == "S" else values.dtype
    file.create_dataset(name, data=values.view(kind), chunks=values.shape, fletcher32=True)


def _set_attributes(file: h5py.File, settings: Mapping[str, Any]) -> None:
    for name, value in _as_attributes(settings).items():
        file.attrs[name] = value


def _as_attributes(settings: Mapping[str, Any]) -> dict[str, str | int]:
    """Settings as attributes: texts and whole numbers as they are, everything else as JSON."""
    return {
        name: value if isinstance(value, str | int) and not isinstance(value, bool) else json.dumps(value, sort_keys=True)
        for name, value in settings.items()
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
