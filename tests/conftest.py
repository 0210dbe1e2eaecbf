"""Fixtures shared by all tests. Environment variables are set here, before TensorFlow is imported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real X-rays (kermany224/, covid224/, kermany_fullsize/); skips where it is absent."""
    folder = Path(os.environ.get("CXR_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "kermany224").is_dir():
        pytest.skip(f"real X-rays not found at {folder}: set CXR_REAL_DATA to their folder")
    return folder
