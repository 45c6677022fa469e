"""Sections 4.4.1 and 4.4.2: the layer G(u) = sigma(W u + K u + b) as an operator; Young's inequality."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Evidence, at_most, claim, equal, exactly, identity
from refimpl.claims.images import odd, parts, problem, problems, size_of
from refimpl.resolution import (
    FourierLayer,
    OversampledActivation,
    dft,
    hermitian_defect,
    spatial_convolution,
    transform,
)
from refimpl.resolution.fourier import frequencies
from refimpl.setting.activations import GELU, Activation, Identity, ReLU, Tanh
from refimpl.setting.layer import Params

Array = np.ndarray
Problem = dict[str, Any]


def sample(coefficients: Array, size: tuple[int, ...]) -> Array:
    """sum_k c_k exp(2 pi i <k, j/L>) on the grid L, by direct sums; c in FFT order, odd sizes."""
    for axis, (n, l) in enumerate(zip(coefficients.shape, size)):
        real = coefficients.real.dtype.type
        turns = np.outer(np.arange(l), frequencies(n)).astype(real) / real(l)
        waves = np.exp(8j * np.arctan(real(1)) * turns)
        coefficients = np.moveaxis(np.tensordot(waves, coefficients, ([1], [axis])), 0, axis)
    return coefficients


def integral(theta: Array, u_hat: Array, size: tuple[int, ...]) -> Array:
    """int kappa(x - y) u(y) dy at x = j/L: coefficients multiply (odd sizes, the smaller band counts)."""
    common = tuple(map(min, theta.shape, u_hat.shape))
    kept = [np.ix_(*(frequencies(c) % n for c, n in zip(common, w.shape))) for w in (theta, u_hat)]
    return sample(transform(theta)[kept[0]] * u_hat[kept[1]], size).real


def layer_of(theta: Array, activation: Activation) -> tuple[FourierLayer, Params]:
    """G with kappa_k = (T theta)_k, W = 3/4, b = -1/2."""
    layer = FourierLayer(1, 1, theta.shape, activation)
    weight = layer.kernel.from_spectrum(transform(theta)[None, None])["weight"].astype(theta.dtype)
    return layer, {
        "residual": np.full((1, 1), 0.75, theta.dtype),
        "weight": weight,
        "bias": np.full(1, -0.5, theta.dtype),
    }


def apply(theta: Array, u: Array, activation: Activation) -> Array:
    """G(u) on the grid of u."""
    layer, params = layer_of(theta, activation)
    return layer.forward(params, u[None, None])[0][0, 0]


RESOLVED = problems(lambda m, n, l: odd(m, n) and l >= n)
UNRESOLVED = problems(lambda m, n, l: odd(m, n) and m >= 3 and n >= 3 and l <= 2)


@claim("(4.34)", given={"problem": RESOLVED}, code=(FourierLayer,), examples=60)
def layer_on_a_grid_is_the_operator(problem: Problem) -> Evidence:
    """For a trigonometric polynomial u through N odd points and every grid L >= N, the layer on the grid is
    sigma(W u(x) + int kappa(x - y) u(y) dy + b) at its points: the discretisation makes no error."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, size = parts(problem, dtype)
        u = sample(dft(v, "n"), size).real
        scale = float(np.sum(np.abs(transform(theta))) * np.sum(np.abs(dft(v, "n"))))
        return (
            apply(theta, u, Tanh()),
            np.tanh(0.75 * u + integral(theta, dft(v, "n"), size) - 0.5),
            scale + 1,
        )  # (4.34)

    return identity(sides)


layer_on_a_grid_is_the_operator.without(
    "a grid that resolves u", problem=UNRESOLVED, cases=[{"problem": problem((3,), (5,), (2,))}]
)


@claim("(4.35)", given={"problem": problems()}, code=(FourierLayer.forward,), examples=60)
def affine_part_is_affine(problem: Problem) -> Evidence:
    """Psi(u + v) + Psi(0) = Psi(u) + Psi(v), and Psi(0) = b."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, _ = parts(problem, dtype)
        return affine_sides(lambda x: apply(theta, x, Identity()), v, size_of(theta, v))

    return identity(sides)


def affine_sides(psi: Callable[[Array], Array], v: Array, size: float) -> tuple[Any, ...]:
    """Both sides at u = v reversed."""
    u = v[::-1]
    zero = psi(np.zeros_like(v))
    return np.stack([psi(u + v) + zero, zero]), np.stack([psi(u) + psi(v), np.full_like(v, -0.5)]), 1 + 8 * size


@affine_part_is_affine.twin("the activation included", cases=[{"problem": problem((3,), (5,))}])
def _activation_included(problem: Problem) -> Evidence:
    theta, v, _ = parts(problem, np.float64)
    return equal(*affine_sides(lambda x: apply(theta, x, ReLU()), v, size_of(theta, v)))


@claim(
    "(4.36)",
    given={"problem": problems(lambda m, n, l: m == l == 1), "seed": draw.seeds()},
    code=(Activation,),
    examples=60,
)
def activation_acts_pointwise(problem: Problem, seed: int) -> Evidence:
    """sigma(v o pi) = sigma(v) o pi for every rearrangement pi of the points, exactly."""
    return rearranged(GELU(), problem["v"], seed)


def rearranged(layer: Any, v: Array, seed: int) -> Evidence:
    """Both sides for one permutation of the points."""
    order = np.random.default_rng(seed).permutation(v.size)

    def act(x: Array) -> Array:
        return layer.forward({}, x.reshape(1, 1, *v.shape))[0].ravel()

    return equal(act(v.ravel()[order]), act(v)[order], k=4)


@activation_acts_pointwise.twin("activation on a finer grid", cases=[{"problem": problem((1,), (7,)), "seed": 1}])
def _oversampled(problem: Problem, seed: int) -> Evidence:
    return rearranged(OversampledActivation(GELU(), 2), problem["v"], seed)


@claim(
    "(4.37)",
    given={"problem": problems(lambda m, n, l: odd(m, n) and l > (m + n) // 2 - 1)},
    examples=60,
    cases=[{"problem": problem((5,), (3,), (4,))}],
    code=(transform,),
)
def rectangle_rule_is_exact(problem: Problem) -> Evidence:
    """kappa from Hermitian coefficients |k| <= S is real, and the rectangle rule on L points computes
    int kappa(x - y) u(y) dy exactly for every u of degree m < L - S."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, size = parts(problem, dtype)
        kappa, u_hat = sample(transform(theta), size), dft(v, "n")  # (4.37)
        rule = spatial_convolution(kappa.real, sample(u_hat, size).real) / dtype(kappa.size)
        lhs, rhs = np.stack([rule, kappa.imag]), np.stack([integral(theta, u_hat, size), np.zeros(size, dtype)])
        return lhs, rhs, float(np.sum(np.abs(transform(theta))) * (1 + np.sum(np.abs(u_hat)))) or 1.0

    return identity(sides)


rectangle_rule_is_exact.without(
    "m < L - S",
    problem=problems(lambda m, n, l: odd(m, n) and m >= 3 and n >= 3 and l == (m + n) // 2 - 1),
    cases=[{"problem": problem((5,), (3,), (3,))}],
)


@rectangle_rule_is_exact.twin("coefficients without symmetry", cases=[{"problem": problem((3,), (3,), (5,))}])
def _no_symmetry(problem: Problem) -> Evidence:
    shifted = transform(problem["theta"]) + 1j
    return exactly((hermitian_defect(shifted) == 0) == (np.max(np.abs(sample(shifted, problem["size"]).imag)) > 1e-9))


# Young's inequality


EXPONENTS = [(Fraction(a, 6), Fraction(b, 6)) for a in range(7) for b in range(7) if a + b >= 6]


def mean_norm(x: Array, reciprocal: Fraction) -> float:
    """The L^p norm for the normalised counting measure, p = 1 / reciprocal."""
    x = np.abs(x)
    if reciprocal == 0:
        return float(np.max(x))
    top = float(np.max(x)) or 1.0
    return top * float(np.mean((x / top) ** (1 / float(reciprocal))) ** float(reciprocal))


def subgroup(n: int, step: int) -> Array:
    """The indicator of the multiples of step in Z_n."""
    return (np.arange(n) % step == 0).astype(float)


YOUNG = {"problem": problems(lambda m, n, l: m == n and l == 1), "exponents": st.sampled_from(EXPONENTS)}
YOUNG_CASES = [
    {"problem": {"theta": subgroup(12, s), "v": subgroup(12, s), "size": (1,)}, "exponents": e}
    for s in (1, 2, 3, 4, 6, 12)
    for e in ((Fraction(1, 2), Fraction(2, 3)), (Fraction(5, 6), Fraction(5, 6)), (Fraction(1, 1), Fraction(1, 3)))
]


def young(problem: Problem, p: Fraction, s: Fraction, r: Fraction) -> Evidence:
    """|kappa * u|_r <= |kappa|_s |u|_p, exponents given by their reciprocals."""
    kappa, u, _ = parts(problem, np.float64)
    product = spatial_convolution(kappa, u) / u.size
    return at_most(mean_norm(product, r), mean_norm(kappa, s) * mean_norm(u, p))


@claim("4.4.2 Young", given=YOUNG, cases=YOUNG_CASES, code=(spatial_convolution,), examples=150)
def young_inequality(problem: Problem, exponents: tuple[Fraction, Fraction]) -> Evidence:
    """|kappa * u|_r <= |kappa|_s |u|_p for 1/r + 1 = 1/p + 1/s, on the finite torus with normalised counting measure;
    equality on indicators of subgroups."""
    p, s = exponents
    return young(problem, p, s, p + s - 1)


@young_inequality.twin("a larger exponent r on the left")
def _larger_exponent(problem: Problem, exponents: tuple[Fraction, Fraction]) -> Evidence:
    p, s = exponents
    return young(problem, p, s, (p + s - 1) / 2)
