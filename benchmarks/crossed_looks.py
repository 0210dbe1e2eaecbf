"""Whether a network reads how an X-ray looks instead of what it shows.

Each validation image of a finished `cxr train` is scored as it is and with another look: coarser, more compressed, darker, and so on. Then
normal images of the other look are set against sick images as they are, and the other way round. A network that sees the lungs ranks
them as before; one that has learned, say, that sick children's files are the more compressed ones does not. No image of the official
test folder is touched.

    python benchmarks/crossed_looks.py RUN...

Needs nothing besides the project.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

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
}
"""What one class gets; apart from contrast, beyond what `configs/scratch_best.yaml` varies in training, or at its edge."""

CLASSES = ("normal", "pneumonia")


def scorer_of(run: Path) -> tuple[Callable[[Appearance | None], np.ndarray], np.ndarray]:
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
    examples = examples_of(validation, cache, CLASSES)
    model = keras.models.load_model(run / "split" / "model.keras", compile=False, safe_mode=True)
    logits = keras.Model(model.inputs[0], model.get_layer("logits").output)

    def score(look: Appearance | None) -> np.ndarray:
        batches = evaluation_dataset(cache.images, examples, batch_size=64, appearance=look, seed=0)
        found = np.concatenate([np.asarray(logits.predict_on_batch(images), np.float64) for images, _ in batches])
        return found[:, 1] - found[:, 0]

    return score, examples.columns == 1


def main() -> None:
    """Print for each run the AUROC as it is, and for each look with normal or sick images alone changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    print(f"{'run':20}{'images':>8}{'as it is':>10}{'mean':>8}{'worst':>8}  " + "".join(f"{look:>16}" for look in LOOKS))
    for run in parser.parse_args().runs:
        score, sick = scorer_of(run)
        plain = score(None)
        crossed = []
        for look in LOOKS.values():
            changed = score(look)
            crossed.append([roc_auc_score(sick, np.where(sick == which, changed, plain)) for which in (False, True)])
        cells = "".join(f"{f'{normal:.3f} {ill:.3f}':>16}" for normal, ill in crossed)
        print(f"{run.name:20}{len(sick):8}{roc_auc_score(sick, plain):10.4f}{np.mean(crossed):8.4f}{np.min(crossed):8.4f}  {cells}")


if __name__ == "__main__":
    main()
