"""`cxr predict EXPORT PATH…`: an export on files, a row each; a bad file is a row with its error, not the end."""

from __future__ import annotations

import difflib
import itertools
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cxr_keras.explain.maps import resize_maps
from cxr_keras.explain.trust import positive
from cxr_keras.export.predictor import Opened, open_export
from cxr_keras.export.serving import MAPS
from cxr_keras.pixels.decode import DecodeSettings, decode_and_resize
from cxr_keras.pixels.quality import flag_file
from cxr_keras.progress import track
from cxr_keras.recipes.predict_files import Wanted, find_images
from cxr_keras.recipes.predict_rows import FORMATS, RowWriter
from cxr_keras.reporting.maps import MapPicture, map_figure
from cxr_keras.reporting.style import save_figure

THREADS = 4
"""Files decoded at the same time, at most; TensorFlow's decoder leaves Python's lock alone."""


class Decoded(NamedTuple):
    """A file as the export takes it, or why it is none.

    Attributes:
        wanted: the image.
        pixels: float32 (height, width, 1) in [0, 255]; None with an error.
        flags: what is grossly wrong with the picture.
        error: in words; None for a good file.
    """

    wanted: Wanted
    pixels: np.ndarray | None
    flags: dict[str, str]
    error: str | None


class Summary(NamedTuple):
    """What came out.

    Attributes:
        images: rows written.
        errors: rows with an error among them.
        flagged: rows with a flag.
    """

    images: int
    errors: int
    flagged: int


def predict(
    export: str | Path,
    given: Sequence[str],
    *,
    out: str | Path,
    format_name: str | None = None,
    maps: str | Path | None = None,
    batch_size: int = 32,
    overwrite: bool = False,
) -> Summary:
    """Predict files with an export and write a row each.

    Args:
        export: a folder that `cxr export` made, of the format saved_model.
        given: files, folders, patterns, CSV manifests, see `find_images`.
        out: the file of the rows.
        format_name: "csv" or "jsonl"; None goes by the suffix of `out`.
        maps: a folder for one picture an image with the class activation map of the decided class; None for none.
        batch_size: images predicted at once.
        overwrite: whether a file `out` is replaced.

    Returns:
        How many rows, and how many of them are errors.

    Raises:
        ValueError: no such export, format or images, a file that is in the way, or maps of a model that has none.
    """
    out = Path(out)
    format_name = _format_of(out, format_name)
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists. Give another file with --out, or --overwrite.")
    if batch_size < 1:
        raise ValueError(f"--batch-size {batch_size}: expected a number from 1 up.")
    total = sum(1 for _ in find_images(given))
    if not total:
        raise ValueError(f"there is no JPEG, PNG or DICOM file in {', '.join(given)}.")
    opened = open_export(export)
    if opened.manifest["phantoms"]:
        print("PHANTOM: the export was trained on drawn images, no X-rays. Its answers say nothing about medicine.", flush=True)
    if maps is not None and not opened.manifest[MAPS]:
        raise ValueError(f"--maps: {export} has no class activation maps: {opened.manifest['no_class_activation_maps']}")
    started = time.monotonic()
    errors = flagged = 0
    writer = RowWriter(out, _columns(opened, with_maps=maps is not None), format_name=format_name)
    try:
        with writer:
            for number, row in enumerate(track(_rows(opened, given, batch_size, maps=maps), total=total, description="predicting"), 1):
                writer.write(row)
                errors += row["error"] is not None
                flagged += bool(row["flags"])
                if number % batch_size == 0:
                    writer.flush()
    except BaseException:
        print(f"cxr: the rows so far are in {writer.partial}", file=sys.stderr, flush=True)
        raise
    seconds = time.monotonic() - started
    print(f"{total:,} images in {seconds:,.1f} s, {total / seconds:,.1f} images/s; {errors:,} errors, {flagged:,} flagged. Rows in {out}")
    return Summary(total, errors, flagged)


def decode_file(wanted: Wanted, settings: DecodeSettings) -> Decoded:
    """Read, decode and flag one file; every fault of the file becomes words, which name nothing of a DICOM header."""
    try:
        contents = wanted.path.read_bytes()
        pixels = np.asarray(decode_and_resize(contents, settings), np.float32)
        return Decoded(wanted, pixels, flag_file(contents), None)
    except OSError as error:
        return Decoded(wanted, None, {}, f"the file cannot be read: {error.strerror}")
    except ValueError as error:
        return Decoded(wanted, None, {}, str(error))
    except Exception as error:
        # One odd file must not end a night's work. Messages of libraries may quote a header, so only the kind is told.
        return Decoded(wanted, None, {}, f"unexpected {type(error).__name__} while decoding")


def _rows(opened: Opened, given: Sequence[str], batch_size: int, *, maps: str | Path | None) -> Iterator[dict[str, Any]]:
    """Decode one batch in threads while the one before it is predicted; two batches are in memory."""
    numbers = itertools.count(1)
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        waiting: list[Any] = []
        for chunk in _chunks(find_images(given), batch_size):
            ready, waiting = waiting, [pool.submit(decode_file, wanted, opened.decode) for wanted in chunk]
            yield from _predict_batch(opened, [each.result() for each in ready], numbers=numbers, maps=maps)
        yield from _predict_batch(opened, [each.result() for each in waiting], numbers=numbers, maps=maps)


def _predict_batch(
    opened: Opened, batch: Sequence[Decoded], *, numbers: Iterator[int], maps: str | Path | None
) -> Iterator[dict[str, Any]]:
    good = [each for each in batch if each.pixels is not None]
    pixels = np.stack([each.pixels for each in good]) if good else None
    answers = {} if pixels is None else opened.answer(pixels)
    seen = None if pixels is None or maps is None else opened.framed(pixels)
    place = 0
    for each in batch:
        number = next(numbers)
        name, path = each.wanted
        row: dict[str, Any] = {"image_id": name, "path": str(path), "error": each.error, "flags": each.flags or None}
        if each.pixels is not None:
            row |= _answer_of(opened, answers, place)
            if maps is not None and seen is not None:
                evidence = answers[MAPS][place : place + 1, :, :, answers["decision_index"][place]]
                row["map"] = _draw(Path(maps), number, row, image=seen[place, ..., 0], evidence=evidence)
            place += 1
        yield row


def _answer_of(opened: Opened, answers: dict[str, np.ndarray], place: int) -> dict[str, Any]:
    probabilities = answers["probabilities"][place]
    row: dict[str, Any] = {"decision": opened.classes[answers["decision_index"][place]]}
    if opened.manifest["threshold"] is not None:
        row |= {name: opened.manifest[name] for name in ("threshold", "operating_point")}
    row |= {f"p_{name}": float(value) for name, value in zip(opened.classes, probabilities, strict=True)}
    if "calibrated_probabilities" in answers:
        calibrated = answers["calibrated_probabilities"][place]
        row |= {f"calibrated_{name}": float(value) for name, value in zip(opened.classes, calibrated, strict=True)}
    return row


def _draw(folder: Path, number: int, row: dict[str, Any], *, image: np.ndarray, evidence: np.ndarray) -> str:
    """Draw one map; gives the name of its file, which is unique by the number of the row."""
    name = Path(row["path"]).stem
    picture = MapPicture(
        image=image,
        evidence=resize_maps(positive(evidence), (image.shape[0], image.shape[1]))[0],
        image_id=name,
        label="",
        predicted=row["decision"],
        probability=row[f"p_{row['decision']}"],
        method="cam",
        explained_class=row["decision"],
    )
    path = folder / f"{number:06d}_{re.sub(r'[^A-Za-z0-9._-]', '_', name)[:80]}.png"
    save_figure(map_figure(picture), path)
    return path.name


def _columns(opened: Opened, *, with_maps: bool) -> list[str]:
    calibrated = [f"calibrated_{name}" for name in opened.classes] if opened.manifest["temperature"] is not None else []
    decided = ["decision", *(["threshold", "operating_point"] if opened.manifest["threshold"] is not None else [])]
    answers = [*decided, *(f"p_{name}" for name in opened.classes), *calibrated]
    return ["image_id", "path", "error", *answers, "flags", *(["map"] if with_maps else [])]


def _chunks(items: Iterable[Wanted], size: int) -> Iterator[list[Wanted]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _format_of(out: Path, name: str | None) -> str:
    if name is None:
        by_suffix = {suffix: each for each, suffix in FORMATS.items()}
        if out.suffix.lower() not in by_suffix:
            raise ValueError(f"--out {out}: expected a name that ends in {' or '.join(by_suffix)}, or give --format csv or jsonl.")
        return by_suffix[out.suffix.lower()]
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1, cutoff=0.3)
        raise ValueError(f"--format {name}: expected {' or '.join(FORMATS)}.{f' Did you mean {near[0]}?' if near else ''}")
    return name
