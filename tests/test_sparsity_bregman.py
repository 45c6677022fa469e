"""Bregman distances and iterations against linear programming, closed forms and optimality conditions."""

from itertools import islice, pairwise

import numpy as np
import pytest
from scipy.optimize import linprog

from refimpl.numerics import compare
from refimpl.sparsity import (
    L1,
    L2,
    Box,
    ElasticNet,
    Entropy,
    GroupL2,
    LinBreg,
    Nonnegative,
    Quadratic,
    Regularizer,
    SquaredL2,
    bregman_distance,
    bregman_iteration,
    inverse_scale_space,
    lasso,
    linearized_bregman,
    mirror_descent,
    symmetric_bregman_distance,
)


def problem(seed: int, m: int = 4, n: int = 9):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(m, n))
    return A, A @ (rng.normal(size=n) * (rng.random(n) < 0.4))


def smallest_l1(A, f):
    """min |x|_1 subject to A x = f, by linear programming."""
    n = A.shape[1]
    return linprog(np.ones(2 * n), A_eq=np.hstack([A, -A]), b_eq=f, method="highs").fun


# --- distances --------------------------------------------------------------------------------


def test_squared_norm_gives_half_the_squared_distance():
    """Ex 4.12."""
    a, b = np.array([1.0, -2.0, 0.5]), np.array([0.25, 1.0, 0.0])
    assert bregman_distance(SquaredL2(), a, b, b) == pytest.approx(np.sum((a - b) ** 2) / 2, rel=1e-15)


def test_l1_distance_by_hand():
    J = L1(2.0)
    assert bregman_distance(J, [3.0], [1.0], [2.0]) == 0  # not definite
    assert bregman_distance(J, [-3.0], [1.0], [2.0]) == 12
    assert bregman_distance(J, [1.0], [-3.0], [-2.0]) == 4  # not symmetric
    assert bregman_distance(J, [1.0], [0.0], [0.5]) == 1.5  # depends on p at the kink
    assert bregman_distance(J, [1.0], [0.0], [3.0]) < 0  # p is no subgradient
    assert bregman_distance(Box(0, 1), [2.0], [0.5], [0.0]) == np.inf


@pytest.mark.parametrize(
    "J", [L1(0.5), L2(0.5), Nonnegative(0.5), ElasticNet(L1(0.5), 2.0), GroupL2(0.5, [0, 1, 1, 0])]
)
def test_distances_are_nonnegative_and_symmetrise(J):
    rng = np.random.default_rng(0)
    for _ in range(20):
        u, v = rng.normal(size=4) * 2, rng.normal(size=4) * 2
        a, b = J.prox(u), J.prox(v)
        pa, pb = u - a, v - b
        assert bregman_distance(J, a, b, pb) >= -1e-14
        assert bregman_distance(J, b, b, pb) == 0
        symmetric = symmetric_bregman_distance(J, a, b, pa, pb)
        assert symmetric == pytest.approx(np.sum((pa - pb) * (a - b)), abs=1e-13)
        assert symmetric == pytest.approx(symmetric_bregman_distance(J, b, a, pb, pa), abs=1e-14)


# --- (4.15) -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("step", [0.3, 3.0])
def test_bregman_iteration_finds_the_smallest_norm_solution(seed, step):
    """Rem 4.17: the limit attains min {|x|_1 : A x = f}, as linear programming does."""
    A, f = problem(seed)
    J, best = L1(), smallest_l1(A, f)
    losses = []
    for k, (theta, p, distance) in enumerate(islice(bregman_iteration(A, f, 1.0, step), 2000)):
        losses.append(np.sum((A @ theta - f) ** 2) / 2)
        assert J.subdifferential_distance(p, theta) == distance <= 1e-12
        assert k == 0 or losses[-1] <= best / (k * step) + 1e-12
        if losses[-1] < 1e-26:
            break
    assert np.abs(theta).sum() == pytest.approx(best, abs=1e-10)
    assert np.all(np.diff(losses) <= 1e-13)


@pytest.mark.parametrize("seed", range(6))
def test_each_inner_problem_is_solved(seed):
    """theta_{k+1} minimises D_J^p(., theta_k) + tau L: every perturbation is worse (4.15a)."""
    A, f = problem(seed)
    rng = np.random.default_rng(seed)
    states = list(islice(bregman_iteration(A, f, 0.5, 0.7), 6))
    for old, new in pairwise(states):
        assert np.allclose(new.p, old.p - 0.7 * A.T @ (A @ new.theta - f), atol=1e-14)  # (4.15b)

        def objective(x, old=old):
            return bregman_distance(L1(0.5), x, old.theta, old.p) + 0.35 * np.sum((A @ x - f) ** 2)

        for size in (1e-4, 1e-2, 1.0):
            for d in rng.normal(size=(20, 9)) * size:
                assert objective(new.theta) <= objective(new.theta + d) + 1e-14


def test_lambda_only_rescales_time():
    """(tau, lam) and (tau c, lam c) give the same theta."""
    A, f = problem(1)
    for a, b in islice(zip(bregman_iteration(A, f, 1.0, 0.5), bregman_iteration(A, f, 4.0, 2.0)), 30):
        assert compare.eps_error(a.theta, b.theta) <= 1e4


def test_large_data_are_solved_to_their_own_rounding():
    """theta is proportional to f once the threshold is negligible, and the certificate scales with tau |A| |f|."""
    A = np.random.default_rng(3).normal(size=(3, 3))
    f = 1e9 * np.random.default_rng(4).normal(size=3)
    theta = next(islice(bregman_iteration(A, f, 1.0, 1.0), 4, None)).theta
    assert theta == pytest.approx(np.linalg.solve(A, f), rel=1e-7)


def test_infeasible_data_give_least_squares():
    rng = np.random.default_rng(0)
    A, f = rng.normal(size=(6, 3)), rng.normal(size=6)
    theta = next(islice(bregman_iteration(A, f, 1.0, 5.0), 200, None)).theta
    assert theta == pytest.approx(np.linalg.lstsq(A, f, rcond=None)[0], abs=1e-10)


def test_start_outside_the_range_changes_the_limit():
    A, f = problem(2)
    p = np.where(np.arange(9) % 2 == 0, 0.9, -0.9)
    theta = next(islice(bregman_iteration(A, f, 1.0, 50.0, p), 300, None)).theta
    assert np.sum((A @ theta - f) ** 2) < 1e-20
    assert np.abs(theta).sum() > smallest_l1(A, f) + 0.01


@pytest.mark.parametrize("seed", range(8))
def test_lasso_is_certified(seed):
    """lam |x|_1 + tau/2 |A x - f|^2 with a duality gap computed here: u = tau (f - A x), scaled into |A^T u| <= lam."""
    A, f = problem(seed)
    f = f + np.random.default_rng(seed).normal(size=f.size) * 0.1
    x = lasso(A, f, 0.3, 1.5)
    u = 1.5 * (f - A @ x)
    u *= min(1, 0.3 / np.max(np.abs(A.T @ u)))
    primal = 0.3 * np.abs(x).sum() + 0.75 * np.sum((A @ x - f) ** 2)
    assert primal - (u @ f - u @ u / 3) <= 1e-13
    assert np.sum((A @ x - f) ** 2) > 1e-6  # biased, unlike (4.15)


def test_lasso_of_one_number_is_its_shrinkage():
    """argmin lam |x| + tau/2 (a x - f)^2 = shrink(a f, lam / tau) / a^2."""
    assert lasso([[1.0]], [4.0], 1.0, 0.5) == pytest.approx([2.0], rel=1e-14)
    assert lasso([[2.0]], [-4.0], 4.0) == pytest.approx([-1.0], rel=1e-14)


# --- inverse scale space ------------------------------------------------------------------------


def test_one_dimensional_flow():
    """theta = 0 until t = lam/|f|, then f."""
    breaks = inverse_scale_space([[1.0]], [-4.0], lam=2.0)
    assert [b.t for b in breaks] == [0, 0.5]
    assert breaks[1].theta.tolist() == [-4.0]
    assert breaks[1].p.tolist() == [-2.0]


def test_entries_that_the_data_do_not_see_stay_at_zero():
    """Two equations of their own, of sizes 4 and 1, and a zero column: they start at t = 1/4 and t = 1."""
    breaks = inverse_scale_space([[1.0, 0, 0], [0, 1, 0]], [4.0, -1.0])
    assert [b.t for b in breaks] == [0, 0.25, 1]
    assert [b.theta.tolist() for b in breaks] == [[0, 0, 0], [4, 0, 0], [4, -1, 0]]
    assert breaks[-1].p.tolist() == [1, -1, 0]


@pytest.mark.parametrize("seed", range(8))
def test_flow_is_the_limit_of_small_steps_and_ends_at_the_smallest_norm(seed):
    A, f = problem(seed)
    breaks = inverse_scale_space(A, f, 1.0)
    for now, after in pairwise(breaks):
        assert L1().subdifferential_distance(now.p, now.theta) <= 1e-12
        assert after.p == pytest.approx(now.p + (after.t - now.t) * A.T @ (f - A @ now.theta), abs=1e-11)
        assert after.t > now.t
    assert np.abs(breaks[-1].theta).sum() == pytest.approx(smallest_l1(A, f), abs=1e-10)
    tau = breaks[1].t / 200
    steps = list(islice(bregman_iteration(A, f, 1.0, tau), 300))
    for k in (100, 190, 210, 299):
        now = max((b for b in breaks if b.t <= k * tau), key=lambda b: b.t)
        p = now.p + (k * tau - now.t) * A.T @ (f - A @ now.theta)
        assert np.max(np.abs(steps[k].p - p)) <= 0.05


# --- (4.19), (4.20) -------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [0.5, 1.0, 3.0])
def test_linearized_bregman_is_deterministic_linbreg(delta):
    A, f = problem(3)
    J, gradient = L1(0.5), lambda x: A.T @ (A @ x - f)
    opt = LinBreg(J, 0.01, delta)
    state = opt.init(np.zeros(9))
    for theta, p in islice(linearized_bregman(J, gradient, np.zeros(9), 0.01, delta), 100):
        assert np.array_equal(theta, state.theta)
        assert np.array_equal(p, state.v)
        assert ElasticNet(J, delta).subdifferential_distance(p, theta) <= 1e-14
        state = opt.step(state, gradient(state.theta))


def test_linearized_bregman_step_minimises_its_objective():
    """theta+ = argmin D_{J_delta}^p(x, theta) + tau <grad L(theta), x> (4.18), by brute force in one dimension."""
    J = ElasticNet(L1(0.5), 2.0)
    states = linearized_bregman(L1(0.5), lambda x: 3 * x - 2, np.array([0.75]), 0.2, 2.0)
    grid = np.linspace(-3, 3, 60001)
    old = next(states)
    for new in islice(states, 5):
        slope = float(3 * old.theta[0] - 2)
        values = 0.5 * np.abs(grid) + grid**2 / 4 - old.p[0] * grid + 0.2 * slope * grid
        assert abs(grid[np.argmin(values)] - new.theta[0]) <= 1e-4
        assert bregman_distance(J, old.theta, new.theta, new.p) >= 0
        old = new


def test_limit_of_linearized_bregman():
    """The limit minimises J + 1/(2 delta) |.|^2 among the solutions; for delta lam large that is the l1 solution."""
    A, f = problem(4)
    J, gradient = L1(10.0), lambda x: A.T @ (A @ x - f)
    theta, p = next(
        islice(linearized_bregman(J, gradient, np.zeros(9), 1.0 / np.linalg.norm(A, 2) ** 2, 1.0), 60000, None)
    )
    assert np.max(np.abs(A @ theta - f)) <= 1e-9
    assert np.linalg.lstsq(A.T, p, rcond=None)[0] @ f == pytest.approx(J.value(theta) + theta @ theta, rel=1e-8)
    assert np.abs(theta).sum() == pytest.approx(smallest_l1(A, f), abs=1e-6)


class FromMirror(Regularizer):
    """J = h - 1/2 |.|^2; its prox for tau = 1 is grad h*."""

    def __init__(self, h):
        self.h = h

    def prox(self, v, tau=1.0):
        assert tau == 1
        return self.h.gradient_conjugate(v)


@pytest.mark.parametrize("h", [Quadratic([[2.0, 0.5, 0], [0.5, 3.0, 0.5], [0, 0.5, 1.5]]), Entropy()])
def test_mirror_descent_is_linearized_bregman(h):
    """(4.20) = (4.19) with delta = 1 and J = h - 1/2 |.|^2."""
    rng = np.random.default_rng(0)
    B = rng.normal(size=(3, 3))
    start, gradient = np.array([0.2, 0.5, 0.3]), lambda x: B.T @ (B @ x - 1)
    other = linearized_bregman(FromMirror(h), gradient, h.gradient(start), 0.1)
    for theta, state in islice(zip(mirror_descent(h, gradient, start, 0.1), other), 50):
        assert compare.eps_error(theta, state.theta) <= 256


def test_mirror_maps():
    """grad h* inverts grad h, and matches finite differences of h; the simplex stays the simplex."""
    x = np.array([0.2, 0.5, 0.3])
    for h in (Entropy(), Quadratic([[2.0, 0.5, 0], [0.5, 3.0, 0.5], [0, 0.5, 1.5]])):
        assert compare.eps_error(h.gradient_conjugate(h.gradient(x)), x) <= 16
        numeric = [(h.value(x + d) - h.value(x - d)) / 2e-5 for d in 1e-5 * np.eye(3)]
        assert h.gradient(x) == pytest.approx(numeric, abs=1e-8)
    assert Entropy().value(np.array([1.0, 0.0])) == 0
    assert np.array_equal(Entropy().gradient_conjugate(np.array([1e4, 0.0])), [1.0, 0.0])
    exact = x * np.exp(-0.5 * np.array([1.0, 2.0, 3.0]))
    step = list(islice(mirror_descent(Entropy(), lambda _: np.array([1.0, 2.0, 3.0]), x, 0.5), 2))[1]
    assert step == pytest.approx(exact / exact.sum(), rel=1e-14)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: bregman_distance(L1(), [1.0], [1.0, 2.0], [1.0]), "a"),
        (lambda: bregman_distance(L1(), [1.0], [1.0], [1.0, 2.0]), "p"),
        (lambda: bregman_distance(Nonnegative(), [1.0], [-1.0], [0.0]), "b"),
        (lambda: bregman_iteration([1.0], [1.0]), "A"),
        (lambda: bregman_iteration(np.zeros((0, 2)), np.zeros(0)), "A"),
        (lambda: bregman_iteration([[1.0]], [1.0, 2.0]), "f"),
        (lambda: bregman_iteration([[1.0]], [1.0], lam=0), "lam"),
        (lambda: bregman_iteration([[1.0]], [1.0], step=0), "step"),
        (lambda: bregman_iteration([[1.0]], [1.0], p=[2.0]), "p"),
        (lambda: inverse_scale_space([[1.0]], [1.0], 0), "lam"),
        (lambda: linearized_bregman(L1(), lambda x: x, [1.0], 0), "step"),
        (lambda: linearized_bregman(L1(), lambda x: x, [1.0], 1, -1), "delta"),
        (lambda: mirror_descent(Entropy(), lambda x: x, [1.0], 0), "step"),
        (lambda: Quadratic([[0.5]]), "Q"),
        (lambda: Quadratic([[1.0, 2.0], [0.0, 1.0]]), "Q"),
        (lambda: Quadratic([[1.0, 2.0]]), "Q"),
    ],
)
def test_bad_arguments(make, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected "):
        make()


def test_a_mirror_map_in_longdouble():
    h = Quadratic(np.diag([2.0, 3.0]).astype(np.longdouble))
    assert h.Q.dtype == np.float64 and h.value(np.ones(2, np.longdouble)) == 2.5
