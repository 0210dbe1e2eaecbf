from cxr_keras.runs import provenance
from cxr_keras.runs.files import read_json
from cxr_keras.runs.provenance import commits_of, describe_environment, note_environment, starts_of


def test_a_run_continued_by_other_code_says_so(tmp_path, monkeypatch):
    path = tmp_path / "environment.json"
    for commit in ("aaaa", "aaaa", "bbbb", "bbbb+changes", "bbbb+changes"):
        monkeypatch.setattr(provenance, "_commit", lambda commit=commit: commit)
        note_environment(path)
    environment = read_json(path)
    assert environment["commit"] == "aaaa" and commits_of(environment) == "aaaa, then bbbb, then bbbb+changes"
    assert len(starts_of(environment)) == 3


def test_a_package_without_a_checkout_is_named_by_its_version():
    environment = describe_environment() | {"commit": None}
    assert commits_of(environment) == f"cxr-keras {environment['packages']['cxr-keras']}"
