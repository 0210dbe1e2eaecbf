"""An exact, smaller picture of a feature matrix with fewer images than features.

Let X (n, d) be the features less their column means, G = X Xᵀ = U Λ Uᵀ, and Z = U Λ^½ (n, r), r the rank of G. Then X = Z Vᵀ with
V = Xᵀ U Λ^(-½), whose r columns are orthonormal: Z is X in other coordinates, and no number of X is lost.

Why one Z serves every subset of rows. A linear model with a squared (L2) penalty, fitted on rows S, has its weights in the span of the
rows S of X (the representer theorem; Schölkopf, Herbrich and Smola 2001), so w = V a, with X_S w = Z_S a and ‖w‖ = ‖a‖. The problem in a
on Z_S is the problem in w on X_S, for every S, every C and every loss of X w. Not so with an L1 penalty, which depends on the axes, nor
with a scaler fitted on S, which stretches the axes (standardisation): neither is offered.

Why it is no leak that held-out rows share the decomposition. Labels have no part in it, and the coordinates it chooses do not change
the answer: the model fitted on Z_S and applied to a held-out row of Z is the model fitted on X_S alone and applied to that row of X, to
rounding. A test holds the two together.

Intercept and centring. The intercept is not penalised, so a constant vector m taken from all rows changes nothing but the intercept:
w·x + b = w·(x − m) + (b + w·m). The means of all rows are taken for the numerics only: features after a ReLU have a large common
part, which would cost the small eigenvalues their digits and the solver many steps (lbfgs on 90 × 400 of such features at tol 1e-9,
C = 10: 53 to 65 iterations instead of 208 to 879, and an answer nearer to Newton's: 1e-7 instead of 8e-7 in the probabilities).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxr_keras.features.rows import BLOCK_BYTES, FeatureMatrix, column_means, matrix_shape, read_block, row_blocks

RANK_TOLERANCE = float(np.finfo(np.float64).eps)
"""Eigenvalues of G up to n × this × the largest are dropped: they are rounding (the rule of numpy.linalg.matrix_rank, for G).

What is dropped of an entry of G is of the size of what rounding has already added to it."""


@dataclass(frozen=True)
class Representation:
    """A feature matrix in coordinates that are cheap to fit on, and the way back.

    Attributes:
        source: the feature matrix (n, d); read again only for the way back.
        mean: float64 (d,), column means of all rows.
        rows: float64 (n, r). With n < d this is Z, r the rank; else the features less their means, r = d.
        eigenvalues: float64 (r,) of G, or None where `rows` are the features themselves.
    """

    source: FeatureMatrix
    mean: np.ndarray
    rows: np.ndarray
    eigenvalues: np.ndarray | None

    def coefficients(self, reduced: np.ndarray, *, block_bytes: int = BLOCK_BYTES) -> np.ndarray:
        """Give coefficients in the original features.

        Args:
            reduced: float64 (k, r), coefficients a on `rows`; stack several models to read the features once for all.
            block_bytes: as `row_blocks`.

        Returns:
            float64 (k, d), w = Xᵀ U Λ^(-½) a, over blocks of rows.
        """
        if self.eigenvalues is None:
            return np.array(reduced, dtype=np.float64)
        shares = self.rows @ (reduced / self.eigenvalues).T
        total = np.zeros((len(self.mean), len(reduced)))
        for block in row_blocks(*matrix_shape(self.source), block_bytes=block_bytes):
            centred = read_block(self.source, block)
            centred -= self.mean
            total += centred.T @ shares[block]
        return np.ascontiguousarray(total.T)

    def intercept(self, coefficients: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Give the intercept for features that are not centred: float64 (k,), b − w·mean."""
        return intercept - coefficients @ self.mean


def bytes_needed(n_rows: int, n_columns: int, *, on_products: bool = False, block_bytes: int = BLOCK_BYTES) -> int:
    """Memory at the peak of `represent` or of a search on all of its rows, whichever takes more.

    `represent` holds four n² float64 with n < d (the products, LAPACK's copies and Z), else one of n × d. A search holds its rows and a
    fold's share of them, as many again at most; `on_products` also their products and a fold's share of those.
    """
    blocks = 2 * min(block_bytes, 8 * n_rows * n_columns)
    reduction = blocks + (32 * n_rows**2 if n_rows < n_columns else 8 * n_rows * n_columns)
    return max(reduction, 16 * n_rows * min(n_rows, n_columns) + (16 * n_rows**2 if on_products else 0))


def represent(features: FeatureMatrix, *, block_bytes: int = BLOCK_BYTES) -> Representation:
    """Make the representation that every fit, fold and value of C works on.

    With n < d it needs about 4 n² float64 and two blocks, whatever d is (n = 4392: 0.6 GB and the blocks); with n >= d one float64 copy
    of the features, as a plain fit does.

    Args:
        features: matrix (n, d), usually float32.
        block_bytes: as `row_blocks`.

    Raises:
        ValueError: no matrix, nan or infinity in rows (numbered), or rows that are all equal.
    """
    n_rows, n_columns = matrix_shape(features)
    mean = column_means(features, block_bytes=block_bytes)
    if n_rows >= n_columns:
        rows = np.empty((n_rows, n_columns))
        for block in row_blocks(n_rows, n_columns, block_bytes=block_bytes):
            rows[block] = read_block(features, block)
            rows[block] -= mean
        if not rows.any():
            raise _all_equal()
        return Representation(features, mean, rows, None)
    gram = gram_matrix(features, mean, block_bytes=block_bytes)
    if not gram.any():
        raise _all_equal()
    eigenvalues, vectors = np.linalg.eigh(gram)
    del gram
    # Ascending as LAPACK gives them; the largest come first here, so that a column of Z means what a principal component does.
    kept = np.flatnonzero(eigenvalues > n_rows * RANK_TOLERANCE * eigenvalues[-1])[::-1]
    eigenvalues = eigenvalues[kept]
    rows = np.ascontiguousarray(vectors[:, kept])
    rows *= np.sqrt(eigenvalues)
    return Representation(features, mean, rows, eigenvalues)


def gram_matrix(features: FeatureMatrix, mean: np.ndarray, *, block_bytes: int = BLOCK_BYTES) -> np.ndarray:
    """Inner products of all pairs of centred rows, float64 (n, n), symmetric.

    Two blocks are held at a time; with b blocks every row is read (b + 1) / 2 times. Products and sums are in float64 although the
    features are float32: an error of float32 in G (1e-7 of the largest eigenvalue) would bury most of its eigenvalues.

    Args:
        features: matrix (n, d).
        mean: float64 (d,), taken from every row.
        block_bytes: as `row_blocks`.
    """
    blocks = row_blocks(*matrix_shape(features), block_bytes=block_bytes)
    gram = np.empty((blocks[-1].stop, blocks[-1].stop))
    for number, block in enumerate(blocks):
        left = read_block(features, block)
        left -= mean
        gram[block, block] = left @ left.T
        for other in blocks[number + 1 :]:
            right = read_block(features, other)
            right -= mean
            gram[block, other] = left @ right.T
            gram[other, block] = gram[block, other].T
    return gram


def _all_equal() -> ValueError:
    return ValueError("features: all rows are equal, so there is nothing to tell images apart by. Check the extraction and its weights.")
