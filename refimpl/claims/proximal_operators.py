"""Section 4.3.1: proximal operators as minimisers and resolvents, and the proximal gradient step (4.6)."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.assumptions import OpenInterval
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, equal, exactly, member
from refimpl.claims.convex_analysis import LAM, POINT, N, SquareRoots, regularizers, size, subgradient_at
from refimpl.claims.noise import square
from refimpl.sparsity import L1, ProximalGradient, Regularizer, lasso

Array = np.ndarray
PROX = {"J": regularizers(), "v": POINT, "tau": draw.positive(0.25, 4, 2)}
REACH = st.integers(0, 16).map(lambda n: 2.0**-n)


def worse_nearby(J: Any, v: Array, tau: float, direction: Array, h: float) -> Evidence:
    """The prox objective at theta + h direction exceeds its value at theta = prox by >= half the squared distance."""
    theta = J.prox(v, tau)
    other = theta + h * direction

    def objective(x: Array) -> float:
        return square(x - v) / 2 + tau * J.value(x)

    return at_most(objective(theta) + square(other - theta) / 2, objective(other), (1 + tau) * size(J, theta, v))


@claim("Definition 4.13", given={**PROX, "direction": POINT, "h": REACH}, code=(Regularizer.prox,), examples=200)
def prox_is_the_minimiser(J: Any, v: Array, tau: float, direction: Array, h: float) -> Evidence:
    """prox_{tau J}(v) minimises 1/2 |theta - v|^2 + tau J(theta), and is unique: near or far, every other point is
    worse by half its squared distance (strong convexity)."""
    return worse_nearby(J, v, tau, direction, h)


prox_is_the_minimiser.without("convexity, for l_1/2", J=st.just(SquareRoots()))
prox_is_the_minimiser.without("lower semicontinuity", J=st.just(OpenInterval()), v=st.just(-np.ones(N)))


@prox_is_the_minimiser.twin("the threshold is not scaled by tau")
def prox_without_tau(J: Any, v: Array, tau: float, direction: Array, h: float) -> Evidence:
    """prox_J is not prox_{tau J}."""
    theta = J.prox(v)
    other = theta + h * direction
    best = square(theta - v) / 2 + tau * J.value(theta) + square(other - theta) / 2
    return at_most(best, square(other - v) / 2 + tau * J.value(other), (1 + tau) * size(J, theta, v))


@claim("Definition 4.13", reading="stronger", given={**PROX, "w": POINT}, code=(Regularizer.prox,))
def prox_is_firmly_nonexpansive(J: Any, v: Array, w: Array, tau: float) -> Evidence:
    """|P v - P w|^2 <= <P v - P w, v - w>, hence |P v - P w| <= |v - w|."""
    moved = J.prox(v, tau) - J.prox(w, tau)
    return at_most(square(moved), float(moved @ (v - w)), 1 + square(v) + square(w))


prox_is_firmly_nonexpansive.without("convexity, for l_1/2", J=st.just(SquareRoots()))


def optimality(J: Any, v: Array, tau: float, factor: float) -> Evidence:
    """(v - theta) / factor in dJ(theta) for theta = prox_{tau J}(v)."""
    theta = J.prox(v, tau)
    p = (v - theta) / factor
    return member(
        J.subdifferential_distance(p, theta), 1 + float(np.linalg.norm(p) + np.linalg.norm(v) / factor), k=256
    )


@claim(
    "Remark 4.14",
    given={"J": regularizers(), "v": POINT, "w": POINT, "tau": draw.positive(0.25, 4, 2)},
    cases=[{"J": L1(1.0), "v": np.full(N, 0.25), "w": np.full(N, -0.5), "tau": 1.0}],
    erratum=Erratum("the resolvent is a one-to-one mapping", "the resolvent is single-valued", "false"),
)
def resolvent_is_one_to_one(J: Any, v: Array, w: Array, tau: float) -> Evidence:
    """Different points have different images under (I + tau dJ)^-1."""
    return exactly(bool(np.any(J.prox(v, tau) != J.prox(w, tau)) or np.array_equal(v, w)))


@claim(
    "Remark 4.14",
    reading="corrected",
    given={**PROX, "u": POINT},
    code=(Regularizer.prox, Regularizer.subdifferential_distance),
)
def resolvent_is_single_valued(J: Any, v: Array, u: Array, tau: float) -> Evidence:
    """theta = prox_{tau J}(v) satisfies v - theta in tau dJ(theta), and theta is the *only* image of all theta + tau p
    with p in dJ(theta): the resolvent is a function."""
    theta, p = subgradient_at(J, u)
    back = equal(J.prox(theta + tau * p, tau), theta, 1 + float(np.max(np.abs(theta))) + tau * float(np.max(np.abs(p))))
    return all_of(optimality(J, v, tau, tau), back)


resolvent_is_single_valued.without("convexity, for l_1/2", J=st.just(SquareRoots()))


@resolvent_is_single_valued.twin("v - theta in dJ(theta), tau forgotten")
def resolvent_without_tau(J: Any, v: Array, u: Array, tau: float) -> Evidence:
    """The residual belongs to tau dJ."""
    return optimality(J, v, tau, 1.0)


LASSO = {
    "A": draw.arrays((3, 3), -2, 2, 1),
    "f": draw.arrays(3),
    "lam": LAM,
    "tau": draw.positive(0.0625, 2, 4),
}


def fixed_point(A: Array, f: Array, lam: float, tau: float, threshold: float) -> Evidence:
    """The lasso minimiser stays where it is under theta -> soft shrinkage(theta - tau grad L(theta))."""
    theta = lasso(A, f, lam)
    gradient = A.T @ (A @ theta - f)
    optimizer = ProximalGradient(L1(threshold / tau), tau)
    after = optimizer.step(optimizer.init(theta), gradient).theta
    return equal(after, theta, 1 + float(np.abs(theta).sum()) * (1 + np.abs(A).sum() ** 2), k=256)


@claim(
    "(4.6)",
    given=LASSO,
    cases=[{"A": np.eye(3), "f": np.full(3, 4.0), "lam": 1.0, "tau": 0.5}],
    erratum=Erratum(
        "soft shrinkage(theta - tau grad L), the operator of Example 4.15 with lambda",
        "the threshold is tau lambda: prox_{tau lambda |.|_1}(theta^(k) - tau grad L(theta^(k)))",
        "wrong constant",
    ),
)
def lasso_is_a_fixed_point_of_the_printed_step(A: Array, f: Array, lam: float, tau: float) -> Evidence:
    """Minimisers of L + lam |.|_1 are fixed points of (4.6) with the shrinkage by lam."""
    return fixed_point(A, f, lam, tau, lam)


@claim("(4.6)", reading="corrected", given=LASSO, code=(ProximalGradient, lasso))
def lasso_is_a_fixed_point(A: Array, f: Array, lam: float, tau: float) -> Evidence:
    """Minimisers of L + lam |.|_1 are fixed points of (4.6) with the shrinkage by tau lam."""
    return fixed_point(A, f, lam, tau, tau * lam)


@lasso_is_a_fixed_point.twin("no shrinkage", cases=[{"A": np.eye(3), "f": np.full(3, 4.0), "lam": 1.0, "tau": 0.5}])
def lasso_is_a_fixed_point_of_gradient_descent(A: Array, f: Array, lam: float, tau: float) -> Evidence:
    """Gradient descent leaves the lasso minimiser."""
    return fixed_point(A, f, lam, tau, 0.0)
