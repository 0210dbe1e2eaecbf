"""`cxr data` from the command line: messages and exit codes."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fetch", "kermani", "--to", "data"), "Did you mean kermany"),
        (("fetch", "kermany", "--to", "data", "--sha256", "abc"), "expected 64 hexadecimal digits"),
        (("quality", "none.csv"), "none.csv does not exist"),
        (("build", "--source", "dicom:none", "--out", "m.csv"), "none does not exist; expected a folder of DICOM files"),
    ],
)
def test_faults_end_in_one_message(cxr, arguments, message):
    code, _, errors = cxr("data", *arguments)
    assert code == 2 and message in errors


def test_what_needs_an_account_is_explained_and_no_success(cxr, tmp_path):
    code, output, _ = cxr("data", "fetch", "radiography", "--to", str(tmp_path / "data"))
    assert code == 1 and "kaggle datasets download" in output and "cxr data build" in output
