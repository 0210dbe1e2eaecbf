"""The ledger of readings of official test labels: each time a model is scored on them leaves one row.

A test set that is looked at often stops being one. The rows make that visible; they are written by the code that scores.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from cxr_keras.runs.files import write_csv

COLUMNS = ("time", "run", "split", "n_images", "image_ids_sha256", "scores")


def image_ids_digest(image_ids: Iterable[str]) -> str:
    """SHA-256 in hexadecimal of a set of image ids, whatever their order; it tells whether two readings saw the same images."""
    return hashlib.sha256("\n".join(sorted(str(name) for name in image_ids)).encode()).hexdigest()


def append_test_reading(
    path: str | Path,
    *,
    run: str,
    split_name: str,
    n_images: int,
    image_ids_digest: str,
    scores: Mapping[str, float | None],
    once: bool = False,
) -> int:
    """Add one reading of official test labels to the ledger, which is made where it is missing.

    Processes wait for each other, and the file is replaced as a whole, so no row is lost or half written.

    Args:
        path: the ledger, a CSV file.
        run: name of the run whose model was scored.
        split_name: name of the test part, e.g. "kermany official test".
        n_images: number of images scored.
        image_ids_digest: from `image_ids_digest`.
        scores: a few headline scores, 0 to 1, `None` where undefined.
        once: whether a row that differs from this one by its time alone stands for it: a run that was killed right after its row was
            written, and goes on, has read the labels once.

    Returns:
        How many readings of these very images the ledger now holds, this one included.

    Raises:
        ValueError: the file at `path` is no ledger.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The lock is a file of its own: the ledger is replaced by a rename, which would leave waiting processes with a lock
    # on the former file.
    with open(path.with_name(f".{path.name}.lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ledger = read_ledger(path)
        row = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "run": run,
            "split": split_name,
            "n_images": str(n_images),
            "image_ids_sha256": image_ids_digest,
            "scores": json.dumps(dict(scores), allow_nan=False),
        }
        told = [name for name in COLUMNS if name != "time"]
        if not once or not (ledger[told] == [row[name] for name in told]).all(axis=1).any():
            ledger = pd.concat([ledger, pd.DataFrame([row], dtype=str)], ignore_index=True)
            write_csv(path, ledger)
    return int((ledger["image_ids_sha256"] == image_ids_digest).sum())


def read_ledger(path: str | Path) -> pd.DataFrame:
    """Read a ledger; an absent one is empty.

    Returns:
        A table of text: time (UTC, ISO 8601), run, split, n_images, image_ids_sha256, scores (a JSON object).

    Raises:
        ValueError: the file at `path` is no ledger.
    """
    path = Path(path)
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS), dtype=str)
    try:
        ledger = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no ledger of test readings ({error}). Move it away or name another file.") from error
    if tuple(ledger.columns) != COLUMNS:
        raise ValueError(
            f"{path} is no ledger of test readings: its columns are {', '.join(map(str, ledger.columns))}, expected "
            f"{', '.join(COLUMNS)}. Move it away or name another file."
        )
    return ledger
