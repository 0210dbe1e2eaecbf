"""One large file from the web: continued where a connection broke, whole or absent, checked by its SHA-256.

Written with the standard library: pooch, the usual choice, begins every broken download from its start, and these files have a
gigabyte. What has arrived lies in `<file>.partial`, with `<file>.partial.json` beside it saying which version of the file
it is of (ETag or Last-Modified), so that no two versions are put together.
"""

from __future__ import annotations

import errno
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxr_keras.progress import track
from cxr_keras.runs.files import file_sha256, read_json, write_json

ATTEMPTS = 6
"""Connections without a single new byte before the download is given up."""

_BLOCK = 1 << 20
_SECONDS_SILENT = 60
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers that tell of a server in trouble rather than of a wrong address."""


_BREAKS = (http.client.HTTPException, ConnectionError, TimeoutError)


class _Broken(Exception):
    """A connection ended before the file did."""


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but not from https to http."""

    def redirect_request(self, request: Any, stream: Any, code: int, message: str, headers: Any, url: str) -> Any:
        """Refuse an address that anybody on the way could answer for."""
        if request.full_url.startswith("https:") and not url.startswith("https:"):
            raise ValueError(f"{request.full_url} sends to {url}, which is not protected; nothing was downloaded.")
        return super().redirect_request(request, stream, code, message, headers, url)


def download(
    url: str, path: Path, *, sha256: str = "", size: int = 0, pause: float = 1.0, by_hand: str = "", show_progress: bool = True
) -> str:
    """Download a file, or go on with a download that was broken off.

    Args:
        url: an http or https address.
        path: the file to make; its folder is made. A file that lies there already is checked, not downloaded.
        sha256: what it must hash to (hexadecimal), or "" if that is not known.
        size: bytes it has about, or 0 if unknown; more than twice as many are refused.
        pause: seconds before the second attempt; doubled for each one that brings nothing.
        by_hand: a sentence that says how else the file can be got, for the message.
        show_progress: False to stay silent.

    Returns:
        The file's SHA-256 in hexadecimal.

    Raises:
        ValueError: the server refuses or does not answer, the file is larger than it should be, or hashes to something else.
        OSError: no space on the disk.
    """
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url}: expected an address that begins with https:// or http://.")
    partial = path.with_name(path.name + ".partial")
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _fetch_all(url, partial, size=size, pause=pause, by_hand=by_hand, show_progress=show_progress)
    found = file_sha256(partial if partial.is_file() and not path.is_file() else path)
    if sha256 and found != sha256.lower():
        for file in (partial, _state_of(partial)):
            file.unlink(missing_ok=True)
        kept = f" {path} was there before; remove it and start again." if path.is_file() else " It was removed; nothing was unpacked."
        raise ValueError(f"{url}: the file hashes to {found}, expected {sha256.lower()}: it is damaged or another version.{kept}")
    if not path.is_file():
        os.replace(partial, path)
        _state_of(partial).unlink(missing_ok=True)
    return found


def _state_of(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def _fetch_all(url: str, partial: Path, *, size: int, pause: float, by_hand: str, show_progress: bool) -> None:
    """Connect until the whole file is there."""
    fruitless = 0
    while True:
        before = partial.stat().st_size if partial.is_file() else 0
        try:
            return _fetch_once(url, partial, size=size, show_progress=show_progress)
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} ({error.reason})"
            if error.code not in _PASSING:
                raise ValueError(f"{url}: {reason}. {by_hand}".rstrip()) from None
        except (_Broken, urllib.error.URLError, *_BREAKS) as error:
            reason = f"the connection broke ({getattr(error, 'reason', None) or error or type(error).__name__})"
        arrived = partial.stat().st_size if partial.is_file() else 0
        fruitless = 0 if arrived > before else fruitless + 1
        if fruitless >= ATTEMPTS:
            kept = f"{arrived:,} bytes are kept; the same command continues."
            raise ValueError(f"{url}: {reason}, {ATTEMPTS} times without a new byte. {kept} {by_hand}".rstrip())
        time.sleep(pause * 2 ** max(fruitless - 1, 0))


def _fetch_once(url: str, partial: Path, *, size: int, show_progress: bool) -> None:
    """Take what one connection gives; returns when the file is complete."""
    request = urllib.request.Request(url, headers={"User-Agent": "cxr-keras", "Accept-Encoding": "identity"})
    arrived, validator = _arrived(url, partial)
    if arrived:
        request.add_header("Range", f"bytes={arrived}-")
        request.add_header("If-Range", validator)
    opener = urllib.request.build_opener(_NoDowngrade)
    try:
        response = opener.open(request, timeout=_SECONDS_SILENT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # Nothing lies behind the last byte: either that was all, or the file is another one now.
        if error.headers.get("Content-Range", "") == f"bytes */{arrived}":
            return
        partial.unlink()
        raise _Broken("the file became shorter") from None
    with response:
        if not (response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {arrived}-")):
            arrived = 0
        length = response.headers.get("Content-Length")
        expected = arrived + int(length) if length and length.isdigit() else None
        _require_room(url, partial, expected=expected, arrived=arrived, size=size)
        state = {"url": url, "validator": response.headers.get("ETag") or response.headers.get("Last-Modified") or ""}
        write_json(_state_of(partial), state)
        with open(partial, "ab" if arrived else "wb") as stream:
            blocks = _blocks(response)
            if show_progress:
                total = -(-((expected or size or _BLOCK) - arrived) // _BLOCK)
                blocks = track(blocks, total=max(total, 1), description=f"downloading {partial.stem}", unit="MiB")
            for block in blocks:
                stream.write(block)
                arrived += len(block)
                if size and arrived > 2 * size:
                    raise ValueError(f"{url}: more than {2 * size:,} bytes come where about {size:,} are expected; stopped.")
            stream.flush()
            os.fsync(stream.fileno())
    if expected is not None and arrived < expected:
        raise _Broken(f"after {arrived:,} of {expected:,} bytes")


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Give what comes in pieces of 1 MiB, the last one smaller, and what came before a connection broke."""
    waiting = bytearray()
    broken: Exception | None = None
    try:
        while piece := response.read1(_BLOCK):
            waiting += piece
            while len(waiting) >= _BLOCK:
                yield bytes(waiting[:_BLOCK])
                del waiting[:_BLOCK]
    except _BREAKS as error:
        broken = error
    if waiting:
        yield bytes(waiting)
    if broken is not None:
        raise broken


def _arrived(url: str, partial: Path) -> tuple[int, str]:
    """Say how much of this file an earlier connection left, and of which version; 0 where that is not certain."""
    try:
        state = read_json(_state_of(partial)) if partial.is_file() else {}
    except (ValueError, OSError):
        state = {}
    validator = state.get("validator", "") if state.get("url") == url else ""
    # A weak ETag promises the same meaning, not the same bytes, so it must not be used to continue (RFC 9110, 13.1.5).
    if not validator or validator.startswith("W/"):
        return 0, ""
    return partial.stat().st_size, validator


def _require_room(url: str, partial: Path, *, expected: int | None, arrived: int, size: int) -> None:
    """Refuse before the first byte what is too large for the disk or for what it should be."""
    if expected is None:
        return
    if size and expected > 2 * size:
        raise ValueError(f"{url}: the file has {expected:,} bytes where about {size:,} are expected; nothing was downloaded.")
    free = shutil.disk_usage(partial.parent).free
    if expected - arrived > free:
        raise OSError(errno.ENOSPC, f"{expected - arrived:,} bytes are to come and {free:,} are free", str(partial.parent))
