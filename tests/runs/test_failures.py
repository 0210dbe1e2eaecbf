"""What the user is told of an error."""

from __future__ import annotations

import errno
import json

import pytest

from cxr_keras.runs.failures import NO_SPACE, PROGRAM_ERROR, USER_ERROR, explain
from cxr_keras.runs.files import write_json
from models_zoo import get_spec


def raised(function, *arguments) -> Exception:
    with pytest.raises(Exception) as caught:
        function(*arguments)
    return caught.value


def test_own_errors_are_told_as_they_are():
    message, code = explain(raised(get_spec, "resnet5O"))
    assert "resnet50" in message and code == USER_ERROR and "library" not in message


def test_errors_of_libraries_say_where_they_were_met(tmp_path):
    message, code = explain(raised(write_json, tmp_path / "x.json", {"score": float("nan")}))
    assert code == PROGRAM_ERROR
    assert message.startswith("ValueError: ") and "met in write_json" in message and "CXR_TRACEBACK=1" in message
    message, _ = explain(raised(json.loads, "{"))  # none of this project's frames
    assert "A library raised this. A damaged" in message


def test_the_traceback_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("CXR_TRACEBACK", "1")
    assert explain(raised(get_spec, "none")) is None


def test_a_full_disk_and_missing_files_are_the_users_to_mend():
    message, code = explain(OSError(errno.ENOSPC, "No space left on device", "/data/x"))
    assert code == NO_SPACE and "(/data/x)" in message and "continues" in message
    assert explain(FileNotFoundError(errno.ENOENT, "No such file", "a.csv")) == ("No such file: a.csv", USER_ERROR)
    assert explain(FileExistsError(errno.EEXIST, "File exists", "out")) == ("File exists: out", USER_ERROR)
    assert explain(OSError(errno.EROFS, "Read-only file system", "/x")) == ("Read-only file system: /x", USER_ERROR)
    assert explain(OSError(errno.EDQUOT, "Disk quota exceeded", "/x"))[1] == NO_SPACE


def test_faults_of_the_program_keep_their_traceback():
    assert explain(KeyError("x")) is None
