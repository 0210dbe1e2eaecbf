import hashlib

import numpy as np
import pandas as pd
import pytest

from cxr_keras.runs.files import file_sha256, read_json, write_atomically, write_csv, write_json, write_text


def test_a_failed_write_leaves_the_former_file_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")
    with pytest.raises(RuntimeError), write_atomically(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_temporary_name_keeps_the_suffix_and_folder(tmp_path):
    with write_atomically(tmp_path / "new" / "model.keras") as temporary:
        assert temporary.suffix == ".keras" and temporary.parent == tmp_path / "new"
        temporary.write_bytes(b"x")
    assert (tmp_path / "new" / "model.keras").read_bytes() == b"x"


def test_json_takes_numpy_and_refuses_nan(tmp_path):
    write_json(tmp_path / "a.json", {"n": np.int64(3), "x": np.float32(0.5), "p": tmp_path})
    assert read_json(tmp_path / "a.json") == {"n": 3, "x": 0.5, "p": str(tmp_path)}
    with pytest.raises(ValueError):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_broken_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="a.json is not valid JSON"):
        read_json(tmp_path / "a.json")


def test_csv_keeps_all_digits(tmp_path):
    table = pd.DataFrame({"p": [1 / 3, 0.1]})
    write_csv(tmp_path / "a.csv", table)
    assert pd.read_csv(tmp_path / "a.csv", float_precision="round_trip")["p"].tolist() == table["p"].tolist()


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
