"""Pooling kernels against one-line twins, compiled and as plain Python."""

from typing import Any

import numpy as np
import pytest

from refimpl.numerics.jit import ENABLED, body_for, compiled
from refimpl.numerics.kernels import halving, pooling
from refimpl.setting import MaxPool2d

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


def plain_halving(monkeypatch: Any) -> None:
    """The kernels as they run without compilation."""
    for name in ("forward", "backward"):
        monkeypatch.setattr(halving, name, getattr(getattr(halving, name), "py_func", getattr(halving, name)))
    monkeypatch.setattr(halving, "_best", halving._plain_best)
    monkeypatch.setattr(halving, "_spread", halving._plain_spread)


@pytest.mark.parametrize("plain", [False, True], ids=["compiled", "plain"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [(2, 8), (6, 10), (4, 12), (2, 14), (10, 28)])
@pytest.mark.parametrize("values", ["ties", "special"])
def test_halving(values: str, size: Any, dtype: Any, plain: bool, monkeypatch: Any) -> None:
    """Against argmax, which takes the first of equal maxima and the first NaN, and a gradient by hand."""
    if plain:
        plain_halving(monkeypatch)
    drawn = [-2, -1, 0, 1, 2] if values == "ties" else [np.nan, -np.inf, np.inf, 1]
    x = np.random.default_rng(size[1]).choice(drawn, (5, *size)).astype(dtype)
    y, where = np.empty((5, size[0] // 2, size[1] // 2), dtype), np.empty((5, size[0] // 2, size[1] // 2), np.int32)
    halving.forward(x, y, where)
    each = windows(x, (2, 2), (2, 2), (0, 0), 0).reshape(*y.shape, 4)
    k = each.argmax(axis=-1)
    np.testing.assert_array_equal(y, np.take_along_axis(each, k[..., None], -1)[..., 0])
    rows, columns = 2 * np.arange(y.shape[1])[:, None] + k // 2, 2 * np.arange(y.shape[2]) + k % 2
    np.testing.assert_array_equal(where, rows * size[1] + columns)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    dx, expected = np.full_like(x, 7), np.zeros_like(x)
    halving.backward(dy, where, dx)
    expected[np.arange(5)[:, None, None], rows, columns] = dy
    np.testing.assert_array_equal(dx, expected)


@pytest.mark.parametrize(
    "window, size, served",
    [
        ((2, 2, 0), (4, 8), True),
        ((2, 2, 0), (4, 10), True),
        ((2, 2, 0), (5, 8), False),
        ((2, 2, 0), (4, 9), False),
        ((2, 2, 0), (4, 6), False),
        ((3, 2, 1), (4, 8), False),
        ((2, 1, 0), (4, 8), False),
        ((2, 2, 1), (4, 8), False),
        ((1, 2, 0), (4, 8), False),
    ],
)
def test_the_layer_is_one_function_whichever_kernel_serves(window: Any, size: Any, served: bool) -> None:
    layer = MaxPool2d(*window)
    x = np.random.default_rng(0).integers(-3, 4, (2, 3, *size)).astype(np.float32)
    assert layer._halves(x) == (served and ENABLED)
    y, cache = layer.forward({}, x[:, ::2])
    dx = layer.backward({}, cache, np.arange(y.size, dtype=np.float32).reshape(y.shape)[..., ::-1])[0]
    exact, cache = layer.forward({}, x[:, ::2].astype(np.longdouble))
    assert not compiled(exact) and np.array_equal(y, exact)
    dy = np.arange(y.size, dtype=np.longdouble).reshape(y.shape)[..., ::-1]
    assert np.array_equal(dx, layer.backward({}, cache, dy)[0])
