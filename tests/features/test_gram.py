"""The representation keeps every inner product and distance, whatever the blocks, and finds its way back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from cxr_keras.features.gram import represent
from cxr_keras.features.rows import SelectedRows, column_means, read_block, row_blocks


class Store:
    """A matrix on disk, as the classifier sees it: rows on request."""

    def __init__(self, values):
        self.values, self.shape, self.read_rows = values, values.shape, 0

    def read(self, rows):
        self.read_rows += len(rows)
        return self.values[rows]


def matrix(n_rows, n_columns, *, rank=None, mean=3.0, seed=0):
    random = np.random.default_rng(seed)
    rank = rank or min(n_rows, n_columns)
    spectrum = 1 / np.arange(1, rank + 1)
    values = (random.normal(size=(n_rows, rank)) * spectrum) @ random.normal(size=(rank, n_columns)) + mean
    return values.astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    n_rows=st.integers(2, 20),
    n_columns=st.integers(1, 30),
    rank=st.integers(1, 30),
    rows_a_block=st.integers(1, 25),
    seed=st.integers(0, 99),
)
def test_inner_products_are_kept_for_every_shape_rank_and_block(n_rows, n_columns, rank, rows_a_block, seed):
    features = matrix(n_rows, n_columns, rank=rank, seed=seed)
    centred = features.astype(float) - features.astype(float).mean(axis=0)
    found = represent(features, block_bytes=8 * n_columns * rows_a_block)
    products = centred @ centred.T
    np.testing.assert_allclose(found.rows @ found.rows.T, products, atol=1e-12 * np.abs(products).max())
    assert found.rows.shape[1] <= max(n_columns, 1) and found.rows.dtype == np.float64


def test_coefficients_give_the_same_logits_on_the_features(tmp_path):
    features = matrix(30, 200)
    found = represent(features)
    reduced = np.random.default_rng(1).normal(size=(3, found.rows.shape[1]))
    coefficients = found.coefficients(reduced, block_bytes=8 * 200 * 7)
    assert coefficients.shape == (3, 200)
    intercept = found.intercept(coefficients, np.array([1.0, 2.0, 3.0]))
    logits = features.astype(float) @ coefficients.T + intercept
    np.testing.assert_allclose(logits, found.rows @ reduced.T + [1, 2, 3], atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(coefficients, axis=1), np.linalg.norm(reduced, axis=1))


def test_float32_features_with_a_large_mean_lose_no_digits():
    features = matrix(40, 3000, mean=1000.0)
    found = represent(features)
    exact = features.astype(np.longdouble) - features.astype(np.longdouble).mean(axis=0)
    products = (exact @ exact.T).astype(float)
    np.testing.assert_allclose(found.rows @ found.rows.T, products, atol=1e-13 * np.abs(products).max())


@settings(max_examples=15, deadline=None)
@given(inverse_penalty=st.sampled_from([1e-3, 0.1, 10.0]), size=st.integers(12, 40), classes=st.integers(2, 3), seed=st.integers(0, 99))
def test_a_fit_on_any_subset_is_the_fit_on_the_features(inverse_penalty, size, classes, seed):
    # Newton's method on both sides: its answer has ten digits, lbfgs's about six, which would hide a small fault of the reduction.
    features, random = matrix(40, 90, seed=seed), np.random.default_rng(seed)
    found, subset = represent(features), random.permutation(40)[:size]
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, size - classes)])
    weights = random.uniform(0.5, 2, size)
    reduced, plain = (
        LogisticRegression(C=inverse_penalty, solver="newton-cholesky", tol=1e-11, max_iter=1000).fit(rows[subset], labels, weights)
        for rows in (found.rows, features.astype(float))
    )
    np.testing.assert_allclose(reduced.predict_proba(found.rows), plain.predict_proba(features.astype(float)), atol=1e-8)
    np.testing.assert_allclose(found.coefficients(reduced.coef_), plain.coef_, atol=1e-7)
    np.testing.assert_allclose(found.intercept(plain.coef_, reduced.intercept_), plain.intercept_, atol=1e-6)


def test_repeated_rows_lower_the_rank_and_nothing_else():
    features = matrix(20, 100)
    doubled = represent(np.concatenate([features, features[:10], features[:5]]))
    assert doubled.rows.shape == (35, 19)  # 20 different rows, less one for the mean
    np.testing.assert_allclose(doubled.rows[:10], doubled.rows[20:30], atol=1e-10)


def test_a_store_and_a_memory_map_give_what_the_array_gives(tmp_path):
    features = matrix(23, 60)
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    expected, block = represent(features, block_bytes=8 * 60 * 5), 8 * 60 * 5
    store = Store(features)
    for same in (mapped, store):
        np.testing.assert_array_equal(represent(same, block_bytes=block).rows, expected.rows)
    # One pass for the means; five blocks, so three passes for the products.
    assert store.read_rows <= 23 + 3 * 23


def test_more_rows_than_features_stay_the_features():
    features = matrix(50, 8)
    found = represent(features)
    assert found.eigenvalues is None
    np.testing.assert_allclose(found.rows, features - features.mean(axis=0, dtype=float), atol=1e-12)
    np.testing.assert_array_equal(found.coefficients(np.eye(8)), np.eye(8))


def test_selected_rows_come_in_their_order():
    features = matrix(12, 5)
    chosen = SelectedRows(Store(features), np.array([9, 2, 7, 4]))
    assert chosen.shape == (4, 5)
    np.testing.assert_array_equal(chosen.read(np.arange(4)), features[[9, 2, 7, 4]])
    np.testing.assert_array_equal(read_block(chosen, slice(1, 3)), features[[2, 7]].astype(float))
    np.testing.assert_allclose(column_means(chosen), features[[9, 2, 7, 4]].mean(axis=0, dtype=float))


def test_blocks_cover_the_rows_once():
    blocks = row_blocks(10, 4, block_bytes=8 * 4 * 3)
    assert [(block.start, block.stop) for block in blocks] == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert len(row_blocks(3, 10**6, block_bytes=1)) == 3


@pytest.mark.parametrize("shape", [(30, 60), (60, 30)])
def test_odd_numbers_are_named_by_row(shape):
    features = matrix(*shape)
    features[[4, 17, 21], [0, 5, 29]] = [np.nan, np.inf, -np.inf]
    with pytest.raises(ValueError, match=r"3 rows hold nan or infinity \(row 4, 17, 21, counted from 0\)"):
        represent(features, block_bytes=8 * shape[1] * 10)


def test_huge_finite_numbers_are_no_fault():
    features = np.full((4, 6), 3e38, np.float32)
    features[0, 0] = 0
    assert np.isfinite(represent(features).rows).all()


def test_useless_features_are_refused():
    with pytest.raises(ValueError, match="all rows are equal"):
        represent(np.ones((5, 9), np.float32))
    with pytest.raises(ValueError, match="all rows are equal"):
        represent(np.ones((9, 5), np.float32))
    with pytest.raises(ValueError, match=r"shape \(3, 7, 7\) came; expected a matrix"):
        represent(np.ones((3, 7, 7), np.float32))
    with pytest.raises(ValueError, match="list came"):
        represent([[1.0, 2.0]])
