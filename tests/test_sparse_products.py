"""Products that skip zeros equal dense ones up to rounding, alone and inside networks."""

import numpy as np
import pytest

from refimpl.numerics import sparse
from refimpl.numerics.compare import eps_error
from refimpl.numerics.kernels import csr
from refimpl.numerics.threads import team
from refimpl.setting import Dense, Network, ReLU, Residual, Tanh, mlp


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def dyadic(rng, shape, dtype):
    return (rng.integers(-8, 9, shape) / 8).astype(dtype)


@pytest.mark.parametrize("batch", [5, 147], ids=["fewer than a vector", "eight vectors, one, and a rest"])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.5, 1.0])
def test_products_of_dyadic_numbers_are_equal(density, batch, dtype):
    rng = np.random.default_rng(0)
    W = dyadic(rng, (17, 29), dtype) * (rng.random((17, 29)) < density)
    W = W.astype(dtype)
    x, dy = dyadic(rng, (batch, 29), dtype), dyadic(rng, (batch, 17), dtype)
    rows = sparse.compress(W)
    count = np.count_nonzero(W)
    assert len(rows.values) == count
    assert sparse.compress(W, count / W.size) is not None and (
        not count or sparse.compress(W, 0.9 * count / W.size) is None
    )
    y, dx = sparse.times(rows, x), sparse.times_transposed(rows, dy)
    assert y.dtype == dx.dtype == dtype
    assert np.array_equal(y, x @ W.T) and np.array_equal(dx, dy @ W)


@pytest.mark.parametrize("shape", [(7, 2000), (2000, 7)])
@pytest.mark.parametrize("density", [0.05, 1.0])
def test_products_by_blocks(density, shape, dtype):
    """More columns or rows than the cache has room for, few entries in each or many; a batch beyond eight vectors."""
    rng = np.random.default_rng(3)
    W = np.where(rng.random(shape) < density, dyadic(rng, shape, dtype), 0).astype(dtype)
    rows, x, dy = sparse.compress(W), dyadic(rng, (150, shape[1]), dtype), dyadic(rng, (150, shape[0]), dtype)
    assert csr.CACHED // (8 * csr.WIDTH) < 2000 / 2 and csr.BLOCK < 2000 / 2
    assert np.array_equal(sparse.times(rows, x), x @ W.T)
    assert np.array_equal(sparse.times_transposed(rows, dy), dy @ W)


def test_kernels_take_any_batch(dtype):
    """No vector, one, three pairs of vectors, each with and without a rest; signed indices, too."""
    rng, lanes = np.random.default_rng(4), csr.WIDTH // np.dtype(dtype).itemsize
    W = np.where(rng.random((9, 12)) < 0.4, dyadic(rng, (9, 12), dtype), 0).astype(dtype)
    starts, columns, values, _ = sparse.compress(W)
    for batch in (0, 1, lanes, 6 * lanes, 6 * lanes + 5, 8 * lanes, 16 * lanes):
        X, dY = dyadic(rng, (12, batch), dtype), dyadic(rng, (9, batch), dtype)
        for signed in (False, True):
            rows = (starts.astype(np.int64), columns.astype(np.int32), values) if signed else (starts, columns, values)
            Y, dX = np.full_like(dY, np.nan), np.full_like(X, np.nan)
            csr.times(team(1), *rows, X, Y)
            csr.times_transposed(team(1), *rows, dY, dX)
            assert np.array_equal(Y, W @ X) and np.array_equal(dX, W.T @ dY)


def test_compressed_rows(dtype):
    """The last entry 0 or not, rows of zeros, -0, NaN and numbers below all normal ones: as NumPy finds them."""
    tiny = np.finfo(dtype).smallest_subnormal
    for last in (0, 3):
        W = np.array([[0, 0, 0], [0, tiny, -0.0], [np.nan, 0, 2], [0, 0, 0], [-1, 0, last]], dtype)
        rows = sparse.compress(W)
        i, j = np.nonzero(W)
        assert np.array_equal(rows.starts, np.searchsorted(i, np.arange(6)))  # a matrix of one block
        assert np.array_equal(rows.columns, j) and np.array_equal(rows.values, W[i, j], equal_nan=True)


def test_batches_by_feature(dtype):
    """x^T with zeros up to an even count of vectors, at an address that is a multiple of a vector."""
    lanes, x = csr.WIDTH // np.dtype(dtype).itemsize, np.arange(1, 3 * 70 + 1, dtype=dtype).reshape(70, 3)
    for batch in (1, 2 * lanes, 70):
        X = sparse.feature_major(x[:batch])
        assert X.shape == (3, -(-batch // (2 * lanes)) * 2 * lanes) and X.ctypes.data % 32 == 0
        assert np.array_equal(X[:, :batch], x[:batch].T) and not X[:, batch:].any()


def test_rows_start_in_every_block(dtype):
    """Entries of row i in columns of block c, row by row and block by block."""
    W = np.where(np.random.default_rng(5).random((4, 2 * csr.BLOCK + 9)) < 0.1, 1, 0).astype(dtype)
    rows, (i, j) = sparse.compress(W), np.nonzero(W)
    assert np.array_equal(rows.starts, np.searchsorted(3 * i + j // csr.BLOCK, np.arange(13)))


def test_the_plain_twin_is_what_the_vectors_do(dtype):
    """A row of the product by its definition: entries 1 ... 3, lanes 1 ... 2 of X, y at 3."""
    rng, lanes = np.random.default_rng(2), csr.WIDTH // np.dtype(dtype).itemsize
    X, y = dyadic(rng, (6, 3 * lanes), dtype), dyadic(rng, 4 * lanes, dtype)
    values, columns = dyadic(rng, 5, dtype), np.array([5, 0, 2, 3, 5], np.uint32)
    expected = y.copy()
    expected[3 : 3 + 2 * lanes] += values[1:4] @ X[[0, 2, 3], lanes:]
    csr._plain(2, y, 3, False, X, lanes, 3 * lanes, values, columns, 1, 4)
    assert np.array_equal(y, expected)
    csr._plain(2, y, 3, False, X, lanes, 3 * lanes, values, columns, 1, 1)
    assert np.array_equal(y, expected)
    y[3 : 3 + 2 * lanes] = np.nan
    csr._plain(2, y, 3, True, X, lanes, 3 * lanes, values, columns, 1, 2)
    expected[3 : 3 + 2 * lanes] = values[1] * X[0, lanes:]
    assert np.array_equal(y, expected)


def test_nan_in_the_matrix_is_an_entry(dtype):
    W = np.array([[0, np.nan], [0, 1]], dtype)
    y = sparse.times(sparse.compress(W), np.ones((3, 2), dtype))
    assert np.isnan(y[:, 0]).all() and (y[:, 1] == 1).all()


def test_empty_batch(dtype):
    rows, none = sparse.compress(np.eye(3, 4, dtype=dtype)), sparse.compress(np.empty((0, 4), dtype))
    assert np.array_equal(sparse.times_transposed(none, np.empty((2, 0), dtype)), np.zeros((2, 4)))
    flat = sparse.compress(np.empty((4, 0), dtype))
    assert np.array_equal(sparse.times(flat, np.empty((2, 0), dtype)), np.zeros((2, 4)))
    assert sparse.times(rows, np.empty((0, 4), dtype)).shape == (0, 3)
    assert sparse.times_transposed(rows, np.empty((0, 3), dtype)).shape == (0, 4)


def test_networks_that_skip_zeros(dtype):
    """Nested, residual and biased layers; the gradient of W stays dense; off by default; a dense W stays dense."""
    rng = np.random.default_rng(1)
    f = Network([Dense(6, 8), Tanh(), Residual([Dense(8, 8), ReLU()]), mlp([8, 5, 4])])
    g = f.skipping_zeros(0.4)
    assert isinstance(g, Network) and g.shapes == f.shapes and f != g
    assert f.layers[0].sparse == 0 and g.layers[3].layers[0].sparse == 0.4
    theta = f.init(0, dtype)
    x, dy = rng.normal(size=(7, 6)).astype(dtype), rng.normal(size=(7, 4)).astype(dtype)
    for keep in (0.2, 1.0):
        sparse_theta = (theta * (rng.random(theta.size) < keep)).astype(dtype)
        (y, back), (z, sparse_back) = f.vjp(sparse_theta, x), g.vjp(sparse_theta, x)
        assert eps_error(z, y, max(1, np.abs(y).max())) <= 16
        for a, b in zip(sparse_back(dy), back(dy)):
            assert a.dtype == dtype and eps_error(a, b) <= 32


def test_other_dtypes_stay_dense():
    f = Network([Dense(3, 2)]).skipping_zeros(1.0)
    theta, x = np.zeros(f.size, np.longdouble), np.ones((2, 3), np.longdouble)
    assert f(theta, x).dtype == np.longdouble


def test_bad_share():
    with pytest.raises(ValueError, match="sparse: expected a number in"):
        Dense(2, 3).skipping_zeros(1.5)
