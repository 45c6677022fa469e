"""Batch normalisation by the kernels against its definition in longdouble, compiled and as plain Python."""

from typing import Any

import numpy as np
import pytest
from parts import ways

from refimpl.numerics.compare import eps_error
from refimpl.numerics.kernels import normalization

EPS = 1e-3
SHAPES = [(8, 5, 63), (2, 3, 1), (3, 2, normalization.RUN + 9), (1, 4, 2)]
Arrays = tuple[np.ndarray, ...]


def spread(v: np.ndarray) -> np.ndarray:
    return v[:, None]


def definition(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, dy: np.ndarray, fixed: Any) -> Arrays:
    """y, mean, variance, dgamma, dbeta, dx; the last one through the derivatives of mean and variance."""
    x, gamma, beta, dy = (a.astype(np.longdouble) for a in (x, gamma, beta, dy))
    n = len(x) * x.shape[2]
    mean = x.mean(axis=(0, 2)) if fixed is None else fixed[0].astype(np.longdouble)
    centred = x - spread(mean)
    variance = (centred**2).mean(axis=(0, 2)) if fixed is None else fixed[1].astype(np.longdouble)
    root = np.sqrt(variance + np.longdouble(EPS))
    dxhat = dy * spread(gamma)
    dx = dxhat / spread(root)
    if fixed is None:
        dvariance = -(dxhat * centred).sum(axis=(0, 2)) / (2 * root**3)
        dmean = -dx.sum(axis=(0, 2))  # the variance is at a minimum in the mean
        dx = dx + (spread(dmean) + 2 * spread(dvariance) * centred) / n
    xhat = centred / spread(root)
    y = spread(gamma) * xhat + spread(beta)
    return y, mean, variance, (dy * xhat).sum(axis=(0, 2)), dy.sum(axis=(0, 2)), dx


def by_kernels(way: int, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, dy: np.ndarray, fixed: Any) -> Arrays:
    C, dtype = len(gamma), x.dtype
    (mean, variance, scale), y, dx = np.empty((3, C)), np.empty_like(x), np.empty_like(x)
    if fixed is not None:
        mean[:], variance[:] = fixed
    ways(normalization, "forward")[way](C, x, gamma, beta, EPS, fixed is None, mean, variance, scale, y)
    dgamma, dbeta = np.empty((2, C), dtype)
    ways(normalization, "backward")[way](C, x, dy, gamma, fixed is None, mean, scale, dgamma, dbeta, dx)
    return y, mean, variance, dgamma, dbeta, dx


def drawn(shape: tuple[int, int, int], dtype: Any, offset: float = 0.0) -> Arrays:
    rng = np.random.default_rng(shape[2])
    x, dy, (gamma, beta) = rng.standard_normal(shape), rng.standard_normal(shape), rng.standard_normal((2, shape[1]))
    return tuple(a.astype(dtype) for a in (x + offset, gamma, beta, dy))


@pytest.mark.parametrize("way", [0, 1], ids=["compiled", "plain"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_against_the_definition(training: bool, shape: Any, dtype: Any, way: int) -> None:
    arrays = drawn(shape, dtype)
    rng = np.random.default_rng(0)
    fixed = None if training else (rng.standard_normal(shape[1]), rng.random(shape[1]))
    found, expected = by_kernels(way, *arrays, fixed), definition(*arrays, fixed)
    largest, slopes = (np.abs(arrays[1]) / np.sqrt(expected[2] + EPS)).max(), np.abs(arrays[3])
    sizes = (1, 1, 1, slopes.sum(axis=(0, 2)).max(), slopes.sum(axis=(0, 2)).max(), largest * slopes.max())
    for a, e, size in zip(found, expected, sizes):  # what rounding acts on: sums and dx may cancel
        assert eps_error(a, e.astype(a.dtype), max(size, np.abs(e).max())) <= 4


def test_single_precision_far_from_zero() -> None:
    """Sums in double precision: entries around 1000 lose three digits by their own rounding alone, which is given."""
    arrays = drawn((8, 5, 63), np.float32, 1000.0)
    found, expected = by_kernels(0, *arrays, None), definition(*arrays, None)
    assert max(eps_error(np.float32(a), e) for a, e in zip(found, expected)) <= 4
    x = arrays[0]
    plain = (x - x.mean(axis=(0, 2), keepdims=True)) / np.sqrt(x.var(axis=(0, 2), keepdims=True) + np.float32(EPS))
    assert eps_error(arrays[1][:, None] * plain + arrays[2][:, None], expected[0]) > 20  # the control


@pytest.mark.parametrize("way", [0, 1], ids=["compiled", "plain"])
def test_nan_stays_in_its_channel(way: int) -> None:
    x, gamma, beta, dy = drawn((4, 3, 5), np.float64)
    clean = by_kernels(way, x, gamma, beta, dy, None)
    x[1, 2, 3] = np.nan
    for found, before in zip(by_kernels(way, x, gamma, beta, dy, None), clean):
        channels = (slice(None), [0, 1]) if found.ndim == 3 else [0, 1]
        np.testing.assert_array_equal(found[channels], before[channels])
    y, mean, variance, dgamma, _, dx = by_kernels(way, x, gamma, beta, dy, None)
    assert all(np.isnan(a).all() for a in (y[:, 2], mean[2], variance[2], dgamma[2], dx[:, 2]))
    fixed = (np.zeros(3), np.ones(3))
    y, *_, dx = by_kernels(way, x, gamma, beta, dy, fixed)
    assert np.isnan(y).sum() == 1 and np.isfinite(dx).all()


def test_no_samples_and_no_pixels() -> None:
    for shape in ((0, 2, 3), (2, 2, 0)):
        *_, dgamma, dbeta, _ = by_kernels(0, *drawn(shape, np.float64), (np.zeros(2), np.ones(2)))
        assert not dgamma.any() and not dbeta.any()
