"""Section 4.2: adversarial training, and Remarks 4.4 and 4.6."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.special import betainc

from refimpl.claims import draw
from refimpl.claims.claim import Evidence, at_most, claim, equal, vacuous
from refimpl.robustness import (
    fgsm,
    product_bound,
)
from refimpl.setting import CrossEntropy, Dense, Network, Tanh, mlp, risk_and_gradient

Array = np.ndarray

ROBUST = {"w": draw.arrays(3, -2, 2), "x": draw.arrays(3, -2, 2), "eps": draw.positive(1 / 8, 1, 3)}
TILTED = {"w": np.array([1.0, -0.5, 0.25]), "x": np.array([1.0, 1, -1]), "eps": 0.5}


@claim("4.2 adversarial training", given=ROBUST, cases=[TILTED], code=(fgsm,), examples=60)
def gradient_at_the_inner_maximiser(w: Array, x: Array, eps: float) -> Evidence:
    """The gradient of theta -> max_{|xbar - x|_inf <= eps} l is the gradient at the maximiser (Danskin).

    For the logits (<w, x>, 0) the maximum is log(1 + exp(-m)) with m = <w, x> - eps |w|_1, and its gradient
    in w is -(x - eps sign w) / (1 + exp(m)).
    """
    return _danskin(w, x, eps, attacked=True)


@gradient_at_the_inner_maximiser.twin("the gradient at the clean input")
def gradient_at_the_clean_input(w: Array, x: Array, eps: float) -> Evidence:
    return _danskin(w, x, eps, attacked=False)


def _danskin(w: Array, x: Array, eps: float, attacked: bool) -> Evidence:
    if not w.all():
        return vacuous("a kink: some w_i = 0")
    network, theta, label = Network([Dense(3, 2, bias=False)]), np.concatenate([w, 0 * w]), np.array([0])
    at = fgsm(network, theta, x[None], label, eps, box=None).x if attacked else x[None]
    gradient = risk_and_gradient(network, CrossEntropy(), theta, at, label)[1][:3]
    m = w @ x - eps * np.abs(w).sum()
    return equal(gradient, -(x - eps * np.sign(w)) / (1 + np.exp(m)), 16.0)


TRANSPORT = {"losses": draw.arrays(6, 0, 4, 2), "radius": st.integers(0, 3)}


@claim("4.2 adversarial training", given=TRANSPORT, examples=30)
def robust_over_a_transport_ball(losses: Array, radius: int) -> Evidence:
    """The worst expectation over the ball W_inf(P, eps) is the mean of the pointwise maxima over the eps-balls.

    P is uniform on {0, ..., 5} with loss l_j at j; the left side is a linear program over all couplings.
    """
    return _transport(losses, radius, everywhere=True)


@robust_over_a_transport_ball.twin("the ball of W_1 in place of W_inf", cases=[{"losses": np.eye(6)[0], "radius": 1}])
def robust_over_the_other_ball(losses: Array, radius: int) -> Evidence:
    return _transport(losses, radius, everywhere=False)


def _transport(losses: Array, radius: int, everywhere: bool) -> Evidence:
    n = len(losses)
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n))).ravel()
    mass = np.kron(np.eye(n), np.ones(n))  # row sums of the coupling
    budget: dict[str, Any] = {"A_ub": distance[None], "b_ub": [radius]}
    if everywhere:
        budget = {"bounds": [(0, None if d <= radius else 0) for d in distance]}
    found = linprog(-np.tile(losses, n), A_eq=mass, b_eq=np.full(n, 1 / n), **budget)
    worst = [losses[max(0, i - radius) : i + radius + 1].max() for i in range(n)]
    return equal(-found.fun, np.mean(worst), 4.0, k=2**24)  # the accuracy of the linear program


@claim("Remark 4.4", given={"n": st.integers(2, 5000), "t": draw.positive(1 / 64, 1, 6)})
def caps_of_high_dimensional_spheres(n: int, t: float) -> Evidence:
    """On the sphere of R^n the part beyond distance t of a halfspace has measure at most exp(-n t^2 / 2).

    So a classifier that errs on half of the sphere errs near almost every point, whatever it is: small adversarial
    distances can be a property of the data. The measure of a cap is an exact incomplete beta function.
    """
    return _cap(n, t, 0.5)


@caps_of_high_dimensional_spheres.twin("exp(-n t^2): twice the rate", cases=[{"n": 100, "t": 0.25}])
def caps_at_twice_the_rate(n: int, t: float) -> Evidence:
    return _cap(n, t, 1.0)


def _cap(n: int, t: float, rate: float) -> Evidence:
    cap = 0.5 * betainc((n - 1) / 2, 0.5, 1 - t * t)
    return at_most(float(cap), float(np.exp(-rate * n * t * t)))


SMALL = mlp([2, 3, 2], Tanh())
INVERSE = {
    "theta": draw.arrays(SMALL.size, -1, 1),
    "target": draw.arrays(2, -2, 2),
    "rate": draw.positive(1 / 8, 7 / 8, 3),
}


@claim("Remark 4.6", given=INVERSE, code=(product_bound,), examples=60)
def residual_maps_are_inverted(theta: Array, target: Array, rate: float) -> Evidence:
    """If Lip(g) <= s < 1, the iteration z <- y - g(z) inverts x + g(x): after k steps the error is at most s^k of
    the first one."""
    return _inverted(theta, target, rate)


ROTATING = {"theta": np.ones(SMALL.size), "target": np.array([0.5, -0.25])}
residual_maps_are_inverted.without("Lip(g) < 1", cases=[ROTATING | {"rate": 40.0}], rate=draw.dyadic(16, 64, 1))


def _inverted(theta: Array, target: Array, rate: float) -> Evidence:
    bound = product_bound(SMALL, theta)
    if bound == 0:
        return vacuous("g is constant")

    def g(z: Array) -> Array:
        return SMALL(theta, z[None])[0] * (rate / bound)

    y, z, k = target + g(target), np.zeros(2), 12
    first = float(np.linalg.norm(z - target))
    for _ in range(k):
        z = y - g(z)
    size = 4 + float(np.abs(y).max())
    return at_most(float(np.linalg.norm(z - target)), min(rate, 1.0) ** k * first, size)
