"""Section 4.2.1: Lipschitz quotients, Remark 4.8, Algorithms 1 and 2."""

from typing import Any

import numpy as np

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, equal, exactly, vacuous
from refimpl.numerics import compare
from refimpl.robustness import (
    ascend,
    exact_lipschitz,
    lipschitz_estimate,
    quotient,
    quotient_gradient,
)
from refimpl.setting import Dense, MaxPool2d, Network, mlp

Array = np.ndarray

WIDE = mlp([1, 3, 1])
ONES = np.array([1.0, 1, 1, 0, 0, 0, 1, 1, 1, 0])
PAIRS = {"theta": draw.arrays(WIDE.size, -2, 2, 2), "x": draw.arrays((4, 1), -2, 2), "xbar": draw.arrays((4, 1), -2, 2)}


@claim("4.2.1 Lipschitz quotient", given=PAIRS, code=(quotient, lipschitz_estimate, exact_lipschitz), examples=60)
def estimates_from_below(theta: Array, x: Array, xbar: Array) -> Evidence:
    """Lip(f; X_Lip) <= Lip(f), and it grows with the set of pairs."""
    whole = lipschitz_estimate(WIDE, theta, x, xbar)
    part = lipschitz_estimate(WIDE, theta, x[:2], xbar[:2])
    size = 64 / max(float(np.abs(x - xbar)[x != xbar].min(initial=np.inf)), 2.0**-4)  # rounding over the distance
    return all_of(at_most(whole, exact_lipschitz(WIDE, theta), size), at_most(part, whole, size, ratio=0.0))


APART = {"theta": ONES, "x": np.array([[1.0], [0], [0], [0]]), "xbar": np.array([[0.0], [0], [0], [0]])}


@estimates_from_below.twin("the quotient inverted", cases=[APART | {"theta": ONES / 4}])
def inverted_quotient(theta: Array, x: Array, xbar: Array) -> Evidence:
    values = quotient(WIDE, theta, x, xbar)
    inverted = np.max(1 / values[values > 0], initial=0)
    return at_most(float(inverted), exact_lipschitz(WIDE, theta), 64.0)


@claim(
    "4.2.1 Lipschitz quotient",
    given=PAIRS,
    cases=[{"theta": ONES, "x": np.zeros((4, 1)), "xbar": np.zeros((4, 1))}],
    erratum=Erratum(
        "the maximum is over any finite X_Lip in X x X",
        "over pairs with x != xbar: a coincident pair makes the quotient 0/0",
        "missing hypothesis",
    ),
    code=(quotient,),
)
def quotient_of_coincident_pairs(theta: Array, x: Array, xbar: Array) -> Evidence:
    """The formula |f(x) - f(xbar)| / |x - xbar| gives a number for every pair."""
    values = np.abs(WIDE(theta, x) - WIDE(theta, xbar)) / np.abs(x - xbar)
    return exactly(bool(np.isfinite(values).all()))


MATRIX = {
    "W": draw.arrays((2, 2), -2, 2),
    "x": draw.arrays((1, 2), -2, 2),
    "xbar": draw.arrays((1, 2), -2, 2),
}
LINEAR = Network([Dense(2, 2, bias=False)])
GENERIC = {"W": np.array([[2.0, 0], [0, 1]]), "x": np.array([[1.0, 1]]), "xbar": np.zeros((1, 2))}


@claim("4.2.1 Lipschitz quotient", given=MATRIX, cases=[GENERIC], code=(quotient_gradient,), examples=60)
def gradients_of_the_quotient(W: Array, x: Array, xbar: Array) -> Evidence:
    """For f(x) = W x and D = x - xbar, L = |W D| / |D| has the gradients W^T W D / (|W D| |D|) - L D / |D|^2 in x,
    the opposite one in xbar, and W D D^T / (|W D| |D|) in W; L = 0 has the gradient 0 and x = xbar never NaN."""
    return _gradients(W, x, xbar, power=1)


@gradients_of_the_quotient.twin("the squared quotient")
def gradients_of_the_squared_quotient(W: Array, x: Array, xbar: Array) -> Evidence:
    return _gradients(W, x, xbar, power=2)


def _gradients(W: Array, x: Array, xbar: Array, power: int) -> Evidence:
    got = quotient_gradient(LINEAR, W.ravel(), x, xbar, power=power)
    assert got.x is not None and got.xbar is not None and got.theta is not None
    D = (x - xbar)[0]
    image, length = W @ D, float(np.linalg.norm(D))
    size = float(np.linalg.norm(image))
    if size == 0:
        return exactly(not (got.x.any() or got.xbar.any() or got.theta.any() or got.values.any()))
    in_x = W.T @ image / (size * length) - size * D / length**3
    in_W = np.outer(image, D) / (size * length)
    scale = 16 * compare.magnitude(W) * max(1.0, compare.magnitude(W)) * (1 + 1 / length) ** 2 / min(size, 1.0)
    return all_of(
        equal(got.x[0], in_x, scale),
        equal(got.xbar[0], -in_x, scale),
        equal(got.theta, in_W.ravel(), scale),
    )


TIES = {"a": draw.dyadic(-4, 4), "b": draw.dyadic(-4, 4), "gap": draw.dyadic(-2, 2)}


@claim("Remark 4.8", given=TIES, cases=[{"a": 1.0, "b": -1.0, "gap": 0.0}], code=(MaxPool2d,))
def gradient_of_a_maximum(a: float, b: float, gap: float) -> Evidence:
    """max(f, g) has the gradient of the larger function; at a tie the right derivative is the larger one, the left the
    smaller, and the pooling layer passes the gradient to one of the two entries (the first).

    f(t) = a t + gap and g(t) = b t at t = 0. (The text lets f and g map into any Y; a maximum needs real values.)
    """
    return _maximum(a, b, gap, lambda p: MaxPool2d((1, 2)).backward({}, _pooled(p), np.ones((1, 1, 1, 1)))[0].ravel())


@gradient_of_a_maximum.twin("the mean of both gradients at a tie")
def mean_of_the_gradients(a: float, b: float, gap: float) -> Evidence:
    return _maximum(a, b, gap, lambda p: (p == p.max()) / np.sum(p == p.max()))


def _pooled(pair: Array) -> Any:
    return MaxPool2d((1, 2)).forward({}, pair.reshape(1, 1, 1, 2))[1]


def _maximum(a: float, b: float, gap: float, chosen: Any) -> Evidence:
    h = 2.0**-10  # no further crossing within h: gaps are multiples of 1/16, slopes at most 4

    def value(t: float) -> float:
        return max(a * t + gap, b * t)

    right, left = (value(h) - value(0.0)) / h, (value(0.0) - value(-h)) / h
    weights = chosen(np.array([gap, 0.0]))
    slope = float(weights @ np.array([a, b]))
    tie = (max(a, b), min(a, b)) if gap == 0 else ((a, a) if gap > 0 else (b, b))
    return exactly((right, left) == tie and sorted(weights) == [0, 1] and slope in tie)


SPIN = MATRIX | {"h": draw.positive(1 / 8, 1, 3)}


@claim("4.2.1 Algorithm 1", given=SPIN, cases=[GENERIC | {"h": 1.0}], code=(ascend,), examples=60)
def ascent_raises_the_quotient(W: Array, x: Array, xbar: Array, h: float) -> Evidence:
    """For f(x) = W x and steps tau <= |D|^2 / (2 L^2) one step of Algorithm 1 never lowers L, nor |x - xbar|."""
    return _ascent(W, x, xbar, h)


ascent_raises_the_quotient.without(
    "small tau",
    cases=[{"W": np.array([[2.0, 0], [0, 1]]), "x": np.array([[8.0, 1]]), "xbar": np.zeros((1, 2)), "h": 400.0}],
    h=draw.dyadic(256, 512, 0),
)


@ascent_raises_the_quotient.twin("a step down the gradient")
def descent_of_the_quotient(W: Array, x: Array, xbar: Array, h: float) -> Evidence:
    return _ascent(W, x, xbar, -h)


def _ascent(W: Array, x: Array, xbar: Array, h: float) -> Evidence:
    before = float(quotient(LINEAR, W.ravel(), x, xbar)[0])
    apart = float(np.sum((x - xbar) ** 2))
    if before == 0:
        return vacuous("L = 0: no direction to ascend")
    tau = h * apart / (2 * before**2)
    after = ascend(LINEAR, W.ravel(), x, xbar, tau)
    size = 64 * (1 + compare.magnitude(W)) ** 2 * (1 + tau)
    distance = float(np.sum((after.x - after.xbar) ** 2))
    return all_of(at_most(before, float(after.values[0]), size), at_most(apart, distance, size))


@claim("4.2.1 Algorithm 1", given={"W": MATRIX["W"]}, cases=[{"W": GENERIC["W"]}], code=(ascend,), examples=12)
def ascent_finds_the_operator_norm(W: Array) -> Evidence:
    """For f(x) = W x the accepted steps of Algorithm 1 lead to Lip(f) = |W|_2."""
    return _limit(W, steps=200)


@ascent_finds_the_operator_norm.twin("no steps")
def no_ascent(W: Array) -> Evidence:
    return _limit(W, steps=0)


def _limit(W: Array, steps: int) -> Evidence:
    largest, smallest = np.linalg.svd(W, compute_uv=False)
    if largest < 1.25 * smallest:
        return vacuous("nearly equal singular values: every direction is nearly the best")
    x, xbar = np.array([[0.5, 0.25], [0.25, -0.5]]), np.zeros((2, 2))
    found = ascend(LINEAR, W.ravel(), x, xbar, 0.25, steps, rule="accept")
    return equal(found.values.max(), largest, 1 + largest, k=2**20)  # the last steps refuse gains below rounding


CHEAP = {
    "theta": draw.arrays(WIDE.size, -2, 2, 2),
    "x": draw.arrays((2, 1), -2, 2),
    "xbar": draw.arrays((2, 1), -2, 2),
    "tau": draw.positive(1 / 8, 1, 3),
}
BENT = {
    "theta": np.array([1.0, 1, 1, 0, -0.5, -1, 1, 1, 1, 0]),
    "x": np.array([[0.75], [0.75]]),
    "xbar": np.array([[0.25], [0.25]]),
    "tau": 1.0,
}


@claim(
    "4.2.1 Algorithm 2",
    given=CHEAP,
    cases=[BENT],
    erratum=Erratum(
        "the gradients computed for the ascent on the pairs serve for theta as well",
        "they belong to the old pairs; the step in theta is printed after the update of X_Lip and needs a new pass",
        "missing hypothesis",
    ),
    code=(quotient_gradient, ascend),
)
def gradients_reused_for_theta(theta: Array, x: Array, xbar: Array, tau: float) -> Evidence:
    """The gradient of Lip(f; X_Lip) in theta at the old pairs is the one at the updated pairs."""
    moved = ascend(WIDE, theta, x, xbar, tau)
    return _reused(theta, x, xbar, moved.x, moved.xbar)


@claim("4.2.1 Algorithm 2", given=CHEAP, cases=[BENT], reading="corrected", code=(quotient_gradient,), examples=60)
def gradients_shared_at_the_same_pairs(theta: Array, x: Array, xbar: Array, tau: float) -> Evidence:
    """One forward and backward pass gives the gradients in x, xbar and theta at the same pairs."""
    return _reused(theta, x, xbar, x, xbar)


@gradients_shared_at_the_same_pairs.twin("pairs that moved in between")
def gradients_at_moved_pairs(theta: Array, x: Array, xbar: Array, tau: float) -> Evidence:
    return _reused(theta, x, xbar, x + tau, xbar)


def _reused(theta: Array, x: Array, xbar: Array, new_x: Array, new_xbar: Array) -> Evidence:
    both = quotient_gradient(WIDE, theta, x, xbar)
    alone = quotient_gradient(WIDE, theta, new_x, new_xbar, need="parameters")
    return equal(both.theta, alone.theta, 64.0)
