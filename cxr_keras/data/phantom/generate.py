"""A folder of phantom images with masks, manifest and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_keras.data.groups import join_groups
from cxr_keras.data.manifest import read_manifest, write_manifest
from cxr_keras.data.parallel import map_in_threads
from cxr_keras.data.phantom.image import phantom_image
from cxr_keras.data.phantom.plan import Faults, make_plan
from cxr_keras.runs.files import file_sha256, read_json, write_atomically, write_json

GENERATOR_VERSION = 2
"""Raised whenever the same settings would give other pixels, so that an older folder is not taken for a new one."""

JPEG_QUALITY, HARD_JPEG_QUALITY = 92, 25
"""Quality of the images, and of the class whose compression is a planted fault."""

MINIMUM_SIZE, MAXIMUM_SIZE = 32, 2048

SETTINGS_FILE, MANIFEST_FILE = "phantom.json", "manifest.csv"


def generate_phantom(
    folder: str | Path,
    *,
    patients_per_class: int | Mapping[str, int] = 30,
    image_size: int = 256,
    labels: str = "four",
    seed: int = 0,
    faults: Faults | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """Make a phantom set, or reuse the one of the same settings that is already in `folder`.

    Writes `images/*.jpeg`, `masks/*.png` (0 and 255, all 0 for a normal image), `manifest.csv` and `phantom.json`. A patient
    has 1 to 4 images. The pixels depend on the settings alone, not on `workers`.

    Args:
        folder: where to write; new, empty, or a phantom folder of the same settings.
        patients_per_class: patients of every class, or by class name. 30 of four classes make about 300 images.
        image_size: side of the square images in pixels.
        labels: "binary" (pneumonia is bacterial and viral in turn), "three" or "four".
        seed: of the whole set.
        faults: what to plant, or None.
        workers: threads; None takes one a core.

    Returns:
        The manifest as `read_manifest` gives it, with the free columns mask_path, pattern, true_label and fault.

    Raises:
        ValueError: settings out of range, or `folder` holds something else (the difference is shown).
    """
    if not MINIMUM_SIZE <= image_size <= MAXIMUM_SIZE:
        raise ValueError(f"image_size={image_size} must lie between {MINIMUM_SIZE} and {MAXIMUM_SIZE} pixels.")
    folder = Path(folder).absolute()
    plan = make_plan(patients_per_class, labels=labels, seed=seed, faults=faults)
    if isinstance(patients_per_class, Mapping):
        patients_per_class = dict(sorted(patients_per_class.items()))
    settings = {
        "generator_version": GENERATOR_VERSION,
        "patients_per_class": patients_per_class,
        "image_size": image_size,
        "labels": labels,
        "seed": seed,
        "faults": asdict(faults or Faults()),
    }
    _claim(folder, settings)
    plan["path"] = [str(folder / "images" / f"{image_id}.jpeg") for image_id in plan["image_id"]]
    plan["mask_path"] = [str(folder / "masks" / f"{image_id}.png") for image_id in plan["image_id"]]
    if not _is_complete(folder, plan):
        _draw_all(plan, seed=seed, size=image_size, workers=workers)
        _write_manifest(folder, plan, image_size)
    return read_phantom(folder)


def read_phantom(folder: str | Path) -> pd.DataFrame:
    """Read the manifest of a phantom folder, all paths absolute.

    Raises:
        ValueError: `folder` is no finished phantom folder.
    """
    folder = Path(folder).absolute()
    if not (folder / SETTINGS_FILE).is_file() or not (folder / MANIFEST_FILE).is_file():
        raise ValueError(f"{folder} is no finished phantom folder: {SETTINGS_FILE} and {MANIFEST_FILE} are expected in it.")
    manifest = read_manifest(folder / MANIFEST_FILE)
    return manifest.assign(mask_path=[str(folder / path) for path in manifest["mask_path"]])


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings into a new folder, or refuse a folder of other settings."""
    if (folder / SETTINGS_FILE).is_file():
        former = read_json(folder / SETTINGS_FILE)
        if former != settings:
            raise ValueError(
                f"{folder} holds a phantom set of other settings:\n"
                + "\n".join(_differences(former, settings))
                + "\nGive another folder, the same settings, or remove that folder."
            )
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and no phantom folder ({SETTINGS_FILE} is missing): give a new folder.")
    write_json(folder / SETTINGS_FILE, settings)


def _differences(former: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    lines = []
    for key in sorted({*former, *wanted}):
        old, new = former.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            lines.append(f"- {prefix}{key}: there {old!r}, asked for {new!r}")
    return lines


def _is_complete(folder: Path, plan: pd.DataFrame) -> bool:
    """The manifest is written last, so it marks a finished set; files removed since then are drawn again."""
    paths = [*plan["path"], *plan["mask_path"]]
    return (folder / MANIFEST_FILE).is_file() and all(Path(path).is_file() for path in paths)


def _draw_all(plan: pd.DataFrame, *, seed: int, size: int, workers: int | None) -> None:
    """Draw every image in threads; each depends on its own seed alone. OpenCV and NumPy release the lock while they work."""

    def draw(row: Any) -> None:
        grey, mask = phantom_image(row.pattern, seed=seed, patient=row.patient, image=row.image, size=size)
        faults = row.fault.split(";")
        if "marker" in faults:
            draw_marker(grey)
        quality = HARD_JPEG_QUALITY if "compression" in faults else JPEG_QUALITY
        _write_image(Path(row.path), grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
        _write_image(Path(row.mask_path), mask, [])

    rows = list(plan.itertuples(index=False))
    map_in_threads(draw, rows, workers=workers, description="drawing phantoms")


def draw_marker(grey: NDArray[np.uint8]) -> None:
    """Draw a bright letter into the upper corner at image right, in place; uint8 (size, size)."""
    size = grey.shape[0]
    height = max(6, round(size * 0.09))
    scale = height / cv2.getTextSize("P", cv2.FONT_HERSHEY_SIMPLEX, 1.0, 2)[0][1]
    origin = (round(size * 0.9), round(size * 0.03) + height)
    cv2.putText(grey, "P", origin, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, max(2, size // 64), cv2.LINE_AA)


def _write_image(path: Path, pixels: NDArray[np.uint8], parameters: list[int]) -> None:
    coded, contents = cv2.imencode(path.suffix, pixels, parameters)
    if not coded:
        raise OSError(f"OpenCV could not encode {path.name}")
    with write_atomically(path) as temporary:
        temporary.write_bytes(contents.tobytes())


def _write_manifest(folder: Path, plan: pd.DataFrame, size: int) -> None:
    """Write manifest.csv; the masks' paths are relative to its folder, as those of the images."""
    manifest = pd.DataFrame(
        {
            "image_id": plan["image_id"],
            "path": plan["path"],
            "label": plan["label"],
            "patient_id": plan["patient_id"],
            "source": "phantom",
            "split": plan["split"],
            "sha256": [file_sha256(path) for path in plan["path"]],
            "width": size,
            "height": size,
            "mask_path": [Path(path).relative_to(folder).as_posix() for path in plan["mask_path"]],
            "pattern": plan["pattern"],
            "true_label": plan["true_label"],
            "fault": plan["fault"],
        }
    )
    write_manifest(join_groups(manifest), folder / MANIFEST_FILE)
