"""Images a second of exports against `keras.Model.predict` on the same pixels.

Every export is opened as its check opens it (`cxr_keras/export/fresh_process.py`), asked in batches, and its probabilities are compared
with those of the `.keras` export, which has to be among them. One warm-up batch is not counted. The ways take turns, and the median of the
rounds is printed. A SavedModel is also asked with the bytes of JPEG files, decoding included, if `--images` names some.

    for format in saved_model onnx litert openvino keras; do cxr export RUN --format $format; done
    python benchmarks/inference.py RUN/export/* [--images DIR] [--number 256] [--batch 32] [--rounds 5]

Needs the extras of the formats given.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import models_zoo  # noqa: F401  it registers the layers of the Keras export
from cxr_keras.export import fresh_process
from cxr_keras.export.manifest import MANIFEST_FILE
from cxr_keras.runs.files import read_json

Ask = Callable[[Any], dict[str, np.ndarray]]


def ways_of(folders: Sequence[Path], *, with_files: bool) -> dict[str, Ask]:
    """Open each export; the Keras one stands for plain Keras, by `predict` with its progress bar off."""
    ways: dict[str, Ask] = {}
    for folder in folders:
        name = read_json(folder / MANIFEST_FILE)["format"]
        file = str(folder / read_json(folder / MANIFEST_FILE)["file"])
        if name == "keras":
            model = keras.saving.load_model(file, compile=False, safe_mode=True)
            ways["keras predict"] = lambda pixels, model=model: model.predict(pixels, batch_size=len(pixels), verbose=0)
            continue
        from_pixels, from_files = fresh_process.OPENERS[name](file)
        ways[name] = from_pixels
        if with_files and from_files is not None:
            ways[f"{name}, files"] = from_files
    return ways


def rate(ask: Ask, inputs: Sequence[Any], batch: int) -> float:
    """Images a second of one pass."""
    started = time.perf_counter()
    for first in range(0, len(inputs), batch):
        ask(inputs[first : first + batch])
    return len(inputs) / (time.perf_counter() - started)


def main() -> None:
    """Read the command line and print one row a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports", type=Path, nargs="+")
    parser.add_argument("--images", type=Path, help="folder of JPEG files for the SavedModel")
    parser.add_argument("--number", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    described = [read_json(folder / MANIFEST_FILE) for folder in options.exports]
    if "keras" not in [each["format"] for each in described]:
        parser.error("give the export of the format keras too; it is what the others are held against")
    height, width = described[0]["image_size"]
    pixels = np.random.default_rng(0).integers(0, 256, (options.number, height, width, 1)).astype(np.float32)
    files = sorted(map(str, options.images.rglob("*.jp*g"))) if options.images else []
    paths = list(itertools.islice(itertools.cycle(files), options.number)) if files else []
    ways = ways_of(options.exports, with_files=bool(paths))
    given = {name: paths if name.endswith("files") else pixels for name in ways}
    expected = ways["keras predict"](pixels[: options.batch])["probabilities"]
    differences = {name: float("nan") for name in ways}
    for name, ask in ways.items():
        answer = ask(given[name][: options.batch])["probabilities"]
        if given[name] is pixels:
            differences[name] = float(np.abs(answer - expected).max())
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, ask in ways.items():
            rates[name].append(rate(ask, given[name], options.batch))
    plain = statistics.median(rates["keras predict"])
    what = f"{options.number} images of {width}x{height}, batches of {options.batch}, median of {options.rounds} rounds"
    print(f"{described[0]['name']}: {what}")
    print(f"{'way':>20}{'images/s':>12}{'to keras':>10}{'range':>18}{'difference':>12}")
    for name, found in rates.items():
        middle = statistics.median(found)
        spread = f"{min(found):,.0f} to {max(found):,.0f}"
        print(f"{name:>20}{middle:>12,.0f}{middle / plain:>10.2f}{spread:>18}{differences[name]:>12.1e}")


if __name__ == "__main__":
    main()
