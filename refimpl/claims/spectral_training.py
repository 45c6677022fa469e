"""Section 4.4.2: equivalent convolutional and spectral layers, trained side by side."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, claim, equal, exactly, identity
from refimpl.claims.images import (
    direct_correlation,
)
from refimpl.numerics import compare
from refimpl.resolution import (
    SpectralConv,
    spatial_convolution,
    to_spatial,
    to_spectral,
)

Array = np.ndarray
Problem = dict[str, Any]


def descend(gradient: Callable[[Array], Array], start: Array, step: Any, momentum: Any, steps: int = 20) -> Array:
    """Gradient descent with momentum."""
    velocity = np.zeros_like(start)
    for _ in range(steps):
        velocity = momentum * velocity + gradient(start)
        start = start - step * velocity
    return start


def adam(gradient: Callable[[Array], Array], start: Array, step: Any, momentum: Any, steps: int = 20) -> Array:
    """The same with entrywise normalised steps."""
    first, second = np.zeros_like(start), np.zeros_like(start)
    for k in range(1, steps + 1):
        g = gradient(start)
        first, second = momentum * first + (1 - momentum) * g, 0.9 * second + 0.1 * g * g
        start = start - step * (first / (1 - momentum**k)) / (np.sqrt(second / (1 - 0.9**k)) + 1e-3)
    return start


def trained(seed: int, n: tuple[int, ...], dtype: Any, kind: Any, factor: Any, method: Any) -> tuple[Array, Array]:
    """Kernels after training C(theta) with step tau, and its converted layer with step ``factor`` tau."""
    theta, v, target = (draw.uniform(seed + i, n).astype(dtype) for i in range(3))
    tau, momentum = dtype(1 / (8 * prod(n))), dtype(0.5)
    layer = SpectralConv(1, 1, n, bias=False, parametrization=kind)

    def spectral(weight: Array) -> Array:
        y, cache = layer.forward({"weight": weight}, v[None, None])
        return layer.backward({"weight": weight}, cache, y - target, "parameters")[1]["weight"]  # type: ignore[index]

    start = layer.from_spectrum(to_spectral(theta, n)[None, None])["weight"].astype(dtype)
    end = method(spectral, start, dtype(factor) * tau, momentum)
    kernel = to_spatial(layer.spectrum({"weight": end})[0, 0], n)
    return kernel, method(lambda t: direct_correlation(spatial_convolution(t, v) - target, v), theta, tau, momentum)


TRAINED = {"seed": draw.seeds(), "n": st.sampled_from([(7,), (8,), (5, 5), (4, 5), (3, 3, 3)])}
TRAINED_CASES = [{"seed": 0, "n": (5, 5)}]


@claim(
    "4.4.2 training of equivalent layers",
    given=TRAINED,
    cases=TRAINED_CASES,
    erratum=Erratum(
        "by Lemma 4.30 training equivalent convolutional and spectral layers leads to different results",
        "not by Lemma 4.30: descent on the full spectrum with step |J_N| tau follows descent on theta exactly; "
        "half-spectrum storage, entrywise optimizers, or fewer coefficients make the difference",
        "false",
    ),
    examples=10,
)
def equivalent_layers_train_differently(seed: int, n: tuple[int, ...]) -> Evidence:
    """After gradient descent on the spectrum (the steps scaled as the lemma says) another kernel is learnt."""
    actual, expected = trained(seed, n, np.float64, "unitary", 1, descend)
    return exactly(compare.eps_error(actual, expected) > 1e4)


@claim(
    "4.4.2 training of equivalent layers",
    reading="corrected",
    given=TRAINED,
    cases=TRAINED_CASES,
    examples=15,
    code=(SpectralConv,),
)
def full_spectra_train_as_kernels_do(seed: int, n: tuple[int, ...]) -> Evidence:
    """Gradient descent with momentum on the unitary full spectrum follows that on theta, step by step."""
    return identity(lambda dtype: trained(seed, n, dtype, "unitary", 1, descend), k=256)


@full_spectra_train_as_kernels_do.twin("half-spectrum storage")
def _half_training(seed: int, n: tuple[int, ...]) -> Evidence:
    return equal(*trained(seed, n, np.float64, "half", prod(n), descend), k=256)


@full_spectra_train_as_kernels_do.twin("entrywise normalised steps (Adam)")
def _adam_training(seed: int, n: tuple[int, ...]) -> Evidence:
    return equal(*trained(seed, n, np.float64, "unitary", 1, adam), k=256)


@full_spectra_train_as_kernels_do.twin("the step not scaled with the parametrisation")
def _step_training(seed: int, n: tuple[int, ...]) -> Evidence:
    return equal(*trained(seed, n, np.float64, "unitary", prod(n), descend), k=256)
