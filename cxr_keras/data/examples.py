"""Which pictures are shown with which target, and the copies that expand a class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from cxr_keras.data.augment import draw_uniform
from cxr_keras.data.cache import PixelCache


@dataclass(frozen=True)
class Examples:
    """Which pictures are shown with which target.

    Attributes:
        rows: int64 (n,), rows of the pixel cache.
        copies: int64 (n,), 0 for an original, from 1 up for its augmented copies.
        keys: int64 (n,), a hash of the image's id; seeds the augmentation.
        targets: float32 (n, k), one-hot.

    Raises:
        ValueError: the lengths differ.
    """

    rows: np.ndarray
    copies: np.ndarray
    keys: np.ndarray
    targets: np.ndarray

    def __post_init__(self) -> None:
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"all parts of the examples must have the same length, got {lengths}")

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: np.ndarray | Sequence[int]) -> Examples:
        """The examples at these positions (or under this mask), in that order."""
        chosen = np.asarray(indices)
        if chosen.dtype != bool:
            chosen = chosen.astype(np.int64)
        return Examples(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def columns(self) -> np.ndarray:
        """int64 (n,), the class column of each example."""
        return self.targets.argmax(axis=1)


def examples_of(manifest: pd.DataFrame, cache: PixelCache, classes: Sequence[str]) -> Examples:
    """Make one example of each row of a manifest, in its order.

    Args:
        manifest: a table with the columns `image_id`, `label` and `sha256`.
        cache: where the pixels are.
        classes: the labels in the order of the target's columns.

    Raises:
        ValueError: a label that is no class, or an image that is not in the cache.
    """
    unknown = sorted(set(manifest["label"]) - set(classes))
    if unknown:
        raise ValueError(f"labels {', '.join(map(repr, unknown))} are not among the classes {', '.join(classes)}")
    columns = manifest["label"].map({name: column for column, name in enumerate(classes)}).to_numpy(np.int64)
    return Examples(
        rows=cache.rows_of(manifest),
        copies=np.zeros(len(manifest), np.int64),
        keys=np.fromiter(map(_key_of, manifest["image_id"]), np.int64, count=len(manifest)),
        targets=np.eye(len(classes), dtype=np.float32)[columns],
    )


def _key_of(image_id: str) -> int:
    """63 bits of the id's SHA-256; Python's own `hash` changes from process to process."""
    return int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big") >> 1


def expand_classes(examples: Examples, *, columns: Sequence[int], to: str | float = "level", seed: int) -> Examples:
    """Append augmented copies of the rarer classes.

    The copies of an image are numbered from 1. Which images get one copy more than others is decided by a hash of (seed, key), so
    it hardly depends on the fold, and the pictures behind (image, copy) not at all.

    Args:
        examples: originals only.
        columns: the class columns to expand.
        to: "level" expands each up to the largest class (Božičković: COVID up to the rest); a number is the ratio of the
            largest class to the expanded one that shall remain (Chapin: 1.2).
        seed: of the run.

    Returns:
        The originals in their order, then the copies. Classes that are large enough already get none.

    Raises:
        ValueError: there are copies already, a column that does not exist or has no example, or an odd `to`.
    """
    num_classes = examples.targets.shape[1]
    counts = np.bincount(examples.columns, minlength=num_classes)
    if examples.copies.any():
        raise ValueError("these examples hold augmented copies already; expand the originals")
    odd = [column for column in columns if not 0 <= column < num_classes or not counts[column]]
    if odd or not len(columns):
        raise ValueError(f"columns {list(columns)} cannot be expanded: the classes have {counts.tolist()} examples")
    if (isinstance(to, str) and to != "level") or (not isinstance(to, str) and not to >= 1):
        raise ValueError(f'`to` must be "level", or the ratio (1 or more) of the largest class to the expanded one; got {to!r}')
    goal = counts.max() / (1.0 if isinstance(to, str) else to)
    parts = [(np.arange(len(examples)), np.zeros(len(examples), np.int64))]
    for column in sorted(set(columns)):
        originals = np.flatnonzero(examples.columns == column)
        keys = examples.keys[originals]
        lot = draw_uniform(seed, keys, np.zeros_like(keys), np.zeros_like(keys), count=1)[:, 0]
        in_turn = originals[np.lexsort((keys, lot))]
        number = np.arange(max(0, round(goal) - len(originals)))
        parts.append((in_turn[number % len(originals)], number // len(originals) + 1))
    indices, copies = (np.concatenate(part) for part in zip(*parts, strict=True))
    chosen = examples.take(indices)
    return Examples(rows=chosen.rows, copies=copies, keys=chosen.keys, targets=chosen.targets)
