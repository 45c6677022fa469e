"""Pooling kernels against one-line twins, compiled and as plain Python."""

from typing import Any

import numpy as np
import pytest

from refimpl.numerics.jit import body_for
from refimpl.numerics.kernels import pooling

GEOMETRIES = [
    ((6, 7), (2, 2), (2, 2), (0, 0)),
    ((5, 5), (3, 2), (2, 1), (1, 0)),
    ((4, 6), (1, 3), (3, 1), (0, 1)),
    ((3, 3), (3, 3), (1, 1), (1, 1)),
    ((1, 1), (1, 1), (5, 5), (0, 0)),
]
BODIES = [pytest.param(lambda k: k, id="compiled"), pytest.param(lambda k: getattr(k, "py_func", k), id="plain")]


def windows(x: np.ndarray, size: Any, stride: Any, padding: Any, fill: float) -> np.ndarray:
    """(n, i, j, k, l): pixel (k, l) of window (i, j)."""
    p, q = padding
    padded = np.pad(x, ((0, 0), (p, p), (q, q)), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(padded, size, (1, 2))[:, :: stride[0], :: stride[1]]


def run_max(body: Any, x: np.ndarray, *geometry: Any) -> tuple[np.ndarray, np.ndarray]:
    shape = windows(x, *geometry, 0).shape[:3]
    y, where = np.empty(shape, x.dtype), np.empty(shape, np.int64)
    body(pooling.max_forward)(x, *geometry, y, where)
    return y, where


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size, window, stride, padding", GEOMETRIES)
def test_maximum(body: Any, dtype: Any, size: Any, window: Any, stride: Any, padding: Any) -> None:
    x = np.random.default_rng(0).integers(-2, 3, (3, *size)).astype(dtype)
    y, where = run_max(body, x, window, stride, padding)
    np.testing.assert_array_equal(y, windows(x, window, stride, padding, -np.inf).max(axis=(3, 4)))
    flat = x.reshape(3, -1)
    np.testing.assert_array_equal(np.take_along_axis(flat, where.reshape(3, -1), 1).reshape(y.shape), y)
    twin = windows(x, window, stride, padding, -np.inf).reshape(*y.shape, -1).argmax(axis=-1)  # the first maximum
    rows = np.arange(y.shape[1])[:, None] * stride[0] - padding[0] + twin // window[1]
    columns = np.arange(y.shape[2]) * stride[1] - padding[1] + twin % window[1]
    np.testing.assert_array_equal(where, rows * size[1] + columns)
    dy = np.random.default_rng(1).integers(-4, 5, y.shape).astype(dtype)
    dx, expected = np.zeros_like(flat), np.zeros_like(flat)
    body(pooling.max_backward)(dy, where, dx)
    for n in range(3):
        np.add.at(expected[n], where[n].ravel(), dy[n].ravel())
    np.testing.assert_array_equal(dx, expected)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size, window, stride, padding", GEOMETRIES)
def test_sum(body: Any, dtype: Any, size: Any, window: Any, stride: Any, padding: Any) -> None:
    x = np.random.default_rng(0).integers(-9, 10, (3, *size)).astype(dtype)
    expected = windows(x, window, stride, padding, 0).sum(axis=(3, 4))
    y = np.zeros_like(expected)
    body(pooling.sum_forward)(x, window, stride, padding, y)
    np.testing.assert_array_equal(y, expected)
    dy = np.random.default_rng(1).integers(-4, 5, y.shape).astype(dtype)
    dx = np.zeros_like(x)
    body(pooling.sum_backward)(dy, window, stride, padding, dx)
    for n, i, j in np.ndindex(*x.shape):
        unit = np.zeros_like(x)
        unit[n, i, j] = 1
        assert dx[n, i, j] == np.sum(dy * windows(unit, window, stride, padding, 0).sum(axis=(3, 4)))


@pytest.mark.parametrize("body", BODIES)
def test_nan_and_infinity(body: Any) -> None:
    x = np.array([[[-np.inf, -np.inf, 1, np.nan], [-np.inf, -np.inf, np.nan, np.inf]]])
    y, where = run_max(body, x, (2, 2), (2, 2), (0, 0))
    np.testing.assert_array_equal(y, [[[-np.inf, np.nan]]])
    np.testing.assert_array_equal(where, [[[0, 3]]])
    total = np.zeros((1, 1, 2))
    body(pooling.sum_forward)(x, (2, 2), (2, 2), (0, 0), total)
    np.testing.assert_array_equal(total, [[[-np.inf, np.nan]]])


def test_longdouble_runs_the_plain_body() -> None:
    x = (np.arange(16, dtype=np.longdouble) + np.finfo(np.longdouble).eps).reshape(1, 4, 4)
    if x.dtype.itemsize > 8:
        assert body_for(pooling.max_forward, x) is getattr(pooling.max_forward, "py_func", pooling.max_forward)
    y, _ = run_max(lambda k: body_for(k, x), x, (2, 2), (2, 2), (0, 0))
    np.testing.assert_array_equal(y[0], x[0, 1::2, 1::2])


@pytest.mark.parametrize("body", BODIES)
def test_no_images(body: Any) -> None:
    y, where = run_max(body, np.zeros((0, 4, 6)), (2, 2), (2, 2), (0, 0))
    dx = np.zeros((0, 24))
    body(pooling.max_backward)(y, where, dx)
    assert y.shape == where.shape == (0, 2, 3)
