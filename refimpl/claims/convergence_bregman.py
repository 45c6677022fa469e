"""Section 4.3.4: convergence of the iterates in the Bregman distance (Remark 4.24, Theorem 4.28)."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, at_most, claim, equal, exactly
from refimpl.claims.convergence_norm import ONE_DIMENSIONAL, distances_along, relative_steps
from refimpl.claims.noise import (
    Cosine,
    Level,
    Noise,
    Quadratic,
    Ramp,
    biased,
    expect,
    noise_tree,
    noises,
    problems,
    quadratics,
    square,
    to_minimizer,
)
from refimpl.sparsity import L1, ElasticNet, GroupL2, LinBreg, SquaredL2, Zero, bregman_distance

Array = np.ndarray


@claim(
    "Remark 4.24",
    given={"loss": quadratics(), "a": draw.arrays(2), "b": draw.arrays(2)},
    code=(bregman_distance,),
)
def squared_norm_gives_strong_convexity(loss: Any, a: Array, b: Array) -> Evidence:
    """For H = 1/2 |.|^2, (4.25) is ordinary strong convexity: nu D_H(a, b) = nu/2 |a - b|^2."""
    distance = float(bregman_distance(SquaredL2(1.0), a, b, b))
    return equal(loss.mu * distance, loss.mu / 2 * square(a - b), loss.mu * (1 + square(a) + square(b)))


@squared_norm_gives_strong_convexity.twin("H = |.|^2")
def squared_norm_without_one_half(loss: Any, a: Array, b: Array) -> Evidence:
    """Without the factor 1/2 in H the modulus changes."""
    distance = float(bregman_distance(SquaredL2(2.0), a, b, 2 * b))
    return equal(loss.mu * distance, loss.mu / 2 * square(a - b), loss.mu * (1 + square(a) + square(b)))


@claim(
    "Theorem 4.28",
    given={
        "L": draw.positive(0.25, 64, 2),
        "lam": draw.dyadic(0, 4, 2),
        "delta": draw.positive(0.25, 4, 2),
        "smallest": st.integers(8, 60),
    },
    cases=[{"L": 2.0**20, "lam": 1.0, "delta": 1.0, "smallest": 60}],
    code=(bregman_distance,),
    erratum=Erratum(
        "Assumption 4.23 for H = J_delta, for all pairs of points",
        "the inequality (4.25) at theta* only: L(theta*) >= L(theta) + <grad L(theta), theta* - theta> + "
        "nu D^v_{J_delta}(theta*, theta)",
        "missing hypothesis",
    ),
)
def assumption_can_be_met_by_l1(L: float, lam: float, delta: float, smallest: int) -> Evidence:
    """For J = lam |x| and the L-smooth loss L/2 x^2 there is a nu > 0 with (4.25) for H = J_delta and all pairs.

    Smaller nu are weaker, so nu = 2^-smallest is tried, at the pairs (t, 0) with p = -lam in dJ(0) and t = 2^-j.
    There D_L = L/2 t^2, but D_H >= 2 lam t: *no* nu > 0 survives t -> 0, and the theorem is empty for l1.
    """
    H, nu, zero = ElasticNet(L1(lam), delta), 2.0**-smallest, np.zeros(1)
    for j in range(4 * smallest):
        t = np.full(1, 2.0**-j)
        if nu * bregman_distance(H, t, zero, np.full(1, -lam)) > L / 2 * square(t):
            return exactly(False, f"nu = 2^-{smallest} fails at t = 2^-{j}")
    return exactly(True)


def one_point_modulus(loss: Any, J: Any, delta: float) -> float:
    """nu with L(theta*) >= L(theta) + <grad L(theta), theta* - theta> + nu D^v_{J_delta}(theta*, theta) for all theta.

    mu / (1/delta + kink + kappa): kink = 4 lam / min |theta*_i| over theta*_i != 0 for l1, 4 lam / |theta*| for one
    unit-weight group, and kappa is the curvature of a smooth J.
    """
    sizes = np.abs(loss.minimizer) if isinstance(J, L1) else np.atleast_1d(np.linalg.norm(loss.minimizer))
    kink = 4 * J.lam / np.min(sizes, where=sizes > 0, initial=np.inf) if isinstance(J, L1 | GroupL2) else 0.0
    kappa = J.lam if isinstance(J, SquaredL2) else 0.0
    return float(loss.mu / (1 / delta + kink + kappa))


def sparse_regularizers() -> st.SearchStrategy[Any]:
    """The regularizers of `one_point_modulus`."""
    lam = draw.positive(0.25, 4, 2)
    group = lam.map(lambda lam: GroupL2(lam, groups=np.zeros(2, int), weights="unit"))
    return st.one_of(st.just(Zero()), lam.map(L1), lam.map(SquaredL2), group)


def one_point_evidence(loss: Any, J: Any, delta: float, v: Array, nu: float) -> Evidence:
    """nu D^v(theta*, theta) <= L(theta*) - L(theta) - <grad L(theta), theta* - theta> at theta = theta(v) (4.19b)."""
    theta = J.prox(delta * v, delta)
    distance = float(bregman_distance(ElasticNet(J, delta), loss.minimizer, theta, v))
    gap = -loss.value(theta) - float(loss.gradient(theta) @ (loss.minimizer - theta))
    size = 1 + abs(gap) + nu * (square(loss.minimizer) / delta + J.value(loss.minimizer) + square(v) * (1 + delta))
    return at_most(nu * distance, gap, size)


MODULUS = {"loss": quadratics(), "J": sparse_regularizers(), "delta": draw.positive(0.25, 4, 2), "v": draw.arrays(2)}
KINK = {
    "loss": Quadratic(np.eye(1), np.ones(1)),
    "J": L1(1.0),
    "delta": 1.0,
    "v": -np.ones(1),
}


@claim("Remark 4.24", reading="corrected", given=MODULUS, cases=[KINK], code=(bregman_distance,))
def one_point_convexity(loss: Any, J: Any, delta: float, v: Array) -> Evidence:
    """At theta* alone, (4.25) with H = J_delta holds for every mu-strongly convex loss, with
    nu = mu / (1/delta + 4 lam / min |theta*_i|) for l1: attained at theta = 0, p = -lam sign(theta*)."""
    return one_point_evidence(loss, J, delta, v, one_point_modulus(loss, J, delta))


one_point_convexity.without("strong convexity", loss=st.builds(Cosine, draw.arrays(2)))


@one_point_convexity.twin("nu = mu delta, the kinks of J forgotten")
def one_point_convexity_without_kinks(loss: Any, J: Any, delta: float, v: Array) -> Evidence:
    """nu = mu delta is right for J = 0 only."""
    return one_point_evidence(loss, J, delta, v, loss.mu * delta)


@one_point_convexity.twin("nu two percent larger")
def one_point_convexity_too_sharp(loss: Any, J: Any, delta: float, v: Array) -> Evidence:
    """The modulus is attained."""
    return one_point_evidence(loss, J, delta, v, 1.02 * one_point_modulus(loss, J, delta))


def contraction_evidence(
    problem: dict[str, Any], h: float, nu: float, rate: Callable[[float], float], noise_factor: float
) -> Evidence:
    """d+ <= (1 - rate(tau)) d + noise_factor delta tau^2 sigma^2 at every step of the noise tree."""
    loss, J, delta = problem["loss"], problem["J"], problem["delta"]
    d = to_minimizer(loss, J, delta)

    def bound(level: Level, tau: float) -> tuple[float, float]:
        right = noise_factor * delta * tau**2 * problem["noise"].variance
        return rate(tau) * expect(level, lambda t: d(t.now)), right

    return distances_along(problem, relative_steps(loss, delta, h), bound)


def printed_rate(problem: dict[str, Any], nu: float) -> Callable[[float], float]:
    """tau nu (1 - 2 tau delta^2 L^2 / nu) of (4.29)."""
    return lambda tau: tau * nu * (1 - tau * 2 * (problem["delta"] * problem["loss"].L) ** 2 / nu)  # (4.29)


CONVEX = problems(loss=quadratics(), J=sparse_regularizers())
SMOOTH = st.one_of(st.just(Zero()), draw.positive(0.25, 4, 2).map(SquaredL2))
QUIET = {**ONE_DIMENSIONAL, "noise": Noise(np.zeros(1))}
ANY_STEP = draw.positive(0.125, 3, 3)


@claim(
    "(4.29)",
    given={**CONVEX, "J": SMOOTH, "h": ANY_STEP},
    cases=[{**ONE_DIMENSIONAL, "h": 0.5}],
    code=(LinBreg, bregman_distance),
    examples=50,
)
def contraction_for_smooth_J(h: float, **problem: Any) -> Evidence:
    """For smooth J Assumption 4.23 with H = J_delta can be met, and for every tau > 0
    d+ <= [1 - tau nu (1 - 2 tau delta^2 L^2 / nu)] d + delta tau^2 sigma^2."""
    nu = one_point_modulus(problem["loss"], problem["J"], problem["delta"])
    return contraction_evidence(problem, h, nu, printed_rate(problem, nu), 1.0)


contraction_for_smooth_J.without(
    "E g = grad L",
    cases=[{**ONE_DIMENSIONAL, "h": 0.125, "noise": Noise(np.ones(1), 1, -4.0), "v0": np.full(1, 4.0)}],
    noise=biased(noises(), -4.0),
    h=st.just(0.125),
)


@contraction_for_smooth_J.twin(
    "nu eight times too large", cases=[{**ONE_DIMENSIONAL, "h": 0.25, "noise": Noise(np.zeros(1))}]
)
def contraction_with_a_large_modulus(h: float, **problem: Any) -> Evidence:
    """The modulus matters."""
    nu = 8 * one_point_modulus(problem["loss"], problem["J"], problem["delta"])
    return contraction_evidence(problem, h, nu, printed_rate(problem, nu), 1.0)


KINKED = {
    **ONE_DIMENSIONAL,
    "loss": Quadratic(np.eye(1), np.full(1, 2.0)),
    "J": L1(1.0),
    "noise": Noise(np.zeros(1)),
    "v0": -np.ones(1),
}


@claim(
    "Theorem 4.28",
    reading="corrected",
    given={**CONVEX, "h": ANY_STEP},
    cases=[{**KINKED, "h": 0.125}],
    code=(LinBreg, bregman_distance),
    examples=60,
)
def contraction_for_sparse_J(h: float, **problem: Any) -> Evidence:
    """With (4.25) at theta* only, (4.29) holds as printed for l1 and group norms too, with their explicit nu."""
    nu = one_point_modulus(problem["loss"], problem["J"], problem["delta"])
    return contraction_evidence(problem, h, nu, printed_rate(problem, nu), 1.0)


@contraction_for_sparse_J.twin(
    "nu eight times too large", cases=[{**ONE_DIMENSIONAL, "h": 0.25, "noise": Noise(np.zeros(1))}]
)
def contraction_for_sparse_J_with_a_large_modulus(h: float, **problem: Any) -> Evidence:
    """The modulus matters."""
    nu = 8 * one_point_modulus(problem["loss"], problem["J"], problem["delta"])
    return contraction_evidence(problem, h, nu, printed_rate(problem, nu), 1.0)


@claim(
    "Theorem 4.28",
    reading="stronger",
    given={**CONVEX, "h": draw.positive(0.125, 1, 3)},
    cases=[{**ONE_DIMENSIONAL, "h": h, "v0": np.full(1, v)} for h in (0.5, 1.0) for v in (0.0, 2.0)],
    code=(LinBreg, bregman_distance),
    examples=60,
)
def contraction_sharp(h: float, **problem: Any) -> Evidence:
    """For tau <= 1/(delta L): d+ <= (1 - tau nu) d + delta/2 tau^2 sigma^2, half the printed noise and no loss of rate;
    both constants are attained."""
    nu = one_point_modulus(problem["loss"], problem["J"], problem["delta"])
    return contraction_evidence(problem, h, nu, lambda tau: tau * nu, 0.5)


contraction_sharp.without(
    "tau <= 1/(delta L)", cases=[{**ONE_DIMENSIONAL, "h": 1.75}], h=st.just(1.75), noise=st.just(Noise(np.zeros(2)))
)


@contraction_sharp.twin("nu = mu delta, the kinks of J forgotten", cases=[{**KINKED, "h": 1.0}])
def contraction_without_kinks(h: float, **problem: Any) -> Evidence:
    """With the modulus of J = 0 the rate is overstated for l1."""
    nu = problem["loss"].mu * problem["delta"]
    return contraction_evidence(problem, h, nu, lambda tau: tau * nu, 0.5)


@contraction_sharp.twin("noise constant two percent smaller")
def contraction_too_sharp(h: float, **problem: Any) -> Evidence:
    """delta/2 is attained."""
    nu = one_point_modulus(problem["loss"], problem["J"], problem["delta"])
    return contraction_evidence(problem, h, nu, lambda tau: tau * nu, 0.49)


RAMP = {name: draw.positive() for name in ("delta", "L", "e")}


def ramp_step(ratio: float, delta: float, L: float, e: float, h: float) -> Evidence:
    """One step with tau delta L = h from e > 0, for the loss L/2 max(|x| - flat, 0)^2 with flat = e sqrt(1 - ratio)."""
    loss = Ramp(np.zeros(1), e * sqrt(1 - ratio), L)
    d = to_minimizer(loss, Zero(), delta)
    first = noise_tree(loss, Zero(), delta, [h / (delta * L)], Noise(np.zeros(1)), np.full(1, e / delta))[0][0]
    nu = (float(loss.gradient(first.now.theta)[0]) * e - loss.value(first.now.theta)) / d(first.now)
    return equal(d(first.next), (1 - nu / (delta * L)) * d(first.now), d(first.now))


@claim(
    "(4.29)",
    reading="stronger",
    given={"ratio": draw.positive(0.0625, 0.9375, 4), **RAMP},
    code=(LinBreg, bregman_distance),
    examples=50,
)
def contraction_is_attained(ratio: float, delta: float, L: float, e: float) -> Evidence:
    """At tau = 1/(delta L) the factor 1 - tau nu = 1 - nu/(delta L) is attained for every ratio nu/(delta L) in (0, 1).

    By J = 0 and a loss that is flat near theta* and meets (4.25) at the iterate with equality for nu = ratio delta L.
    """
    return ramp_step(ratio, delta, L, e, 1.0)


@contraction_is_attained.twin("half of tau")
def contraction_of_a_half_step(ratio: float, delta: float, L: float, e: float) -> Evidence:
    """A step half as long contracts less."""
    return ramp_step(ratio, delta, L, e, 0.5)
