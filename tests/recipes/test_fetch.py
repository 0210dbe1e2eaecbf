"""`cxr data fetch`: terms first, then the archive, checked and unpacked, then the next command."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_keras.data.collections import COLLECTIONS, get_collection
from cxr_keras.data.sources import build_manifest, get_source
from cxr_keras.recipes import fetch
from cxr_keras.recipes.fetch import fetch_data


def _kermany_archive() -> bytes:
    """Version 2 of the collection in small: no folder val, and what macOS leaves behind."""
    stream = io.BytesIO()
    names = [f"{split}/{name}" for split in ("train", "test") for name in ("NORMAL/IM-0001-0001", "PNEUMONIA/person1_bacteria_1")]
    with zipfile.ZipFile(stream, "w") as archive:
        for seed, name in enumerate([*names, "train/PNEUMONIA/person2_virus_3"]):
            pixels = np.random.default_rng(seed).integers(0, 256, (40, 48), dtype=np.uint8)
            number = name.replace("test/NORMAL/IM-0001", "test/NORMAL/IM-0002").replace("test/PNEUMONIA/person1", "test/PNEUMONIA/person9")
            archive.writestr(f"chest_xray/{number}.jpeg", cv2.imencode(".jpeg", pixels)[1].tobytes())
        archive.writestr("__MACOSX/chest_xray/._train", b"x")
    return stream.getvalue()


ARCHIVE = _kermany_archive()
DIGEST = hashlib.sha256(ARCHIVE).hexdigest()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """`serve(content)` makes `kermany` an archive with this content on a server of this machine."""
    root = tmp_path / "served"
    root.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def make(content: bytes, **changes: object) -> None:
            (root / "archive.zip").write_bytes(content)
            there = {"url": f"http://127.0.0.1:{server.server_port}/archive.zip", "size": len(ARCHIVE)}
            monkeypatch.setattr(fetch, "get_collection", lambda name: replace(get_collection(name), **{**there, **changes}))

        yield make
        server.shutdown()
        thread.join()


def test_a_collection_is_fetched_and_its_next_line_works(serve, tmp_path, capsys):
    serve(ARCHIVE)
    assert fetch_data("kermany", to=tmp_path / "data")
    output = capsys.readouterr().out
    assert output.index("CC BY 4.0") < output.index(f"SHA-256 {DIGEST}") < output.index("Next: cxr data build")
    assert "taken on trust" in output and f"--source kermany:{tmp_path / 'data/kermany'} --labels three --out kermany.csv" in output
    manifest = build_manifest([f"kermany:{tmp_path / 'data/kermany'}"], labels="three", show_progress=False)
    assert manifest["label"].value_counts().to_dict() == {"normal": 2, "bacterial": 2, "viral": 1}
    record = json.loads((tmp_path / "data/fetched.json").read_text())["kermany"]
    assert record["sha256"] == DIGEST and record["bytes"] == len(ARCHIVE)
    assert sorted(entry.name for entry in (tmp_path / "data").iterdir()) == ["fetched.json", "kermany"]
    assert fetch_data("kermany", to=tmp_path / "data")
    assert f"is there already, from {DIGEST}" in capsys.readouterr().out
    # As a kill between unpacking and the record leaves it.
    (tmp_path / "data/fetched.json").unlink()
    (tmp_path / "data/ChestXRay2017.zip").write_bytes(ARCHIVE)
    assert fetch_data("kermany", to=tmp_path / "data")
    assert f"is there already, from {DIGEST}" in capsys.readouterr().out
    assert sorted(entry.name for entry in (tmp_path / "data").iterdir()) == ["fetched.json", "kermany"]


def test_the_first_download_is_what_later_ones_must_equal(serve, tmp_path, capsys):
    serve(ARCHIVE)
    fetch_data("kermany", to=tmp_path)
    (tmp_path / "kermany").rename(tmp_path / "elsewhere")
    serve(ARCHIVE[:-1] + b"x")
    with pytest.raises(ValueError, match=f"expected {DIGEST}: it is damaged or another version"):
        fetch_data("kermany", to=tmp_path)
    assert not (tmp_path / "kermany").exists()
    serve(ARCHIVE)
    fetch_data("kermany", to=tmp_path)
    assert "as expected" in capsys.readouterr().out


def test_a_hash_that_is_given_or_published_is_required(serve, tmp_path):
    serve(ARCHIVE)
    for given, published in (("0" * 64, ""), ("", "0" * 64)):
        serve(ARCHIVE, sha256=published)
        with pytest.raises(ValueError, match="expected 0000"):
            fetch_data("kermany", to=tmp_path / "data", sha256=given)
    with pytest.raises(ValueError, match="--sha256 is 'abc'; expected 64 hexadecimal digits"):
        fetch_data("kermany", to=tmp_path / "data", sha256="abc")
    assert fetch_data("kermany", to=tmp_path / "data", sha256=DIGEST)


def test_an_evil_archive_is_neither_unpacked_nor_recorded(serve, tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../evil.txt", b"evil")
    serve(stream.getvalue())
    with pytest.raises(ValueError, match="leads out of the folder"):
        fetch_data("kermany", to=tmp_path / "data")
    assert not (tmp_path / "data/fetched.json").exists() and not (tmp_path / "evil.txt").exists()


def test_an_archive_that_was_downloaded_by_hand(serve, tmp_path):
    serve(ARCHIVE, url="http://127.0.0.1:9/none.zip")
    (tmp_path / "ChestXRay2017.zip").write_bytes(ARCHIVE)
    assert fetch_data("kermany", to=tmp_path)
    assert (tmp_path / "kermany/train").is_dir()


def test_kaggle_is_explained_and_not_fetched(tmp_path, capsys):
    assert not fetch_data("radiography", to=tmp_path / "my data")
    output = capsys.readouterr().out
    assert "kaggle datasets download tawsifurrahman/covid19-radiography-database" in output
    assert f"-p '{tmp_path / 'my data/radiography'}'" in output and "--patients one_per_image" in output
    assert not (tmp_path / "my data").exists()


def test_unknown_collections(tmp_path):
    with pytest.raises(ValueError, match="unknown collection 'kermani'; expected one of .* Did you mean kermany"):
        fetch_data("kermani", to=tmp_path)


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda it: it.name)
def test_each_collection_says_its_terms_and_has_a_reader(collection):
    assert collection.terms and collection.page.startswith("https://")
    assert bool(collection.url) != bool(collection.by_hand) and (not collection.url or collection.url.startswith("https://"))
    assert get_source(collection.build.removeprefix("--source ").partition(":")[0])
    assert collection.sha256 == "" or len(collection.sha256) == 64
