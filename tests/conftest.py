"""Fixtures shared by all tests. Environment variables are set here, before TensorFlow is imported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Two workers with a thread for each core in each library fight for the cores: on a busy machine 192 s against 18 s for one package.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(variable, "1")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real X-rays (kermany224/, covid224/, kermany_fullsize/); skips where it is absent."""
    folder = os.environ.get("CXR_REAL_DATA")
    if not folder or not (Path(folder) / "kermany224").is_dir():
        pytest.skip("no real X-rays: set CXR_REAL_DATA to the folder that holds kermany224/, covid224/ and kermany_fullsize/")
    return Path(folder)


@pytest.fixture
def events_in():
    """Reads the event files of a folder as TensorBoard does; gives its accumulator."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return lambda folder: EventAccumulator(str(folder)).Reload()


LONG = ("recipes", "export", "explain")
"""Folders of tests that run whole commands: first, so that at the end no process waits for the other to finish one of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with long tests before the others; within both the order stays."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With CXR_CHECK_SKIPS set (CI), fail on skipped tests that tests/allowed_skips.txt does not name."""
    if not os.environ.get("CXR_CHECK_SKIPS"):
        return
    allowed = {line for line in (REPOSITORY / "tests" / "allowed_skips.txt").read_text().splitlines() if line and line[0] != "#"}
    skipped = {report.nodeid.split("[")[0] for report in terminalreporter.stats.get("skipped", [])}
    if unexpected := sorted(skipped - allowed):
        terminalreporter.section("skipped, but not named in tests/allowed_skips.txt", red=True)
        for name in unexpected:
            terminalreporter.line(name)
        terminalreporter._session.exitstatus = 1
