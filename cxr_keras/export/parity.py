"""Does an exported file answer what the trained models answer: asked in a fresh process, on images of the run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxr_keras.export import fresh_process
from cxr_keras.export.formats import Format
from cxr_keras.export.serving import Serving
from cxr_keras.pixels.decode import decode_and_resize
from cxr_keras.pixels.dicom import is_dicom
from cxr_keras.runs.files import write_json

SECONDS = 1800
"""How long the fresh process may take; the largest networks need minutes on a busy processor."""


@dataclass(frozen=True)
class Expected:
    """What the trained models give for some images.

    Attributes:
        probabilities: float64 (n, k).
        calibrated: float64 (n, k); None where the run has no temperature.
    """

    probabilities: np.ndarray
    calibrated: np.ndarray | None


def check_parity(folder: Path, format_: Format, serving: Serving, *, images: Sequence[Path], expected: Expected) -> dict[str, Any]:
    """Ask the exported file about images in a fresh process and compare.

    Args:
        folder: of the export.
        format_: what was written.
        serving: its constants.
        images: JPEG, PNG and DICOM files.
        expected: what the trained models give for them, in this order.

    Returns:
        For manifest.json: images, tolerance, and the largest difference of a probability by way in (`bytes`, `pixels`).

    Raises:
        ValueError: the file cannot be used, or it answers differently; the message says by how much.
    """
    contents = [path.read_bytes() for path in images]
    pixels = np.stack([np.asarray(decode_and_resize(each, serving.decode), np.float32) for each in contents])
    as_files = np.array([not is_dicom(each) for each in contents]) & (format_.name == "saved_model")
    if format_.name != "saved_model":
        (top, left), (height, width) = serving.corner, serving.image_size
        pixels = pixels[:, top : top + height, left : left + width]
    answers = _ask(folder, format_, pixels=pixels, images=[path for path, one in zip(images, as_files, strict=True) if one])
    found: dict[str, float] = {}
    for way, rows in (("bytes", as_files), ("pixels", np.ones(len(images), bool))):
        if rows.any():
            found[way] = _largest_difference(answers, way, expected, rows)
            _check_decision(answers, way, expected, rows, serving=serving, tolerance=format_.tolerance)
    worst = float(np.max(list(found.values())))
    if not worst <= format_.tolerance:
        raise ValueError(
            f"the {format_.name} export gives probabilities up to {worst:.2g} away from the trained model's on {len(images)} images of the "
            f"run ({', '.join(f'{way} {value:.2g}' for way, value in found.items())}); at most {format_.tolerance:g} is accepted. Nothing "
            "was exported. Another format may keep closer."
        )
    return {"images": len(images), "tolerance": format_.tolerance, "largest_difference": found}


def _ask(folder: Path, format_: Format, *, pixels: np.ndarray, images: Sequence[Path]) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory(prefix="cxr-parity-") as name:
        place = Path(name)
        np.save(place / "pixels.npy", np.ascontiguousarray(pixels), allow_pickle=False)
        job = {
            "format": format_.name,
            "file": str((folder / format_.file).absolute()),
            "pixels": str(place / "pixels.npy"),
            "images": [str(path.absolute()) for path in images],
            "answers": str(place / "answers.npz"),
        }
        write_json(place / "job.json", job)
        # On the processor, as the models answered: a GPU may multiply in fewer digits.
        variables = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        # -P keeps the folder of the script, this package's, out of the search for modules.
        command = [sys.executable, "-P", str(Path(fresh_process.__file__)), str(place / "job.json")]
        try:
            ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise ValueError(
                f"the {format_.name} export did not answer within {SECONDS // 60} minutes in a fresh process, so nothing was exported. Try "
                "again on a quieter machine."
            ) from None
        if ended.returncode:
            lines = "\n".join(ended.stderr.strip().splitlines()[-4:])
            raise ValueError(f"the {format_.name} export cannot be used in a fresh process, so nothing was exported:\n{lines}")
        with np.load(job["answers"], allow_pickle=False) as content:
            return dict(content)


def _largest_difference(answers: dict[str, np.ndarray], way: str, expected: Expected, rows: np.ndarray) -> float:
    wanted = {"probabilities": expected.probabilities, "calibrated_probabilities": expected.calibrated}
    found = []
    for name, values in wanted.items():
        given = answers.get(f"{way}/{name}")
        if (given is None) != (values is None) or (values is not None and given.shape != values[rows].shape):
            raise ValueError(f"the export answers {sorted(answers)}, which lacks or misshapes {way}/{name}; nothing was exported.")
        if values is not None:
            found.append(float(np.abs(given - values[rows]).max()))
    return float(np.max(found))


def _check_decision(
    answers: dict[str, np.ndarray], way: str, expected: Expected, rows: np.ndarray, *, serving: Serving, tolerance: float
) -> None:
    """Raise ValueError for a decision that is another one, unless the probabilities are nearer to the border than they must agree."""
    decided = answers.get(f"{way}/decision_index")
    if decided is None:
        return  # an export for Keras gives probabilities alone
    probabilities = expected.probabilities[rows]
    if serving.threshold is not None:
        wanted = (probabilities[:, 1] >= serving.threshold).astype(int)
        close = np.abs(probabilities[:, 1] - serving.threshold) <= tolerance
    else:
        wanted = probabilities.argmax(axis=1)
        ordered = np.sort(probabilities, axis=1)
        close = ordered[:, -1] - ordered[:, -2] <= 2 * tolerance
    if wrong := int(np.count_nonzero((decided != wanted) & ~close)):
        raise ValueError(f"the export decides {wrong} of {len(wanted)} images otherwise than the trained model; nothing was exported.")
