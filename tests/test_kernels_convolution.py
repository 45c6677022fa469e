"""The three convolution kernels against direct sums, against each other, and the layout they promise."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.numerics.kernels import convolution

GEOMETRIES = list(
    product(
        ((3, 4), (1, 1), (5, 2)),
        ((1, 1), (2, 2), (3, 2), (2, 5)),
        ((1, 1), (2, 3)),
        ((0, 0, 0, 0), (1, 2, 2, 1), (4, 3, 0, 6)),
    )
)


def pixel(x: np.ndarray, b: int, c: int, i: int, j: int, mode: str) -> Any:
    """x continued to all of Z^2: by zeros or periodically."""
    rows, columns = x.shape[2:]
    if mode == "circular":
        return x[b, c, i % rows, j % columns]
    return x[b, c, i, j] if 0 <= i < rows and 0 <= j < columns else 0


def direct(x: np.ndarray, w: np.ndarray, stride: Any, pads: Any, mode: str) -> np.ndarray:
    """The definition as a sum over every index."""
    size = convolution.output_size(x.shape[2:], w.shape[2:], stride, pads)
    y = np.zeros((len(x), len(w), *size), x.dtype)
    for b, o, i, j in np.ndindex(*y.shape):
        for c, u, v in np.ndindex(*w.shape[1:]):
            y[b, o, i, j] += w[o, c, u, v] * pixel(
                x, b, c, stride[0] * i + u - pads[0], stride[1] * j + v - pads[2], mode
            )
    return y


def drawn(size: Any, kernel: Any, stride: Any, pads: Any, dtype: Any = np.float64) -> Any:
    """(x, w, dy) of small integers, so that every sum is exact; None when the kernel does not fit."""
    rng = np.random.default_rng(0)
    out = convolution.output_size(size, kernel, stride, pads)
    if min(out) < 1:
        return None
    return tuple(rng.integers(-4, 5, s).astype(dtype) for s in ((2, 3, *size), (2, 3, *kernel), (2, 2, *out)))


@pytest.mark.parametrize("size, kernel, stride, pads", GEOMETRIES)
@pytest.mark.parametrize("mode", ["zero", "circular"])
def test_forward_is_the_direct_sum_and_the_gradients_its_adjoints(
    size: Any, kernel: Any, stride: Any, pads: Any, mode: str
) -> None:
    instance = drawn(size, kernel, stride, pads)
    if instance is None:
        return
    x, w, dy = instance
    y = convolution.forward(x, w, stride, pads, mode)
    np.testing.assert_array_equal(y, direct(x, w, stride, pads, mode))
    dx = convolution.input_gradient(dy, w, size, stride, pads, mode)
    dw = convolution.kernel_gradient(x, dy, kernel, stride, pads, mode)
    assert dx.shape == x.shape and dw.shape == w.shape
    assert np.sum(dx * x) == np.sum(dw * w) == np.sum(dy * y)  # y is bilinear; integers are exact
    unit = np.zeros_like(x)
    unit[-1, 0, 0, -1] = 1
    assert dx[-1, 0, 0, -1] == np.sum(dy * direct(unit, w, stride, pads, mode))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble, np.complex128])
def test_every_dtype_is_kept(dtype: Any) -> None:
    x, w, dy = drawn((5, 4), (3, 2), (1, 2), (1, 1, 0, 1), dtype)
    y = convolution.forward(x, w, (1, 2), (1, 1, 0, 1), "zero")
    np.testing.assert_array_equal(y, direct(x, w, (1, 2), (1, 1, 0, 1), "zero"))
    dx = convolution.input_gradient(dy, w, (5, 4), (1, 2), (1, 1, 0, 1), "zero")
    dw = convolution.kernel_gradient(x, dy, (3, 2), (1, 2), (1, 1, 0, 1), "zero")
    assert {a.dtype for a in (y, dx, dw)} == {np.dtype(dtype)}


def test_parts_of_a_large_batch_join(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.integers(-4, 5, (7, 2, 6, 6)).astype(float), rng.integers(-4, 5, (3, 2, 3, 3)).astype(float)
    whole = convolution.forward(x, w, (1, 1), (1, 1, 1, 1), "zero")
    gradients = [
        convolution.input_gradient(whole, w, (6, 6), (1, 1), (1, 1, 1, 1), "zero"),
        convolution.kernel_gradient(x, whole, (3, 3), (1, 1), (1, 1, 1, 1), "zero"),
    ]
    for entries in (1, 3 * 2 * 9 * 36, 2**30):
        monkeypatch.setattr(convolution, "COLUMN_ENTRIES", entries)
        np.testing.assert_array_equal(convolution.forward(x, w, (1, 1), (1, 1, 1, 1), "zero"), whole)
        dx = convolution.input_gradient(whole, w, (6, 6), (1, 1), (1, 1, 1, 1), "zero")
        dw = convolution.kernel_gradient(x, whole, (3, 3), (1, 1), (1, 1, 1, 1), "zero")
        np.testing.assert_array_equal(dx, gradients[0])
        np.testing.assert_array_equal(dw, gradients[1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_special_values_reach_exactly_their_windows(value: float) -> None:
    x, w = np.ones((1, 1, 5, 5)), np.ones((1, 1, 3, 3))
    x[0, 0, 1, 2] = value
    y = convolution.forward(x, w, (1, 1), (1, 1, 1, 1), "zero")[0, 0]
    touched = np.zeros((5, 5), bool)
    touched[0:3, 1:4] = True
    np.testing.assert_array_equal(~np.isfinite(y), touched)


def test_against_scipy() -> None:
    signal = pytest.importorskip("scipy.signal")
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 1, 9, 8)), rng.normal(size=(1, 1, 3, 4))
    y = convolution.forward(x, w, (1, 1), (0, 0, 0, 0), "zero")[0, 0]
    expected = signal.correlate2d(x[0, 0], w[0, 0], mode="valid")
    assert compare.eps_error(y, expected) <= 16  # sums of 12 products
