"""The command line, as the tests of its verbs call it."""

import sys

import pytest

from cxr_keras.cli import app as application


@pytest.fixture
def cxr(tmp_path, monkeypatch, capfd):
    """Runs a command line in this interpreter and an empty folder; gives exit code, output and error lines."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["cxr", *arguments])
        with pytest.raises(SystemExit) as ended:
            application.main()
        return ended.value.code, *capfd.readouterr()

    return command
