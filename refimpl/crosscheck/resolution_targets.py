"""Targets of Section 4.4: Fourier transforms, spectra, interpolation, convolutions and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl import resolution
from refimpl.claims.draw import arrays
from refimpl.crosscheck import digits
from refimpl.crosscheck import resolution_definitions as definitions
from refimpl.crosscheck.draws import Draw, cases, ramp
from refimpl.crosscheck.target import Array, Case, Target, add
from refimpl.resolution import convolution, fourier

SUMS = "sums with unit factors, relative to the sum of the moduli"
NORM = {"norm": ("1", "sqrt", "n")}
shapes = st.one_of(st.tuples(st.integers(1, 7)), st.tuples(st.integers(1, 4), st.integers(1, 4)))
EVEN, ODD, PLANE, CUBE = ramp(6), ramp(5), ramp(4, 3), ramp(2, 3, 2)


def _spectrum(theta: Array) -> Array:
    """A Hermitian spectrum: that of a real kernel."""
    return np.fft.fftn(theta)


def _moduli(case: Case) -> float:
    """The product over all arrays of the sum of moduli, for (bi)linear maps."""
    return float(np.prod([max(float(np.sum(np.abs(v))), 2.0**-40) for v in case.values() if isinstance(v, np.ndarray)]))


def _target(
    name: str, what: str, inputs: Any, reference: Any, edges: dict[str, Case], definition: Any, **special: Any
) -> None:
    common: dict[str, Any] = {"k": 32, "why": SUMS, "scale": _moduli, "outputs": ("y",)} | special
    add(
        Target(
            name=f"resolution.{name}",
            what=what,
            inputs=inputs,
            reference=reference,
            edges=edges,
            definition=definition,
            **common,
        )
    )


def _one(name: str, spectrum: bool) -> st.SearchStrategy[Case]:
    def draw_case(draw: Draw) -> Case:
        shape = draw(shapes)
        value = draw(arrays(shape))
        return {name: value + 1j * draw(arrays(shape)) if spectrum else value}

    return cases(draw_case)


def _sizes(draw: Draw, ndim: int) -> tuple[int, ...]:
    return draw(st.tuples(*[st.integers(1, 7 if ndim == 1 else 4)] * ndim))


def _with_size(name: str, form: Callable[[Array], Array]) -> st.SearchStrategy[Case]:
    def draw_case(draw: Draw) -> Case:
        shape = draw(shapes)
        return {name: form(draw(arrays(shape))), "size": _sizes(draw, len(shape))}

    return cases(draw_case)


def _rounded_spectrum(theta: Array) -> Array:
    """`_spectrum`, correctly rounded: named cases have the same bits on every machine."""
    return digits.evaluate(definitions.dft, {"v": theta})


# Transforms ---------------------------------------------------------------------------------------------------

_target(
    "dft",
    "(1/lambda) sum_j v_j exp(-2 pi i <k, j/N>) over all axes, FFT order; lambda = 1 | sqrt |J| | |J| (4.4.1)",
    _one("v", False),
    lambda v, norm: resolution.dft(v, norm),
    {
        label: {"v": v}
        for label, v in {
            "base": EVEN,
            "odd": ODD,
            "plane": PLANE,
            "one point": np.ones(1),
            "zeros": np.zeros(4),
        }.items()
    },
    definitions.dft,
    outputs=("v_hat",),
    conventions=NORM,
)
_target(
    "inverse_dft",
    "(lambda/|J|) sum_k w_k exp(2 pi i <k, j/N>) over all axes, complex (4.4.1)",
    _one("v_hat", True),
    lambda v_hat, norm: resolution.inverse_dft(v_hat, norm),
    {
        "base": {"v_hat": EVEN + 1j * ramp(6, seed=1)},
        "odd": {"v_hat": ODD + 0j},
        "plane": {"v_hat": PLANE + 1j * ramp(4, 3, seed=1)},
    },
    definitions.inverse_dft,
    outputs=("v",),
    conventions=NORM,
)
_target(
    "centred_spectrum",
    "FFT order to frequencies -floor(N/2), ..., 0, ... in increasing order (below (4.37))",
    _one("v_hat", True),
    lambda v_hat: np.fft.fftshift(v_hat),
    {
        "base": {"v_hat": ODD + 1j * ramp(5, seed=1)},
        "even": {"v_hat": EVEN + 0j},
        "plane": {"v_hat": PLANE + 0j},
        "three": {"v_hat": ramp(3) + 0j},
    },
    definitions.centred_spectrum,
    why="no arithmetic",
)
_target(
    "fft_order",
    "frequencies in increasing order to FFT order: the inverse of centred_spectrum (below (4.37))",
    _one("v_hat", True),
    lambda v_hat: np.fft.ifftshift(v_hat),
    {
        "base": {"v_hat": ODD + 1j * ramp(5, seed=1)},
        "even": {"v_hat": EVEN + 0j},
        "plane": {"v_hat": PLANE + 0j},
        "three": {"v_hat": ramp(3) + 0j},
    },
    definitions.fft_order,
    why="no arithmetic",
)

# Sizes --------------------------------------------------------------------------------------------------------

RESIZES: dict[str, tuple[Array, tuple[int, ...]]] = {
    "base": (EVEN, (9,)),
    "even to even": (EVEN, (8,)),
    "even to smaller even": (EVEN, (4,)),
    "even to smaller odd": (EVEN, (3,)),
    "odd to smaller even": (ODD, (4,)),
    "odd to larger even": (ODD, (8,)),
    "same size": (EVEN, (6,)),
    "down to one point": (EVEN, (1,)),
    "two to three": (np.array([1.0, -2.0]), (3,)),
    "plane": (PLANE, (6, 2)),
    "cube": (CUBE, (3, 2, 4)),
}
_target(
    "pad_spectrum",
    "v_hat^{N -> L}: copy common frequencies, zero the others; even Nyquist entries split going up, fold going down",
    _with_size("v_hat", _spectrum),
    lambda v_hat, size, nyquist: resolution.pad_spectrum(v_hat, size, nyquist),
    {label: {"v_hat": _rounded_spectrum(v), "size": size} for label, (v, size) in RESIZES.items()},
    definitions.pad_spectrum,
    conventions={"nyquist": ("split", "literal")},
)
_target(
    "trigonometric_interpolation",
    "values at j/L of the trigonometric polynomial through the values at i/N, Nyquist frequency as cos(pi N x) (4.4.1)",
    _with_size("v", lambda v: v),
    resolution.trigonometric_interpolation,
    {label: {"v": v, "size": size} for label, (v, size) in RESIZES.items()},
    definitions.trigonometric_interpolation,
)

# Convolutions -------------------------------------------------------------------------------------------------

PAIRS: dict[str, tuple[Array, Array]] = {
    "base": (ramp(3, seed=1), EVEN),
    "odd sizes": (ramp(3, seed=1), ODD),
    "even kernel, odd image": (ramp(4, seed=1), ODD),
    "even kernel, even image": (ramp(4, seed=1), EVEN),
    "full size, even": (ramp(6, seed=1), EVEN),
    "kernel larger than image": (ramp(6, seed=2), ramp(4)),
    "two points": (np.array([3.0, -1.0]), np.array([1.0, 0.5])),
    "plane": (ramp(2, 3, seed=1), PLANE),
    "full size, even plane": (ramp(4, 2, seed=1), ramp(4, 2)),
    "one point": (np.array([2.0]), EVEN),
}


def _kernel_and_image(name: str, form: Callable[[Array], Array], dy: bool = False) -> st.SearchStrategy[Case]:
    def draw_case(draw: Draw) -> Case:
        shape = draw(shapes)
        case = {name: form(draw(arrays(_sizes(draw, len(shape))))), "v": draw(arrays(shape))}
        return case | ({"dy": draw(arrays(shape))} if dy else {})

    return cases(draw_case)


def _backward(theta_hat: Array, v: Array, dy: Array, inner_product: str) -> tuple[Array, Array]:
    """dv = F^-1(conj(multiplier) . F dy), dtheta_hat = conj(F v) . F dy / |J|, padded by the adjoint (Lemma 4.30)."""
    d, n = v.ndim, v.size
    multiplier = convolution.multiplier(theta_hat, v.shape)
    g = fourier.transform(dy, d)
    dv = fourier.inverse_transform(np.conj(multiplier) * g, d)
    dm = fourier.scale_nyquist(np.conj(fourier.transform(v, d)) * g / n, 0.5, d)
    dtheta = fourier.pad_spectrum_adjoint(dm, theta_hat.shape)
    return dv, dtheta * (1 if inner_product == "Re <a, b>" else 0.5)  # Lemma 4.30


def _half_backward(half: Array, last: int, v: Array, dy: Array) -> Array:
    layer = resolution.SpectralConv(1, 1, (*half.shape[:-1], last), bias=False)
    params = {"weight": np.stack([half.real, half.imag], axis=-1)[None, None]}
    _, grads = layer.backward(params, layer.forward(params, v[None, None])[1], dy[None, None])
    assert grads is not None
    return grads["weight"][0, 0, ..., 0] + 1j * grads["weight"][0, 0, ..., 1]


def _half_case(theta: Array, v: Array, dy: Array) -> Case:
    half = _rounded_spectrum(theta)[..., : theta.shape[-1] // 2 + 1]
    return {"half": np.ascontiguousarray(half), "last": theta.shape[-1], "v": v, "dy": dy}


def _half_inputs(draw: Draw) -> Case:
    shape = draw(shapes)
    theta = draw(arrays(_sizes(draw, len(shape))))
    return {"half": np.fft.rfftn(theta), "last": theta.shape[-1], "v": draw(arrays(shape)), "dy": draw(arrays(shape))}


_target(
    "spatial_convolution",
    "C(theta)(v)_j = sum_k theta_k v_{j-k}, periodic, theta zero-padded at the end or cropped to v (4.4.1)",
    _kernel_and_image("theta", lambda theta: theta),
    resolution.spatial_convolution,
    {label: {"theta": theta, "v": v} for label, (theta, v) in PAIRS.items()},
    definitions.spatial_convolution,
)
_target(
    "spectral_convolution",
    "K(theta_hat)(v) = F^-1(theta_hat^{M -> N} . F v) (4.38), Nyquist entries of even N halved (odd extension)",
    _kernel_and_image("theta_hat", _spectrum),
    resolution.spectral_convolution,
    {label: {"theta_hat": _rounded_spectrum(theta), "v": v} for label, (theta, v) in PAIRS.items()},
    definitions.spectral_convolution,
)
_target(
    "spectral_convolution.backward",
    "pull-back of K(theta_hat)(v) on the full spectrum, gradient for Re <a, b> (Lemma 4.30)",
    _kernel_and_image("theta_hat", _spectrum, dy=True),
    _backward,
    {
        label: {"theta_hat": _rounded_spectrum(theta), "v": v, "dy": ramp(*v.shape, seed=2)}
        for label, (theta, v) in PAIRS.items()
    },
    definitions.spectral_convolution_backward,
    outputs=("dv", "dtheta_hat"),
    scale=lambda case: _moduli(case) + float(np.sum(np.abs(case["v"])) * np.sum(np.abs(case["dy"]))) or 1.0,
    conventions={"inner_product": ("Re <a, b>", "Wirtinger")},
)
_target(
    "spectral_convolution.half_backward",
    "gradient in the stored half 0 <= k_d <= last/2 of theta_hat: interior columns count twice (Lemma 4.30)",
    cases(_half_inputs),
    _half_backward,
    {label: _half_case(theta, v, ramp(*v.shape, seed=2)) for label, (theta, v) in PAIRS.items()},
    definitions.half_gradient,
    outputs=("dhalf",),
    scale=lambda case: float(np.sum(np.abs(case["v"])) * np.sum(np.abs(case["dy"]))) or 1.0,
)
_target(
    "to_spectral",
    "theta_hat = F(theta^{M -> N}) with doubled Nyquist entries: K(theta_hat) = C(theta) on size N (Lemma 4.29)",
    _with_size("theta", lambda theta: theta),
    resolution.to_spectral,
    {label: {"theta": theta, "size": v.shape} for label, (theta, v) in PAIRS.items()},
    definitions.to_spectral,
    outputs=("theta_hat",),
)
_target(
    "to_spatial",
    "theta = F^-1(theta_hat^{M -> N}) with halved Nyquist entries: C(theta) = K(theta_hat) on size N (Lemma 4.29)",
    _with_size("theta_hat", _spectrum),
    resolution.to_spatial,
    {label: {"theta_hat": _rounded_spectrum(theta), "size": v.shape} for label, (theta, v) in PAIRS.items()},
    definitions.to_spatial,
    outputs=("theta",),
)
