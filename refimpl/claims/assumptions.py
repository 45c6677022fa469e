"""Section 4.3.4: what the convergence theorems assume of gradients, regularizer and loss (Assumptions 4.19 to 4.23)."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, equal, exactly
from refimpl.claims.noise import (
    DIMENSION,
    Cosine,
    Noise,
    Quadratic,
    biased,
    noises,
    problems,
    quadratics,
    regularizers,
    square,
)
from refimpl.setting import Dense, Network, Tanh
from refimpl.sparsity import L1, ElasticNet, Regularizer, SquaredL2, bregman_distance

Array = np.ndarray


def least_squares_variance(A: Array, y: Array, theta: Array) -> float:
    """E |g - grad L|^2 for L = 1/(2N) |A theta - y|^2 and g the gradient of one row drawn uniformly."""
    g = A * (A @ theta - y)[:, None]
    return float(np.mean(np.sum((g - g.mean(axis=0)) ** 2, axis=1)))


@claim("Assumption 4.19", given=problems(), examples=30)
def bounded_variance(loss: Any, noise: Noise, v0: Array, **_: Any) -> Evidence:
    """The hypotheses can be met: additive noise of two outcomes is unbiased and has one variance for all theta."""
    mean = sum(p * (loss.gradient(v0) + xi) for p, xi in noise.outcomes)
    spread = sum(p * square(loss.gradient(v0) + xi - loss.gradient(v0)) for p, xi in noise.outcomes)
    size = 1 + float(np.max(np.abs(noise.xi))) * noise.odds + float(np.max(np.abs(loss.gradient(v0))))
    return all_of(equal(mean, loss.gradient(v0), size), at_most(spread, noise.odds * square(noise.xi), size**2))


bounded_variance.without("a mean of zero", noise=biased(noises(), 1.0))

ROWS = {"A": draw.arrays((3, 2), bits=2), "y": draw.arrays(3, bits=2), "direction": draw.arrays(2, bits=2)}
DIFFERENT = ROWS["A"].filter(lambda A: np.linalg.matrix_rank(A) == 2)


@claim(
    "(4.23)",
    reading="stronger",
    given={**ROWS, "A": DIFFERENT, "direction": ROWS["direction"].filter(np.any), "sigma": draw.positive(1, 2**20, 0)},
    cases=[{"A": np.eye(3, 2), "y": np.ones(3), "direction": np.ones(2), "sigma": 2.0**20}],
    examples=50,
)
def no_uniform_variance_for_least_squares(A: Array, y: Array, direction: Array, sigma: float) -> Evidence:
    """For minibatch least squares with rows of different a_i a_i^T no sigma satisfies (4.23): along a ray
    theta = t d the variance grows like t^2. Dyadic data make the comparison exact."""
    return exactly(least_squares_variance(A, y, 2.0**60 * direction) > sigma**2)


no_uniform_variance_for_least_squares.without("rows of different a_i a_i^T", A=st.just(np.ones((3, 2))))


@claim("Remark 4.20", given=problems(), examples=40)
def bounded_gradients_bound_the_variance(loss: Any, noise: Noise, v0: Array, **_: Any) -> Evidence:
    """E |g - grad L|^2 <= E |g|^2, so bounded gradients imply bounded variance with the same constant."""
    second = sum(p * square(loss.gradient(v0) + xi) for p, xi in noise.outcomes)
    return at_most(noise.variance, second, 1 + 4 * second)


@bounded_gradients_bound_the_variance.twin("bounded variance implies bounded gradients")
def bounded_variance_bounds_gradients(loss: Any, noise: Noise, v0: Array, **_: Any) -> Evidence:
    """The converse with the same constant."""
    second = sum(p * square(loss.gradient(v0) + xi) for p, xi in noise.outcomes)
    return at_most(second, noise.variance, 1 + 4 * second)


@claim(
    "Remark 4.20",
    reading="stronger",
    given={"loss": quadratics(), "noise": noises(), "direction": draw.arrays(2).filter(np.any), "bound": st.just(2e6)},
    examples=40,
)
def strong_convexity_excludes_bounded_gradients(loss: Any, noise: Noise, direction: Array, bound: float) -> Evidence:
    """E |g|^2 >= mu^2 |theta - theta*|^2 for a mu-strongly convex loss, so no C bounds it on all of Theta."""
    theta = loss.minimizer + direction * 2.0**40
    second = sum(p * square(loss.gradient(theta) + xi) for p, xi in noise.outcomes)
    return exactly(second > bound)


strong_convexity_excludes_bounded_gradients.without("strong convexity", loss=st.just(Cosine(np.zeros(2))))


class OpenInterval(Regularizer):
    """The indicator of (0, 1]: convex and proper, not lower semicontinuous; its prox is the limit of minimising
    sequences, which may leave the domain."""

    def _value(self, theta: Array) -> float:
        return 0.0 if bool(np.all((theta > 0) & (theta <= 1))) else np.inf

    def _prox(self, v: Array, tau: Any) -> Array:
        return np.clip(v, 0, 1)

    def _subgradient(self, theta: Array) -> Array:
        return np.zeros_like(theta)

    def _nearest(self, p: Array, theta: Array) -> Array:
        return np.zeros_like(theta)


@claim(
    "Assumption 4.21",
    given={"J": regularizers(), "v": draw.arrays(DIMENSION), "other": draw.arrays(DIMENSION), "tau": draw.positive()},
    code=(Regularizer.prox,),
)
def prox_is_well_defined(J: Any, v: Array, other: Array, tau: float) -> Evidence:
    """For convex, proper, lower semicontinuous J the prox is attained, and every other point is worse by at least
    half its squared distance (so it is unique)."""
    theta = J.prox(v, tau)
    best = square(theta - v) / 2 + tau * J.value(theta)
    competitor = square(other - v) / 2 + tau * J.value(other)
    return at_most(best + square(other - theta) / 2, competitor, 1 + square(v) + square(other) + abs(best))


prox_is_well_defined.without("lower semicontinuity", cases=[], J=st.just(OpenInterval()), v=st.just(-np.ones(2)))

COSINES = st.builds(Cosine, draw.arrays(2))
PAIR = {"a": draw.arrays(DIMENSION), "b": draw.arrays(DIMENSION)}


@claim("Assumption 4.22", given={"loss": st.one_of(quadratics(), COSINES), **PAIR})
def losses_meet_the_assumption(loss: Any, a: Array, b: Array) -> Evidence:
    """The losses of these checks are nonnegative and below their quadratic upper bound
    L(b) + <grad L(b), a - b> + L/2 |a - b|^2, which a Lipschitz gradient implies."""
    upper = loss.value(b) + float(loss.gradient(b) @ (a - b)) + loss.L / 2 * square(a - b)
    size = 1 + loss.value(a) + loss.value(b) + loss.L * square(a - b)
    return all_of(at_most(0.0, loss.value(a), size), at_most(loss.value(a), upper, size))


losses_meet_the_assumption.without("the right constant L", loss=st.builds(Cosine, draw.arrays(2), st.just(-1.0)))


@claim("(4.24)", given={"loss": st.one_of(quadratics(), COSINES), **PAIR})
def gradient_is_lipschitz(loss: Any, a: Array, b: Array) -> Evidence:
    """|grad L(a) - grad L(b)| <= L |a - b|."""
    change = float(np.linalg.norm(loss.gradient(a) - loss.gradient(b)))
    return at_most(
        change, loss.L * float(np.linalg.norm(a - b)), 1 + loss.L * float(np.linalg.norm(a) + np.linalg.norm(b))
    )


@gradient_is_lipschitz.twin(
    "the mean eigenvalue for the largest",
    cases=[{"loss": Quadratic(np.diag([1.0, 3.0]), np.zeros(2)), "a": np.array([0.0, 1.0]), "b": np.zeros(2)}],
)
def gradient_is_lipschitz_on_average(loss: Any, a: Array, b: Array) -> Evidence:
    """A constant below L fails in the direction of the largest eigenvalue."""
    change = float(np.linalg.norm(loss.gradient(a) - loss.gradient(b)))
    return at_most(change, (loss.L + loss.mu) / 2 * float(np.linalg.norm(a - b)))


MODULUS = {"loss": quadratics(), "J": regularizers(), **PAIR}


def above_the_tangent(loss: Any, a: Array, b: Array, distance: float, nu: float) -> Evidence:
    """L(a) >= L(b) + <grad L(b), a - b> + nu * distance, the inequality of (4.25)."""
    tangent = loss.value(b) + float(loss.gradient(b) @ (a - b))
    size = 1 + loss.value(a) + loss.value(b) + abs(tangent) + abs(nu * distance)
    return at_most(tangent + nu * distance, loss.value(a), size, ratio=None)  # (4.25)


@claim(
    "Assumption 4.23",
    given=MODULUS,
    cases=[{"loss": Quadratic(np.eye(1), np.zeros(1)), "J": L1(4.0), "a": np.ones(1), "b": np.zeros(1)}],
    erratum=Erratum("nu D_J^p(., theta) with p in dH(theta)", "nu D_H^p(., theta)", "typo"),
)
def strong_convexity_with_the_distance_of_J(loss: Any, J: Any, a: Array, b: Array) -> Evidence:
    """With H = 1/2 |.|^2 the printed (4.25) holds for nu-strongly convex losses: D_J^p with p = theta in dH(theta)."""
    return above_the_tangent(loss, a, b, J.value(a) - J.value(b) - float(b @ (a - b)), loss.mu)


@claim("Assumption 4.23", reading="corrected", given=MODULUS, code=(bregman_distance,))
def strong_convexity_with_the_distance_of_H(loss: Any, J: Any, a: Array, b: Array) -> Evidence:
    """With D_H^p, H = 1/2 |.|^2, (4.25) is ordinary strong convexity and holds for quadratics with nu = mu."""
    return above_the_tangent(loss, a, b, float(bregman_distance(SquaredL2(1.0), a, b, b)), loss.mu)


strong_convexity_with_the_distance_of_H.without("convexity", loss=COSINES)


@claim("(4.25)", given={"loss": quadratics(), "delta": draw.positive(), "kappa": draw.positive(), **PAIR})
def strong_convexity_for_smooth_J(loss: Any, delta: float, kappa: float, a: Array, b: Array) -> Evidence:
    """For J = kappa/2 |.|^2 and H = J_delta, (4.25) holds with nu = mu / (1/delta + kappa)."""
    H = ElasticNet(SquaredL2(kappa), delta)
    return above_the_tangent(
        loss, a, b, float(bregman_distance(H, a, b, H.subgradient(b))), loss.mu / (1 / delta + kappa)
    )


@strong_convexity_for_smooth_J.twin("nu = mu delta, the curvature of J forgotten")
def strong_convexity_without_kappa(loss: Any, delta: float, kappa: float, a: Array, b: Array) -> Evidence:
    """nu = mu delta is the modulus for J = 0 only."""
    H = ElasticNet(SquaredL2(kappa), delta)
    return above_the_tangent(loss, a, b, float(bregman_distance(H, a, b, H.subgradient(b))), loss.mu * delta)


@claim("Remark 4.25", given={"seed": draw.seeds()}, cases=[{"seed": 0}], examples=20)
def networks_are_not_convex(seed: int) -> Evidence:
    """With a hidden tanh layer without bias, theta and -theta give the same network, and 0 the zero network: where
    theta fits data that are not zero, the middle of two minimisers is worse than both, so no nu satisfies (4.25)."""
    return _midpoint(Network([Dense(2, 2, bias=False), Tanh(), Dense(2, 1, bias=False)]), seed)


def _midpoint(network: Network, seed: int) -> Evidence:
    theta, x = draw.uniform(seed, network.init(0).size), draw.uniform(seed + 1, (4, 2))
    y = network(theta, x)
    loss = [float(np.mean((network(t, x) - y) ** 2)) for t in (theta, 0 * theta, -theta)]
    return exactly(loss[1] > (loss[0] + loss[2]) / 2)


@networks_are_not_convex.twin("a network without hidden layer")
def linear_networks_are_not_convex(seed: int) -> Evidence:
    """A single linear layer has a convex squared loss."""
    return _midpoint(Network([Dense(2, 1, bias=False)]), seed)
