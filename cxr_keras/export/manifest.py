"""`manifest.json` of an export: what it computes, what it was made from, and the digest of every file."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_keras.export.formats import Format
from cxr_keras.export.serving import MAPS, Serving
from cxr_keras.runs.files import file_sha256

MANIFEST_FILE = "manifest.json"
CARD_FILE = "README.md"
VERSION = 1
"""Of this file's layout."""

PACKAGES = ("cxr-keras", "tensorflow", "keras", "numpy", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "openvino")

OUTPUTS = {
    "probabilities": "(n, classes), of several models the mean",
    "logits": "(n, classes), of several models the logarithm of their mean probability",
    "calibrated_probabilities": "(n, classes), after temperature scaling",
    "decision_index": "int32 (n,), index of the decided class",
    MAPS: "float32 (n, rows, columns, classes); the mean over the places of one map, with the bias of its class, is the logit",
    "decision": "string (n,), name of the decided class",
    "classes": "string (n, classes), names in order",
    "threshold": "float64 (n,), of the second class's probability",
    "temperature": "float64 (n,), which the logits of the calibrated probabilities are divided by",
}
"""What each output is."""


def describe_export(
    format_: Format, serving: Serving, *, name: str, models: int, notes: Mapping[str, str | None], run: Mapping[str, Any]
) -> dict[str, Any]:
    """Say what an export computes; `describe_files` and the parity are added when it lies on the disk.

    Args:
        format_: what is written.
        serving: its constants.
        name: of the run.
        models: how many trained models answer as one.
        notes: `operating_point` (its name), `no_temperature` and `no_maps` (why there is none, or None).
        run: provenance, as in the run's metrics.json.

    Returns:
        Plain values for JSON.
    """
    absent = {
        "calibrated_probabilities": serving.temperature is None,
        "temperature": serving.temperature is None,
        "threshold": serving.threshold is None,
        MAPS: notes["no_maps"] is not None or format_.name == "keras",
    }
    words = {"decision", "classes", "threshold", "temperature"}
    only = {"keras": {"probabilities", "calibrated_probabilities"}, "saved_model": set(OUTPUTS)}
    given = only.get(format_.name, set(OUTPUTS) - words)
    return {
        "version": VERSION,
        "name": name,
        "format": format_.name,
        "file": format_.file,
        "input": format_.inputs,
        "outputs": {key: meaning for key, meaning in OUTPUTS.items() if key in given and not absent.get(key)},
        "classes": list(serving.classes),
        "image_size": list(serving.image_size),
        "decode": serving.decode.as_dict(),
        "operating_point": notes["operating_point"],
        "threshold": serving.threshold,
        "temperature": serving.temperature,
        "no_temperature": notes["no_temperature"],
        MAPS: not absent[MAPS],
        "no_class_activation_maps": notes["no_maps"] or ("an export for Keras gives probabilities alone" if absent[MAPS] else None),
        "models": models,
        "versions": versions(),
        "run": dict(run),
    }


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """SHA-256 and size in bytes of every file below a folder but the manifest, by relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE)
    return {path.relative_to(folder).as_posix(): {"sha256": file_sha256(path), "bytes": path.stat().st_size} for path in paths}


def check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raise ValueError for files that are missing or not those that were exported; all faults together."""
    faults = []
    for name, entry in manifest["files"].items():
        path = folder / name
        if name == CARD_FILE:
            continue  # it is there to be edited
        if not path.is_file():
            faults.append(f"{name} is missing")
        elif path.stat().st_size != entry["bytes"] or file_sha256(path) != entry["sha256"]:
            faults.append(f"{name} is not the file that was exported (its SHA-256 differs)")
    if faults:
        raise ValueError(f"{folder}: {'; '.join(faults)}. Copy the export again, or make it again with `cxr export`.")


def versions() -> dict[str, str]:
    """Versions of the packages that made the export, where installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
