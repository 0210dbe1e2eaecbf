"""An export opened for prediction: checked, then asked batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cxr_keras.export.manifest import MANIFEST_FILE, VERSION, check_files
from cxr_keras.pixels.decode import DECODER_VERSION, DecodeSettings
from cxr_keras.runs.files import read_json


@dataclass(frozen=True)
class Opened:
    """An export that answers.

    Attributes:
        manifest: its manifest.json.
        decode: how files become the pixels that it takes.
        model: the loaded SavedModel.
    """

    manifest: dict[str, Any]
    decode: DecodeSettings
    model: Any

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the outputs."""
        return tuple(self.manifest["classes"])

    def answer(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Predict pictures.

        Args:
            pixels: float32 (n, height, width, 1) in [0, 255]; of the size of `decode` they are taken as they are.

        Returns:
            The numeric outputs by name, see `manifest.OUTPUTS`.
        """
        outputs = self.model.signatures["serve_pixels"](tf.constant(pixels, tf.float32))
        return {name: value.numpy() for name, value in outputs.items() if value.dtype != tf.string}

    def framed(self, pixels: np.ndarray) -> np.ndarray:
        """Cut out what the networks see; float32 (n, h, w, 1)."""
        height, width = self.manifest["image_size"]
        top, left = (self.decode.height - height) // 2, (self.decode.width - width) // 2
        return pixels[:, top : top + height, left : left + width]


def open_export(folder: str | Path) -> Opened:
    """Check an export and load it.

    Raises:
        ValueError: no export, one of another format or decoder, or files that changed since.
    """
    folder = Path(folder)
    if not (folder / MANIFEST_FILE).is_file():
        if (folder / "config.yaml").is_file():
            raise ValueError(
                f"{folder} is a run. Export it first, `cxr export {folder}`, which checks that the export answers as the run's models do, "
                f"and predict with {folder / 'export' / 'saved_model'}."
            )
        raise ValueError(f"{folder} is no export: it has no {MANIFEST_FILE}. Make one with `cxr export RUN`.")
    manifest = read_json(folder / MANIFEST_FILE)
    if manifest.get("version") != VERSION:
        raise ValueError(f"{folder / MANIFEST_FILE} has the version {manifest.get('version')!r}; expected {VERSION}. Export the run again.")
    if manifest["format"] != "saved_model":
        raise ValueError(
            f"{folder} is an export of the format {manifest['format']}, made for other programs; `cxr predict` takes a SavedModel. Export "
            "the run with --format saved_model."
        )
    settings = dict(manifest["decode"])
    if (decoder := settings.pop("decoder")) != DECODER_VERSION:
        raise ValueError(
            f"{folder} was made for version {decoder} of the decoder, this is version {DECODER_VERSION}: the same file would give other "
            f"pixels. Take cxr-keras {manifest['versions'].get('cxr-keras')}, or export the run again."
        )
    check_files(folder, manifest)
    return Opened(manifest, DecodeSettings(**settings), tf.saved_model.load(str(folder / manifest["file"])))
