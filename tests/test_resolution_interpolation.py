"""Interpolation: explicit trigonometric polynomials, the pixel kernels by definition and against torch, adjoints."""

from itertools import product

import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.resolution import interpolation, resize, resize_adjoint, trigonometric_interpolation
from refimpl.resolution.interpolation import METHODS

PAIRS = list(product(range(1, 13), repeat=2))


def dyadic(shape, dtype=np.float64, seed=0):
    return (np.random.default_rng(seed).integers(-512, 512, shape) / 256).astype(dtype)


def polynomial(v, l):
    """The trigonometric polynomial through v, cut to |k| <= min(n, l)/2, at j/l: sums of cosines and sines."""
    n, dtype = v.shape[-1], v.dtype.type
    two_pi = 8 * np.arctan(dtype(1))
    x, nodes = np.arange(l) / dtype(l), np.arange(n) / dtype(n)
    y = np.zeros((*v.shape[:-1], l), dtype)
    for k in range(min(n, l) // 2 + 1):
        a = (v * np.cos(two_pi * k * nodes)).sum(-1, keepdims=True) / dtype(n)
        b = (v * np.sin(two_pi * k * nodes)).sum(-1, keepdims=True) / dtype(n)
        count = 1 if k == 0 or 2 * k == n else 2
        y += count * (a * np.cos(two_pi * k * x) + (0 if 2 * k == n else b * np.sin(two_pi * k * x)))
    return y


@pytest.mark.parametrize("dtype", compare.rungs())
@pytest.mark.parametrize("n,l", PAIRS)
def test_values_of_the_explicit_polynomial(n, l, dtype):
    v = dyadic((3, n), dtype)
    y = trigonometric_interpolation(v, l)
    assert y.dtype == dtype and y.shape == (3, l)
    assert compare.eps_error(y, polynomial(v, l), np.abs(v).max()) <= 64
    if n != l:
        both = interpolation._by_fft(v, -1, l, False)
        assert compare.eps_error(both, polynomial(v, l), np.abs(v).max()) <= 64


@pytest.mark.parametrize("n,l", PAIRS)
def test_both_routes_of_the_adjoint(n, l):
    g = dyadic((2, l))
    if n != l:
        by_matrix = g @ interpolation.interpolation_matrix(n, l)
        assert compare.eps_error(interpolation._by_fft(g, -1, n, True), by_matrix, 4 * max(1, l / n)) <= 32


@pytest.mark.parametrize("method", ["trigonometric", "bilinear", "cubic", "nearest"])
@pytest.mark.parametrize("n", [1, 4, 5])
def test_the_matrix_from_a_grid_to_itself_is_the_identity(n, method):
    assert np.array_equal(interpolation.interpolation_matrix(n, n, method), np.eye(n))


def test_large_sizes_go_by_fft_and_agree():
    n, l = interpolation.FFT_FROM - 3, interpolation.FFT_FROM + 4
    v = dyadic((2, n))
    assert compare.eps_error(trigonometric_interpolation(v, l), v @ interpolation.interpolation_matrix(n, l).T) <= 64
    assert compare.eps_error(resize_adjoint(v, l), v @ interpolation.interpolation_matrix(l, n)) <= 64


@pytest.mark.parametrize("n", range(1, 13))
def test_interpolates_at_the_old_nodes_and_returns(n):
    v = dyadic((2, n))
    for factor in (2, 3):
        fine = trigonometric_interpolation(v, factor * n)
        assert compare.eps_error(fine[:, ::factor], v) <= 16
        assert compare.eps_error(trigonometric_interpolation(fine, n), v) <= 16
    for l in range(n, 2 * n):
        assert compare.eps_error(trigonometric_interpolation(trigonometric_interpolation(v, l), n), v) <= 16


@pytest.mark.parametrize(
    "shape,size", [((4, 5), (7, 3)), ((6, 6), (5, 8)), ((3, 4, 2), (4, 3, 5)), ((2, 2, 2), (4, 1, 3))]
)
def test_axes_are_independent(shape, size):
    v = dyadic((2, 3, *shape))
    expected = v
    for axis, l in zip(range(-len(shape), 0), size):
        expected = np.moveaxis(polynomial(np.moveaxis(expected, axis, -1), l), -1, axis)
    assert compare.eps_error(trigonometric_interpolation(v, size), expected) <= 64


def test_norms_of_odd_and_even_sizes():
    v = dyadic(9)
    assert np.isclose(np.mean(trigonometric_interpolation(v, 20) ** 2), np.mean(v**2), rtol=1e-14)
    nyquist = (-1.0) ** np.arange(8)
    assert np.isclose(np.mean(trigonometric_interpolation(nyquist, 20) ** 2), 0.5, rtol=1e-14)  # cos^2


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_adjoints(method, antialias):
    for n, l in PAIRS:
        v, g = dyadic((2, n, 3), seed=n), dyadic((2, l, 5), seed=l)
        lhs = np.sum(resize(v, (l, 5), method, antialias) * g)
        rhs = np.sum(v * resize_adjoint(g, (n, 3), method, antialias))
        scale = np.linalg.norm(v) * np.linalg.norm(g) * max(1, l / n)
        assert abs(lhs - rhs) <= 64 * np.finfo(float).eps * scale, (n, l)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
def test_constants_are_kept_and_float32_stays(method):
    v = np.full((2, 5, 7), 1.5, np.float32)
    y = resize(v, (8, 3), method)
    assert y.dtype == np.float32 and np.allclose(y, 1.5, rtol=1e-6)


def test_pixel_conventions_by_hand():
    v = np.array([0.0, 1, 2, 3])
    assert resize(v, 2, "nearest").tolist() == [0, 2]
    assert resize(v, 8, "nearest").tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert resize(v, 8, "bilinear").tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    assert resize(v, 2, "bilinear").tolist() == [0.5, 2.5]
    bump = resize(np.array([0.0, 0, 8, 0, 0]), 10, "bicubic")  # new pixel 4 lies at 1.75, 1/4 from the bump
    assert bump[4] == 8 * (1.25 * 0.25**3 - 2.25 * 0.25**2 + 1)


@pytest.mark.parametrize("n,l", [(5, 9), (9, 5), (7, 7), (4, 11), (12, 3), (1, 4), (6, 1)])
def test_pixel_methods_are_those_of_torch(n, l):
    torch = pytest.importorskip("torch")
    v = dyadic((2, 3, n, 6))
    for method, antialias in (("nearest", 0), ("bilinear", 0), ("bicubic", 0), ("bilinear", 1)):
        extra = {} if method == "nearest" else {"align_corners": False, "antialias": bool(antialias)}
        theirs = torch.nn.functional.interpolate(torch.tensor(v), size=(l, 8), mode=method, **extra).numpy()
        assert compare.eps_error(resize(v, (l, 8), method, bool(antialias)), theirs) <= 64


def test_input_is_kept_and_the_result_is_new():
    v = dyadic((3, 4))
    v.setflags(write=False)
    same = trigonometric_interpolation(v, (3, 4))
    same[:] = 0
    assert v.any()
    view = np.asfortranarray(dyadic((6, 8)))[::2, ::-2]
    assert np.array_equal(trigonometric_interpolation(view, (5, 5)), trigonometric_interpolation(view.copy(), (5, 5)))
    assert trigonometric_interpolation([1, 1], 3).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "call,name",
    [
        (lambda: trigonometric_interpolation(np.zeros(3, complex), 4), "v"),
        (lambda: trigonometric_interpolation(np.zeros(3), (4, 4)), "v"),
        (lambda: trigonometric_interpolation(np.zeros((2, 0)), 4), "v"),
        (lambda: trigonometric_interpolation(np.zeros(3), -1), "size"),
        (lambda: trigonometric_interpolation(np.zeros(3), True), "size"),
        (lambda: resize(np.zeros(3), 4, "cubic"), "method"),
        (lambda: resize_adjoint(np.zeros(3, complex), 4), "g"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        call()
