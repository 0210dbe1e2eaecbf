"""DICOM files for the tests of the pixels."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def dicom_files() -> ModuleType:
    """The module `dicom_files.py` beside this file."""
    specification = importlib.util.spec_from_file_location("dicom_files", Path(__file__).with_name("dicom_files.py"))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
