"""A feature store: rows of features by picture, found by what they were made with.

A store is a folder named after its contents' origin, `<root>/<architecture>-<layer>-<hash>/`, where the hash covers weights, layers, layer
taken, image size, decode settings, crop, precision and versions. It holds shards `rows-000000.h5` and so on, which appear by rename and
never change, and `features.h5`, which shows them as one to other programs. The shards alone are the truth: which rows are there
is read from them, so nothing can disagree with them after a kill, and a damaged one may simply be removed.

A row belongs to a picture: an image file by its SHA-256, or an augmented copy of it, which also depends on the image's id and
on how copies are varied. So runs that expand classes share the originals' rows with runs that do not.

Two processes that need the same rows: the second waits for the first through `fcntl.flock`, which the kernel drops with the process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxr_keras.features.shards import SHARD_PATTERN, Shard, read_features, read_shard

FORMAT = 2
"""Part of every key; to be raised when stored features change for the same settings."""


@dataclass(frozen=True)
class FeatureStore:
    """Stored features, a row for each picture, read from disk when asked for.

    Attributes:
        folder: where they lie.
        settings: what they were made with; `dimensions` is the number d of features a row.
        variation: how augmented copies are made, or None where only originals are looked up.
        shards: the files in the order of the rows.
        starts: int64 (shards + 1,), the first row of each shard, and the number of all rows.
        pictures: bytes (n,), what each row shows, of which the shards' are views.
        ascending: int64 (n,), the rows by ascending picture.
        reused: how many of the rows that the last extraction wanted were there already.
        wanted: how many rows that were.
    """

    folder: Path
    settings: Mapping[str, Any]
    variation: Mapping[str, Any] | None
    shards: tuple[Shard, ...]
    starts: np.ndarray
    pictures: np.ndarray
    ascending: np.ndarray
    reused: int = 0
    wanted: int = 0

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features a row, as an array has them."""
        return len(self), self.dimensions

    @property
    def dimensions(self) -> int:
        """Number of features a row."""
        return int(self.settings["dimensions"])

    def find(self, pictures: np.ndarray) -> np.ndarray:
        """Give the row of each picture, -1 where it is not stored.

        Args:
            pictures: bytes (n,), of `name_pictures`.

        Returns:
            int64 (n,).
        """
        if not len(self):
            return np.full(len(pictures), -1, np.int64)
        places = np.searchsorted(self.pictures, pictures, sorter=self.ascending)
        rows = self.ascending[np.minimum(places, len(self) - 1)]
        return np.where(self.pictures[rows] == pictures, rows, -1)

    def rows_of(self, manifest: pd.DataFrame, copies: np.ndarray | None = None) -> np.ndarray:
        """Find the row of each image.

        Args:
            manifest: a table with the columns `image_id` and `sha256`; an image may stand in several rows.
            copies: int (len(manifest),), 0 for the original, from 1 up for its augmented copies; None takes originals.

        Returns:
            int64 (len(manifest),); identical files share the row of their original.

        Raises:
            ValueError: an image is not stored, or copies are asked of a store that was opened without a variation.
        """
        copies = np.zeros(len(manifest), np.int64) if copies is None else np.asarray(copies)
        rows = self.find(name_pictures(manifest, copies, self.variation))
        if absent := int((rows < 0).sum()):
            first = int((rows < 0).argmax())
            which = f"copy {copies[first]} of " if copies[first] else ""
            raise ValueError(
                f"the features of {absent} of {len(manifest)} images are not in {self.folder}, the first is {which}"
                f"{manifest['image_id'].iloc[first]!r}. Extract them with the manifest and the copies that have all of them."
            )
        return rows

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Read rows in any order; rows in ascending order are read fastest.

        Args:
            rows: int (n,), of `rows_of`.

        Returns:
            float32 (n, d), a new array.

        Raises:
            ValueError: a row that does not exist, or a damaged file.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise ValueError(f"rows lie between {rows.min()} and {rows.max()}; the store has the rows 0 to {len(self) - 1}")
        out = np.empty((len(rows), self.dimensions), np.float32)
        order = np.argsort(rows, kind="stable")
        ends = np.searchsorted(rows[order], self.starts)
        for shard, start, first, last in zip(self.shards, self.starts[:-1], ends[:-1], ends[1:], strict=True):
            if first < last:
                places = order[first:last]
                read_features(shard, rows[places] - start, out, places)
        return out


def name_pictures(manifest: pd.DataFrame, copies: np.ndarray, variation: Mapping[str, Any] | None) -> np.ndarray:
    """Name what is seen in each picture, so that equal names mean equal pixels.

    An original is named by its file's SHA-256. A copy is drawn from the image's id, so identical files under two ids have
    different copies.

    Args:
        manifest: a table with the columns `image_id` and `sha256`.
        copies: int (len(manifest),), 0 for an original.
        variation: everything that decides how copies differ: seed, kinds and ranges.

    Returns:
        bytes (len(manifest),), 64 hexadecimal digits each.

    Raises:
        ValueError: another number of copies than rows, or copies without a variation.
    """
    if len(copies) != len(manifest):
        raise ValueError(f"there are {len(copies)} numbers of copies for {len(manifest)} images; expected one for each")
    if np.any(copies) and variation is None:
        raise ValueError("augmented copies are asked for, but no variation says how they differ from the originals")
    names = manifest["sha256"].to_numpy().astype("S64")
    varied = np.flatnonzero(copies)
    recipe = json.dumps(variation, sort_keys=True)
    image_ids = manifest["image_id"].iloc[varied]
    for place, image_id in zip(varied.tolist(), image_ids, strict=True):
        text = "\n".join((names[place].decode(), str(image_id), str(int(copies[place])), recipe))
        names[place] = hashlib.sha256(text.encode()).hexdigest().encode()
    return names


def store_folder(root: str | Path, settings: Mapping[str, Any]) -> Path:
    """Give the folder of the features that are made with these settings (plain JSON values)."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return Path(root) / f"{settings['architecture']}-{settings['layer']}-{digest[:24]}"


def open_store(root: str | Path, settings: Mapping[str, Any], *, variation: Mapping[str, Any] | None = None) -> FeatureStore:
    """Open what is stored of features made with `settings`; nothing is computed.

    Args:
        root: the folder of all stores.
        settings: weights, layer, pixels, precision and versions as plain JSON values, with `architecture`, `layer` and `dimensions`.
        variation: how augmented copies are made, to look these up too.

    Returns:
        The store; without any row if there is none yet.

    Raises:
        ValueError: files that are damaged or hold features of other settings; all of them are named.
    """
    folder = store_folder(root, settings)
    shards, faults = [], []
    for path in sorted(folder.glob(SHARD_PATTERN)):
        try:
            shards.append(read_shard(path, settings))
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("\n".join(faults))
    starts = np.cumsum([0, *map(len, shards)])
    pictures = np.concatenate([np.zeros(0, "S64"), *(shard.pictures for shard in shards)])
    views = np.split(pictures, starts[1:-1]) if shards else []
    return FeatureStore(
        folder=folder,
        settings=dict(settings),
        variation=variation,
        shards=tuple(replace(shard, pictures=view) for shard, view in zip(shards, views, strict=True)),
        starts=starts,
        pictures=pictures,
        ascending=np.argsort(pictures, kind="stable"),
    )


def with_counts(store: FeatureStore, *, reused: int, wanted: int) -> FeatureStore:
    """The same store with the counts of an extraction."""
    return replace(store, reused=reused, wanted=wanted)


def free_shard_paths(folder: Path) -> Iterator[Path]:
    """Name new shards; the numbers of removed ones come first, so that their rows come back to their place."""
    number = 0
    while True:
        path = folder / SHARD_PATTERN.replace("*", f"{number:06d}")
        if not path.exists():
            yield path
        number += 1


def check_disk_space(folder: Path, *, rows: int, dimensions: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        OSError: not enough space (`ENOSPC`).
    """
    needed = rows * (4 * dimensions + 512)  # features, and the other columns here and in the index
    free = shutil.disk_usage(next(place for place in (folder, *folder.absolute().parents) if place.exists())).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"the features need {needed / 1e9:,.2f} GB and {free / 1e9:,.2f} GB are free; make room, set CXR_CACHE to another disk, or "
            "take the layer embedding, which is smaller",
            str(folder),
        )


@contextlib.contextmanager
def hold_store(folder: Path, *, show_progress: bool = False, wait: bool = True) -> Iterator[bool]:
    """Let one process at a time add rows; leftovers of a killed one are removed.

    The file `.lock` stays, only the kernel's lock on it counts.

    Args:
        folder: the store's folder; it is made.
        show_progress: whether to say that another process is waited for.
        wait: whether to wait for it at all.

    Yields:
        Whether the store is held; without `wait` another process may hold it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                yield False
                return
            if show_progress:
                print(f"another process is computing these features in {folder}; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        for leftover in folder.glob(".*.partial.h5"):
            leftover.unlink()
        yield True
