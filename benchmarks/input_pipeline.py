"""Images a second from full-size JPEGs to batches, and memory, against Keras's and PyTorch's own ways.

The originals of a folder are copied until there are enough files, each with a few other bytes behind the JPEG's end, so that
every copy is a file of its own. Each measurement runs in a fresh process; the three readers take turns, so that a
busy machine is unfair to none.

    python benchmarks/input_pipeline.py --images DIR

Needs `pip install torch psutil` besides the project.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

SIDE = 224
BATCH_SIZE = 32
CLASSES = ("NORMAL", "PNEUMONIA")
SECONDS_BETWEEN_SAMPLES = 0.02
READERS = {"cxr": "this project", "keras": "image_dataset_from_directory", "torch": "DataLoader with Pillow"}


def replicate(source: Path, target: Path, count: int) -> None:
    """Write `count` distinct files `target/<class>/<number>.jpeg` and their table, round robin over the originals."""
    originals = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpeg", ".jpg"))
    rows = ["image_id,path,label,sha256"]
    for number in range(count):
        original = originals[number % len(originals)]
        contents = original.read_bytes() + number.to_bytes(4, "big")
        path = target / original.parent.name / f"{number:06d}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
        rows.append(f"{number:06d},{path},{original.parent.name},{hashlib.sha256(contents).hexdigest()}")
    (target / "manifest.csv").write_text("\n".join(rows) + "\n")


def draw_originals(folder: Path) -> Path:
    """Draw phantoms of about the size of real files, for machines without any; gives the folder of their JPEGs."""
    from cxr_keras.data.phantom import generate_phantom

    generate_phantom(folder, patients_per_class=6, image_size=1024, labels="binary")
    return folder / "images"


class MemorySampler:
    """Highest anonymous memory of this process and its children, shared pages divided among them (PSS).

    Pages of mapped files are not counted: the system drops them when it needs the room.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        import psutil

        this = psutil.Process()
        while not self._stop.wait(SECONDS_BETWEEN_SAMPLES):
            tree = [this, *this.children(recursive=True)]
            self.peak_bytes = max(self.peak_bytes, sum(_anonymous_bytes(process.pid) for process in tree))


def _anonymous_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # a worker that ended between the two looks
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon:"))


def read_cxr(folder: Path) -> Callable[[], Iterable[object]]:
    """Passes of this project: the first builds the cache (each file's SHA-256 checked), all shuffle."""
    import pandas as pd

    from cxr_keras.data.cache import open_pixel_cache
    from cxr_keras.data.examples import examples_of
    from cxr_keras.data.pipeline import steps_per_epoch, training_dataset
    from cxr_keras.pixels.decode import DecodeSettings

    manifest = pd.read_csv(folder / "manifest.csv", dtype=str)
    steps = steps_per_epoch(len(manifest), BATCH_SIZE)
    batches: list[Iterable[object]] = []

    def one_pass() -> Iterable[object]:
        if not batches:
            cache_dir = tempfile.mkdtemp(prefix="cache-", dir=folder)
            cache = open_pixel_cache(manifest, DecodeSettings(SIDE, SIDE), cache_dir=cache_dir, show_progress=False)
            examples = examples_of(manifest, cache, CLASSES)
            batches.append(iter(training_dataset(cache.images, examples, batch_size=BATCH_SIZE, seed=0, fold=0)))
        return (batch for _, batch in zip(range(steps), batches[0], strict=False))

    return one_pass


def read_keras(folder: Path) -> Callable[[], Iterable[object]]:
    """Passes of `keras.utils.image_dataset_from_directory` as its documentation writes them."""
    import keras
    import tensorflow as tf

    dataset = keras.utils.image_dataset_from_directory(
        folder,
        class_names=list(CLASSES),
        label_mode="categorical",
        color_mode="grayscale",
        image_size=(SIDE, SIDE),
        batch_size=BATCH_SIZE,
        seed=0,
        verbose=False,
    ).prefetch(tf.data.AUTOTUNE)
    return lambda: dataset


class PillowFolder:
    """A PyTorch dataset of a folder of classes, read by Pillow; at module level so that workers can be handed it."""

    def __init__(self, folder: Path) -> None:
        self.files = [(path, label) for label, name in enumerate(CLASSES) for path in sorted((folder / name).iterdir())]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[object, int]:
        import numpy as np
        import torch
        from PIL import Image

        path, label = self.files[index]
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float32)
        return torch.from_numpy(pixels[np.newaxis].copy()), label


def read_torch(folder: Path) -> Callable[[], Iterable[object]]:
    """Passes of a DataLoader with one worker a core, kept between passes, which spares later passes their start."""
    from torch.utils.data import DataLoader

    workers = min(16, len(os.sched_getaffinity(0)))
    loader = DataLoader(PillowFolder(folder), BATCH_SIZE, shuffle=True, num_workers=workers, persistent_workers=True)
    return lambda: loader


def measure(reader: str, folder: Path, passes: int, *, memory: bool) -> dict[str, object]:
    """Time the first and `passes` later passes in this process, or watch their memory, which slows them.

    Graphs are compiled and libraries loaded by a few files beforehand, as a user pays that once and not per image; the start of
    worker processes is counted.
    """
    make = {"cxr": read_cxr, "keras": read_keras, "torch": read_torch}[reader]
    with tempfile.TemporaryDirectory(dir=folder.parent) as small:
        replicate(folder.parent / "warm", Path(small), len(CLASSES) * BATCH_SIZE)
        for _ in make(Path(small))():
            pass
    one_pass = make(folder)
    rates = []
    sampler = MemorySampler()
    with sampler if memory else contextlib.nullcontext():
        for _ in range(1 + passes):
            started, count = time.perf_counter(), 0
            for batch in one_pass():
                count += len(batch[0])  # type: ignore[index]
            rates.append(count / (time.perf_counter() - started))
    return {"images": count, "first": rates[0], "later": statistics.median(rates[1:]), "peak": sampler.peak_bytes}


def in_fresh_process(reader: str, folder: Path, passes: int, *, memory: bool = False) -> dict[str, float]:
    """Run `measure` in an interpreter of its own."""
    command = [sys.executable, __file__, "--one", reader, "--folder", str(folder), "--passes", str(passes)]
    command += ["--memory"] if memory else []
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(answer.stdout.splitlines()[-1])


def compare(folder: Path, count: int, repetitions: int, passes: int) -> None:
    """Print the table of speeds."""
    results: dict[str, list[dict[str, float]]] = {reader: [] for reader in READERS}
    for repetition in range(repetitions):
        for reader in READERS:
            results[reader].append(in_fresh_process(reader, folder, passes))
            print(f"repetition {repetition + 1}: {reader} {results[reader][-1]}", file=sys.stderr)
    medians = {reader: [statistics.median(row[key] for row in rows) for key in ("first", "later")] for reader, rows in results.items()}
    best = [max(medians["keras"][index], medians["torch"][index]) for index in (0, 1)]
    print(f"{count} files to batches of {BATCH_SIZE} at {SIDE} px, images a second, medians of {repetitions} repetitions")
    print(f"{'reader':32}{'first pass':>14}{'to best':>9}{'later passes':>16}{'to best':>9}{'range of first':>18}")
    for reader, name in READERS.items():
        first, later = medians[reader]
        firsts = sorted(row["first"] for row in results[reader])
        spread = f"{firsts[0]:,.0f}-{firsts[-1]:,.0f}"
        print(f"{name:32}{first:14,.0f}{first / best[0]:8.2f}x{later:16,.0f}{later / best[1]:8.1f}x{spread:>18}")


def compare_memory(folders: dict[int, Path], repetitions: int) -> None:
    """Print the table of memory with few and many images."""
    print("\npeak anonymous memory, children included, MB, medians")
    print(f"{'reader':32}" + "".join(f"{f'{count} images':>16}" for count in folders) + f"{'change':>10}")
    for reader, name in READERS.items():
        peaks = [
            statistics.median(in_fresh_process(reader, folder, 1, memory=True)["peak"] / 1e6 for _ in range(repetitions))
            for folder in folders.values()
        ]
        print(f"{name:32}" + "".join(f"{peak:16,.0f}" for peak in peaks) + f"{peaks[-1] / peaks[0] - 1:10.1%}")


def main() -> None:
    """Read the command line, make the files in a temporary folder, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder with full-size JPEGs; without it phantoms of 1024 pixels are drawn")
    parser.add_argument("--count", type=int, default=680, help="files to make")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--passes", type=int, default=3, help="later passes in each repetition")
    parser.add_argument("--one", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.folder, options.passes, memory=options.memory)))
        return
    with tempfile.TemporaryDirectory(prefix="input-pipeline-") as root:
        images = options.images or draw_originals(Path(root) / "phantom")
        print("images:", options.images or "PHANTOM, 1024x1024")
        folders = {count: Path(root) / str(count) for count in (options.count, 4 * options.count)}
        for count, folder in folders.items():
            replicate(images, folder, count)
        replicate(images, Path(root) / "warm", 64)
        compare(folders[options.count], options.count, options.repetitions, options.passes)
        compare_memory(folders, min(3, options.repetitions))


if __name__ == "__main__":
    main()
