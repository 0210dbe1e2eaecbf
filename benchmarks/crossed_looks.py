"""Whether a network reads how an X-ray looks instead of what it shows.

Each validation image of a finished `cxr train` is scored as it is and with another look: coarser, more compressed, darker, narrower, and so
on. Then normal images of the other look are set against sick images as they are, and the other way round. A network that sees the lungs
ranks them as before; one that has learned, say, that sick children's files are the more compressed ones does not. No image of the
official test folder is touched.

    python benchmarks/crossed_looks.py RUN...

Needs nothing besides the project.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from cxr_keras.config.loader import read_config
from cxr_keras.config.schema import RunConfig
from cxr_keras.data.appearance import Appearance
from cxr_keras.data.examples import examples_of
from cxr_keras.data.labels import class_order
from cxr_keras.data.manifest import read_manifest
from cxr_keras.data.pipeline import evaluation_dataset
from cxr_keras.recipes.batches import open_cache

LOOKS = {
    "coarse": Appearance(rescale=(0.25, 0.4)),
    "compressed": Appearance(jpeg_quality=(8, 20)),
    "low contrast": Appearance(contrast=(0.5, 0.65)),
    "high contrast": Appearance(contrast=(1.4, 1.6)),
    "dark": Appearance(gamma=(1.5, 1.8)),
    "bright": Appearance(gamma=(0.55, 0.7)),
    "noisy": Appearance(noise=16.0),
    "narrow": 0.8,
    "wide": 1.25,
    "enlarged": (1.2, 1.2),
    "reduced": (0.85, 0.85),
}
"""What one class gets: a change of look; a factor of width over height at the same area; or factors of width and height."""

Look = Appearance | float | tuple[float, float] | None

CLASSES = ("normal", "pneumonia")


def stretch(images: np.ndarray, across: float, down: float) -> np.ndarray:
    """Stretch uint8 (n, h, w, 1) about the centre; what lies beyond the edge is mirrored."""
    height, width = images.shape[1:3]
    transform = np.array([[across, 0, (1 - across) * (width - 1) / 2], [0, down, (1 - down) * (height - 1) / 2]], np.float32)
    stretched = [cv2.warpAffine(image, transform, (width, height), borderMode=cv2.BORDER_REFLECT) for image in images]
    return np.stack(stretched)[..., np.newaxis]


def scorer_of(run: Path) -> tuple[Callable[[Look], np.ndarray], np.ndarray]:
    """A function from a look to the difference of the logits of each validation image, and whether each image is of a sick child.

    Raises:
        ValueError: the run is not binary, or has no validation part.
    """
    config: RunConfig = read_config(run / "config.yaml")
    manifest = read_manifest(run / "manifest.csv")
    parts = pd.read_csv(run / "split" / "parts.csv", dtype=str).set_index("image_id")["part"]
    if class_order(manifest["label"]) != CLASSES or not (parts == "validation").any():
        raise ValueError(f"{run}: expected a run of `cxr train` on {' and '.join(CLASSES)} with split.validation above 0.")
    validation = manifest[manifest["image_id"].map(parts) == "validation"].reset_index(drop=True)
    cache = open_cache(validation, config, show_progress=False)
    found = examples_of(validation, cache, CLASSES)
    pictures, examples = cache.images[found.rows], replace(found, rows=np.arange(len(found)))
    model = keras.models.load_model(run / "split" / "model.keras", compile=False, safe_mode=True)
    logits = keras.Model(model.inputs[0], model.get_layer("logits").output)

    def score(look: Look) -> np.ndarray:
        if isinstance(look, float):
            look = (look**0.5, look**-0.5)
        shown, appearance = (stretch(pictures, *look), None) if isinstance(look, tuple) else (pictures, look)
        batches = evaluation_dataset(shown, examples, batch_size=64, appearance=appearance, seed=0)
        values = np.concatenate([np.asarray(logits.predict_on_batch(images), np.float64) for images, _ in batches])
        return values[:, 1] - values[:, 0]

    return score, examples.columns == 1


def main() -> None:
    """Print for each run the AUROC as it is, and for each look with normal or sick images alone changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    print(f"{'run':20}{'images':>8}{'as it is':>10}{'mean':>8}{'worst':>8}  " + "".join(f"{look:>14}" for look in LOOKS))
    for run in parser.parse_args().runs:
        score, sick = scorer_of(run)
        plain = score(None)
        crossed = []
        for look in LOOKS.values():
            changed = score(look)
            crossed.append([roc_auc_score(sick, np.where(sick == which, changed, plain)) for which in (False, True)])
        cells = "".join(f"{f'{normal:.3f} {ill:.3f}':>14}" for normal, ill in crossed)
        print(f"{run.name:20}{len(sick):8}{roc_auc_score(sick, plain):10.4f}{np.mean(crossed):8.4f}{np.min(crossed):8.4f}  {cells}")


if __name__ == "__main__":
    main()
