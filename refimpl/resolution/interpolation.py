"""Input interpolation I, every size to every size, with adjoints: trigonometric and by pixels (Section 4.4).

All methods are separable: one real L x N matrix an axis. Trigonometric interpolation takes the nodes at x_j = j/N of
the torus; the others take pixels with centres at (j + 1/2)/N ("align_corners=False") and repeat the edge pixel:

* nearest: pixel floor(j N / L);
* bilinear: hat function; with ``antialias`` widened by N/L when shrinking, weights normalised to sum 1;
* bicubic: the cubic convolution kernel with a = -3/4; ``antialias`` likewise.
"""

from functools import lru_cache

import numpy as np
import scipy

from refimpl.numerics import validate
from refimpl.numerics.threads import threads
from refimpl.resolution import fourier
from refimpl.resolution.fourier import Array, Size

METHODS = ("trigonometric", "nearest", "bilinear", "bicubic")
FFT_FROM = 512  # measured: below this smaller size a matrix product takes 1/7 (at 28) to 1/1.1 (at 256) of two FFTs


def trigonometric_interpolation(v: Array, size: Size) -> Array:
    """v^{N-tri->L}: the values at the new nodes of the trigonometric polynomial through v; real in, real out
    (Section 4.4).

    Frequencies |k| < min(N, L)/2 are kept; at the Nyquist frequency of an even smaller size, cos(pi N x) going up and
    both +-L/2 folded into one going down. The text's F^-1((F v)^{N -> L}) needs lambda_L / lambda_N = |J_L| / |J_N|.

    Parameters
    ----------
    v : (..., N_1, ..., N_d), real.
    size : (L_1, ..., L_d); an integer for one axis.

    Raises
    ------
    ValueError : complex or empty v, more sizes than axes, sizes < 1.
    """
    return resize(v, size, "trigonometric")


def resize(v: Array, size: Size, method: str = "trigonometric", antialias: bool = False) -> Array:
    """I(v): interpolate the last len(size) axes of v to ``size`` with one of `METHODS`.

    ``antialias`` widens the bilinear and bicubic kernels when shrinking and is ignored otherwise.

    v is (..., N_1, ..., N_d), real (input interpolation, Section 4.4). Raises ValueError for an
    unknown method, complex or empty v, sizes < 1.
    """
    v, size = _checked("v", v, size, method)
    antialias = validate.flag("antialias", antialias)
    for axis, l in zip(range(-len(size), 0), size):
        v = _one_axis(v, axis, v.shape[axis], l, method, antialias, adjoint=False)
    return v


def resize_adjoint(g: Array, size: Size, method: str = "trigonometric", antialias: bool = False) -> Array:
    """I^T(g) for the interpolation I from ``size`` to the size of g: <I v, g> = <v, I^T g>.

    g is (..., L_1, ..., L_d), real (Section 4.4). Raises ValueError as `resize` does.
    """
    g, size = _checked("g", g, size, method)
    antialias = validate.flag("antialias", antialias)
    for axis, n in zip(range(-len(size), 0), size):
        g = _one_axis(g, axis, n, g.shape[axis], method, antialias, adjoint=True)
    return g


def _checked(name: str, v: Array, size: Size, method: str) -> tuple[Array, tuple[int, ...]]:
    v, size = validate.real_array(name, v), fourier.sizes("size", size)
    v = np.ascontiguousarray(v).reshape(v.shape)  # BLAS rounds strided and contiguous arrays differently
    validate.choice("method", method, METHODS)
    fourier.trailing(name, v, len(size))
    return v.copy() if v.shape[-len(size) :] == size else v, size


def _one_axis(v: Array, axis: int, n: int, l: int, method: str, antialias: bool, adjoint: bool) -> Array:
    if n == l:
        return v
    if method == "trigonometric" and (min(n, l) >= FFT_FROM or v.dtype == np.longdouble):
        return _by_fft(v, axis, n if adjoint else l, adjoint)
    matrix = interpolation_matrix(n, l, method, antialias).astype(v.dtype)
    return np.moveaxis(np.moveaxis(v, axis, -1) @ (matrix if adjoint else matrix.T), -1, axis)


def _by_fft(v: Array, axis: int, l: int, adjoint: bool) -> Array:
    """One axis of I (scale L/N; the Nyquist entry of the smaller even size halved going up, doubled going down, because
    the inverse real FFT doubles every column inside and none at the end) or of I^T (scale 1, Nyquist as it is)."""
    n = v.shape[axis]
    m = min(n, l)
    spectrum = np.moveaxis(scipy.fft.rfft(v, axis=axis, workers=threads()), axis, -1)[..., : m // 2 + 1]
    if not adjoint:
        spectrum = spectrum * v.dtype.type(l) / v.dtype.type(n)
        if m % 2 == 0:
            spectrum[..., -1] *= 0.5 if l > n else 2
    return np.moveaxis(scipy.fft.irfft(spectrum, l, axis=-1, workers=threads()), -1, axis)


@lru_cache(maxsize=256)
def interpolation_matrix(n: int, l: int, method: str = "trigonometric", antialias: bool = False) -> Array:
    """The real (l, n) matrix of interpolation from n to l nodes on one axis, float64, read-only."""
    if n == l:
        matrix = np.eye(n)
    else:
        matrix = _trigonometric_matrix(n, l) if method == "trigonometric" else _pixel_matrix(n, l, method, antialias)
    matrix.setflags(write=False)
    return matrix


def _trigonometric_matrix(n: int, l: int) -> Array:
    """(1/n) (1 + 2 sum_{0 < k < m/2} cos(2 pi k (j/l - i/n)) + the Nyquist term), m = min(n, l), for n != l.

    Nyquist, m even: up, cos(pi n x) at both nodes, (-1)^i cos(pi n j/l); down, 2 (-1)^j cos(pi l i/n).
    """
    i, j = np.arange(n), np.arange(l)[:, None]
    m = min(n, l)
    phase = (j * n - i * l) % (n * l)
    cosine = np.cos(2 * np.pi * np.arange(n * l) / (n * l))
    matrix = 1 + 2 * sum((cosine[k * phase % (n * l)] for k in range(1, (m + 1) // 2)), np.zeros((l, n)))
    if m % 2 == 0:
        sign = 1 - 2 * (i % 2) if n < l else 2 - 4 * (j % 2)
        matrix += sign * (cosine[m // 2 * j * n % (n * l)] if n < l else cosine[m // 2 * i * l % (n * l)])
    return matrix / n


def _pixel_matrix(n: int, l: int, method: str, antialias: bool) -> Array:
    """Row j holds the weights kernel(c_j - i) at the source coordinate c_j = (j + 1/2) n/l - 1/2, edges repeated."""
    j = np.arange(l)
    if method == "nearest":
        return np.eye(n)[j * n // l]
    kernel, reach = (_hat, 1) if method == "bilinear" else (_cubic, 2)
    width = max(1.0, n / l) if antialias else 1.0
    center = (j + 0.5) * n / l - 0.5
    around = np.arange(-np.ceil(reach * width) - 1, n + np.ceil(reach * width) + 1)
    weights = kernel((around - center[:, None]) / width)
    inside = (around >= 0) & (around < n)
    if antialias:
        weights = np.where(inside, weights, 0)
        weights /= weights.sum(axis=1, keepdims=True)
    return weights @ np.eye(n)[np.clip(around, 0, n - 1).astype(int)]


def _hat(x: Array) -> Array:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(x: Array, a: float = -0.75) -> Array:
    """(a+2)|x|^3 - (a+3)|x|^2 + 1 for |x| <= 1, a (|x|^3 - 5|x|^2 + 8|x| - 4) for 1 < |x| < 2, else 0."""
    x = np.abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))
