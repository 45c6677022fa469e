"""Products of two matrices of every shape and order in memory, exact where numbers are dyadic."""

import numpy as np
import pytest

from refimpl.numerics import products
from refimpl.numerics.compare import eps_error
from refimpl.numerics.jit import ENABLED
from refimpl.numerics.kernels import matrices, vectors
from refimpl.numerics.kernels.team import units

SHAPES = [(128, 80, 33), (33, 300, 31), (3, 513, 200), (200, 7, 200), (30, 1000, 10), (15, 520, 64), (9, 600, 300)]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def ordered(x, order):
    """The same numbers, rows or columns contiguous, or neither."""
    return {"rows": x, "columns": np.asfortranarray(x), "neither": np.repeat(np.repeat(x, 2, 0), 2, 1)[::2, ::2]}[order]


@pytest.mark.parametrize("first", ["rows", "columns", "neither"])
@pytest.mark.parametrize("second", ["rows", "columns", "neither"])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_of_integers_are_exact(shape, first, second, dtype, monkeypatch):
    """By the tile, whatever the size, and by BLAS."""
    n, m, l = shape
    rng = np.random.default_rng(n)
    a, b = (rng.integers(-8, 9, size).astype(dtype) for size in ((n, m), (m, l)))
    expected = a.astype(int) @ b.astype(int)
    for least in (0, 2**40):
        monkeypatch.setattr(products, "LEAST", least)
        y = products.product(ordered(a, first), ordered(b, second))
        assert y.dtype == dtype and y.flags.c_contiguous and np.array_equal(y, expected)


@pytest.mark.parametrize("order", ["rows", "columns", "neither"])
@pytest.mark.parametrize(
    "shape", [(5, 28, 28), (28, 5, 28), (17, 21, 19), (3, 9, 15), (64, 4, 40), (3, 64, 64), (1, 1, 33), (1, 300, 7)]
)
def test_a_matrix_times_many(shape, order, dtype, monkeypatch):
    """By the tile and by BLAS, columns fewer than a vector and no multiple of it."""
    n, m, l = shape
    rng = np.random.default_rng(m)
    a, z = rng.integers(-8, 9, (n, m)).astype(dtype), rng.integers(-8, 9, (11, m, l)).astype(dtype)
    for least in (0, 2**40):
        monkeypatch.setattr(products, "LEAST", least)
        y = products.stacked(ordered(a, order), z)
        assert y.dtype == dtype and y.shape == (11, n, l) and np.array_equal(y, a @ z)


@pytest.mark.skipif(not ENABLED, reason="plain Python has BLAS alone")
def test_many_small_products_go_by_the_tile_from_its_least_size_on(dtype, monkeypatch):
    l, routes = vectors.lanes_of(dtype), []
    monkeypatch.setattr(matrices, "stacked", lambda *args: routes.append("tile"))
    for m, wide in ((32, l), (31, l), (32, l - 1)):
        z = np.zeros((products.LEAST // (32 * 32 * l), m, wide), dtype)
        routes.append("asked")
        products.stacked(np.zeros((32, m), dtype), z)
    assert routes == ["asked", "tile", "asked", "asked"]


def test_large_products_go_by_the_tile_and_round_like_sums(dtype, monkeypatch):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((128, 784)).astype(dtype), rng.standard_normal((200, 784)).astype(dtype)
    if products.compiled(a):
        monkeypatch.setattr(products, "_by_blas", None)
    exact = a.astype(np.longdouble) @ b.T.astype(np.longdouble)
    assert eps_error(products.product(a, b.T), exact, 784) <= 8
    dy = exact.astype(dtype)
    exact = dy.T.astype(np.longdouble) @ a.astype(np.longdouble)
    assert eps_error(products.product(dy.T, a), exact, 128 * np.abs(dy).max()) <= 8


def test_one_sample_and_longdouble_go_by_blas():
    one, wide = np.ones((1, 1000)), np.ones((70, 70), np.longdouble)
    assert np.array_equal(products.product(one, np.ones((300, 1000)).T), np.full((1, 300), 1000.0))
    assert products.product(wide, wide).dtype == np.longdouble


def test_nan_and_infinity_stay_in_their_rows_and_columns(dtype):
    a, b = np.ones((100, 90), dtype), np.ones((90, 70), dtype)
    a[3, 5], b[7, 69] = np.nan, np.inf
    for y in (products.product(a, b), products.product(a, np.asfortranarray(b))):
        assert np.isnan(y[3]).all() and np.isposinf(np.delete(y, 3, 0)[:, 69]).all()
        assert (np.delete(y, 3, 0)[:, :69] == 90).all()


def test_a_row_does_not_depend_on_the_others(dtype):
    """Adversarial bounds and tests of one sample in a batch rest on it."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((60, 300)).astype(dtype), rng.standard_normal((300, 90)).astype(dtype)
    y = products.product(a, b)
    a[20:] = 0
    assert np.array_equal(products.product(a, b)[:20], y[:20])


@pytest.mark.parametrize("columns", [1, 3, 5, 10, 33, 64, 70])
def test_parts_of_a_product_in_any_order(columns, dtype):
    """Rows or columns, as threads take them: a part writes what it is asked for, and nothing of the others'."""
    rng, lanes = np.random.default_rng(columns), vectors.lanes_of(dtype)
    a, b = rng.integers(-8, 9, (45, 300)).astype(dtype), np.zeros((300, max(columns, lanes)), dtype)
    b[:, :columns] = rng.integers(-8, 9, (300, columns))
    body = getattr(matrices._product, "py_func", matrices._product) if columns == 33 else matrices._product
    for by_rows, parts in ((True, -(-len(a) // matrices.ROWS)), (False, units(columns, 2 * lanes))):
        for order in (range(parts), reversed(range(parts))):
            c = np.full((len(a), columns), np.nan, dtype)
            for k in order:
                body(k, k + 1, by_rows, a, 300, 1, b, c)
            assert np.array_equal(c, a @ b[:, :columns])
