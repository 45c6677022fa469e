"""Trigonometric polynomials with few frequencies: coefficients and values, by FFT or by matrix products.

A *band* S = (S_1, ..., S_d) holds the frequencies -S_a ... S_a on the leading axes and 0 ... S_d on the last one: what
a real image on any grid with N_a >= 2 S_a is made of. Coefficients are stored frequencies first, (K_1, ..., K_d, B, C),
the layout in which channels mix by one matrix product a frequency. Two linear maps and their adjoints:

    coefficients A: X_k = alpha_k / |J_N| sum_j x_j exp(-2 pi i <k, j/N>),  alpha_k = 1/2 for each |k_a| = N_a/2, else 1
    values S:       y_j = Re sum_k c_k Y_k exp(2 pi i <k, j/N>),            c_k = 1 for k_d = 0, else 2
    A^T X = Re sum_k (alpha_k / |J_N|) X_k exp(2 pi i <k, j/N>),            S^T g = c_k sum_j g_j exp(-2 pi i <k, j/N>)

so that A^T is S, and S^T is A, with the other weights. Adjoints are for the real inner product Re <a, b>.
"""

from functools import lru_cache
from math import log2, prod
from typing import Any, Literal

import numpy as np
import scipy

from refimpl.numerics.products import product, stacked
from refimpl.numerics.threads import threads
from refimpl.resolution import fourier
from refimpl.resolution.fourier import Array

Band = tuple[int, ...]
Weights = Literal["coefficients", "values"]
Route = Literal["auto", "fft", "matrix"]


def band(*sizes: tuple[int, ...]) -> Band:
    """The frequencies that all of these sizes have: S_a = floor(min_a / 2)."""
    return tuple(min(lengths) // 2 for lengths in zip(*sizes))


def frequencies(s: int, last: bool) -> Array:
    """0 ... s on the last axis, else -s ... s."""
    return np.arange(0 if last else -s, s + 1)


def split_weights(n: int, s: int, last: bool) -> Array:
    """alpha: 1/2 where |k| = n/2, since this entry of the spectrum stands for both +n/2 and -n/2; else 1."""
    return np.where(2 * np.abs(frequencies(s, last)) == n, 0.5, 1.0)


def axis_weights(kind: Weights, n: int, s: int, last: bool, dtype: Any) -> Array:
    """alpha / n ("coefficients") or c ("values") on one axis, in the precision of dtype."""
    if kind == "coefficients":
        return split_weights(n, s, last).astype(dtype) / np.dtype(dtype).type(n)
    return np.where(frequencies(s, last) > 0, 2.0, 1.0) if last else np.ones(2 * s + 1)


def coefficients(x: Array, s: Band, route: Route = "auto") -> Array:
    """A x for x of shape (B, C, N_1, ..., N_d): complex (K_1, ..., K_d, B, C)."""
    return _analysis(x, s, "coefficients", route)


def coefficients_adjoint(dX: Array, size: tuple[int, ...], route: Route = "auto") -> Array:
    """A^T dX, real, (B, C, N_1, ..., N_d) with N = size."""
    return _synthesis(dX, size, "coefficients", route)


def values(Y: Array, size: tuple[int, ...], route: Route = "auto") -> Array:
    """S Y on the grid of the given size: real, (B, C, L_1, ..., L_d)."""
    return _synthesis(Y, size, "values", route)


def values_adjoint(g: Array, s: Band, route: Route = "auto") -> Array:
    """S^T g for g of shape (B, C, L_1, ..., L_d): complex (K_1, ..., K_d, B, C)."""
    return _analysis(g, s, "values", route)


@lru_cache(maxsize=256)
def by_matrix(size: tuple[int, ...], s: Band, dtype: Any, route: Route = "auto") -> bool:
    """Whether matrix products are the faster route: 8 K_a flops a number on an axis, against some 40 log2 N of an FFT.

    BLAS has no longdouble, so that precision always takes the FFT.
    """
    if np.dtype(dtype).itemsize > 8 or route == "fft":
        return False
    if route == "matrix":
        return True
    return sum(2 * (2 * k + 1) for k in s) <= MATRIX_GAIN * sum(log2(n) + 1 for n in size)


MATRIX_GAIN = 24.0  # measured: both routes take one time at 17 to 30 (float64), 24 to 38 (float32), for sizes 64 to 512
APART = 4  # numbers


def _analysis(x: Array, s: Band, kind: Weights, route: Route) -> Array:
    size = x.shape[2:]
    if by_matrix(size, s, x.dtype, route):
        return _analysis_by_matrix(x, s, kind)
    z = scipy.fft.rfftn(x, axes=range(2, x.ndim), workers=threads())[..., : s[-1] + 1]
    for axis, (n, k) in enumerate(zip(size, s)):
        last = axis == len(s) - 1
        if not last:
            z = np.take(z, frequencies(k, last) % n, axis + 2)
        z = z * along(axis_weights(kind, n, k, last, z.real.dtype), axis + 2, z)
    return np.ascontiguousarray(np.moveaxis(z, (0, 1), (-2, -1)))


def _synthesis(Y: Array, size: tuple[int, ...], kind: Weights, route: Route) -> Array:
    s = (*((k - 1) // 2 for k in Y.shape[: len(size) - 1]), Y.shape[len(size) - 1] - 1)
    if by_matrix(size, s, Y.real.dtype, route):
        return _synthesis_by_matrix(Y, s, size, kind)
    z = np.moveaxis(Y, (-2, -1), (0, 1))
    for axis, (n, k) in enumerate(zip(size, s)):
        last = axis == len(s) - 1
        z = z * along(axis_weights(kind, n, k, last, z.real.dtype), axis + 2, z)
        if not last:
            z = _fold(z, axis + 2, frequencies(k, last) % n, n)
    doubled = (np.arange(s[-1] + 1) > 0) & (2 * np.arange(s[-1] + 1) != size[-1])  # columns irfft counts twice
    z = z * along(np.where(doubled, 0.5, 1.0), z.ndim - 1, z)
    return scipy.fft.irfftn(z, size, axes=range(2, z.ndim), norm="forward", workers=threads())


def along(weights: Array, axis: int, z: Array) -> Array:
    """A vector of weights in the shape and precision in which it multiplies one axis of z."""
    shape = [1] * z.ndim
    shape[axis] = len(weights)
    return weights.astype(z.real.dtype).reshape(shape)


def _fold(z: Array, axis: int, target: Array, n: int) -> Array:
    """Frequencies to their bins modulo n: +n/2 and -n/2 meet in one."""
    return fourier.scatter(z, axis, n, np.arange(len(target)), target, np.ones(len(target)))


@lru_cache(maxsize=256)
def _matrix(kind: Weights, n: int, s: int, last: bool, dtype: np.dtype) -> Array:
    """Of w_k exp(-2 pi i k j / n), k >= 0, the cosines and minus sines: (n, 2 K) with both of each k side by side on
    the last axis; on others (2 s + 1, n), the rows of cosines before those of sines, without k = 0."""
    k = np.arange(s + 1)
    roots = np.exp(-2j * np.pi * np.arange(n) / n)[np.outer(k, np.arange(n)) % n]
    roots *= axis_weights(kind, n, s, last, np.float64)[-len(k) :, None]
    matrix = np.ascontiguousarray(roots.T).view(np.float64) if last else np.concatenate([roots.real, roots.imag[1:]])
    matrix = matrix.astype(dtype)
    matrix.setflags(write=False)
    return matrix


def _analysis_by_matrix(x: Array, s: Band, kind: Weights) -> Array:
    """Real sums over cosines and sines on every axis, then exponentials from them on the leading ones."""
    (b, c), size, z = x.shape[:2], x.shape[2:], x
    for axis, (n, k) in enumerate(zip(size[:-1], s)):
        z = stacked(_matrix(kind, n, k, False, x.dtype), z.reshape(-1, n, prod(size[axis + 1 :])))
    z = product(z.reshape(-1, size[-1]), _matrix(kind, size[-1], s[-1], True, x.dtype))
    z = np.ascontiguousarray(z.view(np.result_type(z, np.complex64)).reshape(b * c, -1).T)
    z = z.reshape(*(2 * k + 1 for k in s[:-1]), s[-1] + 1, b, c)
    for axis, k in enumerate(s[:-1]):
        z = _exponentials(z, axis, k)
    return z


def _synthesis_by_matrix(Y: Array, s: Band, size: tuple[int, ...], kind: Weights) -> Array:
    """The adjoint of `_analysis_by_matrix`."""
    (b, c), real, z = Y.shape[-2:], Y.real.dtype, Y.reshape(*Y.shape[:-2], -1)
    for axis, k in enumerate(s[:-1]):
        z = _exponentials_adjoint(z, axis, k)
    z = np.ascontiguousarray(z.reshape(-1, b * c).T).view(real)
    z = product(z.reshape(-1, 2 * (s[-1] + 1)), _matrix(kind, size[-1], s[-1], True, real).T)
    for axis, (n, k) in reversed(list(enumerate(zip(size[:-1], s)))):
        z = stacked(_matrix(kind, n, k, False, real).T, z.reshape(-1, 2 * k + 1, prod(size[axis + 1 :])))
    return z.reshape(b, c, *size)


def _exponentials(z: Array, axis: int, s: int) -> Array:
    """From sums over cosines c_k, 0 <= k <= s, and minus sines -s_k, 0 < k, those over exponentials: c_k - i s_k."""
    y = np.empty_like(z)
    to, z = y.swapaxes(0, axis), z.swapaxes(0, axis)
    cosines, sines = z[1 : s + 1], 1j * z[s + 1 :]
    to[s] = z[0]
    np.add(cosines, sines, out=to[s + 1 :])
    np.subtract(cosines, sines, out=to[:s][::-1])
    return y


def _exponentials_adjoint(y: Array, axis: int, s: int) -> Array:
    """Its adjoint; rows a little apart, since strides by powers of two would meet in the same places of the cache."""
    z = np.empty((*y.shape[:-1], y.shape[-1] + APART), y.dtype)[..., :-APART]
    to, y = z.swapaxes(0, axis), y.swapaxes(0, axis)
    plus, minus = y[s + 1 :], y[:s][::-1]
    to[0] = y[s]
    np.add(plus, minus, out=to[1 : s + 1])
    np.multiply(plus - minus, -1j, out=to[s + 1 :])
    return z
