"""The discrete Fourier transform F of Section 4.4.1: index sets, norms, Hermitian symmetry, padding, half spectra.

Spectra are in FFT order (frequency k at index k mod N) on the trailing axes; leading axes are batch and channels.
float32, float64 and longdouble keep their precision.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import scipy

from refimpl.numerics import validate

Array = np.ndarray
Size = int | Sequence[int]


def spatial_indices(n: int) -> Array:
    """J_n = {0, ..., n - 1} on one axis (Section 4.4)."""
    return np.arange(validate.integer("n", n, low=1))


def spectral_indices(n: int) -> Array:
    """I_n = {-ceil((n-1)/2), ..., floor((n-1)/2)} on one axis, as printed below (4.37): even n has -n/2, not n/2."""
    n = validate.integer("n", n, low=1)
    return np.arange(n) - n // 2


def frequencies(n: int) -> Array:
    """The elements of I_n in FFT order: 0, 1, ..., -2, -1."""
    return scipy.fft.ifftshift(spectral_indices(n))


def grid(n: int, dtype: Any = np.float64) -> Array:
    """The points x_j = j/n of the torus R/Z on one axis (the printed j/(n-1) would hit x = 0 twice).

    The grid of Section 4.4. Raises ValueError for n < 1 or a dtype that is not floating.
    """
    dtype = validate.float_dtype("dtype", dtype)
    return spatial_indices(n).astype(dtype) / dtype.type(n)


def sizes(name: str, size: Size) -> tuple[int, ...]:
    """An integer or a sequence of integers >= 1 as a tuple; ValueError otherwise."""
    if isinstance(size, (int, float, np.generic)) or not isinstance(size, (Sequence, np.ndarray)):
        return (validate.integer(name, size, low=1),)
    listed = validate.integers(name, size, low=1)
    if not listed or prod(listed) >= 2**48:
        validate.fail(name, "at least one axis, fewer than 2^48 points", validate.describe(size))
    return listed


def trailing(name: str, array: Array, ndim: int | None) -> tuple[int, ...]:
    """The last ``ndim`` axes (all of them for None) as negative numbers; ValueError if there are not as many."""
    ndim = array.ndim if ndim is None else validate.integer("ndim", ndim, low=1)
    if not 1 <= ndim <= array.ndim:
        validate.fail(name, f"at least {max(ndim, 1)} axes", validate.describe(array))
    validate.nonempty(name, array)
    return tuple(range(-ndim, 0))


def spectrum_array(name: str, value: Any) -> Array:
    """A complex array in the precision of its input; real spectra and integers are accepted, ValueError otherwise."""
    array = validate.array(name, value)
    if array.dtype.kind != "c":
        array = validate.real_array(name, array)
    return array.astype(np.result_type(array.dtype, np.complex64), copy=False)


def norm_constant(norm: str | float, count: int, dtype: Any = np.float64) -> Any:
    """lambda of F, |J_N| = count: "1", "sqrt" (sqrt |J_N|), "n" (|J_N|) or a number > 0, in the precision of dtype."""
    real = np.zeros(0, dtype).real.dtype.type
    if isinstance(norm, str):
        validate.choice("norm", norm, ("1", "sqrt", "n"))
        return {"1": real(1), "sqrt": np.sqrt(real(count)), "n": real(count)}[norm]
    return real(validate.positive("norm", norm))


def dft(v: Array, norm: str | float = "1", ndim: int | None = None) -> Array:
    """(F v)_k = (1/lambda) sum_{j in J_N} v_j exp(-2 pi i <k, j/N>), in FFT order (Section 4.4.1).

    Parameters
    ----------
    v : real or complex, (..., N_1, ..., N_d).
    norm : lambda, see `norm_constant`.
    ndim : d, the number of trailing axes that are transformed; all by default.

    Raises
    ------
    ValueError : an empty array, fewer axes than ndim, an unknown norm.
    """
    v = spectrum_array("v", v) if validate.array("v", v).dtype.kind == "c" else validate.real_array("v", v)
    axes = trailing("v", v, ndim)
    return scipy.fft.fftn(v, axes=axes) / norm_constant(norm, _count(v, axes), v.dtype)


def inverse_dft(v_hat: Array, norm: str | float = "1", ndim: int | None = None) -> Array:
    """(F^-1 w)_j = (lambda / |J_N|) sum_{k in I_N} w_k exp(2 pi i <k, j/N>); complex, w in FFT order
    (Section 4.4.1).

    v_hat is (..., N_1, ..., N_d); ``norm`` and ``ndim`` as in `dft`, and Raises ValueError as it does.
    """
    v_hat = spectrum_array("v_hat", v_hat)
    axes = trailing("v_hat", v_hat, ndim)
    return scipy.fft.ifftn(v_hat, axes=axes) * norm_constant(norm, _count(v_hat, axes), v_hat.dtype)


def transform(theta: Array, ndim: int | None = None) -> Array:
    """T(theta) = lambda F(theta) of Lemma 4.29: the same for every lambda.

    theta is (..., M_1, ..., M_d), d = ``ndim`` (default: all axes). Raises ValueError as `dft` does.
    """
    return dft(theta, "1", ndim)


def inverse_transform(theta_hat: Array, ndim: int | None = None) -> Array:
    """T^-1 of Lemma 4.29 on C_sym: real, the Hermitian part of theta_hat is what counts.

    theta_hat is (..., M_1, ..., M_d), d = ``ndim`` (default: all axes). Raises ValueError as `dft` does.
    """
    return inverse_dft(theta_hat, "1", ndim).real


def _count(v: Array, axes: tuple[int, ...]) -> int:
    return prod(v.shape[a] for a in axes)


def reflect(v_hat: Array, ndim: int | None = None) -> Array:
    """w_k = v_hat_{-k}, indices modulo N."""
    axes = trailing("v_hat", v_hat, ndim)
    return np.roll(np.flip(v_hat, axes), 1, axes)


def hermitian_part(v_hat: Array, ndim: int | None = None) -> Array:
    """The orthogonal projection (w_k + conj w_{-k}) / 2 onto C_sym = F(R^J), for the inner product Re <a, b>
    (Section 4.4.1).

    v_hat is (..., N_1, ..., N_d), d = ``ndim`` (default: all axes). Raises ValueError as `dft` does.
    """
    v_hat = spectrum_array("v_hat", v_hat)
    return (v_hat + np.conj(reflect(v_hat, ndim))) / 2


def hermitian_defect(v_hat: Array, ndim: int | None = None) -> float:
    """max_k |w_k - conj w_{-k}|: zero iff w lies in C_sym, that is iff F^-1 w is real (Section 4.4.1).

    v_hat is (..., N_1, ..., N_d), d = ``ndim`` (default: all axes). Raises ValueError as `dft` does.
    """
    v_hat = spectrum_array("v_hat", v_hat)
    return float(np.max(np.abs(v_hat - np.conj(reflect(v_hat, ndim)))))


def pad_spectrum(v_hat: Array, size: Size, nyquist: str = "split") -> Array:
    """v_hat^{N -> L}: copy the frequencies both sizes have, zero the others; one axis after the other (Section 4.4.1).

    With m = min(N, L) even and N != L, ``nyquist`` says what happens at |k| = m/2:
    "split" (Nyquist splitting): up, w_{m/2} / 2 goes to both +m/2 and -m/2; down, w_{m/2} + w_{-m/2} is kept;
    Hermitian symmetry stays. "literal": the index sets as printed, only k = -m/2 is copied; symmetry is lost.

    Parameters
    ----------
    v_hat : (..., N_1, ..., N_d), FFT order.
    size : (L_1, ..., L_d); an integer for one axis.

    Raises
    ------
    ValueError : more sizes than axes, sizes < 1, unknown rule.
    """
    return _pad(v_hat, size, nyquist, adjoint=False)


def pad_spectrum_adjoint(w_hat: Array, size: Size, nyquist: str = "split") -> Array:
    """The adjoint of ``pad_spectrum(., w_hat.shape)`` from spectra of the given size: <P a, w> = <a, P* w>.

    Up with splitting: (w_{m/2} + w_{-m/2}) / 2; down: w_{m/2} goes to both +m/2 and -m/2.

    w_hat is (..., L_1, ..., L_d), the result (..., N_1, ..., N_d) for size (N_1, ..., N_d). Section 4.4.1; Raises
    ValueError as `pad_spectrum` does.
    """
    return _pad(w_hat, size, nyquist, adjoint=True)


def _pad(v_hat: Array, size: Size, nyquist: str, adjoint: bool) -> Array:
    size = sizes("size", size)
    v_hat = spectrum_array("v_hat", v_hat).copy()
    validate.choice("nyquist", nyquist, ("split", "literal"))
    for axis, l in zip(trailing("v_hat", v_hat, len(size)), size):
        n = v_hat.shape[axis]
        if n != l:
            source, target, weight = _axis_map(l, n, nyquist) if adjoint else _axis_map(n, l, nyquist)
            v_hat = scatter(v_hat, axis, l, *((target, source) if adjoint else (source, target)), weight)
    return v_hat


def scatter(x: Array, axis: int, l: int, source: Array, target: Array, weight: Array) -> Array:
    """y[target] += weight x[source] along an axis; only the last target may repeat an earlier one."""
    x = np.moveaxis(x, axis, -1)
    y = np.zeros((*x.shape[:-1], l), x.dtype)
    y[..., target[:-1]] = x[..., source[:-1]] * weight[:-1].astype(x.real.dtype)
    y[..., target[-1]] += x[..., source[-1]] * weight[-1].astype(x.real.dtype)
    return np.moveaxis(y, -1, axis)


@lru_cache(maxsize=512)
def _axis_map(n: int, l: int, nyquist: str) -> tuple[Array, Array, Array]:
    """(source index in 0..n-1, target index in 0..l-1, weight) of the frequencies that survive from n to l."""
    m = min(n, l)
    if nyquist == "literal" or m % 2:
        k = frequencies(m)
        return k % n, k % l, np.ones(m)
    k = np.concatenate([frequencies(m), [m // 2]])
    weight = np.ones(m + 1)
    weight[np.abs(k) == m // 2] = 0.5 if n < l else 1.0
    return k % n, k % l, weight


def scale_nyquist(v_hat: Array, factor: float, ndim: int | None = None) -> Array:
    """Multiply the entries of the Nyquist frequency N_a/2 of every even axis by a factor, a new array."""
    v_hat = spectrum_array("v_hat", v_hat).copy()
    for axis in trailing("v_hat", v_hat, ndim):
        if v_hat.shape[axis] % 2 == 0:
            np.moveaxis(v_hat, axis, 0)[v_hat.shape[axis] // 2] *= v_hat.real.dtype.type(factor)
    return v_hat


def half_spectrum(v_hat: Array) -> Array:
    """The stored half of a Hermitian spectrum: 0 <= k_d <= N_d / 2 on the last axis (Section 4.4.1).

    v_hat is (..., N_1, ..., N_d). Raises ValueError for an array without axes.
    """
    v_hat = spectrum_array("v_hat", v_hat)
    trailing("v_hat", v_hat, 1)
    return v_hat[..., : v_hat.shape[-1] // 2 + 1]


def half_spectrum_weights(n: int, dtype: Any = np.float64) -> Array:
    """How often each stored column counts in the full spectrum of last size n: 1, 2, ..., 2 and a last 1 if n is even.

    Hence sum_k |w_k|^2 = sum_stored weight |w_k|^2, and a gradient in the half storage carries these weights
    (Lemma 4.30). Raises ValueError for n < 1.
    """
    weights = np.full(validate.integer("n", n, low=1) // 2 + 1, 2, validate.float_dtype("dtype", dtype))
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    return weights


def full_spectrum(half: Array, n: int, ndim: int | None = None) -> Array:
    """The Hermitian spectrum of last size n with this stored half; inverse of `half_spectrum` on C_sym.

    The columns k_d = 0 and n/2 contain both k' and -k': their Hermitian part is taken, as inverse real FFTs do
    (Section 4.4.1). half is (..., N_1, ..., N_d // 2 + 1), its transformed axes d = ``ndim``.

    Raises
    ------
    ValueError : half has not n // 2 + 1 columns.
    """
    half = spectrum_array("half", half)
    axes = trailing("half", half, ndim)
    if half.shape[-1] != validate.integer("n", n, low=1) // 2 + 1:
        validate.fail("half", f"{n // 2 + 1} columns for n = {n}", validate.describe(half))
    full = np.zeros((*half.shape[:-1], n), half.dtype)
    full[..., : half.shape[-1]] = half * half_spectrum_weights(n, half.real.dtype)
    return hermitian_part(full, len(axes))
