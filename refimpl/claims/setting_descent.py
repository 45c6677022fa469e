"""Section 4.1.2: stochastic gradients, gradient descent and its stochastic version."""

from itertools import islice, pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Evidence, all_of, at_most, claim, equal, member, vacuous
from refimpl.numerics import compare
from refimpl.setting import (
    Dense,
    GradientEstimator,
    Network,
    SquaredError,
    Tanh,
    batch_gradient,
    gradient_descent,
    risk_and_gradient,
    sgd,
)
from refimpl.setting.risk import proportional, reshuffled, subsets, uniform, with_replacement

Array = np.ndarray


NEURON = Network([Dense(1, 1), Tanh()])
SCHEMES = {
    "subsets": subsets,
    "with replacement": with_replacement,
    "reshuffled": reshuffled,
    "partition, by size": lambda n, size: proportional([range(size), range(size, n)] if size < n else [range(n)]),
}
BATCHES = {
    "theta": draw.arrays(2, -2, 2),
    "x": draw.arrays((3, 1), -2, 2),
    "y": draw.arrays((3, 1), -2, 2),
    "size": st.integers(1, 3),
}
UNEVEN = {"theta": np.array([0.5, 0.0]), "x": np.array([[1.0], [1], [2]]), "y": np.zeros((3, 1)), "size": 2}
UNEVEN_SCHEME = {**UNEVEN, "scheme": "reshuffled"}


def estimator(x: Array, y: Array, outcomes: Any) -> GradientEstimator:
    """The minibatch gradient of the squared error of one tanh neuron."""
    return GradientEstimator(batch_gradient(NEURON, SquaredError(), x, y), outcomes)


def unbiased(theta: Array, x: Array, y: Array, outcomes: Any) -> Evidence:
    """E g(theta; omega) = grad L(theta)."""
    full = risk_and_gradient(NEURON, SquaredError(), theta, x, y)[1]
    return equal(estimator(x, y, outcomes).expectation(theta), full, 16.0)


@claim(
    "4.1.2 unbiased estimator",
    given={**BATCHES, "scheme": st.sampled_from(sorted(SCHEMES))},
    cases=[UNEVEN_SCHEME],
    code=(GradientEstimator, batch_gradient, subsets, with_replacement, reshuffled, proportional),
    examples=40,
)
def minibatch_gradient_is_unbiased(theta: Array, x: Array, y: Array, size: int, scheme: str) -> Evidence:
    """E g(theta; omega) = grad L(theta), exactly, for random subsets, samples with replacement, a random batch of a
    shuffled partition (even with a smaller last batch), and batches of a fixed partition drawn with weight |B|."""
    return unbiased(theta, x, y, SCHEMES[scheme](3, size))


@minibatch_gradient_is_unbiased.twin("a fixed partition into unequal batches, each equally likely")
def fixed_unequal_partition(theta: Array, x: Array, y: Array, size: int, scheme: str) -> Evidence:
    return unbiased(theta, x, y, uniform([(0, 1), (2,)]))


@minibatch_gradient_is_unbiased.twin("the second batch of an epoch, given the first")
def second_batch_given_the_first(theta: Array, x: Array, y: Array, size: int, scheme: str) -> Evidence:
    return unbiased(theta, x, y, uniform([(1, 2), (2, 1)]))


QUADRATIC = {"B": draw.arrays((2, 2), -2, 2), "theta": draw.arrays(2, -2, 2), "share": draw.dyadic(1 / 16, 1)}
ROUND = {"B": np.eye(2), "theta": np.ones(2), "share": 1.0}
OVERSHOOT = {"B": np.eye(2), "theta": np.ones(2), "share": 2.5}


@claim("4.1.2 gradient descent", given=QUADRATIC, cases=[ROUND], code=(gradient_descent,))
def descent_lowers_a_smooth_loss(B: Array, theta: Array, share: float) -> Evidence:
    """theta+ = theta - tau grad L(theta) gives L(theta+) <= L(theta) - tau/2 |grad L(theta)|^2 if tau <= 1/L, L the
    Lipschitz constant of the gradient; here L(theta) = <theta, (B + B^T) theta> / 2, convex or not, tau = share / L."""
    A = B + B.T
    L = float(np.abs(np.linalg.eigvalsh(A)).max())
    if L == 0:
        return vacuous("constant loss")
    tau = share / L
    path = list(islice(gradient_descent(lambda t: A @ t, theta, tau), 4))
    pairs = list(pairwise(path))
    recursion = [equal(after, now - tau * (A @ now), compare.magnitude(theta)) for now, after in pairs]
    return all_of(*recursion, *(_decrease(A, L, tau, now, after) for now, after in pairs))


def _decrease(A: Array, L: float, tau: float, now: Array, after: Array) -> Evidence:
    fall = 0.5 * float(now @ A @ now - after @ A @ after)
    return at_most(tau / 2 * float(np.sum((A @ now) ** 2)), fall, L * float(now @ now + after @ after))


descent_lowers_a_smooth_loss.without("tau <= 1/L", cases=[OVERSHOOT], share=draw.dyadic(2.25, 4))


@claim(
    "4.1.2 gradient descent",
    given={**BATCHES, "tau": draw.positive(1 / 16, 1), "seed": draw.seeds()},
    cases=[{**UNEVEN, "tau": 0.5, "seed": 0}],
    code=(sgd, GradientEstimator),
    examples=30,
)
def sgd_steps_along_the_drawn_gradients(theta: Array, x: Array, y: Array, size: int, tau: float, seed: int) -> Evidence:
    """theta_{k+1} = theta_k - tau g(theta_k; omega) for an omega of the law, drawn anew in every step, so that
    E theta_{k+1} = theta_k - tau grad L(theta_k)."""
    return _sgd(theta, x, y, size, tau, seed, sign=-1.0)


@sgd_steps_along_the_drawn_gradients.twin("ascent in place of descent")
def sgd_ascends(theta: Array, x: Array, y: Array, size: int, tau: float, seed: int) -> Evidence:
    return _sgd(theta, x, y, size, tau, seed, sign=1.0)


def _sgd(theta: Array, x: Array, y: Array, size: int, tau: float, seed: int, sign: float) -> Evidence:
    g = estimator(x, y, subsets(3, size))
    path = list(islice(sgd(g, theta, tau, rng=seed), 4))
    parts = []
    for now, after in pairwise(path):
        reachable = [(p, now + sign * tau * g.gradient(now, batch)) for p, batch in g.outcomes]
        distance = min(float(np.abs(after - point).max()) for _, point in reachable)
        full = risk_and_gradient(NEURON, SquaredError(), now, x, y)[1]
        mean = sum(p * point for p, point in reachable)
        parts += [member(distance, 16.0), equal(mean, now - tau * full, 16.0 + compare.magnitude(now))]
    return all_of(*parts)
