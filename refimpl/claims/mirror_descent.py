"""Section 4.3.2: mirror descent (4.20), which linearized Bregman iterations are."""

from itertools import islice

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, equal
from refimpl.claims.linearized_bregman import TAU
from refimpl.claims.noise import square
from refimpl.sparsity import Blocks, Entropy, Quadratic, SquaredL2, linearized_bregman, mirror_descent

Array = np.ndarray
DIAGONAL = st.lists(draw.positive(1, 4, 2), min_size=2, max_size=2).map(np.array)
MIRROR = {"q": DIAGONAL, "target": draw.arrays(2), "theta": draw.arrays(2), "tau": TAU, "other": draw.arrays(2)}


def mirror_step_is_optimal(q: Array, gradient: Array, theta: Array, tau: float, other: Array, after: Array) -> Evidence:
    """``after`` minimises D_h(., theta) + tau <gradient, .> for h = 1/2 sum q_i theta_i^2."""

    def objective(x: Array) -> float:
        return float(np.sum(q * (x - theta) ** 2)) / 2 + tau * float(gradient @ x)

    scale = (1 + 4 * square(theta) + square(other) + square(after)) * (1 + tau) * 8
    return at_most(objective(after), objective(other), scale)


@claim(
    "(4.20)",
    given=MIRROR,
    cases=[
        {"q": np.ones(2), "target": np.ones(2), "theta": np.zeros(2), "tau": 0.5, "other": np.full(2, 0.5)},
    ],
    erratum=Erratum("tau L(theta^(k)), three times", "tau grad L(theta^(k))", "typo"),
)
def mirror_descent_as_printed(q: Array, target: Array, theta: Array, tau: float, other: Array) -> Evidence:
    """grad h*(grad h(theta) - tau L(theta)) minimises D_h(., theta) + tau <grad L(theta), .>."""
    after = (q * theta - tau * square(theta - target) / 2) / q
    return mirror_step_is_optimal(q, theta - target, theta, tau, other, after)


@claim("(4.20)", reading="corrected", given=MIRROR, code=(mirror_descent,))
def mirror_descent_minimises(q: Array, target: Array, theta: Array, tau: float, other: Array) -> Evidence:
    """grad h*(grad h(theta) - tau grad L(theta)) minimises D_h(., theta) + tau <grad L(theta), .>."""
    after = list(islice(mirror_descent(Quadratic(np.diag(q)), lambda x: x - target, theta, tau), 2))[1]
    return mirror_step_is_optimal(q, theta - target, theta, tau, other, after)


@mirror_descent_minimises.twin(
    "gradient descent",
    cases=[{"q": np.full(2, 4.0), "target": np.ones(2), "theta": np.zeros(2), "tau": 1.0, "other": np.full(2, 0.25)}],
)
def gradient_descent_minimises(q: Array, target: Array, theta: Array, tau: float, other: Array) -> Evidence:
    """Gradient descent belongs to h = 1/2 |.|^2."""
    return mirror_step_is_optimal(q, theta - target, theta, tau, other, theta - tau * (theta - target))


SIMPLEX = st.lists(st.integers(1, 8), min_size=3, max_size=3).map(lambda w: np.array(w) / sum(w))
ON_SIMPLEX = {"theta": SIMPLEX, "other": SIMPLEX, "gradient": draw.arrays(3), "tau": TAU}


def entropic_step(theta: Array, other: Array, gradient: Array, tau: float, after: Array) -> Evidence:
    """``after`` minimises the relative entropy to theta + tau <gradient, .> over the simplex."""

    def objective(x: Array) -> float:
        return float(np.sum(x * np.log(x / theta))) + tau * float(gradient @ x)

    return at_most(objective(after), objective(other), 16.0 + 16 * tau)


@claim("(4.20)", reading="corrected", given=ON_SIMPLEX, code=(mirror_descent, Entropy))
def entropic_mirror_descent_minimises(theta: Array, other: Array, gradient: Array, tau: float) -> Evidence:
    """With the entropy on the simplex, where grad h* is the softmax, D_h is the relative entropy."""
    after = list(islice(mirror_descent(Entropy(), lambda x: gradient, theta, tau), 2))[1]
    return all_of(equal(float(np.sum(after)), 1.0), entropic_step(theta, other, gradient, tau, after))


@entropic_mirror_descent_minimises.twin(
    "a step uphill",
    cases=[{"theta": np.full(3, 1 / 3), "other": np.full(3, 1 / 3), "gradient": np.array([1.0, 0, 0]), "tau": 1.0}],
)
def entropic_mirror_ascent(theta: Array, other: Array, gradient: Array, tau: float) -> Evidence:
    """The sign matters."""
    after = list(islice(mirror_descent(Entropy(), lambda x: -gradient, theta, tau), 2))[1]
    return entropic_step(theta, other, gradient, tau, after)


def mirror_and_linearized(q: Array, target: Array, theta: Array, tau: float, delta: float) -> Evidence:
    """Iterates of (4.20) with h = 1/2 sum q_i theta_i^2, and of (4.19) with J = h - 1/2 |.|^2."""
    J = Blocks([(slice(i, i + 1), SquaredL2(float(q[i] - 1))) for i in range(2)])
    mirrored = list(islice(mirror_descent(Quadratic(np.diag(q)), lambda x: x - target, theta, tau), 20))
    linearized = list(islice(linearized_bregman(J, lambda x: x - target, q * theta, tau, delta), 20))
    return equal(np.array(mirrored), np.array([s.theta for s in linearized]), 8.0, k=1024)


EQUIVALENT = {
    "q": DIAGONAL,
    "target": draw.arrays(2),
    "theta": draw.arrays(2),
    "tau": draw.positive(0.125, 1, 3),
    "delta": st.just(1.0),
}


@claim("(4.20)", reading="corrected", given=EQUIVALENT, code=(mirror_descent, linearized_bregman), examples=50)
def mirror_descent_is_linearized_bregman(q: Array, target: Array, theta: Array, tau: float, delta: float) -> Evidence:
    """For h = J + 1/2 |.|^2 with convex J, (4.20) and (4.19) with delta = 1 have the same iterates."""
    return mirror_and_linearized(q, target, theta, tau, delta)


mirror_descent_is_linearized_bregman.without("delta = 1", delta=st.just(2.0))


@claim("(4.20)", given={"q": draw.positive(1, 4, 3), "a": draw.dyadic(), "b": draw.dyadic(), "s": draw.dyadic(0, 1)})
def strongly_convex_h_contains_a_convex_J(q: float, a: float, b: float, s: float) -> Evidence:
    """With the printed factor 1/2, that is modulus 1, J = h - 1/2 |.|^2 is convex: here h = q/2 x^2."""

    def J(x: float) -> float:
        return (q - 1) / 2 * x**2

    return at_most(J(s * a + (1 - s) * b), s * J(a) + (1 - s) * J(b), 16 * q)


strongly_convex_h_contains_a_convex_J.without("modulus 1", q=draw.positive(0.125, 0.875, 3))
