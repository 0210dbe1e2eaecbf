"""How time and memory of stored features grow with the number of images: extraction, a grid search on a sample, scoring of everything.

Images of 64 pixels are drawn as PNG files of about 1 KB, two classes, two images a patient. Each number of images runs in a fresh
process with a store of its own:

- extraction: files to pixel cache, pixel cache through mini_vgg's base (random weights), 8192 features an image into HDF5;
- grid search: logistic regression over three values of C in three folds by patient, on a sample of at most 2,000 images;
- scoring: probabilities of all images, features read from the store block by block.

Time should grow with the number of images and memory should not. Printed are seconds and peak anonymous memory, and the exponent b of
a fit seconds = a n^b.

    python benchmarks/scale.py [--images 1000 10000 100000]

100,000 images take 3.3 GB of disk for features, and 0.4 GB for pixels. Needs `pip install psutil` besides the project.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from input_pipeline import MemorySampler

SIDE = 64
SAMPLE = 2000
STAGES = ("extraction", "grid search", "scoring")
GRID = (1e-2, 1.0, 1e2)
BLOCK_BYTES = 64 << 20


def draw(folder: Path, count: int, seed: int = 0) -> pd.DataFrame:
    """Draw images: smooth noise, and for the second class a pale field, fainter in some than in others; give their manifest."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        sick = number // 2 % 2
        coarse = random.uniform(40, 140, (8, 8))
        coarse[3:5, 2:4] += sick * random.uniform(0, 90)
        picture = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
        contents = cv2.imencode(".png", picture)[1].tobytes()
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
        label = ("normal", "pneumonia")[sick]
        patient = f"{number // 2:06d}"
        rows.append((f"{number:06d}", str(path), label, patient, patient, hashlib.sha256(contents).hexdigest()))
    return pd.DataFrame(rows, columns=["image_id", "path", "label", "patient_id", "group_id", "sha256"])


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Run the three stages on a folder of drawn images in this process: seconds and peak bytes of each."""
    import keras

    import models_zoo
    from cxr_keras.config.loader import load_config
    from cxr_keras.features.classify import grid_search
    from cxr_keras.features.rows import SelectedRows
    from cxr_keras.features.saved import predict_probabilities
    from cxr_keras.recipes.features import extract_features

    os.environ["CXR_CACHE"] = str(folder / "cache")
    config = load_config("mini_vgg", [f"data.image_size=[{SIDE}, {SIDE}]"])
    manifest = pd.read_csv(folder / "manifest.csv", dtype=str)
    keras.utils.set_random_seed(0)
    model = models_zoo.build("mini_vgg", (SIDE, SIDE), 2)
    # Libraries and the graph are loaded by a first batch, whose folder is another store.
    warm = manifest.head(32)
    extract_features(config, warm, layer="features", show_progress=False, model=model, root=folder / "warm")
    results: dict[str, dict[str, float]] = {}

    def timed(stage: str, work: object) -> object:
        started = time.perf_counter()
        with MemorySampler() as sampler:
            answer = work()  # type: ignore[operator]
        results[stage] = {"seconds": time.perf_counter() - started, "bytes": sampler.peak_bytes}
        return answer

    store = timed("extraction", lambda: extract_features(config, manifest, layer="features", show_progress=False, model=model))
    chosen = manifest.sample(min(SAMPLE, len(manifest)), random_state=0)
    features = SelectedRows(store, store.rows_of(chosen))
    classifier, _ = timed("grid search", lambda: grid_search(features, chosen["label"], chosen["group_id"], grid=GRID, folds=3))
    everything = SelectedRows(store, store.rows_of(manifest))
    probabilities = timed("scoring", lambda: predict_probabilities(classifier, everything, block_bytes=BLOCK_BYTES))
    right = np.array(classifier.classes)[probabilities.argmax(axis=1)] == manifest["label"].to_numpy()
    results["all"] = {"accuracy": float(right.mean()), "features": store.dimensions}
    return results


def exponent(counts: list[int], values: list[float]) -> float:
    """Slope of log(value) over log(count), least squares."""
    return float(np.polyfit(np.log(counts), np.log(values), 1)[0])


def print_table(results: dict[int, dict[str, dict[str, float]]]) -> None:
    """Print seconds and peak memory of each stage, and how they grow."""
    counts = list(results)
    header = "".join(f"{f'{count:,} images':>18}" for count in counts)
    for key, unit, scale in (("seconds", "s", 1.0), ("bytes", "MB, peak anonymous memory", 1e6)):
        print(f"{unit:30}{header}{'grows as n^':>14}")
        for stage in STAGES:
            values = [results[count][stage][key] / scale for count in counts]
            cells = "".join(f"{value:18,.1f}" for value in values)
            print(f"{stage:30}{cells}" + (f"{exponent(counts, values):14.2f}" if len(counts) > 1 else ""))
    rates = "".join(f"{count / results[count]['extraction']['seconds']:18,.0f}" for count in counts)
    print(f"{'extraction, images/s':30}{rates}")
    print(f"{'accuracy, sample included':30}" + "".join(f"{results[count]['all']['accuracy']:18.3f}" for count in counts))


def main() -> None:
    """Read the command line, draw the images in a temporary folder, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10_000, 100_000], help="numbers of images (%(default)s)")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(measure(options.folder)))
        return
    results = {}
    for count in sorted(options.images):
        with tempfile.TemporaryDirectory(prefix="scale-") as root:
            draw(Path(root), count).to_csv(Path(root) / "manifest.csv", index=False)
            command = [sys.executable, __file__, "--folder", root]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
            results[count] = json.loads(answer.stdout.splitlines()[-1])
            print(f"{count} images: {results[count]}", file=sys.stderr)
    print(f"mini_vgg at {SIDE} px, grid search on at most {SAMPLE:,} images")
    print_table(results)


if __name__ == "__main__":
    main()
