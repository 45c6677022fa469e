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


def by_matrix(size: tuple[int, ...], s: Band, dtype: Any, route: Route = "auto") -> bool:
    """Whether matrix products are the faster route: 8 K_a flops a number on an axis, against some 40 log2 N of an FFT.

    BLAS has no longdouble, so that precision always takes the FFT.
    """
    if np.dtype(dtype).itemsize > 8 or route == "fft":
        return False
    if route == "matrix":
        return True
    return sum(2 * (2 * k + 1) for k in s) <= MATRIX_GAIN * sum(log2(n) + 1 for n in size)


MATRIX_GAIN = 24.0  # measured: both routes take one time at 20 (float64) to 30 (float32), for sizes from 16 to 256


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
    """w_k exp(-2 pi i k j / n): complex (K, n); on the last axis real (n, 2 K), cosines and minus sines interleaved."""
    k = frequencies(s, last)
    roots = np.exp(-2j * np.pi * np.arange(n) / n)
    matrix = axis_weights(kind, n, s, last, np.float64)[:, None] * roots[np.outer(k, np.arange(n)) % n]
    if last:
        matrix = np.ascontiguousarray(matrix.T).view(np.float64)
    matrix = matrix.astype(np.result_type(dtype, np.complex64) if not last else dtype)
    matrix.setflags(write=False)
    return matrix


def _analysis_by_matrix(x: Array, s: Band, kind: Weights) -> Array:
    (b, c), size, d = x.shape[:2], x.shape[2:], len(s)
    z = x.reshape(-1, size[-1]) @ _matrix(kind, size[-1], s[-1], True, x.dtype)
    z = z.view(np.result_type(z, np.complex64)).reshape(b * c, -1).T  # frequencies and leading grid axes first
    done = 1
    for axis in range(d - 1):
        z = _matrix(kind, size[axis], s[axis], False, x.dtype) @ z.reshape(done, size[axis], -1)
        done *= 2 * s[axis] + 1
    return np.ascontiguousarray(z.reshape(*(2 * k + 1 for k in s[:-1]), s[-1] + 1, b, c))


def _synthesis_by_matrix(Y: Array, s: Band, size: tuple[int, ...], kind: Weights) -> Array:
    (b, c), real = Y.shape[-2:], Y.real.dtype
    z, done = Y, 1
    for axis in range(len(s) - 1):
        adjoint = _matrix(kind, size[axis], s[axis], False, real).conj().T
        z = adjoint @ z.reshape(done, 2 * s[axis] + 1, -1)
        done *= size[axis]
    z = np.ascontiguousarray(z.reshape(prod(size[:-1]) * (s[-1] + 1), b * c).T)
    y = z.view(real).reshape(-1, 2 * (s[-1] + 1)) @ _matrix(kind, size[-1], s[-1], True, real).T
    return y.reshape(b, c, *size)
