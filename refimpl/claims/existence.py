"""Section 4.2.2: lower semicontinuity of Lip and existence of minimisers."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, at_most, claim, exactly
from refimpl.robustness import exact_lipschitz
from refimpl.setting import mlp

Array = np.ndarray

SLOPES = mlp([1, 2, 1])
NEARBY = {
    "theta": draw.arrays(SLOPES.size, -2, 2, 1),
    "direction": draw.arrays(SLOPES.size, -1, 1, 1),
    "exponent": st.integers(16, 24),
}
KINK_AT_THE_END = {
    "theta": np.array([1.0, 1, -1, -1, 1, 1, 0]),
    "direction": np.array([0.0, 0, 1, 1, 0, 0, 0]),
    "exponent": 20,
}


@claim(
    "4.2.2 lower semicontinuity",
    given=NEARBY,
    cases=[KINK_AT_THE_END],
    code=(exact_lipschitz,),
    examples=60,
)
def lipschitz_constant_is_lower_semicontinuous(theta: Array, direction: Array, exponent: int) -> Evidence:
    """Lip(f_theta) <= liminf Lip(f_theta_i) for theta_i -> theta: moving theta by h = 2^-i lowers Lip by at most C h.

    On [0, 1], with C = 10 for weights of modulus at most 2 moved by at most h each. Lip may jump up: relu(x + b) at
    b = -1 has Lip 0, and 1 for every larger b.
    """
    return _semicontinuous(theta, theta + direction * 2.0**-exponent, 2.0**-exponent, +1.0)


@lipschitz_constant_is_lower_semicontinuous.twin("upper semicontinuity")
def lipschitz_constant_is_upper_semicontinuous(theta: Array, direction: Array, exponent: int) -> Evidence:
    return _semicontinuous(theta, theta + direction * 2.0**-exponent, 2.0**-exponent, -1.0)


ROUNDED_DOWN = {
    "theta": np.array([1.5, 1.5, 0, 0, 1, 1, 0]),
    "direction": np.array([-1.0, -1, 0, 0, 0, 0, 0]),
    "exponent": 20,
}


@lipschitz_constant_is_lower_semicontinuous.twin(
    "f discontinuous in theta: weights are rounded (Assumption 2 dropped)", cases=[ROUNDED_DOWN]
)
def lipschitz_constant_of_rounded_weights(theta: Array, direction: Array, exponent: int) -> Evidence:
    h = 2.0**-exponent
    return _semicontinuous(np.round(theta), np.round(theta + direction * h), h, +1.0)


def _semicontinuous(theta: Array, nearby: Array, h: float, sign: float) -> Evidence:
    at, near = (exact_lipschitz(SLOPES, t, (0.0, 1.0)) for t in (theta, nearby))
    low, high = (at, near) if sign > 0 else (near, at)
    return at_most(low, high + 10 * h, 16.0)


HALVES = {"start": st.integers(0, 8), "lam": draw.positive(1 / 8, 2, 3)}


@claim("4.2.2 compact parameter sets", given=HALVES)
def minimisers_on_compact_sets(start: int, lam: float) -> Evidence:
    """On a compact Theta the infimum of L + lambda Lip is attained: no sequence does better than its limit.

    f_theta(x) = theta x on [0, 1], T = {(1, 0)}, l(a) = a: along theta_i = 2^-i the objective tends to its value at 0.
    """
    return _attained(start, lam, lambda a: a, closed=True)


@minimisers_on_compact_sets.twin("a loss that is not lower semicontinuous (Assumption 1)")
def minimisers_of_a_jumping_loss(start: int, lam: float) -> Evidence:
    return _attained(start, lam, lambda a: a + (a <= 0), closed=True)


@minimisers_on_compact_sets.twin("Theta = (0, 1], not closed")
def minimisers_on_an_open_set(start: int, lam: float) -> Evidence:
    return _attained(start, lam, lambda a: a, closed=False)


def _attained(start: int, lam: float, loss: Any, closed: bool) -> Evidence:
    thetas = 2.0 ** -np.arange(start, start + 40)
    objective = [float(loss(t) + lam * t) for t in thetas]
    attained = float(loss(0.0)) if closed else min(objective)
    beyond = float(loss(thetas[-1] / 2) + lam * thetas[-1] / 2)
    return exactly(attained <= beyond)


SATURATING = {"lam": draw.positive(1 / 16, 2, 4), "mu": draw.positive(2**-6, 1, 6)}


@claim("Proposition 4.1", given=SATURATING)
def minimisers_exist_with_a_norm(lam: float, mu: float) -> Evidence:
    """L + lambda Lip + mu |theta| attains its infimum for mu > 0: beyond |theta| = J(0) / mu it exceeds J(0).

    Two units f(x) = sigma(theta + x) - sigma(theta - x) on [0, 1], data (1, 0): the loss and Lip both vanish as
    theta tends to infinity, so that mu |theta| alone keeps minimising sequences bounded.
    """
    return _coercive(lam, mu)


minimisers_exist_with_a_norm.without("mu > 0", cases=[{"lam": 1.0, "mu": 0.0}], mu=st.just(0.0))


@minimisers_exist_with_a_norm.twin("Theta not closed")
def minimisers_exist_on_an_open_set(lam: float, mu: float) -> Evidence:
    thetas = 2.0 ** -np.arange(40)  # Theta = (0, 1], f = theta x, T = {(1, 0)}, squared loss
    objective = thetas**2 + (lam + mu) * thetas
    return exactly(bool(np.any(objective[:-1] <= objective[-1])))


def _objective(theta: Array, lam: float, mu: float) -> Array:
    def sigma(z: Array) -> Array:
        return np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))

    def slope(z: Array) -> Array:
        return np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))) ** 2

    x = np.arange(0, 17) / 16
    rise = sigma(-np.abs(theta) + 1) - sigma(-np.abs(theta) - 1)  # f(1), by symmetry without cancellation
    lip = np.max(slope(theta[:, None] + x) + slope(theta[:, None] - x), axis=1)
    return rise**2 + lam * lip + mu * np.abs(theta)


def _coercive(lam: float, mu: float) -> Evidence:
    radius = float(_objective(np.zeros(1), lam, mu)[0]) / mu if mu else 16.0
    inside = _objective(np.linspace(-radius, radius, 513), lam, mu).min()
    outside = _objective(radius * np.array([1.25, 1.5, 2, 4]), lam, mu).min()
    return at_most(float(inside), float(outside), 1 + float(outside))


@claim(
    "Proposition 4.1",
    given={"lam": draw.positive(1 / 8, 2, 3), "mu": draw.positive(1 / 8, 2, 3)},
    erratum=Erratum(
        "any Theta with a norm",
        "Theta closed and of finite dimension: bounded minimising sequences must have limits in Theta",
        "missing hypothesis",
    ),
)
def existence_on_any_parameter_set(lam: float, mu: float) -> Evidence:
    """The minimum exists for Theta = (0, 1], f_theta(x) = theta x, T = {(1, 0)} and the squared loss."""
    thetas = 2.0 ** -np.arange(40)
    objective = thetas**2 + (lam + mu) * thetas
    return exactly(bool(np.any(objective[:-1] <= objective[1:])))  # is some theta as good as its half?
