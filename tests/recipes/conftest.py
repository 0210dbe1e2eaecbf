"""Small phantom sets and runs that several recipe tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_keras.cli import app as application
from cxr_keras.data.phantom import generate_phantom

SETTINGS = (
    "data.image_size=[16, 16]",
    "data.resize=stretch",
    "data.batch_size=8",
    "training.phases.all.epochs=2",
    "training.checkpoint_seconds=0",
    "cross_validation.folds=2",
    "evaluation.bootstrap_draws=100",
    "evaluation.mistakes_shown=0",
)


OF_RUNS = ("audit", "evaluate", "explain", "export", "report")
"""Verbs that take a run and no images."""


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "set"
    generate_phantom(folder, patients_per_class=8, image_size=64, labels="binary")
    return folder


@pytest.fixture
def cxr(tmp_path, phantom, monkeypatch, capfd):
    """Runs the command line in a folder of its own; gives exit code, output and error lines.

    In this interpreter, as another import of TensorFlow takes six seconds; its jobs are processes of their own as ever. With variables
    to set, or to be started only, the command is a process too.
    """

    def command(verb, *arguments, settings=SETTINGS, environment=None, start=False):
        named = verb in OF_RUNS or any("data.sources" in a or "data.manifest" in a for a in arguments)
        origin = [] if named else [f"data.sources=[phantom:{phantom}]"]
        line = [verb, arguments[0], *origin, *settings, *arguments[1:]]
        variables = {"CXR_CACHE": str(tmp_path / "cache"), "COLUMNS": "100"} | (environment or {})
        if not start and not environment:
            return _here(line, tmp_path, variables)
        process = subprocess.Popen(
            [sys.executable, "-m", "cxr_keras.cli.app", *line],
            cwd=tmp_path,
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if start:
            return process
        output, errors = process.communicate(timeout=300)
        return process.returncode, output, errors

    def _here(line, folder, variables):
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["cxr", *line])
            for name, value in variables.items():
                patch.setenv(name, value)
            capfd.readouterr()
            with pytest.raises(SystemExit) as ended:
                application.main()
        return ended.value.code or 0, *capfd.readouterr()

    return command
