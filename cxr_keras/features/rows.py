"""Feature matrices that may be larger than memory, read in blocks of rows as float64.

A feature matrix is a NumPy array, a memory map, or any object with `shape` (n, d) and `read(rows)`, such as a store on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

BLOCK_BYTES = 256 << 20
"""Size of a block as float64. At 25088 features that is 1337 rows; smaller blocks read a matrix more often, see `gram_matrix`."""


class RowReader(Protocol):
    """What a matrix on disk must offer."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d): rows and features."""

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Give float32 (len(rows), d), in the order of `rows`, int64 indices."""


FeatureMatrix = np.ndarray | RowReader


@dataclass(frozen=True)
class SelectedRows:
    """Some rows of a feature matrix as a feature matrix of their own; nothing is read before it is asked for.

    Attributes:
        source: matrix (n, d).
        rows: int64 (m,), which rows of the source, in any order.
    """

    source: FeatureMatrix
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(m, d)."""
        return len(self.rows), self.source.shape[1]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Give (len(rows), d)."""
        return _read(self.source, np.asarray(self.rows)[rows])


def matrix_shape(features: FeatureMatrix) -> tuple[int, int]:
    """Shape (n, d) of a feature matrix.

    Raises:
        ValueError: it has no shape of two dimensions, or no rows or columns.
    """
    shape = getattr(features, "shape", None)
    if shape is None or len(shape) != 2 or min(shape) < 1:
        came = type(features).__name__ if shape is None else f"shape {tuple(shape)}"
        raise ValueError(f"features: {came} came; expected a matrix of (images, features), flattened to one row an image.")
    return int(shape[0]), int(shape[1])


def row_blocks(n_rows: int, n_columns: int, *, block_bytes: int = BLOCK_BYTES) -> list[slice]:
    """Cut `n_rows` rows into consecutive blocks of at most `block_bytes` as float64, at least one row each."""
    step = max(1, block_bytes // (8 * n_columns))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def read_block(features: FeatureMatrix, block: slice) -> np.ndarray:
    """Read consecutive rows into a new float64 array, so that the caller may change it in place.

    Raises:
        ValueError: the rows hold nan or infinity; the message numbers them.
    """
    values = np.array(_read(features, block), dtype=np.float64)
    bad = _bad_rows(values)
    if len(bad):
        raise _not_finite(bad + block.start)
    return values


def column_means(features: FeatureMatrix, *, block_bytes: int = BLOCK_BYTES) -> np.ndarray:
    """Mean of each feature over all rows, in one pass that also checks every number.

    Returns:
        float64 (d,).

    Raises:
        ValueError: rows hold nan or infinity; all of them are counted.
    """
    n_rows, n_columns = matrix_shape(features)
    total = np.zeros(n_columns)
    bad: list[np.ndarray] = []
    for block in row_blocks(n_rows, n_columns, block_bytes=block_bytes):
        values = _read(features, block)
        bad.append(_bad_rows(values) + block.start)
        with np.errstate(invalid="ignore"):
            total += values.sum(axis=0, dtype=np.float64)
    rows = np.concatenate(bad)
    if len(rows):
        raise _not_finite(rows)
    return total / n_rows


def _read(features: FeatureMatrix, rows: slice | np.ndarray) -> np.ndarray:
    if isinstance(features, np.ndarray):
        return np.asarray(features[rows])
    return np.asarray(features.read(np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows))


def _bad_rows(values: np.ndarray) -> np.ndarray:
    # A sum is finite unless a number is not (or unless it overflows, which the second look sorts out): no mask of the whole block.
    with np.errstate(over="ignore", invalid="ignore"):
        suspects = np.flatnonzero(~np.isfinite(values.sum(axis=1)))
    return suspects[~np.isfinite(values[suspects]).all(axis=1)]


def _not_finite(rows: np.ndarray) -> ValueError:
    listed = ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")
    counted = "1 row holds" if len(rows) == 1 else f"{len(rows)} rows hold"
    return ValueError(
        f"features: {counted} nan or infinity (row {listed}, counted from 0). Extract these images again, or leave them out; "
        "half precision overflows above 65504."
    )
