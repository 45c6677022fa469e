"""Section 4.3.4: convergence of the iterates in norm (Theorem 4.27)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Evidence, all_of, at_most, claim, decays, equal
from refimpl.claims.noise import (
    Cosine,
    Level,
    Noise,
    Quadratic,
    biased,
    expect,
    magnitude,
    moved,
    noise_tree,
    noises,
    problems,
    quadratics,
    square,
    to_minimizer,
    two_point_law,
)
from refimpl.sparsity import L1, GroupL2, LinBreg, SquaredL2, Zero, bregman_distance

Array = np.ndarray
DEPTH = 3


def finite_regularizers() -> st.SearchStrategy[Any]:
    """Convex regularizers that are finite everywhere, so that J(theta*) < inf."""
    lam = draw.positive(0.25, 4, 2)
    return st.one_of(
        st.just(Zero()), lam.map(L1), lam.map(SquaredL2), lam.map(lambda lam: GroupL2(lam, groups=np.zeros(2, int)))
    )


CONVEX = problems(loss=quadratics(), J=finite_regularizers())
ONE_DIMENSIONAL: dict[str, Any] = {
    "loss": Quadratic(np.eye(1), np.zeros(1)),
    "J": Zero(),
    "delta": 1.0,
    "noise": Noise(np.ones(1)),
    "v0": np.ones(1),
}


def error(loss: Any, state: Any) -> float:
    """|theta* - theta|^2."""
    return square(loss.minimizer - state.theta)


def distances_along(
    problem: dict[str, Any], taus: Sequence[float], bound: Callable[[Level, float], tuple[float, float]]
) -> Evidence:
    """d_{k+1} + left <= d_k + right at every step of the noise tree, with (left, right) = bound(level, tau)."""
    loss, J, delta = problem["loss"], problem["J"], problem["delta"]
    d = to_minimizer(loss, J, delta)
    levels = noise_tree(loss, J, delta, taus, problem["noise"], problem["v0"], problem.get("kick", 0.0))
    parts = []
    for level, tau in zip(levels, taus):
        left, right = bound(level, tau)
        before, after = expect(level, lambda t: d(t.now)), expect(level, lambda t: d(t.next))
        size = (1 + tau * (loss.L + 1)) * magnitude(level, loss, J, delta, 1.0)
        parts.append(at_most(after + left, before + right, size))
    return all_of(*parts)


def printed_bound(problem: dict[str, Any]) -> Callable[[Level, float], tuple[float, float]]:
    """The terms of (4.27)."""
    loss, sigma = problem["loss"], float(np.sqrt(problem["noise"].variance))

    def bound(level: Level, tau: float) -> tuple[float, float]:
        left = loss.mu / 4 * tau * expect(level, lambda t: error(loss, t.next))
        return left, sigma / 2 * (tau**2 + expect(level, moved))  # (4.27)

    return bound


def small_steps(loss: Any, delta: float, share: float, drop: float) -> list[float]:
    """Decreasing steps with tau_0 = share mu / (2 delta L^2)."""
    return [share * loss.mu / (2 * delta * loss.L**2) * drop**k for k in range(DEPTH)]


STEPS = {"share": draw.positive(0.125, 1, 3), "drop": draw.positive(0.5, 1, 3)}


@claim(
    "(4.27)",
    given={**CONVEX, **STEPS},
    cases=[{**ONE_DIMENSIONAL, "share": 1.0, "drop": 1.0}],
    code=(LinBreg, bregman_distance),
    examples=60,
)
def bregman_distance_decreases(share: float, drop: float, **problem: Any) -> Evidence:
    """For mu-strongly convex losses (nu of Assumption 4.23 is the theorem's mu) and tau <= mu/(2 delta L^2):
    d+ - d + mu/4 tau E |theta* - theta+|^2 <= sigma/2 (tau^2 + E |theta - theta+|^2).

    From E <xi, theta+ - theta> <= sigma (E |theta+ - theta|^2)^(1/2) and Young's inequality; the two terms on the
    right have different units, so the bound is not covariant under theta -> a theta.
    """
    return distances_along(problem, small_steps(problem["loss"], problem["delta"], share, drop), printed_bound(problem))


QUIET = Noise(np.zeros(2))
bregman_distance_decreases.without(
    "convexity of the loss",
    cases=[
        {
            **ONE_DIMENSIONAL,
            "loss": Cosine(np.zeros(1)),
            "noise": Noise(np.zeros(1)),
            "v0": np.full(1, 2 * np.pi),
            "share": 1.0,
            "drop": 1.0,
        }
    ],
    loss=st.builds(Cosine, draw.arrays(2)),
    noise=st.just(QUIET),
)
bregman_distance_decreases.without(
    "tau <= mu/(2 delta L^2), at tau > 2/(delta L)",
    cases=[{**ONE_DIMENSIONAL, "noise": Noise(np.zeros(1)), "share": 8.0, "drop": 1.0}],
    share=st.just(32.0),
    noise=st.just(QUIET),
)


def relative_steps(loss: Any, delta: float, h: float) -> list[float]:
    """Equal steps with tau delta L = h."""
    return [h / (delta * loss.L)] * DEPTH


def sharp_bound(problem: dict[str, Any], factor: float = 0.5) -> Callable[[Level, float], tuple[float, float]]:
    """tau (1 - tau delta L) E L + mu/2 tau E |theta - theta*|^2 against delta/2 tau^2 sigma^2."""
    loss, delta = problem["loss"], problem["delta"]

    def bound(level: Level, tau: float) -> tuple[float, float]:
        gap = expect(level, lambda t: loss.value(t.now.theta))
        distance = expect(level, lambda t: error(loss, t.now))
        left = tau * (1 - tau * delta * loss.L) * gap + loss.mu / 2 * tau * distance
        return left, factor * delta * tau**2 * problem["noise"].variance

    return bound


RELATIVE = {**CONVEX, "h": draw.positive(0.125, 1, 3)}


@claim(
    "Theorem 4.27",
    reading="stronger",
    given=RELATIVE,
    cases=[{**ONE_DIMENSIONAL, "h": h} for h in (0.25, 1.0)],
    code=(LinBreg, bregman_distance),
    examples=60,
)
def bregman_distance_decreases_sharp(h: float, **problem: Any) -> Evidence:
    """For tau <= 1/(delta L), a bound 2 L/mu >= 2 times larger than the printed one: d+ + tau (1 - tau delta L)
    E [L(theta) - L(theta*)] + mu/2 tau E |theta - theta*|^2 <= d + delta/2 tau^2 sigma^2; an equality for
    L = L/2 x^2 and J = 0."""
    taus = relative_steps(problem["loss"], problem["delta"], h)
    return distances_along(problem, taus, sharp_bound(problem))


bregman_distance_decreases_sharp.without(
    "E g = grad L",
    cases=[{**ONE_DIMENSIONAL, "h": 0.5, "noise": Noise(np.ones(1), 1, -4.0)}],
    noise=biased(noises(), -4.0),
)
bregman_distance_decreases_sharp.without(
    "a start with v0 in dJ_delta(theta_0)",
    cases=[{**ONE_DIMENSIONAL, "h": 0.5, "J": L1(1.0), "v0": np.zeros(1), "kick": 4.0}],
    kick=st.sampled_from([-4.0, 4.0]),
)


@bregman_distance_decreases_sharp.twin("noise constant two percent smaller")
def bregman_distance_decreases_too_sharp(h: float, **problem: Any) -> Evidence:
    """delta/2 is attained, so 0.49 delta cannot hold."""
    taus = relative_steps(problem["loss"], problem["delta"], h)
    return distances_along(problem, taus, sharp_bound(problem, 0.49))


def two_sided_bound(problem: dict[str, Any], factor: float = 1.0) -> Callable[[Level, float], tuple[float, float]]:
    """mu/2 tau (E |theta* - theta+|^2 + E |theta* - theta|^2) against delta tau^2 sigma^2."""
    loss = problem["loss"]

    def bound(level: Level, tau: float) -> tuple[float, float]:
        both = expect(level, lambda t: error(loss, t.next) + error(loss, t.now))
        return loss.mu / 2 * tau * both, factor * problem["delta"] * tau**2 * problem["noise"].variance

    return bound


@claim(
    "Theorem 4.27",
    reading="stronger",
    given=RELATIVE,
    cases=[{**ONE_DIMENSIONAL, "h": 1.0}, {**ONE_DIMENSIONAL, "h": 1.0, "v0": np.zeros(1)}],
    code=(LinBreg, bregman_distance),
    examples=60,
)
def bregman_distance_decreases_two_sided(h: float, **problem: Any) -> Evidence:
    """For tau <= 1/(delta L): d+ - d <= -mu/2 tau (E |theta* - theta+|^2 + E |theta* - theta|^2) + delta tau^2 sigma^2,
    twice the printed coefficient, the second error for free, and units that agree; attained at tau = 1/(delta L)."""
    taus = relative_steps(problem["loss"], problem["delta"], h)
    return distances_along(problem, taus, two_sided_bound(problem))


bregman_distance_decreases_two_sided.without(
    "tau <= 1/(delta L)", cases=[{**ONE_DIMENSIONAL, "h": 2.5}], h=st.just(2.5), noise=st.just(QUIET)
)


@bregman_distance_decreases_two_sided.twin("noise constant two percent smaller")
def bregman_distance_decreases_two_sided_too_sharp(h: float, **problem: Any) -> Evidence:
    """delta tau^2 sigma^2 is attained."""
    taus = relative_steps(problem["loss"], problem["delta"], h)
    return distances_along(problem, taus, two_sided_bound(problem, 0.98))


@claim(
    "Theorem 4.27",
    given={"mu": draw.positive(0.5, 4, 2), "minimizer": draw.arrays(2), "theta": draw.arrays(2)},
    examples=40,
)
def minimizer_is_unique(mu: float, minimizer: Array, theta: Array) -> Evidence:
    """A mu-strongly convex loss has one minimiser: L(theta) - L(theta*) >= mu/2 |theta - theta*|^2."""
    loss = Quadratic(mu * np.eye(2), minimizer)
    return at_most(mu / 2 * square(theta - minimizer), loss.value(theta) - loss.value(minimizer), 1 + loss.value(theta))


@minimizer_is_unique.twin("a convex loss that is not strongly convex")
def minimizer_of_a_convex_loss_is_unique(mu: float, minimizer: Array, theta: Array) -> Evidence:
    """A loss that sees one coordinate only has a line of minimisers."""
    loss = Quadratic(np.diag([mu, 0.0]), minimizer)
    return at_most(mu / 2 * square(theta - minimizer), loss.value(theta) - loss.value(minimizer), 1 + loss.value(theta))


SAMPLES = 2 ** np.arange(5, 11)


def affine_run(lam: float, delta: float, taus: Sequence[float], sigma: float, gap: float) -> Array:
    """E |theta_k - theta*|^2 of LinBreg for L = 1/2 (x - a)^2, J = lam |x|, started at a + gap.

    With a = 4 (|gap| + sigma) + 1 and tau delta <= 1 no path reaches 0: |e+| <= max(|e|, sigma). Hence each step is
    affine and the expectations are exact.
    """
    a = 4 * (abs(gap) + sigma) + 1
    loss = Quadratic(np.eye(4), np.full(4, a))
    return two_point_law(loss, L1(lam), delta, taus, sigma, (a + gap) / delta + lam)


def polynomial_steps(tau: float, power: float) -> list[float]:
    """tau_k = tau (k + 1)^-power up to the last sample."""
    return [float(tau / k**power) for k in range(1, int(SAMPLES[-1]) + 1)]


RUN = {
    "lam": draw.dyadic(0, 2, 2),
    "delta": draw.positive(0.5, 2, 1),
    "sigma": draw.positive(0.5, 2, 1),
    "gap": draw.dyadic(1, 2, 1),
    "power": st.just(0.6),
}


@claim("(4.28)", given=RUN, code=(LinBreg,), examples=3)
def a_subsequence_converges(lam: float, delta: float, sigma: float, gap: float, power: float) -> Evidence:
    """For tau_k = tau_0 (k + 1)^-0.6 the smallest error up to step k decays like tau_k: a subsequence converges."""
    errors = affine_run(lam, delta, polynomial_steps(1 / (2 * delta), power), sigma, gap)
    return decays(SAMPLES, np.minimum.accumulate(errors)[SAMPLES], -0.6, 0.08)


a_subsequence_converges.without("tau -> 0", power=st.just(0.0))
a_subsequence_converges.without("sum tau = infinity", power=st.just(2.0))


@claim("(4.28)", reading="stronger", given=RUN, code=(LinBreg,), examples=3)
def the_whole_sequence_converges(lam: float, delta: float, sigma: float, gap: float, power: float) -> Evidence:
    """For Lipschitz J (every norm) the whole sequence converges: also the largest error from step k on decays."""
    errors = affine_run(lam, delta, polynomial_steps(1 / (2 * delta), power), sigma, gap)
    tails = np.maximum.accumulate(errors[::-1])[::-1]
    return decays(SAMPLES, tails[SAMPLES], -0.6, 0.08)


the_whole_sequence_converges.without("tau -> 0", power=st.just(0.0))
the_whole_sequence_converges.without("sum tau = infinity", power=st.just(2.0))


def in_units(a: float, bound: Callable[..., Any]) -> float:
    """Right over left side of a bound at the minimiser, for 1/2 (x/a)^2, noise 1/a, delta = 1, tau = a^2 / 2."""
    loss, noise, tau = Quadratic(np.eye(1) / a**2, np.zeros(1)), Noise(np.ones(1) / a), a**2 / 2
    level = noise_tree(loss, Zero(), 1.0, [tau], noise, np.zeros(1))[0]
    left, right = bound({"loss": loss, "noise": noise, "delta": 1.0})(level, tau)
    return right / (left + expect(level, lambda t: to_minimizer(loss, Zero(), 1.0)(t.next)))


@claim(
    "(4.27)",
    reading="stronger",
    given={"unit": st.integers(-10, 10).map(lambda n: 2.0**n)},
    cases=[{"unit": 2.0**10}],
    examples=10,
)
def bound_has_one_unit(unit: float) -> Evidence:
    """With delta tau^2 sigma^2 on the right, both sides scale alike when theta is measured in other units."""
    return equal(in_units(unit, two_sided_bound), in_units(1.0, two_sided_bound))


@bound_has_one_unit.twin("the printed right side, which adds tau^2 to |theta|^2")
def printed_bound_has_one_unit(unit: float) -> Evidence:
    """sigma/2 (tau^2 + E |theta - theta+|^2) is valid but gets arbitrarily loose under a change of units."""
    return equal(in_units(unit, printed_bound), in_units(1.0, printed_bound))
