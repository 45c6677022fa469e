"""Section 4.3.2: linearized Bregman iterations (4.17) to (4.19) and their limit."""

from itertools import islice, pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, equal, member
from refimpl.claims.convex_analysis import POINT, N, into_domain, regularizers, size
from refimpl.claims.noise import square
from refimpl.sparsity import L1, ElasticNet, Regularizer, bregman_distance, linearized_bregman

Array = np.ndarray
DELTA = draw.positive(0.25, 4, 2)
TAU = draw.positive(0.125, 2, 3)
ELASTIC = {"J": regularizers(), "delta": DELTA}


def strong_convexity(J: Any, delta: float, a: Array, b: Array, s: float, modulus: float) -> Evidence:
    """J_delta(s a + (1 - s) b) + modulus s (1 - s)/2 |a - b|^2 <= s J_delta(a) + (1 - s) J_delta(b)."""
    H = ElasticNet(J, delta)
    lhs = H.value(s * a + (1 - s) * b) + modulus * s * (1 - s) / 2 * square(a - b)
    return at_most(lhs, s * H.value(a) + (1 - s) * H.value(b), size(H, a, b) + modulus * square(a - b))


@claim("(4.17)", given={**ELASTIC, "a": POINT, "b": POINT, "s": draw.dyadic(0, 1)}, code=(ElasticNet,))
def elastic_net_is_strongly_convex(J: Any, delta: float, a: Array, b: Array, s: float) -> Evidence:
    """J_delta = J + |.|^2/(2 delta) is strongly convex with modulus 1/delta, whatever convex J is."""
    a, b = into_domain(J, a), into_domain(J, b)
    formula = J.value(a) + square(a) / (2 * delta)  # (4.17)
    return all_of(
        strong_convexity(J, delta, a, b, s, 1 / delta),
        equal(float(ElasticNet(J, delta).value(a)), float(formula), size(J, a) * (1 + 1 / delta)),
    )


@elastic_net_is_strongly_convex.twin("modulus 2/delta, as of J + |.|^2/delta")
def elastic_net_without_one_half(J: Any, delta: float, a: Array, b: Array, s: float) -> Evidence:
    """With J = 0 the modulus 1/delta is exact."""
    return strong_convexity(J, delta, a, b, s, 2 / delta)


COMPLETED = {"theta": POINT, "q": POINT, "delta": DELTA}


def completed_square(theta: Array, q: Array, delta: float, constant: float) -> Evidence:
    """1/(2 delta) |theta|^2 - <q, theta> = 1/(2 delta) |theta - delta q|^2 - constant."""
    lhs = square(theta) / (2 * delta) - float(q @ theta)
    return equal(
        lhs, square(theta - delta * q) / (2 * delta) - constant, (1 + square(theta) + square(q)) * (1 + 1 / delta)
    )


@claim(
    "(4.18)",
    given=COMPLETED,
    cases=[{"theta": np.zeros(N), "q": np.ones(N), "delta": 1.0}],
    erratum=Erratum("- |p - tau grad L|^2, constant in theta", "- delta/2 |p - tau grad L|^2", "wrong constant"),
)
def linearised_objective_as_printed(theta: Array, q: Array, delta: float) -> Evidence:
    """Completing the square leaves the constant |q|^2, q = p - tau grad L."""
    return completed_square(theta, q, delta, square(q))


@claim("(4.18)", reading="corrected", given=COMPLETED)
def linearised_objective(theta: Array, q: Array, delta: float) -> Evidence:
    """Completing the square leaves the constant delta/2 |q|^2; the minimiser does not depend on it."""
    return completed_square(theta, q, delta, delta / 2 * square(q))


@linearised_objective.twin("theta - q for theta - delta q")
def linearised_objective_without_delta(theta: Array, q: Array, delta: float) -> Evidence:
    """The centre of the square is delta q."""
    return equal(
        square(theta) / (2 * delta) - float(q @ theta),
        square(theta - q) / (2 * delta) - delta / 2 * square(q),
        (1 + square(theta) + square(q)) * (1 + 1 / delta),
    )


STEP = {**ELASTIC, "v": POINT, "gradient": POINT, "tau": TAU, "other": POINT}


def minimises_linearisation(
    J: Any, delta: float, v: Array, gradient: Array, tau: float, other: Array, theta: Array
) -> Evidence:
    """theta minimises D^v_{J_delta}(., theta_0) + tau <gradient, .>, where theta_0 = prox_{delta J}(delta v)."""
    H, start = ElasticNet(J, delta), J.prox(delta * v, delta)

    def objective(x: Array) -> float:
        return float(bregman_distance(H, x, start, v)) + tau * float(gradient @ x)

    scale = (1 + 1 / delta) * (size(J, theta, start, v, gradient) + square(theta)) * (1 + tau) * (1 + delta) ** 2
    return at_most(objective(theta) + square(other - theta) / (2 * delta), objective(other), scale)


@claim("(4.18)", reading="corrected", given=STEP, code=(ElasticNet.gradient_conjugate,))
def linearised_step_is_a_prox(J: Any, delta: float, v: Array, gradient: Array, tau: float, other: Array) -> Evidence:
    """argmin D^p_{J_delta}(., theta) + tau <grad L, .> = prox_{delta J}(delta (p - tau grad L))."""
    theta = J.prox(delta * (v - tau * gradient), delta)
    same = equal(ElasticNet(J, delta).gradient_conjugate(v - tau * gradient), theta)
    return all_of(minimises_linearisation(J, delta, v, gradient, tau, other, theta), same)


@linearised_step_is_a_prox.twin("prox_J for prox_{delta J}")
def linearised_step_with_prox_of_J(
    J: Any, delta: float, v: Array, gradient: Array, tau: float, other: Array
) -> Evidence:
    """The threshold scales with delta."""
    theta = J.prox(delta * (v - tau * gradient))
    return minimises_linearisation(J, delta, v, gradient, tau, other, theta)


@claim("(4.19)", given={**ELASTIC, "p": POINT, "q": POINT}, code=(Regularizer.prox, ElasticNet), examples=60)
def subgradients_of_the_elastic_net(J: Any, delta: float, p: Array, q: Array) -> Evidence:
    """p in dJ_delta(theta) iff theta = prox_{delta J}(delta p): dJ_delta is monotone, so the prox of another q is
    at distance |theta' - theta|/delta at least from having p as a subgradient."""
    H, theta, other = ElasticNet(J, delta), J.prox(delta * p, delta), J.prox(delta * q, delta)
    scale = 1 + float(np.linalg.norm(p) + np.linalg.norm(theta) / delta)
    apart = at_most(float(np.linalg.norm(other - theta)) / delta, H.subdifferential_distance(p, other), 8 * scale)
    return all_of(member(H.subdifferential_distance(p, theta), scale, k=256), apart)


@subgradients_of_the_elastic_net.twin("prox_J(delta p)")
def subgradients_with_prox_of_J(J: Any, delta: float, p: Array, q: Array) -> Evidence:
    """The prox is that of delta J."""
    theta = J.prox(delta * p)
    return member(ElasticNet(J, delta).subdifferential_distance(p, theta), 1 + float(np.linalg.norm(p)), k=256)


PATH = {"J": regularizers(), "target": POINT, "p": POINT, "tau": TAU, "delta": DELTA}


def path(J: Any, target: Array, p: Array, tau: float, delta: float, count: int = 5) -> list[Any]:
    """Iterates of (4.19) for L = 1/2 |theta - target|^2."""
    return list(islice(linearized_bregman(J, lambda x: x - target, p, tau, delta), count))


@claim("(4.19a)", given=PATH, code=(linearized_bregman,), examples=40)
def subgradients_move_down_the_gradient(J: Any, target: Array, p: Array, tau: float, delta: float) -> Evidence:
    """p+ = p - tau grad L(theta), with the gradient at the old iterate."""
    states = path(J, target, p, tau, delta)
    return all_of(*(equal(b.p, a.p - tau * (a.theta - target), 1 + 64 * tau) for a, b in pairwise(states)))


@subgradients_move_down_the_gradient.twin("the gradient at the new iterate")
def subgradients_move_implicitly(J: Any, target: Array, p: Array, tau: float, delta: float) -> Evidence:
    """That is (4.15)."""
    states = path(J, target, p, tau, delta)
    return all_of(*(equal(b.p, a.p - tau * (b.theta - target), 1 + 64 * tau) for a, b in pairwise(states)))


@claim(
    "(4.19b)",
    given={"lam": draw.positive(0.25, 2, 2), **{k: v for k, v in PATH.items() if k != "J"}},
    code=(linearized_bregman,),
)
def threshold_on_the_subgradient(lam: float, target: Array, p: Array, tau: float, delta: float) -> Evidence:
    """For J = lam |.|_1: theta = prox_{delta J}(delta p) = delta soft(p, lam), active where |p_i| > lam."""
    states = path(L1(lam), target, p, tau, delta)
    soft = [delta * np.sign(s.p) * np.maximum(np.abs(s.p) - lam, 0) for s in states]
    return all_of(*(equal(s.theta, expected, 1 + delta * 64) for s, expected in zip(states, soft)))


@threshold_on_the_subgradient.twin("threshold delta lam on the subgradient")
def scaled_threshold_on_the_subgradient(lam: float, target: Array, p: Array, tau: float, delta: float) -> Evidence:
    """delta scales the result, not the threshold on p."""
    states = path(L1(lam), target, p, tau, delta)
    soft = [delta * np.sign(s.p) * np.maximum(np.abs(s.p) - delta * lam, 0) for s in states]
    return all_of(*(equal(s.theta, expected, 1 + delta * 64) for s, expected in zip(states, soft)))


def rows_and_data(seed: int) -> tuple[Array, Array]:
    """A seeded 2 x 4 matrix with orthonormal rows, and f."""
    A = np.linalg.qr(draw.uniform(seed, (4, 2), 6) + np.eye(4, 2))[0].T
    return A, draw.uniform(seed + 1, 2, 6) * 4


def limit(seed: int, lam: float, delta: float, v: Array) -> Array:
    """Where (4.19) arrives with lam |.|_1 and tau = 1/delta."""
    A, f = rows_and_data(seed)
    steps = linearized_bregman(L1(lam), lambda x: A.T @ (A @ x - f), v, 1 / delta, delta)
    return next(islice(steps, 1500, None)).theta


def constrained_minimum(seed: int, lam: float, delta: float, theta: Array, direction: Array) -> Evidence:
    """A theta = f, and J_delta grows from theta along every direction of the kernel of A."""
    A, f = rows_and_data(seed)
    kernel = direction - A.T @ (A @ direction)
    H, precision = ElasticNet(L1(lam), delta), 1e-8 / np.finfo(float).eps
    lhs = H.value(theta) + square(kernel) / (2 * delta)
    grows = at_most(lhs, H.value(theta + kernel), 64 * (1 + 1 / delta), k=precision)
    return all_of(equal(A @ theta, f, 8.0, k=precision), grows)


LIMIT = {
    "seed": draw.seeds(),
    "lam": draw.positive(0.25, 2, 2),
    "delta": draw.positive(0.5, 2, 1),
    "w": draw.arrays(2),
    "direction": draw.arrays(4),
    "offset": st.just(np.zeros(4)),
}


@claim("4.3.2 limit of linearized Bregman", given=LIMIT, code=(linearized_bregman,), examples=5)
def limit_minimises_the_elastic_net(
    seed: int, lam: float, delta: float, w: Array, direction: Array, offset: Array
) -> Evidence:
    """From v_0 in the range of A^T, (4.19) converges to argmin J_delta subject to A theta = f; hence, other than for
    (4.15), the limit depends on lam and delta."""
    A, _ = rows_and_data(seed)
    return constrained_minimum(seed, lam, delta, limit(seed, lam, delta, A.T @ w + offset), direction)


SPREAD = {"seed": 0, "lam": 1.0, "delta": 1.0, "w": np.zeros(2)}
limit_minimises_the_elastic_net.without(
    "v_0 in the range of A^T",
    cases=[{**SPREAD, "offset": np.array([0, 0, 4.0, 0]), "direction": np.array([0, 0, -1.0, 0])}],
    offset=st.just(np.array([4.0, -4.0, 4.0, 4.0])),
)


@limit_minimises_the_elastic_net.twin("a limit that does not depend on lam")
def limit_without_lam(seed: int, lam: float, delta: float, w: Array, direction: Array, offset: Array) -> Evidence:
    """On the way from the limit for lam to that for 8 lam, the elastic net of 8 lam |.|_1 falls."""
    A, _ = rows_and_data(seed)
    theta, other = (limit(seed, strength, delta, A.T @ w) for strength in (lam, 8 * lam))
    return constrained_minimum(seed, 8 * lam, delta, theta, other - theta)
