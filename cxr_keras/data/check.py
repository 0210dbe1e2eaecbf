"""Open, decode and measure every file of a manifest before anything is trained on it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import pandas as pd

from cxr_keras.data.inspect_image import read_header
from cxr_keras.data.parallel import default_workers, map_in_threads
from cxr_keras.data.strict_decode import StrictDecoder
from cxr_keras.runs.files import write_csv

BAD_COLUMNS = ["image_id", "path", "reason"]

SMALLEST_SIDE = 32
"""Pixels; below it an image is an icon or a failed export, and no network of this project takes it."""

LARGEST_AREA = 50_000_000
"""Pixels; radiographs have 4 to 20 million. Above it the file is refused before memory is asked for."""


@dataclass(frozen=True)
class _File:
    """What the manifest says about one file."""

    path: str
    sha256: str


def check_images(manifest: pd.DataFrame, *, workers: int | None = None, show_progress: bool = True) -> pd.DataFrame:
    """Find the files that are no usable images.

    A file is bad if it is missing, empty, neither grey or RGB JPEG nor PNG nor a DICOM radiograph, truncated, damaged (a wrong
    checksum, a warning of the JPEG library), not decodable, tiny (a side below 32 pixels), huge (above 50 million pixels, told from
    the header before decoding), constant, or changed since the manifest was built. JPEG has no checksum: bytes overwritten by others
    that happen to be valid code are noticed only as a change. The same holds for the pixels of DICOM.

    Args:
        manifest: rows with image_id, path, sha256.
        workers: decoding processes, or None for one a processor.
        show_progress: False to stay silent.

    Returns:
        A table with the columns image_id, path, reason (strings), one row a bad file, in the order of image_id; empty if all
        are good. A reason begins with one word (missing, empty, truncated, ...) and may hold several joined by "; ".

    Raises:
        ValueError: `workers` below 1, or a DICOM file and pydicom is not installed.
    """
    rows = manifest.sort_values("image_id")
    files = [_File(path, sha256) for path, sha256 in zip(rows["path"], rows["sha256"], strict=True)]
    reasons = _check_files(files, workers=workers, show_progress=show_progress)
    table = rows[["image_id", "path"]].assign(reason=pd.Series(reasons, index=rows.index, dtype="str"))
    return table.loc[table["reason"] != "", BAD_COLUMNS].reset_index(drop=True)


def write_bad_files(bad: pd.DataFrame, path: str | Path) -> None:
    """Write the table of `check_images` as CSV; with no bad file it holds the header only."""
    write_csv(path, bad[BAD_COLUMNS])


def _check_files(files: Sequence[_File], *, workers: int | None, show_progress: bool) -> list[str]:
    """Check files in threads, each of which borrows a decoding process."""
    count = min(workers or default_workers(), max(len(files), 1))
    idle: SimpleQueue[StrictDecoder] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(count):
            idle.put(stack.enter_context(StrictDecoder()))

        def check(file: _File) -> str:
            decoder = idle.get()
            try:
                return check_file(file.path, sha256=file.sha256, decoder=decoder)
            finally:
                idle.put(decoder)

        return map_in_threads(check, files, workers=workers and count, description="checking", show_progress=show_progress)


def check_file(path: str, *, sha256: str, decoder: StrictDecoder) -> str:
    """Check one file.

    Args:
        path: of the file.
        sha256: what its bytes hashed to when the manifest was built, in hexadecimal.
        decoder: a running decoder.

    Returns:
        The reasons why it is bad joined by "; ", or "".
    """
    try:
        contents = Path(path).read_bytes()
    except FileNotFoundError:
        return "missing: no such file"
    except OSError as error:
        return f"unreadable: {error.strerror}"
    reasons = []
    if hashlib.sha256(contents).hexdigest() != sha256:
        reasons.append("changed: its bytes are not those the manifest was built from")
    header = read_header(contents)
    if header.fault:
        reasons.append(header.fault)
    elif header.width * header.height > LARGEST_AREA:
        reasons.append(f"huge: {header.width}x{header.height} pixels, at most {LARGEST_AREA:,} are read")
    else:
        if min(header.width, header.height) < SMALLEST_SIDE:
            reasons.append(f"tiny: {header.width}x{header.height} pixels, at least {SMALLEST_SIDE} a side are needed")
        fault = decoder.fault_of(path)
        if fault:
            reasons.append(fault)
    return "; ".join(reasons)
