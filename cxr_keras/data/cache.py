"""Every picture is decoded once: a memory map of grey pixels shared by all folds, epochs and runs.

A cache is a folder named after what is in it, `<cache_dir>/<key>/`, with `pixels.npy` (uint8, n × height × width × 1, rows in the
order of the sorted SHA-256 of the files), these as `digests.npy`, and the settings as `contents.json`. The key is the hash of those
SHA-256 and the decode settings, so a cache is never out of date. It is built in `<key>.partial/` and published by rename. A build that
was stopped is continued, and pictures that another cache of the same settings holds are copied from there.

Two processes that need the same cache at once: the second waits for the first through `fcntl.flock` and then opens its result.
The kernel drops such a lock with the process, so a kill leaves none behind; that is why no lock *file* is used as a sign.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cxr_keras.data.decode_files import decode_files
from cxr_keras.data.parallel import default_workers
from cxr_keras.pixels.decode import DecodeSettings
from cxr_keras.progress import track
from cxr_keras.runs.files import write_atomically, write_json

_PIXELS = "pixels.npy"
_DIGESTS = "digests.npy"
_CONTENTS = "contents.json"
_DONE = "done.npy"

_ROWS_PER_FLUSH = 512
"""Rows are marked as done only after the pixels reached the disk, in blocks of this size, since each
block waits for the disk."""

_FAULTS_SHOWN = 10


@dataclass(frozen=True)
class PixelCache:
    """Decoded pictures, one row for each distinct file.

    Attributes:
        images: uint8 memory map (n_unique, height, width, 1), read only.
        digests: bytes (n_unique,), the SHA-256 of each row's file in hexadecimal digits, sorted.
        key: hash of the files' SHA-256 and the decode settings; the name of the cache's folder.
        reused: whether it lay there already.
    """

    images: np.ndarray
    digests: np.ndarray
    key: str
    reused: bool

    def rows_of(self, manifest: pd.DataFrame) -> np.ndarray:
        """Find the row of each image.

        Args:
            manifest: a table with the columns `image_id` and `sha256`.

        Returns:
            int64 (len(manifest),), rows of `images`; identical files share one.

        Raises:
            ValueError: an image is not in this cache.
        """
        wanted = digests_of(manifest)
        rows = np.minimum(np.searchsorted(self.digests, wanted), len(self.digests) - 1)
        absent = self.digests[rows] != wanted
        if absent.any():
            first = manifest["image_id"].iloc[int(absent.argmax())]
            raise ValueError(
                f"{int(absent.sum())} of {len(wanted)} images are not in the pixel cache {self.key}, the first is {first!r}. "
                "Open the cache with the manifest that has all of them."
            )
        return rows.astype(np.int64)


def digests_of(manifest: pd.DataFrame) -> np.ndarray:
    """Give the column `sha256` as bytes (n,), 64 each; NumPy's texts would take four times as much."""
    return manifest["sha256"].to_numpy().astype("S64")


def open_pixel_cache(
    manifest: pd.DataFrame,
    settings: DecodeSettings,
    *,
    cache_dir: str | Path,
    workers: int | None = None,
    show_progress: bool = True,
) -> PixelCache:
    """Open the decoded pictures of a manifest, decoding first what no cache in `cache_dir` holds.

    Each file that has to be read is checked against the manifest's SHA-256.

    Args:
        manifest: a table with the columns `image_id`, `path` and `sha256`.
        settings: size and treatment of the pixels.
        cache_dir: the folder that holds all caches; it is made.
        workers: decoding threads; None takes one for each core this process may use.
        show_progress: whether to show how far the decoding is.

    Returns:
        The cache, with the pixels mapped into memory: they are read from disk when used and can be dropped again by the
        operating system, so memory does not grow with the number of images.

    Raises:
        ValueError: an empty manifest, or files that vanished, changed or cannot be decoded; all of them are counted and the
            first ten named. What could be decoded is kept for the next call.
        OSError: not enough space on the disk (`ENOSPC`), found before the first file is read.
    """
    if not len(manifest):
        raise ValueError("the manifest has no images, so there is nothing to decode")
    files = manifest.drop_duplicates("sha256").sort_values("sha256")
    digests = digests_of(files)
    key = _cache_key(digests, settings)
    folder = Path(cache_dir) / key
    if folder.is_dir():
        return _open_published(folder, digests, settings, reused=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(folder.with_suffix(".lock"), show_progress=show_progress):
        if folder.is_dir():
            return _open_published(folder, digests, settings, reused=True)
        partial = folder.with_suffix(".partial")
        _build(partial, files, settings, workers=workers, show_progress=show_progress)
        os.replace(partial, folder)
        (folder / _DONE).unlink()
    return _open_published(folder, digests, settings, reused=False)


def _cache_key(digests: np.ndarray, settings: DecodeSettings) -> str:
    """Hash settings and contents; the settings come first, so that caches which can share pictures share a prefix."""
    content = hashlib.sha256()
    for number, digest in enumerate(digests):  # joining them all would take more memory than they do
        content.update(b"\n" + digest if number else digest)
    return f"{_settings_key(settings)}-{content.hexdigest()[:24]}"


def _settings_key(settings: DecodeSettings) -> str:
    return hashlib.sha256(json.dumps(settings.as_dict(), sort_keys=True).encode()).hexdigest()[:12]


def _open_published(folder: Path, digests: np.ndarray, settings: DecodeSettings, *, reused: bool) -> PixelCache:
    """Map the pixels of a finished cache; a wrong size means that somebody touched it."""
    expected = (len(digests), settings.height, settings.width, 1)
    images = _load(folder / _PIXELS, mmap_mode="r")
    if images.shape != expected or images.dtype != np.uint8:
        raise ValueError(
            f"the pixel cache {folder} holds {images.dtype} {images.shape} where uint8 {expected} was expected; "
            "remove that folder and start again"
        )
    return PixelCache(images=images, digests=digests, key=folder.name, reused=reused)


def _load(path: Path, *, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    """Read or map an array of a finished cache.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return np.load(path, mmap_mode=mmap_mode)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"the pixel cache {path.parent} is damaged ({error}); remove that folder and start again") from error


@contextlib.contextmanager
def _exclusive(path: Path, *, show_progress: bool) -> Iterator[None]:
    """Let one process at a time build a cache; the file stays, only the kernel's lock on it counts."""
    with open(path, "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if show_progress:
                print(f"another process is decoding these images into {path.with_suffix('')}; waiting for it", flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _build(folder: Path, files: pd.DataFrame, settings: DecodeSettings, *, workers: int | None, show_progress: bool) -> None:
    """Fill `folder` with every picture of `files`, going on where an earlier call stopped."""
    shape = (len(files), settings.height, settings.width, 1)
    images, done = _open_partial(folder, shape)
    digests = digests_of(files)
    _copy_known(folder, digests, settings, images, done)
    missing = np.flatnonzero(done == 0)
    work = files.iloc[missing]
    results = decode_files(work, settings, workers=workers or default_workers())
    if show_progress and len(work):
        results = track(results, total=len(work), description="decoding")
    faults: list[str] = []
    fresh: list[int] = []
    try:
        for row, (pixels, fault) in zip(missing.tolist(), results, strict=True):
            if pixels is None:
                faults.append(fault)
                continue
            images[row] = pixels
            fresh.append(row)
            if len(fresh) >= _ROWS_PER_FLUSH:
                _mark_done(images, done, fresh)
    finally:
        _mark_done(images, done, fresh)
    if faults:
        shown = "\n  ".join(faults[:_FAULTS_SHOWN])
        more = f"\n  and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise ValueError(
            f"{len(faults)} of {len(files)} images could not be read:\n  {shown}{more}\nMend them or build the manifest "
            "again; the same command then continues, what is decoded already is kept."
        )
    with write_atomically(folder / _DIGESTS) as temporary:
        np.save(temporary, digests)
    write_json(folder / _CONTENTS, {"settings": settings.as_dict()})


def _open_partial(folder: Path, shape: tuple[int, ...]) -> tuple[np.memmap, np.memmap]:
    """Open or start the two memory maps of an unfinished cache: pixels, and for each row whether it is there."""
    paths = {_PIXELS: shape, _DONE: shape[:1]}
    if not all((folder / name).is_file() for name in paths):
        shutil.rmtree(folder, ignore_errors=True)
        needed = int(np.prod(shape))
        free = shutil.disk_usage(folder.parent).free
        if needed > free:
            raise OSError(
                errno.ENOSPC,
                f"the pixel cache needs {needed / 1e9:,.2f} GB and {free / 1e9:,.2f} GB are free; make room, choose "
                "another folder, or smaller images",
                str(folder.parent),
            )
        folder.mkdir()
        # The marks come last: a folder with both files is one whose pixels have their full size.
        for name, size in paths.items():
            _allocate(folder / name, size)
    opened = [np.lib.format.open_memmap(folder / name, mode="r+") for name in paths]
    return opened[0], opened[1]


def _allocate(path: Path, shape: tuple[int, ...]) -> None:
    """Make a zero-filled array file with its blocks reserved: writing to a mapped hole of a full disk kills the process."""
    temporary = path.with_suffix(".new")
    array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
    offset, length = array.offset, array.nbytes
    del array
    with open(temporary, "r+b") as stream:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), offset, length)
        os.fsync(stream.fileno())
    os.replace(temporary, path)


def _copy_known(folder: Path, digests: np.ndarray, settings: DecodeSettings, images: np.memmap, done: np.memmap) -> None:
    """Take over pictures from finished caches of the same settings."""
    for path in sorted(folder.parent.glob(f"{_settings_key(settings)}-*/{_DIGESTS}")):
        if path.parent == folder:
            continue
        known = _load(path)
        _, ours, theirs = np.intersect1d(digests, known, assume_unique=True, return_indices=True)
        wanted = done[ours] == 0
        if not wanted.any():
            continue
        source = _open_published(path.parent, known, settings, reused=True).images
        pairs = zip(ours[wanted].tolist(), theirs[wanted].tolist(), strict=True)
        while block := list(itertools.islice(pairs, _ROWS_PER_FLUSH)):
            for row, other in block:
                images[row] = source[other]
            _mark_done(images, done, [row for row, _ in block])


def _mark_done(images: np.memmap, done: np.memmap, rows: list[int]) -> None:
    """Write the pixels to the disk, then the marks that they are there, and empty `rows`."""
    if rows:
        images.flush()
        done[rows] = 1
        done.flush()
        rows.clear()
