"""The image files that a prediction is asked for, one after another, so that memory does not grow with their number."""

from __future__ import annotations

import csv
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cxr_keras.pixels.dicom import DICOM_MARK, DICOM_MARK_AT

SUFFIXES = (".jpeg", ".jpg", ".png", ".dcm", ".dicom")
"""What is taken from a folder by its name; files without a suffix are taken where they are DICOM inside, as archives write them."""


class Wanted(NamedTuple):
    """One image to predict.

    Attributes:
        image_id: that of the manifest; of single files their path, as it was given or found.
        path: the file.
    """

    image_id: str
    path: Path


def find_images(given: Sequence[str]) -> Iterator[Wanted]:
    """Walk through files, folders, globs and manifests, in the order given; folders and globs by name.

    Args:
        given: image files; folders, with all below them; patterns such as `scans/**/*.png`; CSV tables with a column `path` and perhaps
            `image_id`, relative paths being taken from the table's folder.

    Raises:
        ValueError: a path or pattern that leads to nothing, or a table without `path`; raised before the first image is given.
    """
    if not given:
        raise ValueError("give image files, folders, patterns or CSV manifests to predict.")
    found = [name for pattern in given for name in _expand(pattern)]
    for name in found:
        if _is_table(name):
            _check_table(Path(name))
    return (wanted for name in found for wanted in _images_of(name))


def _expand(pattern: str) -> list[str]:
    """The path itself if it is there, else what the pattern finds."""
    if os.path.exists(pattern):
        return [pattern]
    if not glob.has_magic(pattern):
        raise ValueError(f"there is no {pattern}.")
    if not (found := sorted(glob.glob(pattern, recursive=True))):
        raise ValueError(f"nothing is found by {pattern}.")
    return found


def _images_of(name: str) -> Iterator[Wanted]:
    path = Path(name)
    if path.is_dir():
        yield from _below(path)
    elif _is_table(name):
        yield from _rows_of(path)
    else:
        yield Wanted(name, path)


def _below(folder: Path) -> Iterator[Wanted]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(place) / name
            if not name.startswith(".") and (path.suffix.lower() in SUFFIXES or (not path.suffix and _holds_dicom(path))):
                yield Wanted(str(path), path)


def _rows_of(table: Path) -> Iterator[Wanted]:
    with open(table, newline="", encoding="utf-8-sig") as stream:
        for row in csv.DictReader(stream):
            path = table.parent / (row["path"] or "")
            yield Wanted(row.get("image_id") or row["path"] or "", path)


def _check_table(path: Path) -> None:
    with open(path, newline="", encoding="utf-8-sig") as stream:
        try:
            columns = next(csv.reader(stream), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is no CSV table ({error}).") from error
    if "path" not in columns:
        raise ValueError(f"{path} has no column `path`; it has {', '.join(columns) or 'none'}. `cxr data build` makes such a table.")


def _is_table(name: str) -> bool:
    return name.lower().endswith(".csv") and os.path.isfile(name)


def _holds_dicom(path: Path) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.read(DICOM_MARK_AT + len(DICOM_MARK))[DICOM_MARK_AT:] == DICOM_MARK
    except OSError:
        return False
