"""Images a second from JPEG files to features of ResNet50 at 224 pixels, by engine and precision, and how far half precision is off.

Six ways from the same files to the 2048 averages behind the last convolution, with random weights:

- this project in float32 and in mixed_bfloat16, by Keras and by OpenVINO: pixel cache and HDF5 store filled, every file and row with its
  checksum;
- `keras.applications.ResNet50` through `model.predict` over `image_dataset_from_directory`, as their documentation writes it;
- torchvision's `resnet50` in bfloat16 with channels last, through a `DataLoader` with Pillow, a worker a core.

Each measurement runs in a fresh process and the ways take turns. Loading and tracing are taken out: the rate is that of the images by which
a large folder is larger than a small one.

    python benchmarks/extraction.py [--images DIR] [--count 512] [--repetitions 3]

Needs `pip install openvino torch torchvision` besides the project. Without --images phantoms are drawn.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from input_pipeline import draw_originals

SIDE = 224
BATCH_SIZE = 32
ENGINES = {
    "float32": "this project, Keras, float32",
    "mixed_bfloat16": "this project, Keras, mixed_bfloat16",
    "openvino-float32": "this project, OpenVINO, float32",
    "openvino-mixed_bfloat16": "this project, OpenVINO, bfloat16",
    "keras": "model.predict, float32",
    "torch": "PyTorch, bfloat16, channels last",
}


def replicate(source: Path, target: Path, count: int, *, first: int) -> None:
    """Write `count` files and their table, round robin over the originals, each with a number of its own, from `first` up, behind its end.

    No two folders have a file in common, or this project would find in its store what it should compute.
    """
    originals = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpeg", ".jpg"))
    target.mkdir()
    rows = ["image_id,path,label,patient_id,group_id,sha256"]
    for number in range(count):
        contents = originals[number * 7919 % len(originals)].read_bytes() + (first + number).to_bytes(4, "big")
        path = target / f"{number:06d}.jpeg"
        path.write_bytes(contents)
        name = f"{number:06d}"
        rows.append(f"{name},{path},{('normal', 'pneumonia')[number % 2]},{name},{name},{hashlib.sha256(contents).hexdigest()}")
    (target / "manifest.csv").write_text("\n".join(rows) + "\n")


class PillowFiles:
    """A PyTorch dataset of the JPEG files of a folder, read by Pillow; at module level so that workers can be handed it."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*.jpeg"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> object:
        import torch
        from PIL import Image

        with Image.open(self.files[index]) as image:
            pixels = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float32)
        return torch.from_numpy(pixels[np.newaxis].copy())


def extract_ours(way: str, scratch: Path) -> Callable[[Path], np.ndarray]:
    """Extraction of this project: a function from a folder with `manifest.csv` to its features, float32 (n, 2048), by file name."""
    import pandas as pd

    from cxr_keras.config.loader import load_config
    from cxr_keras.recipes.features import extract_features
    from cxr_keras.recipes.fixed_network import build_up_to

    engine, _, precision = way.rpartition("-")
    os.environ["CXR_CACHE"] = str(scratch / f"cache-{way}")
    config = load_config(
        "vgg16_features",
        [
            "model.name=resnet50",
            "model.params={pooling: average}",
            "model.weights=null",
            "classifier.layer=pooled",
            f"classifier.engine={engine or 'keras'}",
            f"training.precision={precision}",
            f"data.image_size=[{SIDE}, {SIDE}]",
        ],
    )
    model = build_up_to(config, layer="pooled", weights=None)

    def extract(folder: Path) -> np.ndarray:
        manifest = pd.read_csv(folder / "manifest.csv", dtype=str)
        store = extract_features(config, manifest, layer="pooled", show_progress=False, model=model)
        if store.reused:
            raise SystemExit(f"{store.reused} of {store.wanted} rows were there already, so the rate would be too high")
        return store.read(store.rows_of(manifest))

    return extract


def extract_keras(scratch: Path) -> Callable[[Path], np.ndarray]:
    """The way of Keras's documentation."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.ResNet50(weights=None, include_top=False, pooling="avg", input_shape=(SIDE, SIDE, 3))

    def extract(folder: Path) -> np.ndarray:
        images = keras.utils.image_dataset_from_directory(
            folder, labels=None, image_size=(SIDE, SIDE), batch_size=BATCH_SIZE, shuffle=False, verbose=False
        )
        features = model.predict(images.map(keras.applications.resnet50.preprocess_input), verbose=0)
        np.save(scratch / "keras.npy", features)
        return features

    return extract


def extract_torch(scratch: Path) -> Callable[[Path], np.ndarray]:
    """PyTorch's fast way on a CPU that knows bfloat16."""
    import torch
    from torch.utils.data import DataLoader

    try:
        import torchvision
    except RuntimeError:
        # Its compiled operations are for another build of PyTorch. The network needs none of them; these two are asked for at import.
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision

    torch.manual_seed(0)
    model = torchvision.models.resnet50(weights=None)
    model.fc = torch.nn.Identity()
    model = model.eval().to(torch.bfloat16, memory_format=torch.channels_last)

    def extract(folder: Path) -> np.ndarray:
        loader = DataLoader(PillowFiles(folder), BATCH_SIZE, num_workers=min(16, len(os.sched_getaffinity(0))))
        rows = []
        with torch.inference_mode():
            for images in loader:
                colours = images.expand(-1, 3, -1, -1) / 255
                rows.append(model(colours.to(torch.bfloat16, memory_format=torch.channels_last)).float().numpy())
        features = np.concatenate(rows)
        np.save(scratch / "torch.npy", features)
        return features

    return extract


def measure(engine: str, root: Path) -> dict[str, float]:
    """Images a second of one way in this process; features of the small folder are left as `<engine>-features.npy`."""
    with tempfile.TemporaryDirectory(dir=root) as scratch:
        if engine in ("keras", "torch"):
            extract = {"keras": extract_keras, "torch": extract_torch}[engine](Path(scratch))
        else:
            extract = extract_ours(engine, Path(scratch))
        extract(root / "warm")
        seconds, counts = [], []
        for name in ("small", "large"):
            started = time.perf_counter()
            features = extract(root / name)
            seconds.append(time.perf_counter() - started)
            counts.append(len(features))
            if name == "small":
                np.save(root / f"{engine}-features.npy", features)
    return {"rate": (counts[1] - counts[0]) / (seconds[1] - seconds[0]), "seconds": seconds[1]}


def in_fresh_process(engine: str, root: Path) -> dict[str, float]:
    """Run `measure` in an interpreter of its own."""
    command = [sys.executable, __file__, "--one", engine, "--folder", str(root)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    return json.loads(answer.stdout.splitlines()[-1])


def print_speeds(results: dict[str, list[dict[str, float]]], count: int) -> None:
    """Print images a second by engine, and the ratio to plain `model.predict`."""
    medians = {engine: statistics.median(row["rate"] for row in rows) for engine, rows in results.items()}
    print(f"ResNet50, {SIDE} px, {count} files to 2048 features each, medians of {len(next(iter(results.values())))} repetitions")
    print(f"{'engine':36}{'images/s':>10}{'range':>16}{'to model.predict':>20}")
    for engine, name in ENGINES.items():
        rates = sorted(row["rate"] for row in results[engine])
        spread = f"{rates[0]:.1f} to {rates[-1]:.1f}"
        print(f"{name:36}{medians[engine]:10.1f}{spread:>16}{medians[engine] / medians['keras']:19.2f}x")


def print_difference(root: Path) -> None:
    """Print how far this project's features lie from those of Keras in float32, in units of how far images lie from each other."""
    exact = np.load(root / "float32-features.npy").astype(float)
    spread = np.sqrt(np.mean(np.square(exact - exact.mean(axis=0))))
    print(f"less those of Keras in float32, in root mean square deviations of the features from their means ({spread:.3g}):")
    for way in ("mixed_bfloat16", "openvino-float32", "openvino-mixed_bfloat16"):
        difference = np.load(root / f"{way}-features.npy") - exact
        print(
            f"{ENGINES[way]:36}root mean square {np.sqrt(np.mean(np.square(difference))) / spread:.2e}, "
            f"largest {np.abs(difference).max() / spread:.2e}"
        )


def main() -> None:
    """Read the command line, make the files in a temporary folder, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder with JPEGs; without it phantoms of 1024 pixels are drawn")
    parser.add_argument("--count", type=int, default=512, help="files of the large folder (%(default)s); the small one has a quarter")
    parser.add_argument("--repetitions", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--one", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.folder)))
        return
    with tempfile.TemporaryDirectory(prefix="extraction-") as root:
        folder = Path(root)
        images = options.images or draw_originals(folder / "phantom")
        print("images:", options.images or "PHANTOM, 1024x1024")
        first = 0
        for name, count in (("warm", BATCH_SIZE), ("small", options.count // 4), ("large", options.count)):
            replicate(images, folder / name, count, first=first)
            first += count
        results: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
        for repetition in range(options.repetitions):
            for engine in ENGINES:
                results[engine].append(in_fresh_process(engine, folder))
                print(f"repetition {repetition + 1}: {engine} {results[engine][-1]}", file=sys.stderr)
        print_speeds(results, options.count)
        print_difference(folder)


if __name__ == "__main__":
    main()
