"""Small image files and small manifests for the tests of the data package."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def dicom_files() -> ModuleType:
    """The module tests/pixels/dicom_files.py, which writes DICOM files."""
    path = Path(__file__).parents[1] / "pixels" / "dicom_files.py"
    specification = importlib.util.spec_from_file_location("dicom_files", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def write_image() -> Callable[..., Path]:
    """`write_image(path, seed=0, size=(40, 48))` writes a noisy grey image of (height, width) and gives its path."""

    def write(path: Path, seed: int = 0, size: tuple[int, int] = (40, 48)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
        assert cv2.imwrite(str(path), pixels)
        return path

    return write


@pytest.fixture
def write_images(tmp_path: Path, write_image: Callable[..., Path]) -> Callable[..., Path]:
    """`write_images(names)` writes one image for each name (or name -> seed) below `tmp_path`, all different, and gives `tmp_path`."""

    def write(names: list[str] | Mapping[str, int]) -> Path:
        seeds = names if isinstance(names, Mapping) else {name: seed for seed, name in enumerate(names)}
        for name, seed in seeds.items():
            write_image(tmp_path / name, seed=seed)
        return tmp_path

    return write


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., pd.DataFrame]:
    """`make_manifest({"normal": [1, 2], "viral": [1]})` has one group a number, with so many images; no files on disk."""

    def make(images_of_groups: Mapping[str, list[int]]) -> pd.DataFrame:
        rows = []
        for label, sizes in images_of_groups.items():
            for patient, size in enumerate(sizes):
                rows += [(f"{label}{patient}_{image}", label, f"{label}{patient}") for image in range(size)]
        table = pd.DataFrame(rows, columns=["image_id", "label", "patient_id"])
        hashes = [f"{row:064x}" for row in range(len(table))]
        return table.assign(
            path="/images/" + table["image_id"], group_id=table["patient_id"], source="test", split="", sha256=hashes, width=40, height=48
        )

    return make


@pytest.fixture(scope="session")
def kermany_manifest(real_data: Path) -> pd.DataFrame:
    """Manifest of the real Kermany images with three classes; not to be changed."""
    from cxr_keras.data.sources import build_manifest

    return build_manifest([f"kermany:{real_data / 'kermany224'}"], labels="three", show_progress=False)


@pytest.fixture(scope="session")
def four_class_manifest(real_data: Path) -> pd.DataFrame:
    """Manifest of the real Kermany and COVID-19 images with four classes; not to be changed."""
    from cxr_keras.data.sources import build_manifest

    sources = [f"kermany:{real_data / 'kermany224'}", f"ieee8023:{real_data / 'covid224'}"]
    return build_manifest(sources, labels="four", show_progress=False)
