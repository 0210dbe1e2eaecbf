"""Files that are either whole or absent: temporary name, fsync, rename.

A kill at any moment leaves the former file or the new one, never half of one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


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
