"""Section 4.3.1: what Bregman iterations and the inverse scale space flow converge to (Remark 4.17, (4.16))."""

from itertools import islice
from typing import Any

import numpy as np
from scipy.optimize import linprog

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, claim, equal
from refimpl.sparsity import bregman_iteration, inverse_scale_space, lasso

Array = np.ndarray


def limit(A: Array, f: Array, p: Array | None = None) -> Any:
    """The iterate at which the gradient vanishes, or the 300th; J = |.|_1, tau = 256."""
    for iterate in islice(bregman_iteration(A, f, 1.0, 256.0, p), 300):
        if float(np.max(np.abs(A.T @ (A @ iterate.theta - f)))) < 1e-13:
            return iterate
    return iterate


def smallest_norm(A: Array, f: Array) -> float:
    """min |theta|_1 subject to A theta = f, by linear programming in theta = u - w, u, w >= 0; NaN if infeasible."""
    result = linprog(np.ones(2 * A.shape[1]), A_eq=np.hstack([A, -A]), b_eq=f, method="highs")
    return float(result.fun or 0.0) if result.status == 0 else float("nan")


TENTH_DIGIT = 1e-10 / np.finfo(float).eps


def finds_smallest_norm(A: Array, f: Array, p: Array | None) -> Evidence:
    """The limit solves A theta = f, and its norm agrees with linear programming to 1e-10."""
    theta, scale = limit(A, f, p).theta, 1 + float(np.abs(f).sum())
    optimum = equal(float(np.abs(theta).sum()), smallest_norm(A, f), scale, k=TENTH_DIGIT)
    return all_of(equal(A @ theta, f, scale, k=TENTH_DIGIT), optimum)


def underdetermined(seed: int) -> tuple[Array, Array]:
    """A seeded 3 x 6 matrix and f in its range."""
    A = draw.uniform(seed, (3, 6), 6)
    return A, A @ draw.uniform(seed + 1, 6, 6)


@claim(
    "Remark 4.17",
    given={"seed": draw.seeds(), "p": draw.arrays(6, -1, 1), "noise": draw.arrays(1)},
    cases=[{"seed": 0, "p": np.array([1, -1, 1, -1, 1, -1.0]), "noise": np.zeros(1)}],
    examples=20,
    erratum=Erratum(
        "for f = A theta + noise the Bregman iterations converge to a solution of (4.16)",
        "f must lie in the range of A and p^(0) in the range of A^T, for instance p^(0) = 0",
        "missing hypothesis",
    ),
)
def bregman_solves_the_constrained_problem(seed: int, p: Array, noise: Array) -> Evidence:
    """From any start (p any subgradient at 0) and for noisy f, also with more equations than unknowns."""
    A, f = underdetermined(seed)
    if np.any(noise):
        return finds_smallest_norm(np.vstack([A, A[0]]), np.append(f, f[0] + noise), np.zeros(6))
    return finds_smallest_norm(A, f, p)


@claim(
    "Remark 4.17",
    reading="corrected",
    given={"seed": draw.seeds(), "w": draw.arrays(3)},
    code=(bregman_iteration,),
    examples=25,
)
def bregman_solves_the_constrained_problem_from_the_range(seed: int, w: Array) -> Evidence:
    """For f in the range of A and p^(0) in the range of A^T the limit minimises |.|_1 subject to A theta = f."""
    A, f = underdetermined(seed)
    p = A.T @ w
    return finds_smallest_norm(A, f, p / max(1.0, float(np.max(np.abs(p)))))


@bregman_solves_the_constrained_problem_from_the_range.twin(
    "a subgradient p^(0) outside the range of A^T", cases=[{"seed": 0, "w": np.ones(3)}]
)
def bregman_from_elsewhere(seed: int, w: Array) -> Evidence:
    """The limit then minimises J - <p^(0), .>."""
    return finds_smallest_norm(*underdetermined(seed), np.array([1, -1, 1, -1, 1, -1.0]))


@bregman_solves_the_constrained_problem_from_the_range.twin("the lasso, which is biased")
def lasso_solves_the_constrained_problem(seed: int, w: Array) -> Evidence:
    """Adding lam J changes the minimisers."""
    A, f = underdetermined(seed)
    return equal(A @ lasso(A, f, 2.0**-4), f, 1.0, k=TENTH_DIGIT)


@claim("Remark 4.17", reading="stronger", given={"seed": draw.seeds()}, code=(bregman_iteration,), examples=15)
def infeasible_data_give_least_squares(seed: int) -> Evidence:
    """If f is not in the range of A the limit is a least-squares solution: A^T (A theta - f) = 0."""
    A, f = draw.uniform(seed, (5, 3), 6), draw.uniform(seed + 1, 5, 6)
    return equal(limit(A, f).theta, np.linalg.lstsq(A, f, rcond=None)[0], 8.0, k=TENTH_DIGIT)


@infeasible_data_give_least_squares.twin("the lasso")
def infeasible_data_and_the_lasso(seed: int) -> Evidence:
    """The lasso shrinks the least-squares solution."""
    A, f = draw.uniform(seed, (5, 3), 6), draw.uniform(seed + 1, 5, 6)
    return equal(lasso(A, f, 2.0**-4), np.linalg.lstsq(A, f, rcond=None)[0], 8.0, k=TENTH_DIGIT)


@claim("(4.16)", given={"seed": draw.seeds()}, code=(bregman_iteration, inverse_scale_space), examples=25)
def iterations_and_flow_reach_the_smallest_norm(seed: int) -> Evidence:
    """From p = 0, (4.15) and the inverse scale space flow both end at min |theta|_1 subject to A theta = f."""
    A, f = underdetermined(seed)
    flow = inverse_scale_space(A, f)[-1].theta
    norm = equal(float(np.abs(flow).sum()), smallest_norm(A, f), 1 + float(np.abs(f).sum()), k=TENTH_DIGIT)
    return all_of(finds_smallest_norm(A, f, None), norm)


@iterations_and_flow_reach_the_smallest_norm.twin("the solution of smallest l2 norm")
def smallest_l2_norm(seed: int) -> Evidence:
    """The pseudo-inverse minimises another norm."""
    A, f = underdetermined(seed)
    return equal(float(np.abs(np.linalg.pinv(A) @ f).sum()), smallest_norm(A, f), 8.0, k=TENTH_DIGIT)
