"""Exact expectations along stochastic Bregman iterations: every outcome of the noise, step by step (Section 4.3.4).

The noise has two outcomes of mean zero, so k steps of (4.21) reach 2^k states, and E[.] is a finite sum.
The steps themselves are those of the optimizer under test.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.sparsity import (
    L1,
    Box,
    ElasticNet,
    GroupL2,
    LinBreg,
    SquaredL2,
    Zero,
    bregman_distance,
    symmetric_bregman_distance,
)

Array = np.ndarray
DIMENSION = 2


class Loss(Protocol):
    """A differentiable loss: its Lipschitz constant, modulus of convexity and minimiser belong to it."""

    @property
    def minimizer(self) -> Array:
        """Where it is 0."""

    @property
    def L(self) -> float:
        """The Lipschitz constant of the gradient (4.24)."""

    @property
    def mu(self) -> float:
        """The modulus of strong convexity."""

    def value(self, theta: Array) -> float:
        """The loss, >= 0, and 0 at the minimiser."""

    def gradient(self, theta: Array) -> Array:
        """Its gradient."""


@dataclass(frozen=True)
class Quadratic:
    """1/2 <e, H e> with e = theta - minimizer: mu and L are the extreme eigenvalues of H."""

    H: Array
    minimizer: Array

    @property
    def L(self) -> float:
        """The Lipschitz constant of the gradient."""
        return float(np.linalg.eigvalsh(self.H)[-1])

    @property
    def mu(self) -> float:
        """The modulus of strong convexity."""
        return float(np.linalg.eigvalsh(self.H)[0])

    def value(self, theta: Array) -> float:
        """1/2 <e, H e>."""
        e = theta - self.minimizer
        return float(e @ self.H @ e) / 2

    def gradient(self, theta: Array) -> Array:
        """H e."""
        return self.H @ (theta - self.minimizer)


@dataclass(frozen=True)
class Cosine:
    """L sum_i (1 - cos e_i): smooth with constant L and not convex, whatever ``mu`` says."""

    minimizer: Array
    L: float = 1.0
    mu: float = 1.0

    def value(self, theta: Array) -> float:
        """L sum_i (1 - cos e_i)."""
        return float(np.sum(1 - np.cos(theta - self.minimizer))) * self.L

    def gradient(self, theta: Array) -> Array:
        """L sin e_i."""
        return self.L * np.sin(theta - self.minimizer)


@dataclass(frozen=True)
class Ramp:
    """L/2 sum_i max(|e_i| - flat, 0)^2: convex, smooth with constant L, zero on a box around the minimiser."""

    minimizer: Array
    flat: float
    L: float = 1.0
    mu: float = 0.0

    def value(self, theta: Array) -> float:
        """L/2 |gradient / L|^2."""
        g = self.gradient(theta)
        return float(g @ g) / (2 * self.L)

    def gradient(self, theta: Array) -> Array:
        """L sign(e_i) max(|e_i| - flat, 0)."""
        e = theta - self.minimizer
        return self.L * np.sign(e) * np.maximum(np.abs(e) - self.flat, 0)


class Noise(NamedTuple):
    """Two outcomes of mean zero: odds * xi with probability 1/(1 + odds), else -xi; ``bias`` is added to both."""

    xi: Array
    odds: int = 1
    bias: float = 0.0

    @property
    def outcomes(self) -> list[tuple[float, Array]]:
        """(probability, value) of each outcome."""
        p = 1 / (1 + self.odds)
        return [(p, self.xi * (self.odds + self.bias)), (1 - p, self.xi * (self.bias - 1))]

    @property
    def variance(self) -> float:
        """E |noise|^2 = sigma^2 (4.23)."""
        return float(sum(p * (xi @ xi) for p, xi in self.outcomes))  # (4.23)


class Transition(NamedTuple):
    """One step of the tree: its probability, the states before and after."""

    probability: float
    now: Any
    next: Any


Level = list[Transition]


def started(optimizer: Any, J: Any, v0: Array, kick: float = 0.0) -> Any:
    """A state with theta_0 = prox_{delta J}(delta v0); ``kick`` then moves v0 off the subdifferential."""
    theta = J.prox(optimizer.delta * v0, optimizer.delta)
    return optimizer.init(theta)._replace(v=v0 + kick)


def noise_tree(
    loss: Loss, J: Any, delta: float, taus: Sequence[float], noise: Noise, v0: Array, kick: float = 0.0
) -> list[Level]:
    """All transitions of LinBreg (4.21) with gradients grad L + noise: one level for each step size in ``taus``.

    ``v0`` is any start: theta_0 = prox_{delta J}(delta v0), so v0 is a subgradient of J_delta there (4.19b).
    """
    levels: list[Level] = []
    states = [(1.0, started(LinBreg(J, taus[0], delta), J, v0, kick))]
    for tau in taus:
        step = LinBreg(J, tau, delta).step
        levels.append(
            [
                Transition(p * q, now, step(now, loss.gradient(now.theta) + xi))
                for p, now in states
                for q, xi in noise.outcomes
            ]
        )
        states = [(t.probability, t.next) for t in levels[-1]]
    return levels


def expect(level: Level, quantity: Callable[[Transition], float]) -> float:
    """E[quantity], the sum over all outcomes."""
    return float(sum(t.probability * quantity(t) for t in level))


def square(v: Array) -> float:
    """|v|^2."""
    return float(v @ v)


def moved(t: Transition) -> float:
    """|theta+ - theta|^2."""
    return square(t.next.theta - t.now.theta)


def subgradient(J: Any, delta: float, state: Any) -> Array:
    """p = v - theta/delta, which LinBreg keeps in dJ(theta); where it is not, J's own choice."""
    p = state.v - state.theta / delta
    size = 1 + float(np.max(np.abs(state.v), initial=0))
    inside = J.subdifferential_distance(p, state.theta) <= 64 * np.finfo(float).eps * size
    return p if inside else J.subgradient(state.theta)


def symmetric_distance(J: Any, delta: float) -> Callable[[Transition], float]:
    """The transition's D_J^sym(theta+, theta) (4.10) with the subgradients that LinBreg carries."""

    def distance(t: Transition) -> float:
        pa, pb = subgradient(J, delta, t.next), subgradient(J, delta, t.now)
        return float(symmetric_bregman_distance(J, t.next.theta, t.now.theta, pa, pb))

    return distance


def to_minimizer(loss: Loss, J: Any, delta: float) -> Callable[[Any], float]:
    """The state's D_{J_delta}^v(theta*, theta), whose expectation is d_k (4.27)."""
    elastic = ElasticNet(J, delta)
    return lambda state: float(bregman_distance(elastic, loss.minimizer, state.theta, state.v))


def magnitude(level: Level, loss: Loss, J: Any, delta: float, tau: float) -> float:
    """The size of the numbers that rounding acts on in one level: losses, distances and steps, over tau."""

    def size(t: Transition) -> float:
        thetas = [loss.minimizer, t.now.theta, t.next.theta]
        products = max(np.linalg.norm(s.v) for s in (t.now, t.next)) + 1
        reach = max(np.linalg.norm(x) for x in thetas)
        regularizers = sum(value for value in map(J.value, thetas) if value < np.inf)
        return float(reach * (products + reach / delta) + regularizers) / tau

    losses = max(loss.value(s.theta) for t in level for s in (t.now, t.next))
    return 1.0 + losses + max(map(size, level))


def quadratics(n: int = DIMENSION) -> st.SearchStrategy[Quadratic]:
    """Strongly convex quadratic losses in n dimensions: H = A A^T + mu I."""
    matrices = st.tuples(draw.arrays((n, n), -2, 2, 2), draw.positive(0.25, 2, 2))
    H = matrices.map(lambda am: am[0] @ am[0].T + am[1] * np.eye(n))
    return st.builds(Quadratic, H, draw.arrays(n))


def cosines(n: int = DIMENSION) -> st.SearchStrategy[Cosine]:
    """Smooth losses that are not convex, with minimisers at distance 2 pi."""
    return st.builds(Cosine, draw.arrays(n), draw.positive(0.25, 4, 2))


def regularizers() -> st.SearchStrategy[Any]:
    """Convex regularizers: none, smooth, l1, group norm, an indicator."""
    lam = draw.positive(0.25, 4, 2)
    return st.one_of(
        st.just(Zero()),
        lam.map(L1),
        lam.map(SquaredL2),
        lam.map(lambda lam: GroupL2(lam, groups=np.zeros(DIMENSION, int))),
        st.just(Box(-1.0, 1.0)),
    )


def noises(n: int = DIMENSION) -> st.SearchStrategy[Noise]:
    """Noise of two outcomes, even or skewed, possibly none."""
    return st.builds(Noise, draw.arrays(n, -3, 3, 3), st.sampled_from([1, 3]), st.just(0.0))


def biased(strategy: st.SearchStrategy[Noise], bias: float) -> st.SearchStrategy[Noise]:
    """The same noise with a mean: E g = grad L fails."""
    return strategy.map(lambda noise: Noise(noise.xi, noise.odds, bias))


def problems(**given: Any) -> dict[str, st.SearchStrategy[Any]]:
    """The strategies of a stochastic problem, to be overridden by name: loss, J, delta, noise, v0."""
    standard = {
        "loss": st.one_of(quadratics(), cosines()),
        "J": regularizers(),
        "delta": draw.positive(0.25, 4, 2),
        "noise": noises(),
        "v0": draw.arrays(DIMENSION),
    }
    return {**standard, **given}


def two_point_law(loss: Loss, J: Any, delta: float, taus: Sequence[float], sigma: float, v0: float) -> Array:
    """Exact E |theta_k - theta*|^2 of a one-dimensional run, as long as every step is affine on the paths reached.

    An affine step maps mean and variance of theta to mean and variance, whatever the law, so the law may be
    replaced by the two points mean -+ deviation. These two and the two outcomes -+ sigma of the noise make
    four coordinates, which one step of LinBreg moves at once (J separable, loss applied entrywise).

    Returns
    -------
    shape (len(taus) + 1,).
    """
    signs, noise = np.array([-1.0, -1.0, 1.0, 1.0]), sigma * np.array([-1.0, 1.0, -1.0, 1.0])
    state = started(LinBreg(J, taus[0], delta), J, np.full(4, v0))
    second = [np.mean((state.theta - loss.minimizer) ** 2)]
    for tau in taus:
        state = LinBreg(J, tau, delta).step(state, loss.gradient(state.theta) + noise)
        second.append(np.mean((state.theta - loss.minimizer) ** 2))
        v = np.mean(state.v) + signs * np.std(state.v)
        state = state._replace(theta=J.prox(delta * v, delta), v=v)
    return np.array(second)
