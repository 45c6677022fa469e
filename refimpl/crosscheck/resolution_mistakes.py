"""Known mistakes in Section 4.4: transforms, Nyquist frequencies, interpolation, convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from refimpl.crosscheck.mistakes import after, mistake
from refimpl.crosscheck.target import TARGETS, Array

SPATIAL, SPECTRAL = "resolution.spatial_convolution", "resolution.spectral_convolution"
PULLED, HALF = f"{SPECTRAL}.backward", f"{SPECTRAL}.half_backward"
PAD, TRIGONOMETRIC = "resolution.pad_spectrum", "resolution.trigonometric_interpolation"


# Transforms


@mistake("sign of the exponent: the inverse transform", "resolution.dft")
def _inverse_sign(v: Array, norm: str) -> Array:
    return np.conj(TARGETS["resolution.dft"].reference(v=v, norm=norm))


@mistake("last axis only", "resolution.dft")
def _last_axis(v: Array, norm: str) -> Array:
    return np.fft.fft(v) / {"1": 1, "sqrt": np.sqrt(v.size), "n": v.size}[norm]


@after("1/n missing", "resolution.inverse_dft")
def _times_n(outputs: Any, case: Any) -> Any:
    return outputs * next(iter(case.values())).size


mistake("fftshift for ifftshift on odd sizes", "resolution.fft_order")(lambda v_hat: np.fft.fftshift(v_hat))
mistake("ifftshift for fftshift on odd sizes", "resolution.centred_spectrum")(lambda v_hat: np.fft.ifftshift(v_hat))

# Spectra of another size: one axis after the other, with a rule for the Nyquist frequency

Rule = tuple[float, float]  # weights of the entries at +m/2 and -m/2, where m is the smaller size


def _resized(v_hat: Array, size: Sequence[int], up: Rule, down: Rule) -> Array:
    for axis, (n, l) in enumerate(zip(v_hat.shape, size)):
        if n == l:
            continue
        m, x = min(n, l), np.moveaxis(v_hat, axis, -1)
        y = np.zeros((*x.shape[:-1], l), complex)
        for k in range(-(m // 2), m // 2 + 1):
            plus, minus = up if n < l else down
            y[..., k % l] += x[..., k % n] * (1 if 2 * abs(k) < m else plus if k > 0 else minus)
        v_hat = np.moveaxis(y, -1, axis)
    return v_hat


RULES: dict[str, tuple[Rule, Rule]] = {
    "Nyquist dropped": ((0, 0), (0, 0)),
    "Nyquist duplicated: not halved going up": ((1, 1), (1, 1)),
    "Nyquist not split: kept on the negative side only": ((0, 1), (0, 1)),
    "Nyquist not split: kept on the positive side only": ((1, 0), (1, 0)),
    "Nyquist not folded going down": ((0.5, 0.5), (0, 1)),
}


def _padded(up: Rule, down: Rule) -> Callable[..., Array]:
    return lambda v_hat, size, nyquist: _resized(v_hat, size, up, down)


def _interpolated(up: Rule, down: Rule) -> Callable[..., Array]:
    def twin(v: Array, size: Sequence[int]) -> Array:
        return np.fft.ifftn(_resized(np.fft.fftn(v), size, up, down)).real * prod(size) / v.size

    return twin


for _name, _rules in RULES.items():
    mistake(_name, PAD)(_padded(*_rules))
    if "side only" not in _name:
        mistake(_name, TRIGONOMETRIC)(_interpolated(*_rules))


@mistake("Nyquist not split: real part taken after the index sets as printed", TRIGONOMETRIC)
def _literal(v: Array, size: Sequence[int]) -> Array:
    return np.fft.ifftn(_resized(np.fft.fftn(v), size, (0, 1), (0, 1))).real * prod(size) / v.size


@mistake("padded at the end of the FFT order: fft(v), then ifft with n = L", TRIGONOMETRIC)
def _at_the_end(v: Array, size: Sequence[int]) -> Array:
    return np.fft.ifftn(np.fft.fftn(v), s=tuple(size), axes=range(v.ndim)).real * prod(size) / v.size


@after("factor L/N missing (1/n for the wrong n)", TRIGONOMETRIC)
def _no_factor(outputs: Any, case: Any) -> Any:
    return outputs * case["v"].size / prod(case["size"])


@mistake("align_corners interpolation: linear, end nodes on end nodes", TRIGONOMETRIC)
def _align_corners(v: Array, size: Sequence[int]) -> Array:
    for axis, (n, l) in enumerate(zip(v.shape, size)):
        nodes = np.arange(l) * (n - 1) / max(l - 1, 1)
        v = np.apply_along_axis(_linear, axis, v, nodes)
    return v


def _linear(row: Array, nodes: Array) -> Array:
    return np.interp(nodes, np.arange(len(row)), row)


@mistake("align_corners interpolation: the trigonometric polynomial at nodes j/(L-1)", TRIGONOMETRIC)
def _stretched(v: Array, size: Sequence[int]) -> Array:
    for axis, (n, l) in enumerate(zip(v.shape, size)):
        x = np.arange(l) / max(l - 1, 1) * (n - 1) / n
        k = np.fft.fftfreq(n, 1 / n)
        basis = np.exp(2j * np.pi * np.outer(x, k)).real if n == 1 else np.exp(2j * np.pi * np.outer(x, k))
        v = np.moveaxis((np.moveaxis(np.fft.fft(v, axis=axis), axis, -1) @ basis.T).real / n, -1, axis)
    return v


# Convolutions


@mistake("correlation for convolution", SPATIAL)
def _correlation(theta: Array, v: Array) -> Array:
    y = np.zeros_like(v)
    for k in np.ndindex(*(min(m, n) for m, n in zip(theta.shape, v.shape))):
        y += theta[k] * np.roll(v, [-i for i in k], tuple(range(v.ndim)))
    return y


@mistake("kernel centred instead of starting in the corner", SPATIAL)
def _centred(theta: Array, v: Array) -> Array:
    shift = [-(min(m, n) // 2) for m, n in zip(theta.shape, v.shape)]
    return np.roll(TARGETS[SPATIAL].reference(theta=theta, v=v), shift, tuple(range(v.ndim)))


@mistake("zeros outside instead of periodic", SPATIAL)
def _not_periodic(theta: Array, v: Array) -> Array:
    y = np.zeros_like(v)
    for k in np.ndindex(*(min(m, n) for m, n in zip(theta.shape, v.shape))):
        target, source = (tuple(slice(a, n - b) for a, b, n in s) for s in _ends(k, v.shape))
        y[target] += theta[k] * v[source]
    return y


def _ends(k: Sequence[int], shape: Sequence[int]) -> tuple[list[Any], list[Any]]:
    return [(i, 0, n) for i, n in zip(k, shape)], [(0, i, n) for i, n in zip(k, shape)]


@after("1/n missing", SPECTRAL)
def _unscaled(outputs: Any, case: Any) -> Any:
    return outputs * case["v"].size


@after("1/n too much (theta_hat = F(theta) with lambda = |J|)", SPECTRAL)
def _scaled(outputs: Any, case: Any) -> Any:
    return outputs / case["v"].size


def _multiplied(v: Array, multiplier: Array) -> Array:
    return np.fft.ifftn(multiplier * np.fft.fftn(v)).real


@mistake("Nyquist not split: the index sets as printed", SPECTRAL)
def _unsplit(theta_hat: Array, v: Array) -> Array:
    return _multiplied(v, _resized(theta_hat, v.shape, (0, 1), (0, 1)))


@mistake("Nyquist entries of even sizes not halved", SPECTRAL)
def _not_halved(theta_hat: Array, v: Array) -> Array:
    return _multiplied(v, _resized(theta_hat, v.shape, (0.5, 0.5), (1, 1)))


@mistake("complex conjugate missing in the pull-back", PULLED)
def _no_conjugate(theta_hat: Array, v: Array, dy: Array, inner_product: str) -> tuple[Array, Array]:
    mirrored = {"theta_hat": np.conj(theta_hat), "v": _mirror(v), "dy": dy, "inner_product": inner_product}
    return TARGETS[PULLED].reference(**mirrored)


def _mirror(v: Array) -> Array:
    """v_{-j}: its transform is the conjugate one."""
    axes = tuple(range(v.ndim))
    return np.roll(np.flip(v, axes), 1, axes)


@after("1/n missing in the gradient of theta_hat (Lemma 4.30)", PULLED)
def _gradient_times_n(outputs: Any, case: Any) -> Any:
    return outputs[0], outputs[1] * case["v"].size


@after("1/n missing in the gradient of theta_hat (Lemma 4.30)", HALF)
def _half_times_n(outputs: Any, case: Any) -> Any:
    return outputs * case["v"].size


@after("half-spectrum gradient without the doubling", HALF)
def _undoubled(outputs: Any, case: Any) -> Any:
    weights = np.full(outputs.shape[-1], 2.0)
    weights[[0] if case["last"] % 2 else [0, -1]] = 1
    return outputs / weights


@after("all columns doubled, those of k = 0 and last/2 too", HALF)
def _all_doubled(outputs: Any, case: Any) -> Any:
    weights = np.full(outputs.shape[-1], 1.0)
    weights[[0] if case["last"] % 2 else [0, -1]] = 2
    return outputs * weights


def _nyquist(w: Array, factor: float) -> Array:
    w = np.array(w)
    for axis, n in enumerate(w.shape):
        if n % 2 == 0:
            np.moveaxis(w, axis, 0)[n // 2] *= factor
    return w


@after("Nyquist entries not doubled", "resolution.to_spectral")
def _to_spectral(outputs: Any, case: Any) -> Any:
    return _nyquist(outputs, 0.5)


@mistake("Nyquist entries not halved", "resolution.to_spatial")
def _to_spatial(theta_hat: Array, size: Sequence[int]) -> Array:
    return np.fft.ifftn(_resized(theta_hat, size, (0.5, 0.5), (1, 1))).real


@mistake("correlation for convolution: the conjugate spectrum", "resolution.to_spectral")
def _flipped(theta: Array, size: Sequence[int]) -> Array:
    return np.conj(TARGETS["resolution.to_spectral"].reference(theta=theta, size=size))


@after("1/n missing", "resolution.to_spatial")
def _spatial_times_n(outputs: Any, case: Any) -> Any:
    return outputs * prod(case["size"])
