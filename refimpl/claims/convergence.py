"""Section 4.3.4: the decay of the loss along stochastic Bregman iterations (Theorem 4.26)."""

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, exactly
from refimpl.claims.noise import (
    DIMENSION,
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
    symmetric_distance,
)
from refimpl.sparsity import L1, LinBreg, ProximalGradient, SquaredL2, Zero, bregman_distance

Array = np.ndarray
DEPTH = 3


class Constants(NamedTuple):
    """h = tau delta L and the constants c, C of Theorem 4.26, with h + c + C = 2."""

    h: float
    c: float
    C: float


def shares(least: int) -> st.SearchStrategy[Constants]:
    """Ways to divide 2 into h > 0 and two further shares of at least ``least`` units."""
    units = st.integers(least, 8)
    return st.tuples(st.integers(1, 8), units, units).map(lambda u: Constants(*(2 * n / sum(u) for n in u)))


def steps(h: float, delta: float, loss: Any) -> list[float]:
    """DEPTH equal step sizes with tau delta L = h."""
    return [h / (delta * loss.L)] * DEPTH


def decrease(level: Level, loss: Any) -> float:
    """E L(theta_k) - E L(theta_{k+1})."""
    return expect(level, lambda t: loss.value(t.now.theta) - loss.value(t.next.theta))


def loss_decay_evidence(
    level: Level, loss: Any, J: Any, delta: float, tau: float, C: float, noise_term: float
) -> Evidence:
    """(4.26) on one level of the tree, with the constant C and the given noise term."""
    before = expect(level, lambda t: loss.value(t.now.theta))
    distance = expect(level, symmetric_distance(J, delta)) / tau
    lhs = before - decrease(level, loss) + distance + C / (2 * delta * tau) * expect(level, moved)  # (4.26)
    return at_most(lhs, before + noise_term, magnitude(level, loss, J, delta, tau))


def loss_decay_along(problem: dict[str, Any], h: float, C: float, amplification: float) -> Evidence:
    """(4.26) at every step of the noise tree, with noise term tau delta sigma^2 times ``amplification``."""
    loss, J, delta, noise = (problem[name] for name in ("loss", "J", "delta", "noise"))
    taus = steps(h, delta, loss)
    noise_term = taus[0] * delta * noise.variance * amplification
    levels = noise_tree(loss, J, delta, taus, noise, problem["v0"], problem.get("kick", 0.0))
    return all_of(*(loss_decay_evidence(level, loss, J, delta, taus[0], C, noise_term) for level in levels))


ONE_DIMENSIONAL: dict[str, Any] = {
    "loss": Quadratic(np.eye(1), np.zeros(1)),
    "J": Zero(),
    "delta": 1.0,
    "noise": Noise(np.ones(1)),
    "v0": np.zeros(1),
}


def slack(k: int, h: Fraction, x0: Fraction, sigma: Fraction, c: Fraction, C: Fraction) -> Fraction:
    """Right minus left side of (4.26) at step k for L = x^2/2, J = 0, delta = 1, exactly.

    x+ = (1 - h) x - h xi, so that E x_k^2 = q^k x0^2 + (1 + q + ... + q^{k-1}) s with q = (1 - h)^2, s = h^2 sigma^2.
    """
    q, s = (1 - h) ** 2, (h * sigma) ** 2
    second = q**k * x0**2 + s * (k if q == 1 else (1 - q**k) / (1 - q))
    gain = ((1 - q) * second - s) / 2
    return gain + h * sigma**2 / (2 * c) - C * (h**2 * second + s) / (2 * h)


@claim(
    "Theorem 4.26",
    reading="as printed",
    given={
        "h": draw.positive(0.125, 2, 3),
        "x0": draw.dyadic(-4, 4, 2),
        "sigma": draw.dyadic(0, 4, 2),
        "smallest": st.integers(1, 60),
    },
    cases=[{"h": 2.0, "x0": 0.0, "sigma": 1.0, "smallest": 60}, {"h": 2.0, "x0": 1.0, "sigma": 0.0, "smallest": 60}],
    code=(LinBreg,),
    erratum=Erratum(
        "step sizes tau <= 2/(delta L)",
        "sup tau < 2/(delta L), with C = 2 - tau delta L - c for any c in (0, 2 - tau delta L)",
        "missing hypothesis",
    ),
)
def loss_decay_up_to_the_bound(h: float, x0: float, sigma: float, smallest: int) -> Evidence:
    """For tau delta L = h <= 2 there are c, C > 0 with (4.26) for all k.

    Smaller constants are weaker, so c = C = 2^-smallest is tried, at steps k = 0, 1, 2, 4, ... For h = 2 the
    second moment of x_k grows like 4 k sigma^2 while all other terms are bounded, so *no* C > 0 survives.
    """
    c = Fraction(1, 2**smallest)
    last = 3 * smallest if h == 2 else 4
    for k in [0, *(2**i for i in range(last))]:
        fails = slack(k, Fraction(h), Fraction(x0), Fraction(sigma), c, c) < 0
        if (fails and 2 * c <= 2 - Fraction(h)) or (fails and h == 2):
            return exactly(False, f"c = C = 2^-{smallest} fail at k = {k}")
    return exactly(True)


@claim(
    "Theorem 4.26",
    reading="corrected",
    given=problems(constants=shares(1)),
    cases=[{**ONE_DIMENSIONAL, "constants": Constants(1.0, 0.5, 0.5)}],
    code=(LinBreg, bregman_distance),
    examples=60,
)
def loss_decay(constants: Constants, **problem: Any) -> Evidence:
    """For tau < 2/(delta L), every c > 0 with C = 2 - tau delta L - c > 0 gives (4.26)."""
    return loss_decay_along(problem, constants.h, constants.C, 1 / (2 * constants.c))


loss_decay.without(
    "tau < 2/(delta L)",
    cases=[{**ONE_DIMENSIONAL, "constants": Constants(2.0, 1.0, 1.0), "v0": np.full(1, 8.0)}],
    constants=st.just(Constants(2.0, 0.5, 0.5)),
)
loss_decay.without(
    "a start with v0 in dJ_delta(theta_0)",
    cases=[{**ONE_DIMENSIONAL, "constants": Constants(1.0, 0.5, 0.5), "J": L1(1.0), "kick": 4.0}],
    kick=st.sampled_from([-4.0, 4.0]),
)


def amplification(c: float) -> float:
    """A(c): the smallest constant before tau delta sigma^2 in (4.26) when C = 2 - tau delta L - c."""
    return 1 / (2 * c) if c >= 1 else 1 - c / 2


def sharp_case(h: float, c: float, noise: float = 1.0) -> dict[str, Any]:
    """The extremal problem of A(c): J = kappa/2 x^2 with delta kappa = max(c - 1, 0), from the minimiser of x^2/2."""
    J = SquaredL2(max(c - 1, 0.0))
    return {**ONE_DIMENSIONAL, "J": J, "noise": Noise(np.full(1, noise)), "constants": Constants(h, c, 2 - h - c)}


@claim(
    "Theorem 4.26",
    reading="stronger",
    given=problems(constants=shares(0)),
    cases=[sharp_case(h, c) for h, c in [(1.0, 0.25), (1.0, 1.0), (0.5, 1.5), (0.25, 1.75), (2.0, 0.0)]],
    code=(LinBreg, bregman_distance),
    examples=60,
)
def loss_decay_sharp(constants: Constants, **problem: Any) -> Evidence:
    """(4.26) holds with A(c) for 1/(2c), where A(c) = 1/(2c) if c >= 1 and 1 - c/2 if c <= 1; no constant is smaller.

    With e the difference of the steps with and without noise, E <xi, theta+ - theta> = E <xi, e> and
    |e| <= delta tau |xi|, because the noise is unbiased and the prox nonexpansive.
    """
    return loss_decay_along(problem, constants.h, constants.C, amplification(constants.c))


loss_decay_sharp.without(
    "E g = grad L",
    cases=[{**sharp_case(1.0, 0.25), "noise": Noise(np.ones(1), 1, 3.0), "v0": np.full(1, 9.0)}],
    noise=biased(noises(), 1.0),
)
loss_decay_sharp.without(
    "h + c + C = 2, at 1.01 times the largest step",
    cases=[{**sharp_case(2.0, 0.0), "constants": Constants(2.02, 0.0, 0.0), "v0": np.full(1, 16.0)}],
    constants=st.just(Constants(2.02, 0.0, 0.0)),
)


@loss_decay_sharp.twin("the constant A(c) two percent smaller")
def loss_decay_too_sharp(constants: Constants, **problem: Any) -> Evidence:
    """A(c) is attained, so nothing below it can hold."""
    return loss_decay_along(problem, constants.h, constants.C, 0.98 * amplification(constants.c))


@claim(
    "Theorem 4.26",
    reading="stronger",
    given=problems(),
    cases=[{**ONE_DIMENSIONAL, "v0": np.zeros(1)}, {**ONE_DIMENSIONAL, "v0": np.ones(1), "delta": 2.0}],
    code=(LinBreg, bregman_distance),
    examples=40,
)
def loss_decay_at_the_bound(**problem: Any) -> Evidence:
    """At tau = 2/(delta L) itself: E L(theta+) + E D_J^sym / tau <= E L(theta) + tau delta sigma^2, attained."""
    return loss_decay_along(problem, 2.0, 0.0, 1.0)


@loss_decay_at_the_bound.twin("half the noise term")
def loss_decay_at_the_bound_halved(**problem: Any) -> Evidence:
    """tau delta sigma^2 / 2, the constant of smaller steps, is too small at the bound."""
    return loss_decay_along(problem, 2.0, 0.0, 0.5)


@claim(
    "(4.26)",
    reading="stronger",
    given=problems(h=draw.positive(0.125, 3, 3)),
    cases=[{**ONE_DIMENSIONAL, "h": 1.0, "v0": np.ones(1)}],
    code=(LinBreg, bregman_distance),
    examples=40,
)
def loss_decay_path_by_path(h: float, **problem: Any) -> Evidence:
    """On each path, for every tau > 0 and without assuming unbiased noise xi = g - grad L: L(theta+) + D_J^sym / tau
    + (2 - tau delta L)/(2 delta tau) |theta+ - theta|^2 <= L(theta) - <xi, theta+ - theta>.

    Equality holds for L = x^2/2 and J = 0.
    """
    loss, J, delta = problem["loss"], problem["J"], problem["delta"]
    taus = steps(h, delta, loss)
    levels = noise_tree(loss, J, delta, taus, problem["noise"], problem["v0"], problem.get("kick", 0.0))
    paths = [t._replace(probability=1.0) for level in levels for t in level]
    return all_of(*(_path_evidence(t, loss, J, delta, taus[0], 2 - h) for t in paths))


def _path_evidence(t: Any, loss: Any, J: Any, delta: float, tau: float, C: float) -> Evidence:
    xi = (t.now.v - t.next.v) / tau - loss.gradient(t.now.theta)
    noise_term = -float(xi @ (t.next.theta - t.now.theta))
    return loss_decay_evidence([t], loss, J, delta, tau, C, noise_term)


loss_decay_path_by_path.without(
    "a start with v0 in dJ_delta(theta_0)",
    cases=[{**ONE_DIMENSIONAL, "h": 1.0, "J": L1(1.0), "kick": 4.0}],
    kick=st.sampled_from([-4.0, 4.0]),
)


@loss_decay_path_by_path.twin("no inner product with the noise")
def loss_decay_path_by_path_without_noise(h: float, **problem: Any) -> Evidence:
    """The deterministic inequality on single noisy paths."""
    loss, J, delta = problem["loss"], problem["J"], problem["delta"]
    taus = steps(h, delta, loss)
    levels = noise_tree(loss, J, delta, taus, problem["noise"], problem["v0"])
    paths = [t._replace(probability=1.0) for level in levels for t in level]
    return all_of(*(loss_decay_evidence([t], loss, J, delta, taus[0], 2 - h, 0.0) for t in paths))


def decreasing(problem: dict[str, Any], h: float) -> Evidence:
    """E L(theta_{k+1}) <= E L(theta_k) at every step of the noise tree."""
    loss, J, delta = problem["loss"], problem["J"], problem["delta"]
    taus = steps(h, delta, loss)
    levels = noise_tree(loss, J, delta, taus, problem["noise"], problem["v0"])
    return all_of(*(at_most(-decrease(v, loss), 0.0, magnitude(v, loss, J, delta, taus[0])) for v in levels))


@claim(
    "Theorem 4.26",
    reading="as printed",
    given=problems(h=draw.positive(0.125, 1, 3)),
    cases=[{**ONE_DIMENSIONAL, "h": 0.5}],
    code=(LinBreg,),
    erratum=Erratum(
        "the loss decreases monotonically in the stochastic setting",
        "up to tau delta sigma^2 / (2c); monotone decrease needs exact gradients",
        "missing hypothesis",
    ),
    examples=40,
)
def monotone_decrease(h: float, **problem: Any) -> Evidence:
    """The expected loss decreases monotonically although gradients are noisy."""
    return decreasing(problem, h)


@claim(
    "Theorem 4.26",
    reading="corrected",
    given=problems(h=draw.positive(0.125, 2, 3), noise=st.just(Noise(np.zeros(DIMENSION)))),
    code=(LinBreg,),
    examples=40,
)
def monotone_decrease_with_exact_gradients(h: float, **problem: Any) -> Evidence:
    """With exact gradients the loss itself decreases for every tau <= 2/(delta L), whatever J is."""
    return decreasing(problem, h)


monotone_decrease_with_exact_gradients.without("exact gradients", cases=[{**ONE_DIMENSIONAL, "h": 0.5}], noise=noises())


@monotone_decrease_with_exact_gradients.twin(
    "proximal gradient descent for LinBreg", cases=[{**ONE_DIMENSIONAL, "J": L1(1.0), "h": 0.5}]
)
def monotone_decrease_of_proximal_gradient(h: float, **problem: Any) -> Evidence:
    """Proximal gradient descent leaves the minimiser of the loss: it descends on the sum L + J."""
    loss, theta = problem["loss"], problem["loss"].minimizer + 1.0
    optimizer = ProximalGradient(problem["J"], h / loss.L)
    theta = loss.minimizer + 1.0
    after = optimizer.step(optimizer.init(theta), loss.gradient(theta)).theta
    return at_most(loss.value(optimizer.step(optimizer.init(after), loss.gradient(after)).theta), loss.value(after))
