"""Every regularizer against its definition: one list, all properties."""

from collections.abc import Callable
from dataclasses import dataclass
from math import hypot, inf, nan, sqrt
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.sparsity import (
    L1,
    L2,
    Blocks,
    Box,
    ElasticNet,
    GroupL2,
    Nonnegative,
    Regularizer,
    SparseGroup,
    SquaredL2,
    TotalVariation,
    Zero,
)


def l1(x: np.ndarray) -> float:
    return sum(abs(float(t)) for t in x.flat)


def l2(x: np.ndarray) -> float:
    return hypot(*map(float, x.flat))


def tv(u: np.ndarray) -> float:
    n, m = u.shape
    at = lambda i, j: float(u[min(i, n - 1), min(j, m - 1)])  # noqa: E731
    return sum(hypot(at(i + 1, j) - at(i, j), at(i, j + 1) - at(i, j)) for i in range(n) for j in range(m))


@dataclass(frozen=True)
class Case:
    """J on arrays of one shape; its value by definition; J on two entries, for brute force."""

    name: str
    J: Regularizer
    shape: tuple[int, ...]
    value: Callable[[np.ndarray], float]
    pair: tuple[Any, tuple[int, ...], Callable[[np.ndarray], float]] | None = None
    radii: Any = None  # the dual ball, if J is a norm: pairs (index array, radius)
    exact: bool = True  # not iterative
    entrywise: bool = False

    def small(self) -> tuple[Any, tuple[int, ...], Callable[[np.ndarray], float]]:
        return self.pair or (self.J, (2,), self.value)


LABELS = np.array([[0, 5, 0], [2, 2, 5]])
ENTRIES = np.arange(6).reshape(2, 3)
SPLIT = [(slice(0, 2), L1(0.5)), (slice(3, 5), Nonnegative(0.25)), (slice(5, 6), Box(-0.5, 1.0))]


def split_value(x: np.ndarray) -> float:
    if np.any(x[3:5] < 0) or not -0.5 <= x[5] <= 1:
        return inf
    return 0.5 * l1(x[:2]) + 0.25 * float(x[3] + x[4])


CASES = [
    Case("none", Zero(), (2, 3), lambda x: 0.0, entrywise=True),
    Case(
        "l1", L1(0.5), (2, 3), lambda x: 0.5 * l1(x), radii=[(slice(i, i + 1), 0.5) for i in range(6)], entrywise=True
    ),
    Case("l2", L2(0.75), (2, 3), lambda x: 0.75 * l2(x), radii=[(slice(None), 0.75)]),
    Case("squared l2", SquaredL2(1.5), (2, 3), lambda x: 0.75 * l2(x) ** 2, entrywise=True),
    Case(
        "rows",
        GroupL2(0.25, "rows"),
        (2, 4),
        lambda x: 0.25 * sqrt(x[0].size) * sum(l2(row) for row in x),
        (GroupL2(0.25, "rows"), (1, 2), lambda x: 0.25 * sqrt(2) * l2(x)),
        radii=[(slice(0, 4), 0.5), (slice(4, 8), 0.5)],
    ),
    Case(
        "columns, unit weights",
        GroupL2(0.5, "columns", "unit"),
        (2, 3),
        lambda x: 0.5 * sum(l2(column) for column in x.T),
        (GroupL2(0.5, "columns", "unit"), (2, 1), lambda x: 0.5 * l2(x)),
        radii=[([0, 3], 0.5), ([1, 4], 0.5), ([2, 5], 0.5)],
    ),
    Case(
        "kernels",
        GroupL2(0.25, "kernels"),
        (2, 2, 2, 2),
        lambda x: 0.25 * 2 * sum(l2(k) for row in x for k in row),
        (GroupL2(0.25, "kernels"), (1, 1, 1, 2), lambda x: 0.25 * sqrt(2) * l2(x)),
        radii=[(slice(4 * i, 4 * i + 4), 0.5) for i in range(4)],
    ),
    Case(
        "labels",
        GroupL2(0.5, LABELS),
        (2, 3),
        lambda x: 0.5 * sqrt(2) * sum(l2(x[g == LABELS]) for g in (0, 2, 5)),
        (GroupL2(0.5, [1, 0]), (2,), lambda x: 0.5 * l1(x)),
        radii=[([0, 2], 0.5 * sqrt(2)), ([3, 4], 0.5 * sqrt(2)), ([1, 5], 0.5 * sqrt(2))],
    ),
    Case(
        "sparse groups",
        SparseGroup(0.25, 0.5, "rows", "unit"),
        (2, 3),
        lambda x: 0.25 * l1(x) + 0.5 * (l2(x[0]) + l2(x[1])),
        (SparseGroup(0.25, 0.5, "rows", "unit"), (1, 2), lambda x: 0.25 * l1(x) + 0.5 * l2(x)),
    ),
    Case("nonnegative", Nonnegative(0.5), (2, 3), lambda x: 0.5 * l1(x) if np.all(x >= 0) else inf, entrywise=True),
    Case("box", Box(-0.5, 1.0), (2, 3), lambda x: 0.0 if np.all((x >= -0.5) & (x <= 1)) else inf, entrywise=True),
    Case("elastic net", ElasticNet(L1(0.5), 2.0), (2, 3), lambda x: 0.5 * l1(x) + l2(x) ** 2 / 4, entrywise=True),
    Case(
        "elastic groups",
        ElasticNet(GroupL2(0.5, "rows", "unit"), 0.5),
        (2, 3),
        lambda x: 0.5 * (l2(x[0]) + l2(x[1])) + l2(x) ** 2,
        (ElasticNet(GroupL2(0.5, "rows", "unit"), 0.5), (1, 2), lambda x: 0.5 * l2(x) + l2(x) ** 2),
    ),
    Case(
        "blocks",
        Blocks(SPLIT),
        (7,),
        split_value,
        (Blocks([((1, 2), L1(0.5))]), (2,), lambda x: 0.5 * abs(float(x[1]))),
    ),
    Case(
        "total variation",
        TotalVariation(0.5),
        (3, 4),
        lambda u: 0.5 * tv(u),
        (TotalVariation(0.5), (2, 1), lambda u: 0.5 * abs(float(u[1, 0] - u[0, 0]))),
        exact=False,
    ),
]
EXACT = [case for case in CASES if case.exact]
NORMS = [case for case in CASES if case.radii]


def over(cases: list[Case]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def draw(case: Case, seed: int, dtype: Any = np.float64) -> np.ndarray:
    """Entries in [-2, 2], one in four of them 0, all multiples of 1/64."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 129, case.shape) / 64
    return np.where(rng.random(case.shape) < 0.25, 0, x).astype(dtype)


def argmin(objective: Callable[[np.ndarray], float], shape: tuple[int, ...]) -> np.ndarray:
    """The minimiser of a strongly convex function of two numbers: grids of 17 x 17 points, each finer."""
    center, width = np.zeros(2), 4.0
    while width > 1e-8:
        ticks = np.linspace(-width, width, 17)
        points = [center + np.array([a, b]) for a in ticks for b in ticks]
        center = points[int(np.argmin([objective(point.reshape(shape)) for point in points]))]
        width *= 0.3
    return center.reshape(shape)


@over(CASES)
@pytest.mark.parametrize("seed", range(4))
def test_prox_is_the_argmin_by_brute_force(case, seed):
    J, shape, value = case.small()
    rng = np.random.default_rng(seed)
    v, tau = rng.uniform(-2, 2, shape), (0.25, 1.0, 2.5, 1.0)[seed]
    found = argmin(lambda x: float(np.sum((x - v) ** 2)) / 2 + tau * value(x), shape)
    assert np.max(np.abs(J.prox(v, tau) - found)) < 1e-6


@over([case for case in CASES if case.entrywise])
@pytest.mark.parametrize("v", [-1.5, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 2.0])
def test_prox_of_one_number(case, v):
    x = np.linspace(-4, 4, 64001)  # contains the minimiser up to 1e-4 / 1.6
    objective = [(t - v) ** 2 / 2 + 0.5 * case.value(np.array([t])) for t in x[::16]]
    near = x[::16][int(np.argmin(objective))]
    fine = near + np.linspace(-2e-3, 2e-3, 4001)
    best = fine[int(np.argmin([(t - v) ** 2 / 2 + 0.5 * case.value(np.array([t])) for t in fine]))]
    assert abs(case.J.prox([v], 0.5)[0] - best) <= 2e-6


@over(CASES)
@pytest.mark.parametrize("seed", range(5))
def test_value_is_the_definition(case, seed):
    x = draw(case, seed)
    for point in (x, np.abs(x), case.J.prox(x)):
        assert float(case.J.value(point)) == pytest.approx(case.value(point), rel=1e-14, abs=1e-14)


@over(CASES)
@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
def test_membership_of_the_prox(case, tau):
    """(v - prox)/tau in dJ(prox) (Rem 4.14), flat in eps on the precision ladder."""
    for dtype in compare.rungs() if case.exact else (np.float64,):
        for seed in range(5):
            v = draw(case, seed, dtype)
            x = case.J.prox(v, tau)
            tolerance = 32 * np.finfo(dtype).eps if case.exact else 1e-6  # of an iterate known to a gap
            assert case.J.subdifferential_distance((v - x) / dtype(tau), x) <= tolerance * 4
            assert x.dtype == dtype


@over(CASES)
def test_subdifferential_distance_rejects_and_is_a_distance(case):
    """Wrong subgradients are rejected: moving p by d moves the distance by at most d, and away from the set."""
    rejected = 0
    for seed in range(8):
        v = draw(case, seed)
        x = case.J.prox(v)
        p = v - x
        rng = np.random.default_rng(seed)
        for size in (1e-3, 1.0):
            d = rng.normal(size=case.shape)
            d *= size / np.linalg.norm(d)
            distance = case.J.subdifferential_distance(p + d, x)
            assert distance <= size * (1 + 1e-4)
            violation = subgradient_violation(case, p + d, x, rng)
            rejected += violation > 1e-4 * size
            if violation > 1e-4 * size:
                assert distance > 1e-6 * size
    assert rejected >= 8  # the inequality itself was violated often enough to mean something


def subgradient_violation(case: Case, p: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> float:
    """sup of (J(x) + <p, y - x> - J(y)) / |y - x| over some y: at most the distance of p to dJ(x)."""
    worst = 0.0
    directions = [p, -p, *rng.normal(size=(20, *x.shape)), *np.eye(x.size).reshape(-1, *x.shape)]
    for direction in directions:
        for s in (-0.5, -1e-3, 1e-3, 0.5):
            step = s * direction
            change = case.value(x + step) - case.value(x)
            worst = max(worst, (np.sum(p * step) - change) / (np.linalg.norm(step) or 1.0))
    return worst


@over(CASES)
@pytest.mark.parametrize("seed", range(5))
def test_subgradient_inequality_and_selection(case, seed):
    x = case.J.prox(draw(case, seed))
    p = case.J.subgradient(x)
    assert case.J.subdifferential_distance(p, x) <= 8 * np.finfo(float).eps
    assert subgradient_violation(case, p, x, np.random.default_rng(seed)) <= 1e-12
    zero = np.zeros(case.shape)
    assert np.all(case.J.subgradient(zero) == 0)
    assert case.J.subdifferential_distance(zero, zero) == 0


@over(EXACT)
def test_distance_is_the_nearest_point(case):
    """No point of dJ(x) that we can find by sampling is nearer than the distance says."""
    rng = np.random.default_rng(3)
    for seed in range(6):
        v = draw(case, seed)
        x = case.J.prox(v)
        q = rng.normal(size=case.shape)
        distance = case.J.subdifferential_distance(q, x)
        for _ in range(30):  # members of dJ(x): v' - prox(v') for v' that shrink to the same x
            other = v + rng.normal(size=case.shape) * rng.choice([0.01, 0.1, 1])
            if np.array_equal(case.J.prox(other), x):
                assert distance <= np.linalg.norm(q - (other - x)) + 1e-12
        nearest = case.J._nearest(q, x)
        assert case.J.subdifferential_distance(nearest, x) <= 1e-14
        assert np.linalg.norm(q - nearest) == pytest.approx(distance, abs=1e-15)


def project_by_bisection(q: np.ndarray, radius: float) -> np.ndarray:
    """argmin |p - q| with |p|_2 <= r: p = q / (1 + mu), the multiplier mu >= 0 by bisection."""
    if np.sum(q * q) <= radius**2:
        return q
    low, high = 0.0, float(np.sqrt(np.sum(q * q)) / radius)
    for _ in range(200):
        mu = (low + high) / 2
        low, high = (mu, high) if np.sum((q / (1 + mu)) ** 2) > radius**2 else (low, mu)
    return q / (1 + high)


@over(NORMS)
@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_moreau_with_an_independent_projection(case, tau):
    """prox_{tau J}(v) = v - tau P(v/tau), P onto the dual ball (Ex 4.15)."""
    for seed in range(6):
        v = draw(case, seed)
        projected = (v / tau).reshape(-1)
        for index, radius in case.radii:
            projected[index] = project_by_bisection(projected[index], radius)
        expected = v - tau * projected.reshape(v.shape)
        assert compare.eps_error(case.J.prox(v, tau), expected) <= 64


@over(NORMS)
def test_dual_norm_and_conjugate(case):
    """J°(p) = sup <p, x> / J(x), reached at the boundary of the dual ball; J* is its indicator."""
    rng = np.random.default_rng(0)
    for seed in range(5):
        p = draw(case, seed)
        dual = case.J.dual_norm(p)
        flat = p.reshape(-1)
        assert dual == pytest.approx(max(np.linalg.norm(flat[i]) / r for i, r in case.radii), rel=1e-14)
        for x in rng.normal(size=(50, *case.shape)):
            assert np.sum(p * x) <= dual * case.value(x) * (1 + 1e-12)
        if dual > 0:
            assert case.J.conjugate(p * (0.999 / dual)) == 0
            assert case.J.conjugate(p * (1.001 / dual)) == inf


def test_conjugate_at_the_boundary_of_the_dual_ball():
    """J* is 0 on the closed ball: |(3, 4)| = 5 exactly."""
    assert GroupL2(5.0, [0, 0], "unit").conjugate([3.0, 4.0]) == 0
    assert L2(5.0).conjugate([3.0, 4.0]) == 0
    assert L1(4.0).conjugate([3.0, -4.0]) == 0


@over(CASES)
def test_firmly_nonexpansive(case):
    """|Pu - Pv|^2 <= <Pu - Pv, u - v>."""
    for seed in range(10):
        u, v = draw(case, seed), draw(case, seed + 100)
        d = case.J.prox(u) - case.J.prox(v)
        slack = 1e-13 if case.exact else 1e-5
        assert np.sum(d * d) <= np.sum(d * (u - v)) + slack


@over(CASES)
def test_tau_zero_is_the_projection_onto_the_domain(case):
    v = draw(case, 1)
    x = case.J.prox(v, 0)
    assert case.J.value(x) < inf
    assert np.array_equal(case.J.prox(x, 0), x)
    if case.value(v) < inf:
        assert np.array_equal(x, v)


@over(CASES)
def test_nan_propagates(case):
    v = draw(case, 2)
    v.flat[0] = nan
    assert np.isnan(case.J.prox(v).flat[0])
    if not isinstance(case.J, Zero):
        assert np.isnan(case.J.value(v))
        assert np.isnan(case.J.subdifferential_distance(v, np.zeros_like(v)))


@over(EXACT)
def test_infinities(case):
    """An infinite entry passes the shrinkage (a box clips it); nothing turns into NaN."""
    v = draw(case, 2)
    v.flat[1] = inf
    x = case.J.prox(v)
    assert not np.any(np.isnan(x))
    assert x.flat[1] in (inf, 1.0)


@over(CASES)
def test_inputs_are_left_alone(case):
    for dtype in (np.float32, np.float64):
        v = draw(case, 4, dtype)
        wide = np.repeat(v, 2, axis=-1)
        strided, frozen = wide[..., ::2], v.copy()
        frozen.flags.writeable = False
        for method in (case.J.prox, case.J.value):
            assert np.array_equal(method(strided), method(v), equal_nan=True)
            assert np.array_equal(method(frozen), method(v), equal_nan=True)
        assert np.array_equal(strided, v)
        x = case.J.prox(v)
        assert not np.shares_memory(x, v)
        assert np.array_equal(case.J.subgradient(np.asfortranarray(x)), case.J.subgradient(x))
        assert x.dtype == case.J.value(v).dtype == case.J.subgradient(x).dtype == dtype


def test_lists_and_integers_are_arrays():
    assert L1(1).prox([3, -1, 0]).tolist() == [2.0, 0.0, 0.0]
    assert GroupL2(1, "rows", "unit").prox([[3, 4], [0, 1]]).tolist() == [[3 * 0.8, 4 * 0.8], [0.0, 0.0]]


@pytest.mark.parametrize("J", [Zero(), L1(), L2(), SquaredL2(), Nonnegative(), Box(), ElasticNet(L1()), Blocks([])])
def test_empty_arrays(J):
    assert J.value(np.zeros(0)) == 0
    assert J.prox(np.zeros(0)).shape == (0,)
    assert J.subdifferential_distance(np.zeros(0), np.zeros(0)) == 0


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("groups", ["rows", "columns"])
def test_empty_groups(shape, groups):
    J = GroupL2(1.0, groups)
    assert J.value(np.zeros(shape)) == 0
    assert J.prox(np.zeros(shape)).shape == shape
    assert J.subgradient(np.zeros(shape)).shape == shape
    assert J.subdifferential_distance(np.zeros(shape), np.zeros(shape)) == 0


# --- accuracy: 4 units in the last place of the exact value -------------------------------------


def exact_group_prox(v: np.ndarray, t: Any) -> np.ndarray:
    """v max(1 - t/|v|, 0) in 60 digits, read as longdouble."""
    with mpmath.workdps(60):
        entries = [mpmath.mpf(float(x)) for x in v]
        norm = mpmath.sqrt(mpmath.fsum(x * x for x in entries))
        factor = max(1 - mpmath.mpf(t) / norm, mpmath.mpf(0)) if norm else mpmath.mpf(0)
        return np.array([np.longdouble(mpmath.nstr(x * factor, 30)) for x in entries])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 2, 9, 25, 200, 3000])
def test_group_prox_within_four_ulp(dtype, size):
    for seed in range(3 if size > 1000 else 20):
        v = np.random.default_rng(seed).normal(size=(1, size)).astype(dtype)
        norm = float(np.linalg.norm(v.astype(float)))
        for t in (norm * 0.01, norm * 0.6, norm * 0.9, norm * (1 - 2.0**-12), norm * 2):
            x = GroupL2(t, "rows", "unit").prox(v)
            assert compare.ulp_error(x[0], exact_group_prox(v[0], t)) <= 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", [-1, 1])
def test_group_prox_at_the_ends_of_the_range(dtype, exponent):
    """Squares would underflow or overflow: the group is scaled first."""
    info = np.finfo(dtype)
    unit = float(info.max) / 64 if exponent > 0 else float(info.tiny) * 64
    v = (np.array([[1.0, -0.5, 0.75, 0.25]]) * unit).astype(dtype)
    x = GroupL2(unit / 2, "rows", "unit").prox(v)
    assert compare.ulp_error(x[0], exact_group_prox(v[0], unit / 2)) <= 4
    assert L2(1.0).value(v) == pytest.approx(float(mpmath.norm([float(t) / unit for t in v[0]])) * unit, rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entrywise_prox_within_four_ulp(dtype):
    v = np.random.default_rng(0).normal(size=2000).astype(dtype)
    wide = v.astype(np.longdouble)
    t = np.longdouble(dtype(0.1))
    lam = float(t)
    soft = np.sign(wide) * np.maximum(np.abs(wide) - t, 0)
    for J, expected in [
        (L1(lam), soft),
        (Nonnegative(lam), np.maximum(wide - t, 0)),
        (SquaredL2(lam), wide / (1 + t)),
        (ElasticNet(L1(lam), 4.0), soft / np.longdouble(1.25)),
    ]:
        kept = (
            np.abs(expected) > np.abs(wide) / 4
        )  # elsewhere v - t cancels against the rounding of v / (1 + tau/delta)
        assert compare.ulp_error(J.prox(v)[kept], expected[kept]) <= 4
    assert np.array_equal(L1(lam).prox(v), soft.astype(dtype))  # rounded once


def test_sparse_group_is_group_after_soft_not_the_reverse():
    v = np.array([[3.0, 1.0, 0.5]])
    J = SparseGroup(1.0, 1.0, "rows", "unit")
    x = J.prox(v)
    reverse = L1(1.0).prox(GroupL2(1.0, "rows", "unit").prox(v))
    assert J.subdifferential_distance(v - x, x) <= 1e-15
    assert J.subdifferential_distance(v - reverse, reverse) > 0.05


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: L1(-1), "lam"),
        (lambda: L1(nan), "lam"),
        (lambda: L1("1"), "lam"),
        (lambda: L1(inf), "lam"),
        (lambda: L2(-1), "lam"),
        (lambda: SquaredL2(True), "lam"),
        (lambda: Nonnegative(-1), "lam"),
        (lambda: TotalVariation(-1), "lam"),
        (lambda: GroupL2(-1), "lam"),
        (lambda: GroupL2(1, "diagonals"), "groups"),
        (lambda: GroupL2(1, [0, -1]), "groups"),
        (lambda: GroupL2(1, [0.5, 1]), "groups"),
        (lambda: GroupL2(1, "rows", "size"), "weights"),
        (lambda: SparseGroup(-1, 1), "lam1"),
        (lambda: SparseGroup(1, -1), "lam2"),
        (lambda: Box(1, 0), "low, high"),
        (lambda: Box(nan, 0), "low"),
        (lambda: ElasticNet(L1(), 0), "delta"),
        (lambda: ElasticNet(1.0), "J"),
        (lambda: Blocks([((0, 2), 1.0)]), "parts"),
        (lambda: Blocks([((0, 3), L1()), ((2, 4), L1())]), "parts"),
        (lambda: Blocks([((3, 2), L1())]), "parts"),
        (lambda: Blocks([((0, 2, 3), L1())]), "parts"),
        (lambda: Blocks([(2, L1())]), "parts"),
        (lambda: Blocks([(slice(0, 4, 2), L1())]), "parts"),
        (lambda: Blocks({"0.weight": L1()}), "parts"),
        (lambda: Blocks([((0, 3), L1())]).value(np.zeros(2)), "theta"),
        (lambda: Blocks([((0, 3), L1())]).value(np.zeros((2, 2))), "theta"),
        (lambda: L1().prox([1.0], -1), "tau"),
        (lambda: L1().prox([1.0], nan), "tau"),
        (lambda: L1().prox([1j]), "v"),
        (lambda: L1().prox(["a"]), "v"),
        (lambda: GroupL2().prox([1.0]), "v"),
        (lambda: GroupL2(1, [0, 1]).prox([1.0]), "v"),
        (lambda: GroupL2(1, "kernels").prox(np.zeros((2, 2))), "v"),
        (lambda: L1().subdifferential_distance([1.0], [1.0, 2.0]), "p"),
        (lambda: Nonnegative().subgradient([-1.0]), "theta"),
        (lambda: Box(0, 1).subgradient([2.0]), "theta"),
        (lambda: TotalVariation().value([1.0]), "theta"),
    ],
)
def test_bad_arguments(make, name):
    with pytest.raises(ValueError, match=rf"^({name}): expected "):
        make()


def test_outside_the_domain():
    assert Nonnegative().value([-1.0]) == inf
    assert Nonnegative().subdifferential_distance([0.0], [-1.0]) == inf
    assert Box(0, 1).value([2.0]) == inf
    assert Box(0, 1).subdifferential_distance([0.0], [2.0]) == inf


def test_blocks_of_a_network_have_their_shapes():
    slices = {"W": slice(0, 6), "b": slice(6, 8), "K": slice(8, 16)}
    layout = SimpleNamespace(slices=slices, shapes={"W": (2, 3), "b": (2,), "K": (2, 1, 2, 2)})
    J = Blocks({"K": GroupL2(0.5, "kernels"), "W": GroupL2(0.5, "rows")}, layout)
    theta = np.random.default_rng(0).normal(size=20)
    W, K = GroupL2(0.5).prox(theta[:6].reshape(2, 3)), GroupL2(0.5, "kernels").prox(theta[8:16].reshape(2, 1, 2, 2))
    parts = [W, theta[6:8], K, theta[16:]]
    assert np.array_equal(J.prox(theta), np.concatenate([x.reshape(-1) for x in parts]))
    with pytest.raises(ValueError, match="one of W, b, K"):
        Blocks({"V": L1()}, layout)


def test_elastic_net_conjugate():
    """J_delta*(p) = sup <p, x> - J_delta(x), and its gradient is prox_{delta J}(delta p) (4.18)."""
    J = ElasticNet(L1(0.5), 2.0)
    x = np.linspace(-8, 8, 160001)
    values = 0.5 * np.abs(x) + x * x / 4
    for p in (-2.0, -0.5, 0.25, 0.5, 0.75, 3.0):
        assert J.conjugate([p]) == pytest.approx(np.max(p * x - values), abs=1e-8)
        assert J.gradient_conjugate([p])[0] == pytest.approx(x[np.argmax(p * x - values)], abs=2e-4)
    assert SquaredL2(2.0).conjugate([3.0, 4.0]) == 25 / 4
    assert SquaredL2(0.0).conjugate([1.0]) == inf
    assert L1(0.0).dual_norm([0.0]) == 0
    assert L1(0.0).dual_norm([1.0]) == inf
