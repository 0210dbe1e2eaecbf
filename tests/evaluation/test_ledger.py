"""The ledger of readings of test labels."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from cxr_keras.evaluation import append_test_reading, image_ids_digest, read_ledger

READING = {"run": "mini_vgg", "split_name": "official test", "n_images": 624, "scores": {"accuracy": 0.9, "auroc": None}}


def test_each_reading_is_a_row(tmp_path):
    path = tmp_path / "folder" / "ledger.csv"
    digest = image_ids_digest(["a", "b"])
    assert len(read_ledger(path)) == 0
    assert append_test_reading(path, image_ids_digest=digest, **READING) == 1
    assert append_test_reading(path, image_ids_digest=image_ids_digest(["c"]), **READING) == 1
    assert append_test_reading(path, image_ids_digest=digest, **READING) == 2
    assert append_test_reading(path, image_ids_digest=digest, **READING, once=True) == 2  # what a killed run has noted already
    ledger = read_ledger(path)
    assert list(ledger["run"]) == ["mini_vgg"] * 3
    assert list(ledger["n_images"]) == ["624"] * 3
    assert json.loads(ledger["scores"][0]) == {"accuracy": 0.9, "auroc": None}
    assert datetime.now(UTC) - datetime.fromisoformat(ledger["time"][0]) < timedelta(minutes=1)


def test_digest_is_of_the_set_of_images():
    assert image_ids_digest(["b", "a"]) == image_ids_digest(["a", "b"]) != image_ids_digest(["a", "c"])
    assert len(image_ids_digest([])) == 64


def test_processes_at_once_lose_no_row(tmp_path):
    path = tmp_path / "ledger.csv"
    code = (
        "import sys\nfrom cxr_keras.evaluation.ledger import append_test_reading\n"
        "for _ in range(15):\n"
        "    append_test_reading(sys.argv[1], run=sys.argv[2], split_name='t', n_images=1, image_ids_digest='d', scores={})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("one", "two", "three")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    assert read_ledger(path)["run"].value_counts().to_dict() == {"one": 15, "two": 15, "three": 15}


def test_another_file_is_not_overwritten(tmp_path):
    path = tmp_path / "manifest.csv"
    path.write_text("image_id,label\na,normal\n")
    with pytest.raises(ValueError, match=r"is no ledger of test readings: its columns are image_id, label"):
        append_test_reading(path, image_ids_digest="d", **READING)
    assert path.read_text() == "image_id,label\na,normal\n"
    path.write_text("")
    with pytest.raises(ValueError, match="is no ledger"):
        read_ledger(path)
