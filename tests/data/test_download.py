"""Downloads from a server on this machine that breaks off, lies and changes its mind."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections import namedtuple
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from cxr_keras.data import download as download_module
from cxr_keras.data.download import ATTEMPTS, download

CONTENT = np.random.default_rng(0).bytes(3_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content`; each request is answered as the next of `plan` says, the last of which holds for all that follow."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = CONTENT
        self.etag: str | None = '"one"'
        self.plan: list[object] = ["whole"]
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.zip"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        step = server.plan.pop(0) if len(server.plan) > 1 else server.plan[0]
        server.ranges.append(self.headers.get("Range"))
        self.close_connection = True
        if isinstance(step, int) and step < 1000:  # a status; larger numbers are bytes to send before the connection breaks
            self.send_response(step)
            if step == 302:
                self.send_header("Location", f"/other{len(server.ranges)}.zip")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        wanted = self.headers.get("Range")
        if wanted and step != "no ranges" and self.headers.get("If-Range") == server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        body = server.content[start:]
        if wanted and start and not body:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        if step == "no length":
            self.end_headers()
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
        self.wfile.write(body[:step] if isinstance(step, int) else body)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _download(server: Server, path: Path, **options: object) -> str:
    return download(server.url, path, pause=0.0, show_progress=False, **options)


def _only(folder: Path, *names: str) -> bool:
    return sorted(entry.name for entry in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("step", ["whole", "no length"])
def test_a_file_comes_whole(server: Server, tmp_path: Path, step: str) -> None:
    server.plan = [step]
    assert _download(server, tmp_path / "in/file.zip", sha256=DIGEST.upper(), size=3_100_000) == DIGEST
    assert (tmp_path / "in/file.zip").read_bytes() == CONTENT and _only(tmp_path / "in", "file.zip")


def test_broken_connections_are_continued_where_they_broke(server: Server, tmp_path: Path) -> None:
    server.plan = [1_000_000, 503, 500_000, "whole"]
    assert _download(server, tmp_path / "file.zip") == DIGEST
    assert server.ranges == [None, "bytes=1000000-", "bytes=1000000-", "bytes=1500000-"]
    assert _only(tmp_path, "file.zip")


def test_a_later_call_continues(server: Server, tmp_path: Path) -> None:
    server.plan = [2_000_000, 500]
    with pytest.raises(ValueError, match=rf"answers 500 .*{ATTEMPTS} times without a new byte. 2,000,000 bytes are kept; .* Ask Ann."):
        _download(server, tmp_path / "file.zip", by_hand="Ask Ann.")
    assert len(server.ranges) == 1 + ATTEMPTS
    server.plan, server.ranges = ["whole"], []
    assert _download(server, tmp_path / "file.zip") == DIGEST and server.ranges == ["bytes=2000000-"]


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.plan = [2_000_000, "no ranges"]
    assert _download(server, tmp_path / "file.zip") == DIGEST


def test_two_versions_are_never_put_together(server: Server, tmp_path: Path) -> None:
    server.plan = [1_000_000, 500]
    with pytest.raises(ValueError):
        _download(server, tmp_path / "file.zip")
    server.plan, server.content, server.etag = ["whole"], CONTENT[::-1], '"two"'
    assert _download(server, tmp_path / "file.zip") == hashlib.sha256(CONTENT[::-1]).hexdigest()


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_version_a_download_starts_over(server: Server, tmp_path: Path, etag: str | None) -> None:
    server.etag, server.plan = etag, [1_000_000, "whole"]
    assert _download(server, tmp_path / "file.zip") == DIGEST and server.ranges == [None, None]


def test_a_download_that_was_complete_but_not_renamed(server: Server, tmp_path: Path) -> None:
    server.plan = [2_999_999, 500]
    with pytest.raises(ValueError):
        _download(server, tmp_path / "file.zip")
    with open(tmp_path / "file.zip.partial", "ab") as stream:
        stream.write(CONTENT[-1:])
    server.plan = ["whole"]
    assert _download(server, tmp_path / "file.zip", sha256=DIGEST) == DIGEST


def test_a_wrong_hash_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"hashes to {DIGEST}, expected {'0' * 64}: .* It was removed; nothing was unpacked"):
        _download(server, tmp_path / "file.zip", sha256="0" * 64)
    assert _only(tmp_path)


def test_a_file_that_lies_there_is_checked_and_not_fetched(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_bytes(CONTENT)
    assert _download(server, tmp_path / "file.zip", sha256=DIGEST) == DIGEST and server.ranges == []
    with pytest.raises(ValueError, match="was there before; remove it"):
        _download(server, tmp_path / "file.zip", sha256="0" * 64)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("code", [403, 404, 410])
def test_refusals_end_at_once_and_say_another_way(server: Server, tmp_path: Path, code: int) -> None:
    server.plan = [code]
    with pytest.raises(ValueError, match=rf"answers {code} .* Ask Ann\."):
        _download(server, tmp_path / "file.zip", by_hand="Ask Ann.")
    assert len(server.ranges) == 1 and _only(tmp_path)


def test_redirects_are_followed_but_not_for_ever(server: Server, tmp_path: Path) -> None:
    server.plan = [302, 302, "whole"]
    assert _download(server, tmp_path / "file.zip") == DIGEST
    server.plan = [302]
    with pytest.raises(ValueError, match="answers 302"):
        _download(server, tmp_path / "other.zip")


def test_no_redirect_from_https_to_http() -> None:
    import urllib.request

    handler = download_module._NoDowngrade()
    request = urllib.request.Request("https://a.example/file")
    with pytest.raises(ValueError, match="sends to http://a.example/file, which is not protected"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://a.example/file")
    assert handler.redirect_request(request, None, 302, "Found", {}, "https://b.example/file").full_url == "https://b.example/file"


@pytest.mark.parametrize("step", ["whole", "no length"])
def test_files_larger_than_they_should_be_are_stopped(server: Server, tmp_path: Path, step: str) -> None:
    server.plan = [step]
    with pytest.raises(ValueError, match=r"about 1,000,000 are expected"):
        _download(server, tmp_path / "file.zip", size=1_000_000)
    assert not (tmp_path / "file.zip").exists()


def test_a_full_disk_is_found_before_the_first_byte(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda folder: usage(10, 5, 1000))
    with pytest.raises(OSError, match="3,000,000 bytes are to come and 1,000 are free") as caught:
        _download(server, tmp_path / "file.zip")
    assert caught.value.errno == errno.ENOSPC


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the connection broke .*refused"):
        download("http://127.0.0.1:9/file.zip", tmp_path / "file.zip", pause=0.0, show_progress=False)
    with pytest.raises(ValueError, match="expected an address that begins with https"):
        download("file:///etc/passwd", tmp_path / "file.zip")


def test_progress_is_shown(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    download(server.url, tmp_path / "file.zip")
    assert "downloading file.zip: 3 MiB in" in capsys.readouterr().err
