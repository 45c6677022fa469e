"""C(theta) and K(theta_hat): the defining sums, Lemma 4.29 and Corollary 4.31 for every size."""

from itertools import product

import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.resolution import (
    dft,
    spatial_convolution,
    spatial_convolution_channels,
    spectral_convolution,
    spectral_convolution_channels,
    to_spatial,
    to_spectral,
    transform,
    trigonometric_interpolation,
)
from refimpl.resolution.convolution import pad_kernel, spectral_convolution_as_printed

SHAPES = [
    ((3,), (8,)), ((4,), (4,)), ((5,), (3,)), ((1,), (6,)), ((3, 2), (5, 4)), ((4, 4), (4, 6)), ((5, 2), (4, 7)),
    ((2, 3, 2), (4, 3, 2)), ((3, 3, 3), (3, 3, 3)), ((2, 2, 4), (3, 4, 3)),
]  # fmt: skip


def dyadic(shape, dtype=np.float64, seed=0):
    return (np.random.default_rng(seed).integers(-512, 512, shape) / 256).astype(dtype)


def direct(theta, v):
    """sum over k of theta_k v_{j-k}, entry by entry."""
    y = np.zeros_like(v)
    for j in np.ndindex(v.shape):
        for k in np.ndindex(*map(min, theta.shape, v.shape)):
            y[j] += theta[k] * v[tuple((a - b) % n for a, b, n in zip(j, k, v.shape))]
    return y


@pytest.mark.parametrize("dtype", compare.rungs())
@pytest.mark.parametrize("m,n", SHAPES)
def test_spatial_spectral_and_the_way_between(m, n, dtype):
    theta, v = dyadic(m, dtype), dyadic(n, dtype, 1)
    expected = direct(theta, v)
    scale = np.abs(theta).sum() * np.abs(v).max()
    assert compare.eps_error(spatial_convolution(theta, v), expected, scale) <= 8
    theta_hat = to_spectral(theta, n)
    y = spectral_convolution(theta_hat, v)
    assert y.dtype == dtype
    assert compare.eps_error(y, expected, scale) <= 16
    assert compare.eps_error(to_spatial(theta_hat, n), pad_kernel(theta, n), np.abs(theta).max()) <= 16
    any_hat = transform(dyadic(m, dtype, 2))
    expected = direct(to_spatial(any_hat, n), v)
    assert compare.eps_error(spectral_convolution(any_hat, v), expected, np.abs(any_hat).sum() * 2) <= 16


@pytest.mark.parametrize("m,n", SHAPES)
def test_spectral_convolution_multiplies_trigonometric_polynomials(m, n):
    """Against sums over frequencies of the odd extensions, term by term."""
    theta_hat, v = transform(dyadic(m)), dyadic(n, seed=1)
    grids = np.meshgrid(*(np.arange(a) / a for a in n), indexing="ij")
    v_hat, y = dft(v, "n"), np.zeros(n, complex)
    for k in product(*(range(-(min(a, b) // 2), min(a, b) // 2 + 1) for a, b in zip(m, n))):
        kernel = theta_hat[tuple(i % a for i, a in zip(k, m))] / 2 ** sum(2 * abs(i) == a for i, a in zip(k, m))
        image = v_hat[tuple(i % a for i, a in zip(k, n))] / 2 ** sum(2 * abs(i) == a for i, a in zip(k, n))
        y += kernel * image * np.exp(2j * np.pi * sum(i * x for i, x in zip(k, grids)))
    assert np.abs(y.imag).max() <= 1e-12
    assert compare.eps_error(spectral_convolution(theta_hat, v), y.real, np.abs(theta_hat).sum() * 2) <= 32


@pytest.mark.parametrize("d", [1, 2])
def test_equivariance_holds_exactly_where_it_should(d):
    """Corollary 4.31 for all M, N, L in 2 ... 14: it fails iff min(N, L) is even and < M, and N != L."""
    sizes = range(2, 15) if d == 1 else (2, 3, 4, 5, 7, 8)
    for m, n, l in product(sizes, repeat=3):
        theta_hat, v = transform(dyadic((m,) * d, seed=m)), dyadic((n,) * d, seed=n)
        size = (l,) * d
        before = spectral_convolution(theta_hat, trigonometric_interpolation(v, size))
        after = trigonometric_interpolation(spectral_convolution(theta_hat, v), size)
        error = compare.eps_error(before, after, np.abs(theta_hat).sum() * 2)
        fails = min(n, l) % 2 == 0 and min(n, l) < m and n != l
        assert (error > 1e6) if fails else (error <= 16), (m, n, l, error)


def test_batch_axes_and_channels():
    theta, v = dyadic((3, 2, 3, 4)), dyadic((5, 2, 6, 4), seed=1)
    each = np.stack([sum(direct(theta[o, i], v[0, i]) for i in range(2)) for o in range(3)])
    y = spatial_convolution_channels(theta, v)
    assert y.shape == (5, 3, 6, 4)
    assert compare.eps_error(y[0], each, 100) <= 8
    spectral = spectral_convolution_channels(to_spectral(theta, (6, 4)), v)
    assert compare.eps_error(spectral, y, 100) <= 8
    assert compare.eps_error(spatial_convolution_channels(theta, v[0]), y[0]) <= 8
    assert compare.eps_error(spectral_convolution_channels(to_spectral(theta, (6, 4)), v[0]), y[0]) <= 16
    one = spatial_convolution(theta[0, 0], v)
    assert one.shape == v.shape and compare.eps_error(one[4, 1], direct(theta[0, 0], v[4, 1]), 100) <= 8


def test_as_printed_is_independent_of_lambda_and_complex_on_even_sizes():
    theta_hat, v = transform(dyadic(5)), dyadic(9, seed=1)
    plain = spectral_convolution_as_printed(theta_hat, v)
    assert np.abs(plain.imag).max() < 1e-13
    assert compare.eps_error(plain.real, spectral_convolution(theta_hat, v), 20) <= 8
    for norm in ("sqrt", "n", 0.3):
        assert compare.eps_error(spectral_convolution_as_printed(theta_hat, v, norm), plain, 20) <= 16
    assert np.abs(spectral_convolution_as_printed(transform(dyadic(4)), v).imag).max() > 1e-2


def test_nan_and_inputs():
    v = dyadic((4, 4))
    v.setflags(write=False)
    theta = np.array([[1.0, np.nan]])
    assert np.isnan(spatial_convolution(theta, v)).all()
    assert np.isnan(spectral_convolution(to_spectral(theta, (4, 4)), v)).all()
    assert spatial_convolution([1], [1, 2]).tolist() == [1, 2]
    assert spectral_convolution([1.0], np.float32([1, 2, 6])).tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    "call,name",
    [
        (lambda: spatial_convolution(np.zeros(2, complex), np.zeros(3)), "theta"),
        (lambda: spatial_convolution(np.zeros((2, 2)), np.zeros(3)), "v"),
        (lambda: spatial_convolution(1.0, np.zeros(3)), "theta"),
        (lambda: spatial_convolution(np.zeros(0), np.zeros(3)), "theta"),
        (lambda: spatial_convolution_channels(np.zeros((2, 2)), np.zeros(3)), "theta"),
        (lambda: spatial_convolution_channels(np.zeros((2, 3, 2)), np.zeros((1, 2, 5))), "v"),
        (lambda: spectral_convolution(np.zeros(3), np.zeros(3, complex)), "v"),
        (lambda: spectral_convolution(1.0, np.zeros(3)), "theta_hat"),
        (lambda: spectral_convolution(np.zeros((2, 2)), np.zeros(3)), "v"),
        (lambda: spectral_convolution_channels(np.zeros((2, 3)), np.zeros(3)), "theta_hat"),
        (lambda: spectral_convolution_channels(np.zeros((2, 3, 2)), np.zeros((1, 2, 5))), "v"),
        (lambda: to_spectral(np.zeros(3), (3, 3)), "theta"),
        (lambda: to_spatial(np.zeros(3), 0), "size"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        call()
