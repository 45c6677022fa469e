"""Section 4.4 from its definitions: direct sums over frequencies and grid points, on Decimals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from refimpl.crosscheck import digits
from refimpl.crosscheck.digits import HALF, ONE, TWO, ZERO, Array, Complex, complex_parts, turn


def _along(matrix: Array, x: Array, axis: int) -> Array:
    """The matrix applied to one axis."""
    return np.moveaxis(np.moveaxis(x, axis, -1) @ matrix.T, -1, axis)


def _trailing(x: Complex) -> range:
    return range(x.re.ndim)


def fourier(x: Complex, sign: int) -> Complex:
    """sum_j x_j exp(sign 2 pi i <k, j/N>) over all axes."""
    for axis in _trailing(x):
        n = x.re.shape[axis]
        angles = [[turn(j * k, n) for j in range(n)] for k in range(n)]
        c, s = (np.array([[pair[i] for pair in row] for row in angles], dtype=object) for i in (0, 1))
        re = _along(c, x.re, axis) - sign * _along(s, x.im, axis)
        x = Complex(re, _along(c, x.im, axis) + sign * _along(s, x.re, axis))
    return x


def dft(v: Array) -> Complex:
    """F v for lambda = 1."""
    return fourier(complex_parts(v), -1)


def inverse_dft(v_hat: Array) -> Complex:
    """F^-1 for lambda = 1: (1/|J|) sum_k."""
    return inverse(complex_parts(v_hat))


def inverse(x: Complex) -> Complex:
    """(1/|J|) sum_k x_k exp(2 pi i <k, j/N>)."""
    y, n = fourier(x, 1), x.re.size
    return Complex(y.re / n, y.im / n)


def _padding(n: int, l: int) -> Array:
    """The real (l, n) matrix that pads or crops the spectrum of one axis and splits or folds the Nyquist entry."""
    matrix, m = digits.zeros((l, n)), min(n, l)
    if n == l:
        return matrix + np.where(np.eye(n) == 1, ONE, ZERO)
    for k in range(-(m // 2), m // 2 + 1):
        matrix[k % l, k % n] = HALF if 2 * abs(k) == m and n < l else ONE
    return matrix


def _applied(matrices: Sequence[Array], x: Complex) -> Complex:
    for axis, matrix in enumerate(matrices):
        x = Complex(_along(matrix, x.re, axis), _along(matrix, x.im, axis))
    return x


def _nyquist(shape: Sequence[int], factor: Any) -> list[Array]:
    """Diagonal matrices that multiply the Nyquist entry of every even axis."""
    found = []
    for n in shape:
        weights = [factor if 2 * k == n else ONE for k in range(n)]
        found.append(np.where(np.eye(n) == 1, np.array(weights, dtype=object), ZERO))
    return found


def pad_spectrum(v_hat: Array, size: Sequence[int]) -> Complex:
    """v_hat^{N -> L} with Nyquist splitting."""
    return _applied([_padding(n, l) for n, l in zip(v_hat.shape, size)], complex_parts(v_hat))


def trigonometric_interpolation(v: Array, size: Sequence[int]) -> Array:
    """The values of the interpolating trigonometric polynomial, one axis after the other."""
    for axis, (n, l) in enumerate(zip(v.shape, size)):
        v = _along(_polynomial(n, l), v, axis)
    return v


def _polynomial(n: int, l: int) -> Array:
    """(1/n) sum_{|k| < m/2} cos 2 pi k (j/l - i/n), and for even m the term of the Nyquist frequency m/2."""
    if n == l:
        return np.where(np.eye(n) == 1, ONE, ZERO)
    m, matrix = min(n, l), digits.zeros((l, n))
    for j, i in np.ndindex(l, n):
        inner = [turn(k * (j * n - i * l), n * l)[0] for k in range(1, (m + 1) // 2)]
        matrix[j, i] = ONE + TWO * sum(inner, ZERO)
        if m % 2 == 0:
            up = turn(m // 2 * j, l)[0] * turn(i, 2)[0]
            matrix[j, i] += up if n < l else TWO * turn(j, 2)[0] * turn(m // 2 * i, n)[0]
    return matrix / n


def spatial_convolution(theta: Array, v: Array) -> Array:
    """sum_k theta_k v_{j-k}, periodic; theta is cropped or zero-padded."""
    y = digits.zeros(v.shape)
    for j in np.ndindex(*v.shape):
        for k in np.ndindex(*(min(m, n) for m, n in zip(theta.shape, v.shape))):
            y[j] += theta[k] * v[tuple((a - b) % n for a, b, n in zip(j, k, v.shape))]
    return y


def _multiplier(theta_hat: Array, shape: Sequence[int]) -> Complex:
    return _applied(_nyquist(shape, HALF), pad_spectrum(theta_hat, shape))


def spectral_convolution(theta_hat: Array, v: Array) -> Array:
    """(4.38) for lambda = 1, Nyquist entries by odd extension."""
    return inverse(_multiplier(theta_hat, v.shape) * dft(v)).re


def spectral_convolution_backward(theta_hat: Array, v: Array, dy: Array) -> tuple[Array, Complex]:
    """dv = F^-1(conj(multiplier) . F dy); the multiplier's gradient conj(F v) . F dy / n, padded by the adjoint."""
    g, multiplier, v_hat = dft(dy), _multiplier(theta_hat, v.shape), dft(v)
    dv = inverse(_conjugate(multiplier) * g).re
    product = _conjugate(v_hat) * g
    n = v.size
    dm = _applied(_nyquist(v.shape, HALF), Complex(product.re / n, product.im / n))
    return dv, _applied([_padding(m, n).T for m, n in zip(theta_hat.shape, v.shape)], dm)


def _conjugate(x: Complex) -> Complex:
    return Complex(x.re, -x.im)


def half_gradient(half: Array, last: int, v: Array, dy: Array) -> Complex:
    """The gradient in the stored half: that in the full spectrum times 1, 2, ..., 2 (and 1 for even sizes)."""
    full = digits.zeros((*half.shape[:-1], last))
    gradient = spectral_convolution_backward(full, v, dy)[1]
    columns = half.shape[-1]
    weights = np.array([ONE if k == 0 or 2 * k == last else TWO for k in range(columns)], dtype=object)
    return Complex(gradient.re[..., :columns] * weights, gradient.im[..., :columns] * weights)


def to_spectral(theta: Array, size: Sequence[int]) -> Complex:
    """F of the zero-padded kernel, Nyquist entries doubled (Lemma 4.29)."""
    padded = digits.zeros(tuple(size))
    common = tuple(slice(min(m, n)) for m, n in zip(theta.shape, size))
    padded[common] = theta[common]
    return _applied(_nyquist(size, TWO), dft(padded))


def to_spatial(theta_hat: Array, size: Sequence[int]) -> Array:
    """F^-1 of the padded spectrum, Nyquist entries halved (Lemma 4.29)."""
    return inverse(_multiplier(theta_hat, size)).re


def centred_spectrum(v_hat: Array) -> Complex:
    """Position i holds the frequency i - floor(N/2)."""
    index = np.ix_(*([(i - n // 2) % n for i in range(n)] for n in v_hat.shape))
    return complex_parts(v_hat[index])


def fft_order(v_hat: Array) -> Complex:
    """Frequency k at position k mod N."""
    index = np.ix_(*([(k + n // 2) % n for k in range(n)] for n in v_hat.shape))
    return complex_parts(v_hat[index])
