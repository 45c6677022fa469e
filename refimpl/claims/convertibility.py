"""Section 4.4.2: convolutional and spectral layers convert, and their gradients with them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims.claim import Evidence, claim, equal, identity
from refimpl.claims.images import (
    NORMS,
    direct_convolution,
    direct_correlation,
    odd,
    parts,
    problem,
    problems,
    size_of,
)
from refimpl.resolution import (
    SpectralConv,
    convolution,
    dft,
    fourier,
    half_spectrum,
    half_spectrum_weights,
    inverse_transform,
    pad_spectrum,
    spatial_convolution,
    spectral_convolution,
    to_spatial,
    to_spectral,
    transform,
)

Array = np.ndarray
Problem = dict[str, Any]
literal = convolution.spectral_convolution_as_printed


# Lemma 4.29


def both_directions(theta: Array, theta_hat: Array, v: Array, keep: tuple[int, ...]) -> tuple[Array, Array, float]:
    """K(T(theta^{M -> N}))(v) and C(T^-1(theta_hat^{M -> N}))(v) with (4.38) as printed, against C and K.

    ``keep``: how many of the N coefficients of T(theta^{M -> N}) are used.
    """
    padded = pad_spectrum(transform(convolution.pad_kernel(theta, v.shape)), keep, "literal")
    kernel = fourier.inverse_dft(pad_spectrum(theta_hat, v.shape, "literal"))
    lhs = np.stack([literal(padded, v), literal(theta_hat, v)])
    rhs = np.stack([spatial_convolution(theta, v), direct_convolution(kernel.real, v)])
    return lhs, rhs.astype(lhs.dtype), size_of(theta, v) + size_of(kernel, v)


ODD_UP = problems(lambda m, n, l: odd(m, n) and m <= n and l == n)


@claim(
    "Lemma 4.29",
    given={"problem": ODD_UP},
    code=(convolution.spectral_convolution_as_printed, spatial_convolution),
    examples=60,
)
def convolutional_and_spectral_layers_convert(problem: Problem) -> Evidence:
    """For odd M <= N: C(theta) = K(T(theta^{M -> N})), and K(theta_hat) = C(T^-1(theta_hat^{M -> N})) for Hermitian
    theta_hat. The third size is the number of coefficients used, N."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, keep = parts(problem, dtype)
        return both_directions(theta, transform(theta), v, keep)

    return identity(sides)


convolutional_and_spectral_layers_convert.without(
    "as many coefficients as points",
    problem=problems(lambda m, n, l: odd(m, n, l) and m <= n and l < n),
    cases=[{"problem": problem((3,), (9,), (5,))}],
)


@convolutional_and_spectral_layers_convert.twin("theta_hat without symmetry", cases=[{"problem": problem((3,), (5,))}])
def _not_symmetric(problem: Problem) -> Evidence:
    theta, v, keep = parts(problem, np.float64)
    return equal(*both_directions(theta, theta + 1j, v, keep))


@claim(
    "Lemma 4.29",
    reading="stronger",
    given={"problem": problems(lambda m, n, l: l == 1)},
    code=(to_spectral, to_spatial),
    cases=[{"problem": problem((4, 2), (4, 3))}],
    examples=60,
)
def layers_convert_for_every_size(problem: Problem) -> Evidence:
    """With Nyquist splitting C(theta) = K(to_spectral(theta)), K(theta_hat) = C(to_spatial(theta_hat)) for all M, N."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, _ = parts(problem, dtype)
        theta_hat = transform(theta)
        kernel = to_spatial(theta_hat, v.shape)
        lhs = [spectral_convolution(to_spectral(theta, v.shape), v), spectral_convolution(theta_hat, v)]
        rhs = [spatial_convolution(theta, v), direct_convolution(kernel, v)]
        return np.stack(lhs), np.stack(rhs), size_of(theta, v) + size_of(kernel, v)

    return identity(sides)


@layers_convert_for_every_size.twin("T theta without doubled Nyquist entries", cases=[{"problem": problem((4,), (4,))}])
def _no_doubling(problem: Problem) -> Evidence:
    theta, v, _ = parts(problem, np.float64)
    y = spectral_convolution(transform(convolution.pad_kernel(theta, v.shape)), v)
    return equal(y, spatial_convolution(theta, v), size_of(theta, v))


# Lemma 4.30


def riesz_gradient(functional: Callable[[Array], Any], shape: tuple[int, ...], dtype: Any) -> Array:
    """The gradient of a real-linear functional on C^shape for the inner product Re <a, b>, entry by entry."""
    gradient = np.zeros(shape, np.result_type(dtype, np.complex64))
    for k in np.ndindex(shape):
        unit = np.zeros_like(gradient)
        unit[k] = 1
        gradient[k] = functional(unit) + 1j * functional(1j * unit)
    return gradient


def spectral_gradient(v: Array, g: Array, scale: Any = 1, norm: str = "1") -> Array:
    """The gradient of Re <g, K(scale theta_hat)(v)> in the full spectrum theta_hat, one entry after the other."""
    return riesz_gradient(lambda q: np.sum(g * literal(scale * q, v, norm).real), v.shape, v.dtype)


def loss_gradient(v: Array, theta: Array) -> Array:
    """g: the gradient of a loss at the output, here 1/2 |C(theta)(v)|^2."""
    return spatial_convolution(theta, v)


GRADIENTS = problems(lambda m, n, l: m == n and odd(n) and l == 1)
GRADIENT_CASE = {"problem": problem((3, 3), (3, 3))}


def gradient_identity(problem: Problem, wrong: Callable[[Array, Array], tuple[Array, Array]] | None = None) -> Evidence:
    """The gradient in theta_hat against T(gradient in theta) / |J_N|; ``wrong`` distorts both sides."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, _ = parts(problem, dtype)
        g = loss_gradient(v, theta)
        lhs, rhs = spectral_gradient(v, g), transform(direct_correlation(g, v)) / dtype(v.size)
        lhs, rhs = (lhs, rhs) if wrong is None else wrong(lhs, rhs)
        return lhs, rhs, float(np.sum(np.abs(g)) * np.max(np.abs(v))) or 1.0

    return identity(sides)


@claim("Lemma 4.30", given={"problem": GRADIENTS}, cases=[GRADIENT_CASE], examples=30, code=(SpectralConv, transform))
def gradient_in_the_spectrum_is_the_transformed_gradient(problem: Problem) -> Evidence:
    """For a loss of the output, odd N and theta_hat = T theta: the gradient in theta_hat, on the full spectrum and for
    the inner product Re <a, b>, is T(gradient in theta) / |J_N|."""
    return gradient_identity(problem)


@gradient_in_the_spectrum_is_the_transformed_gradient.twin("Wirtinger derivative", cases=[GRADIENT_CASE])
def _wirtinger(problem: Problem) -> Evidence:
    return gradient_identity(problem, lambda lhs, rhs: (lhs / 2, rhs))


@gradient_in_the_spectrum_is_the_transformed_gradient.twin("no conjugate", cases=[GRADIENT_CASE])
def _not_conjugated(problem: Problem) -> Evidence:
    return gradient_identity(problem, lambda lhs, rhs: (np.conj(lhs), rhs))


@gradient_in_the_spectrum_is_the_transformed_gradient.twin(
    "gradient of the stored half spectrum", cases=[GRADIENT_CASE]
)
def _half_storage(problem: Problem) -> Evidence:
    def half(lhs: Array, rhs: Array) -> tuple[Array, Array]:
        weights = half_spectrum_weights(rhs.shape[-1], rhs.real.dtype)
        return half_spectrum(lhs) * weights, half_spectrum(rhs)

    return gradient_identity(problem, half)


@gradient_in_the_spectrum_is_the_transformed_gradient.twin(
    "kernel of M < N points, its gradient zero-padded", cases=[{"problem": problem((5,), (5,))}]
)
def _small_support(problem: Problem) -> Evidence:
    def cropped(lhs: Array, rhs: Array) -> tuple[Array, Array]:
        gradient = inverse_transform(rhs)
        kept = convolution.pad_kernel(gradient, [(n + 1) // 2 for n in gradient.shape])
        return lhs, transform(convolution.pad_kernel(kept, gradient.shape))

    return gradient_identity(problem, cropped)


@claim(
    "Lemma 4.30",
    reading="stronger",
    examples=30,
    code=(SpectralConv,),
    given={"problem": problems(lambda m, n, l: m == n and l == 1), "norm": st.sampled_from(NORMS)},
    cases=[{"problem": problem((4, 2), (4, 2)), "norm": norm} for norm in NORMS],
)
def gradient_for_every_parity_and_lambda(problem: Problem, norm: str) -> Evidence:
    """For every parity, with F theta as the parameter (theta_hat = lambda F theta): the gradient in it is
    (lambda^2 / |J_N|) F(gradient in theta); for lambda = sqrt |J_N| the reparametrisation is an isometry."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, _ = parts(problem, dtype)
        g, lam = loss_gradient(v, theta), fourier.norm_constant(norm, v.size, dtype)
        expected = dft(direct_correlation(g, v), norm) * lam * lam / dtype(v.size)
        scale = float(np.sum(np.abs(g)) * np.max(np.abs(v)) * lam)
        return spectral_gradient(v, g, lam, norm), expected, scale or 1.0

    return identity(sides)


@gradient_for_every_parity_and_lambda.twin(
    "1 / |J_N| for every lambda", cases=[{"problem": problem((3,), (3,)), "norm": "sqrt"}]
)
def _one_factor(problem: Problem, norm: str) -> Evidence:
    theta, v, _ = parts(problem, np.float64)
    g, lam = loss_gradient(v, theta), fourier.norm_constant(norm, v.size)
    return equal(spectral_gradient(v, g, lam, norm), dft(direct_correlation(g, v), norm) / v.size)


@claim(
    "Lemma 4.30",
    reading="stronger",
    given={"problem": problems(lambda m, n, l: m == n and l == 1)},
    examples=30,
    cases=[{"problem": problem((4, 2), (4, 2))}],
    code=(half_spectrum_weights, SpectralConv.backward),
)
def gradient_of_the_half_spectrum_is_weighted(problem: Problem) -> Evidence:
    """Stored as half a spectrum, the parameter has the gradient c_k T(gradient in theta)_k / |J_N| with
    c = 1, 2, ..., 2 (and a last 1 for even N_d); Nyquist entries, doubled in theta_hat, have half of it."""
    return half_gradient(problem, weighted=True)


def half_gradient(problem: Problem, weighted: bool) -> Evidence:
    """The layer's own gradient against the transformed one, with or without the weights."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, _ = parts(problem, dtype)
        g, layer = loss_gradient(v, theta), SpectralConv(1, 1, v.shape, bias=False)
        params = layer.from_spectrum(to_spectral(theta, v.shape)[None, None])
        _, cache = layer.forward(params, v[None, None])
        pairs = layer.backward(params, cache, g[None, None])[1]["weight"][0, 0]  # type: ignore[index]
        expected = fourier.scale_nyquist(transform(direct_correlation(g, v)) / dtype(v.size), 0.5)
        weights = half_spectrum_weights(v.shape[-1], dtype) if weighted else dtype(1)
        return (
            pairs[..., 0] + 1j * pairs[..., 1],
            half_spectrum(expected) * weights,
            float(np.sum(np.abs(g)) * np.max(np.abs(v))) or 1.0,
        )

    return identity(sides)


@gradient_of_the_half_spectrum_is_weighted.twin("weights left out", cases=[{"problem": problem((4,), (4,))}])
def _unweighted(problem: Problem) -> Evidence:
    return half_gradient(problem, weighted=False)
