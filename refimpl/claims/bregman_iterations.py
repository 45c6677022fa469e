"""Section 4.3.1: proximal point steps and Bregman iterations (4.12) to (4.15)."""

from itertools import islice, pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, equal, exactly, member
from refimpl.claims.noise import square
from refimpl.sparsity import L1, SquaredL2, bregman_distance, bregman_iteration, lasso, linearized_bregman

Array = np.ndarray


def stationary_points(q: float, b: float, tau: float, v: float) -> Array:
    """All real x with x + tau L'(x) = v for L(x) = q/4 x^4 + b/2 x^2."""
    roots = np.roots([tau * q, 0.0, 1 + tau * b, -v])
    return roots[np.abs(roots.imag) < 1e-9].real


@claim(
    "(4.12)",
    given={
        "q": draw.positive(),
        "b": draw.dyadic(0, 4),
        "tau": draw.positive(),
        "v": draw.dyadic(),
        "other": draw.dyadic(),
    },
)
def proximal_point_step(q: float, b: float, tau: float, v: float, other: float) -> Evidence:
    """For convex L, theta+ = argmin tau L + 1/2 |. - theta|^2 is the *one* solution of theta+ = theta - tau L'(theta+),
    the implicit Euler step."""
    x = stationary_points(q, b, tau, v)

    def objective(y: float) -> float:
        return tau * (q / 4 * y**4 + b / 2 * y**2) + (y - v) ** 2 / 2

    single = exactly(len(x) == 1)
    if len(x) != 1:
        return single
    return all_of(single, at_most(objective(float(x[0])), objective(other), 1 + tau * (q + b) * 64 + v**2))


proximal_point_step.without(
    "convexity of the loss, for a double well",
    cases=[{"q": 1.0, "b": -1.0, "tau": 2.0, "v": 0.0, "other": 1.0}],
    b=st.just(-4.0),
)


@claim("(4.12)", given={"lam": draw.positive(), "theta": draw.arrays(3), "tau": draw.positive()}, code=(SquaredL2,))
def implicit_euler(lam: float, theta: Array, tau: float) -> Evidence:
    """For L = lam/2 |.|^2: (theta+ - theta)/tau = -grad L(theta+)."""
    after = SquaredL2(lam).prox(theta, tau)
    return equal(after - theta, -tau * lam * after, 1 + (1 + tau * lam) * float(np.max(np.abs(theta))))


@implicit_euler.twin("the gradient at the old point")
def explicit_euler(lam: float, theta: Array, tau: float) -> Evidence:
    """The explicit step is another one."""
    after = SquaredL2(lam).prox(theta, tau)
    return equal(after - theta, -tau * lam * theta, 1 + (1 + tau * lam) * float(np.max(np.abs(theta))))


SYSTEM = {
    "A": draw.arrays((3, 4), -2, 2, 1),
    "f": draw.arrays(3, bits=2),
    "tau": draw.positive(0.125, 2, 3),
    "lam": draw.positive(0.5, 2, 1),
}
STEPS = 5


def iterates(A: Array, f: Array, tau: float, lam: float, count: int = STEPS, p: Array | None = None) -> list[Any]:
    """The first iterates of (4.15)."""
    return list(islice(bregman_iteration(A, f, lam, tau, p), count + 1))


def loss(A: Array, f: Array, theta: Array) -> float:
    """L = 1/2 |A theta - f|^2."""
    return square(A @ theta - f) / 2


def scale_of(A: Array, f: Array, tau: float, lam: float) -> float:
    """What rounding acts on in one Bregman step, ill-conditioned A included."""
    return (1 + lam + tau * (1 + square(A.ravel())) * (1 + square(f))) * 16


def beats(A: Array, f: Array, tau: float, lam: float, other: Array, now: Any, after: Array) -> Evidence:
    """D_J^p(after, theta) + tau L(after) <= the same at another point (4.13)."""
    J = L1(lam)

    def objective(x: Array) -> float:
        return float(bregman_distance(J, x, now.theta, now.p)) + tau * loss(A, f, x)

    return at_most(objective(after), objective(other), scale_of(A, f, tau, lam) * (1 + square(other)))


@claim("(4.13)", given={**SYSTEM, "other": draw.arrays(4)}, code=(lasso, bregman_distance), examples=60)
def bregman_step_is_a_minimiser(A: Array, f: Array, tau: float, lam: float, other: Array) -> Evidence:
    """Each iterate minimises D_J^p(., theta) + tau L: no other point is lower."""
    path = iterates(A, f, tau, lam)
    return all_of(*(beats(A, f, tau, lam, other, a, b.theta) for a, b in pairwise(path)))


@bregman_step_is_a_minimiser.twin(
    "a step of linearized Bregman, which uses the gradient at the old point",
    cases=[{"A": 2 * np.eye(3, 4), "f": np.full(3, 4.0), "tau": 2.0, "lam": 1.0, "other": np.zeros(4)}],
)
def linearized_step_is_a_minimiser(A: Array, f: Array, tau: float, lam: float, other: Array) -> Evidence:
    """The linearised step does not solve (4.13)."""
    start = iterates(A, f, tau, lam, 0)[0]
    step = linearized_bregman(L1(lam), lambda x: A.T @ (A @ x - f), start.p, tau, 4.0)
    after = list(islice(step, 2))[1]
    return beats(A, f, tau, lam, other, start, after.theta)


def subgradient_after(A: Array, f: Array, tau: float, lam: float, sign: float) -> Evidence:
    """p + sign tau grad L(theta+) in dJ(theta+) along the iteration."""
    path = iterates(A, f, tau, lam)
    distances = [
        L1(lam).subdifferential_distance(a.p + sign * tau * (A.T @ (A @ b.theta - f)), b.theta)
        for a, b in pairwise(path)
    ]
    return member(max(distances), scale_of(A, f, tau, lam))


@claim(
    "(4.14)",
    given=SYSTEM,
    cases=[{"A": np.eye(3, 4), "f": np.full(3, 4.0), "tau": 1.0, "lam": 1.0}],
    erratum=Erratum("p^(k) + tau grad L(theta) in dJ(theta)", "p^(k) - tau grad L(theta) in dJ(theta)", "typo"),
)
def optimality_with_a_plus(A: Array, f: Array, tau: float, lam: float) -> Evidence:
    """The minimiser of (4.13) satisfies p + tau grad L(theta) in dJ(theta)."""
    return subgradient_after(A, f, tau, lam, 1.0)


@claim("(4.14)", reading="corrected", given=SYSTEM, code=(lasso, L1.subdifferential_distance), examples=60)
def optimality_with_a_minus(A: Array, f: Array, tau: float, lam: float) -> Evidence:
    """The minimiser of (4.13) satisfies p - tau grad L(theta) in dJ(theta)."""
    return subgradient_after(A, f, tau, lam, -1.0)


@optimality_with_a_minus.twin(
    "half the gradient", cases=[{"A": np.eye(3, 4), "f": np.full(3, 4.0), "tau": 1.0, "lam": 1.0}]
)
def optimality_with_half_the_gradient(A: Array, f: Array, tau: float, lam: float) -> Evidence:
    """tau belongs to the gradient."""
    return subgradient_after(A, f, tau, lam, -0.5)


@claim(
    "(4.15a)",
    given={**SYSTEM, "direction": draw.arrays(4), "h": st.integers(0, 12).map(lambda n: 2.0**-n)},
    examples=60,
)
def iterates_are_local_minimisers(A: Array, f: Array, tau: float, lam: float, direction: Array, h: float) -> Evidence:
    """theta+ = argmin D_J^p(., theta) + tau L, tested at close points theta+ + h d."""
    path = iterates(A, f, tau, lam)
    return all_of(*(beats(A, f, tau, lam, b.theta + h * direction, a, b.theta) for a, b in pairwise(path)))


@iterates_are_local_minimisers.twin(
    "the penalty J in place of its Bregman distance",
    cases=[{"A": np.eye(3, 4), "f": np.full(3, 4.0), "tau": 1.0, "lam": 1.0, "direction": np.ones(4), "h": 0.5}],
)
def iterates_of_the_lasso(A: Array, f: Array, tau: float, lam: float, direction: Array, h: float) -> Evidence:
    """Without -<p, .> every step solves the same lasso."""
    path = iterates(A, f, tau, lam)
    fixed = lasso(A, f, lam, tau)
    return all_of(*(beats(A, f, tau, lam, b.theta, a, fixed) for a, b in pairwise(path)))


@claim("(4.15b)", given=SYSTEM, code=(bregman_iteration,), examples=60)
def subgradients_follow_the_gradient(A: Array, f: Array, tau: float, lam: float) -> Evidence:
    """p+ = p - tau grad L(theta+), and p+ in dJ(theta+)."""
    path, scale = iterates(A, f, tau, lam), scale_of(A, f, tau, lam)
    steps = [equal(b.p, a.p - tau * (A.T @ (A @ b.theta - f)), scale) for a, b in pairwise(path)]
    return all_of(*steps, *(member(L1(lam).subdifferential_distance(b.p, b.theta), scale) for b in path))


@subgradients_follow_the_gradient.twin(
    "the gradient at the old iterate", cases=[{"A": np.eye(3, 4), "f": np.full(3, 4.0), "tau": 1.0, "lam": 1.0}]
)
def subgradients_follow_the_old_gradient(A: Array, f: Array, tau: float, lam: float) -> Evidence:
    """That is the linearised scheme."""
    path = iterates(A, f, tau, lam)
    distances = [
        L1(lam).subdifferential_distance(a.p - tau * (A.T @ (A @ a.theta - f)), b.theta) for a, b in pairwise(path)
    ]
    return member(max(distances), scale_of(A, f, tau, lam))


SOLVABLE = {**SYSTEM, "solution": draw.arrays(4, bits=2), "offset": st.just(np.zeros(3))}


@claim("(4.15)", given={k: v for k, v in SOLVABLE.items() if k != "f"}, code=(bregman_iteration,), examples=60)
def loss_decreases_at_a_rate(A: Array, tau: float, lam: float, solution: Array, offset: Array) -> Evidence:
    """From p = 0: L(theta_k) decreases, L(theta_k) <= J(solution)/(k tau) for every solution of A theta = f, and
    D_J^p(solution, theta_k) decreases."""
    f = A @ solution + offset
    path, J = iterates(A, f, tau, lam, 8), L1(lam)
    scale = scale_of(A, f, tau, lam) * (1 + square(solution))
    losses = [loss(A, f, it.theta) for it in path]
    distances = [float(bregman_distance(J, solution, it.theta, it.p)) for it in path]
    falls = [at_most(b - a, 0.0, scale) for values in (losses, distances) for a, b in pairwise(values)]
    rates = [at_most(losses[k], J.value(solution) / (k * tau), scale) for k in range(1, len(path))]
    return all_of(*falls, *rates)


loss_decreases_at_a_rate.without(
    "a solution of A theta = f",
    cases=[{"A": np.zeros((3, 4)), "tau": 1.0, "lam": 1.0, "solution": np.zeros(4), "offset": np.ones(3)}],
    offset=st.just(np.full(3, 4.0)),
)


@loss_decreases_at_a_rate.twin(
    "a rate twice as fast",
    cases=[{"A": np.eye(3, 4) / 16, "tau": 1.0, "lam": 1.0, "solution": np.ones(4), "offset": np.zeros(3)}],
)
def loss_decreases_twice_as_fast(A: Array, tau: float, lam: float, solution: Array, offset: Array) -> Evidence:
    """The last iterate before anything is active still has its full loss."""
    tau = lam / max(1e-9, float(np.max(np.abs(A.T @ (A @ solution)))))
    f = A @ solution
    return at_most(loss(A, f, iterates(A, f, tau, lam, 1)[1].theta), L1(lam).value(solution) / (4 * tau))
