"""Files that are either whole or absent: temporary name, fsync, rename.

A kill at any moment leaves the former file or the new one, never half of one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# AttributeError and TypeError: np.load gives a bare array for a .npy file, which is no archive. The last three are what zipfile raises for
# a damaged archive; NotImplementedError, caught and never raised here, where a changed byte asks for a compression that it does not know.
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error, NotImplementedError)


PARTIAL = re.compile(r"^\..*\.[0-9a-f]{8}\.partial")
"""Names that `write_atomically` gives to what is not whole yet."""


@contextlib.contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; publish what was written there under `path` at the end.

    The suffix of `path` is kept, as writers such as Keras and NumPy choose a format by it. Folders on the way are made.

    Args:
        path: the final path of the file.

    Yields:
        The temporary path to write to, in the same folder (a rename works only inside one file system).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.partial{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
        _fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _fsync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable; a rename is a change of the folder, not of the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON; `nan` is refused because JSON has no such number."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and paths into what JSON knows."""
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON: {value!r}")


def read_json(path: str | Path) -> Any:
    """Read one JSON file.

    Raises:
        ValueError: the file is no JSON; the message names it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}). Remove the file; the same command makes it again.") from error


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of an `.npz` file.

    Raises:
        ValueError: no readable archive of arrays; the message says why, and leaves it to the caller to name the file and a remedy.
    """
    import numpy as np

    try:
        # Opened here: np.load leaves its own handle open when it fails.
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table without its index, floats with all their digits."""
    with write_atomically(path) as temporary:
        table.to_csv(temporary, index=False)


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
