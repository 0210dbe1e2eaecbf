"""A public collection onto this machine: show its terms, download, check, unpack, and say how to go on."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxr_keras.data.collections import Collection, get_collection
from cxr_keras.data.download import download
from cxr_keras.data.unpack import unpack
from cxr_keras.runs.files import file_sha256, read_json, write_json

RECORD = "fetched.json"
"""Beside the folders: where each came from, and what its archive hashed to."""


def fetch_data(name: str, *, to: Path, sha256: str = "") -> bool:
    """Fetch a collection into `to/<name>/`.

    The archive is checked against a SHA-256: the one given, else the publisher's, else the one that `fetched.json` in `to` recorded when
    it was first downloaded there. Where none is known, that of the first download is printed and recorded. The archive is removed
    once it is unpacked.

    Args:
        name: of the collection.
        to: the folder that holds collections; it is made.
        sha256: what the archive must hash to, 64 hexadecimal digits, or "".

    Returns:
        Whether the collection is there; False for one that has to be fetched by hand, of which the way is printed.

    Raises:
        ValueError: unknown collection, no SHA-256, or download or unpacking refused; the message says why.
    """
    collection = get_collection(name)
    if sha256 and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"--sha256 is {sha256!r}; expected 64 hexadecimal digits.")
    to = to.expanduser()
    folder = to / collection.name
    print(f"{collection.title}\n  page   {collection.page}\n  terms  {collection.terms}")
    if not collection.url:
        print(f"{collection.by_hand.format(folder=shlex.quote(str(folder)))}\nThen: {_build_line(collection, folder)}")
        return False
    record = read_json(to / RECORD) if (to / RECORD).is_file() else {}
    archive = to / collection.archive
    if folder.is_dir():
        if name not in record and archive.is_file():  # a kill came after it was unpacked
            _record(record, collection, archive, to, sha256=file_sha256(archive))
        known = record.get(name, {}).get("sha256", "an archive that was not recorded")
        print(f"{folder} is there already, from {known}.\nNext: {_build_line(collection, folder)}")
        return True
    by_hand = f"It can also be downloaded by hand from {collection.page}; put it there as {archive}, the same command goes on with it."
    expected = sha256 or collection.sha256 or record.get(name, {}).get("sha256", "")
    found = download(collection.url, archive, sha256=expected, size=collection.size, by_hand=by_hand)
    if expected:
        print(f"SHA-256 {found}, as expected")
    else:
        print(
            f"SHA-256 {found}\nThe publisher states none, so this download is taken on trust. It is recorded in {to / RECORD}; give it as "
            "--sha256 on other machines."
        )
    count = unpack(archive, folder)
    # Only now: an archive that cannot be unpacked must not become the one that later downloads have to equal.
    _record(record, collection, archive, to, sha256=found)
    print(f"{count:,} files in {folder}\nNext: {_build_line(collection, folder)}")
    return True


def _record(record: dict[str, Any], collection: Collection, archive: Path, to: Path, *, sha256: str) -> None:
    """Note where a collection came from, and remove its archive, which has been unpacked."""
    told = {"url": collection.url, "sha256": sha256, "bytes": archive.stat().st_size, "date": datetime.now(UTC).date().isoformat()}
    write_json(to / RECORD, record | {collection.name: told})
    record[collection.name] = told
    archive.unlink()


def _build_line(collection: Collection, folder: Path) -> str:
    """Give the command that makes a manifest of the collection."""
    return f"cxr data build {collection.build.format(folder=shlex.quote(str(folder)))} --out {shlex.quote(collection.name + '.csv')}"
