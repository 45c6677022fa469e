"""Periodic convolution, spatially as C(theta) and spectrally as K(theta_hat), and the way between them (Section 4.4.1).

Even sizes go through their odd extension: a Nyquist entry w_{N/2} of a spectrum stands for w_{N/2}/2 at both +N/2 and
-N/2, for the kernel and for the image. The product of two such halves, folded back, is half the product, so a kernel
converted from space carries doubled Nyquist entries. Thus Lemma 4.29 and Corollary 4.31 hold for even sizes.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from refimpl.numerics import validate
from refimpl.resolution import fourier
from refimpl.resolution.fourier import Array, Size


def pad_kernel(theta: Array, size: Size) -> Array:
    """theta^{M -> N}: theta_k for k in J_N and J_M, else 0 (spatial zero-padding, d = len(size) trailing axes)."""
    theta, size = validate.real_array("theta", theta), fourier.sizes("size", size)
    axes = fourier.trailing("theta", theta, len(size))
    common: tuple[Any, ...] = (..., *(slice(min(theta.shape[a], n)) for a, n in zip(axes, size)))
    padded = np.zeros((*theta.shape[: -len(size)], *size), theta.dtype)
    padded[common] = theta[common]
    return padded


def spatial_convolution(theta: Array, v: Array) -> Array:
    """C(theta)(v)_j = sum_k theta_k v_{j-k}, periodic, with theta zero-padded (or cropped) to the size of v
    (Section 4.4).

    Parameters
    ----------
    theta : (M_1, ..., M_d).
    v : (..., N_1, ..., N_d), real.

    Raises
    ------
    ValueError : complex or empty arrays, v with fewer axes than theta.
    """
    theta, v = _kernel_and_image(theta, v, channels=0)
    return _shifted_sum(theta, v, theta.ndim, lambda weight, shifted: weight * shifted)


def spatial_convolution_channels(theta: Array, v: Array) -> Array:
    """y_o = sum_i C(theta_oi)(v_i) for theta (c_out, c_in, M_1, ..., M_d) and v (..., c_in, N_1, ..., N_d).

    The spatial implementation of Section 4.4. Raises ValueError as `spatial_convolution` does, and for other channels.
    """
    theta, v = _kernel_and_image(theta, v, channels=2)
    d = theta.ndim - 2
    _same_channels(theta, v, d)
    channel = v.ndim - d - 1

    def mix(weight: Array, shifted: Array) -> Array:
        return np.moveaxis(np.tensordot(weight, shifted, ([1], [channel])), 0, channel)

    return _shifted_sum(theta, v, d, mix)


def _kernel_and_image(theta: Array, v: Array, channels: int) -> tuple[Array, Array]:
    theta, v = validate.real_array("theta", theta), validate.real_array("v", v)
    if theta.ndim <= channels:
        validate.fail("theta", f"at least {channels + 1} axes", validate.describe(theta))
    fourier.trailing("theta", theta, None)
    fourier.trailing("v", v, theta.ndim - channels)
    return theta, v


def _same_channels(theta: Array, v: Array, d: int) -> None:
    if v.ndim <= d or v.shape[-d - 1] != theta.shape[1]:
        validate.fail("v", f"{theta.shape[1]} channels on axis {-d - 1}", validate.describe(v))


def _shifted_sum(theta: Array, v: Array, d: int, product: Callable[[Array, Array], Array]) -> Array:
    """sum_k product(theta_k, v_{. - k}) over k in J_M and J_N."""
    axes = tuple(range(-d, 0))
    indices = np.ndindex(*(min(theta.shape[a], v.shape[a]) for a in axes))
    return reduce(np.add, (product(theta[(..., *k)], np.roll(v, k, axes)) for k in indices))


def multiplier(theta_hat: Array, size: Size) -> Array:
    """What K(theta_hat) multiplies F v by, for v of the given size: theta_hat^{M -> N} with halved Nyquist entries."""
    size = fourier.sizes("size", size)
    return fourier.scale_nyquist(fourier.pad_spectrum(theta_hat, size), 0.5, len(size))


def spectral_convolution(theta_hat: Array, v: Array) -> Array:
    """K(theta_hat)(v) = F^-1(theta_hat^{M -> N} . F v), (4.38), the same for every lambda; real.

    Parameters
    ----------
    theta_hat : full spectrum (M_1, ..., M_d) in FFT order, any size; its Hermitian part counts.
    v : (..., N_1, ..., N_d), real.

    Raises
    ------
    ValueError : complex v, empty arrays, v with fewer axes than theta_hat.
    """
    theta_hat, v, d = _spectrum_and_image(theta_hat, v, channels=0)
    return fourier.inverse_transform(multiplier(theta_hat, v.shape[-d:]) * fourier.transform(v, d), d)  # (4.38)


def spectral_convolution_channels(theta_hat: Array, v: Array) -> Array:
    """y_o = sum_i K(theta_hat_oi)(v_i) for theta_hat (c_out, c_in, M_1, ..., M_d) and v (..., c_in, N_1, ..., N_d).

    The layer of (4.38). Raises ValueError as `spectral_convolution` does, and for other channels.
    """
    theta_hat, v, d = _spectrum_and_image(theta_hat, v, channels=2)
    _same_channels(theta_hat, v, d)
    product = multiplier(theta_hat, v.shape[-d:]) * np.expand_dims(fourier.transform(v, d), -d - 2)
    return fourier.inverse_transform(product.sum(axis=-d - 1), d)  # (4.38)


def spectral_convolution_as_printed(theta_hat: Array, v: Array, norm: str | float = "1") -> Array:
    """(4.38) with the index sets as printed and no Nyquist splitting; complex, not real where that breaks symmetry."""
    theta_hat, v, d = _spectrum_and_image(theta_hat, v, channels=0)
    padded = fourier.pad_spectrum(theta_hat, v.shape[-d:], nyquist="literal")
    return fourier.inverse_dft(padded * fourier.dft(v, norm, d), norm, d)  # (4.38)


def _spectrum_and_image(theta_hat: Array, v: Array, channels: int) -> tuple[Array, Array, int]:
    theta_hat, v = fourier.spectrum_array("theta_hat", theta_hat), validate.real_array("v", v)
    d = theta_hat.ndim - channels
    if d < 1:
        validate.fail("theta_hat", f"at least {channels + 1} axes", validate.describe(theta_hat))
    fourier.trailing("theta_hat", theta_hat, d)
    fourier.trailing("v", v, d)
    return theta_hat, v, d


def to_spectral(theta: Array, size: Size) -> Array:
    """theta_hat = T(theta^{M -> N}) with doubled Nyquist entries: K(theta_hat) = C(theta) on size N (Lemma 4.29).

    theta is (..., M_1, ..., M_d) for ``size`` (N_1, ..., N_d); leading axes are channels.
    Raises ValueError for sizes < 1 or too few axes.
    """
    size = fourier.sizes("size", size)
    return fourier.scale_nyquist(fourier.transform(pad_kernel(theta, size), len(size)), 2, len(size))


def to_spatial(theta_hat: Array, size: Size) -> Array:
    """theta = T^-1(theta_hat^{M -> N}) with halved Nyquist entries: C(theta) = K(theta_hat) on size N (Lemma 4.29).

    theta_hat is (..., M_1, ..., M_d), ``size`` (N_1, ..., N_d). Raises ValueError for sizes < 1 or too few axes.
    """
    size = fourier.sizes("size", size)
    return fourier.inverse_transform(multiplier(theta_hat, size), len(size))
