"""Small phantom sets and runs that several recipe tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "set"
    generate_phantom(folder, patients_per_class=8, image_size=64, labels="binary")
    return folder


@pytest.fixture
def cxr(tmp_path, phantom):
    """Runs the command line in a fresh interpreter and folder; gives exit code, output and error lines."""

    def command(verb, *arguments, settings=SETTINGS, environment=None, start=False):
        named = verb in ("evaluate", "report") or any("data.sources" in a or "data.manifest" in a for a in arguments)
        origin = [] if named else [f"data.sources=[phantom:{phantom}]"]
        line = [sys.executable, "-m", "cxr_keras.cli.app", verb, arguments[0], *origin, *settings, *arguments[1:]]
        variables = os.environ | {"CXR_CACHE": str(tmp_path / "cache"), "COLUMNS": "100"} | (environment or {})
        process = subprocess.Popen(
            line, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        if start:
            return process
        output, errors = process.communicate(timeout=300)
        return process.returncode, output, errors

    return command
