"""Section 4.3.1, first half: convexity, subgradients, Bregman distances (4.7) to (4.11)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Evidence, all_of, at_most, claim, equal, exactly, identity
from refimpl.claims.noise import square
from refimpl.sparsity import (
    L1,
    L2,
    Box,
    ElasticNet,
    GroupL2,
    Nonnegative,
    Regularizer,
    SparseGroup,
    SquaredL2,
    Zero,
    bregman_distance,
    symmetric_bregman_distance,
)

Array = np.ndarray
N = 4
PAIRS = np.array([0, 0, 1, 1])
LAM = draw.positive(0.25, 4, 2)
POINT = draw.arrays(N)


def norms() -> st.SearchStrategy[Any]:
    """Positively homogeneous regularizers: l1, l2, group norm, sparse group norm."""
    return st.one_of(
        LAM.map(L1),
        LAM.map(L2),
        st.sampled_from(["sqrt-size", "unit"]).flatmap(lambda w: LAM.map(lambda lam: GroupL2(lam, PAIRS, w))),
        st.tuples(LAM, LAM).map(lambda lams: SparseGroup(*lams, PAIRS)),
    )


def regularizers() -> st.SearchStrategy[Any]:
    """Every convex regularizer on vectors, the indicators included."""
    return st.one_of(
        norms(),
        st.just(Zero()),
        LAM.map(SquaredL2),
        LAM.map(Nonnegative),
        st.just(Box(-1.0, 2.0)),
        LAM.map(lambda lam: ElasticNet(L1(lam), 2.0)),
    )


def into_domain(J: Any, theta: Array) -> Array:
    """theta itself, moved into the domain of J (tau = 0 projects)."""
    return J.prox(theta, 0.0)


def size(J: Any, *points: Array) -> float:
    """1 + the squares and the finite values of J at the points: what rounding acts on."""
    values = [J.value(x) for x in points]
    return 1 + sum(abs(v) for v in values if np.isfinite(v)) + sum(map(square, points))


class SquareRoots(Regularizer):
    """sum_i sqrt|theta_i|, not convex; its prox keeps or kills entries, and its subgradient is that of |.|_1."""

    def _value(self, theta: Array) -> float:
        return float(np.sum(np.sqrt(np.abs(theta))))

    def _prox(self, v: Array, tau: Any) -> Array:
        return np.where(np.abs(v) > tau, v, 0)

    def _subgradient(self, theta: Array) -> Array:
        return np.sign(theta)

    def _nearest(self, p: Array, theta: Array) -> Array:
        return np.sign(theta)


def convexity(J: Any, a: Array, b: Array, s: float) -> Evidence:
    """J(s a + (1 - s) b) <= s J(a) + (1 - s) J(b) (4.7)."""
    return at_most(J.value(s * a + (1 - s) * b), s * J.value(a) + (1 - s) * J.value(b), size(J, a, b))  # (4.7)


TWO = {"J": regularizers(), "a": POINT, "b": POINT}


@claim("(4.7)", given={**TWO, "s": draw.dyadic(0, 1, 4)}, code=(Regularizer.value,))
def regularizers_are_convex(J: Any, a: Array, b: Array, s: float) -> Evidence:
    """J(s a + (1 - s) b) <= s J(a) + (1 - s) J(b) for s in [0, 1], at points of the domain."""
    return convexity(J, into_domain(J, a), into_domain(J, b), s)


regularizers_are_convex.without("convexity, for l_1/2", J=st.just(SquareRoots()))
regularizers_are_convex.without("s in [0, 1]", s=draw.dyadic(1.25, 2, 2))


@claim("Definition 4.9", given=TWO, code=(Regularizer.value, Regularizer.prox))
def regularizers_are_proper(J: Any, a: Array, b: Array) -> Evidence:
    """J is never -inf and finite somewhere: at its prox. On the segment of two such points it is finite (convexity)."""
    inside = [J.prox(x) for x in (a, b)]
    middle = J.value((inside[0] + inside[1]) / 2)
    return exactly(all(np.isfinite(J.value(x)) for x in inside) and bool(np.isfinite(middle)))


@regularizers_are_proper.twin(
    "finite everywhere", cases=[{"J": Box(-1.0, 2.0), "a": np.full(N, 3.0), "b": np.zeros(N)}]
)
def regularizers_are_finite(J: Any, a: Array, b: Array) -> Evidence:
    """The indicator of a box is proper, and infinite outside."""
    return exactly(bool(np.isfinite(J.value(a)) and np.isfinite(J.value(b))))


def above_tangent(J: Any, theta: Array, other: Array, p: Array) -> Evidence:
    """J(theta) + <p, other - theta> <= J(other) (4.8)."""
    lhs = J.value(theta) + float(p @ (other - theta))  # (4.8)
    return at_most(lhs, J.value(other), size(J, theta, other) + square(p))


SUBGRADIENT = {"J": regularizers(), "theta": POINT, "other": POINT}


@claim("(4.8)", given=SUBGRADIENT, code=(Regularizer.subgradient,))
def subgradient_inequality(J: Any, theta: Array, other: Array) -> Evidence:
    """p = J.subgradient(theta) satisfies J(theta) + <p, other - theta> <= J(other) for all other points."""
    theta = into_domain(J, theta)
    return above_tangent(J, theta, other, J.subgradient(theta))


subgradient_inequality.without("convexity, for l_1/2", J=st.just(SquareRoots()))


@subgradient_inequality.twin(
    "a subgradient 5 percent too long", cases=[{"J": L1(1.0), "theta": np.ones(N), "other": 2 * np.ones(N)}]
)
def longer_subgradient_inequality(J: Any, theta: Array, other: Array) -> Evidence:
    """1.05 p leaves the subdifferential."""
    theta = into_domain(J, theta)
    return above_tangent(J, theta, other, 1.05 * J.subgradient(theta))


@claim("Definition 4.10", given={**SUBGRADIENT, "p": POINT}, code=(Regularizer.subdifferential_distance,))
def subdifferential_is_characterised(J: Any, theta: Array, other: Array, p: Array) -> Evidence:
    """p in dJ(theta) iff (4.8) holds for all points: where p is at distance > 0 from dJ(theta), the point
    prox_J(theta + p) violates (4.8) by its squared distance to theta; else no point does."""
    theta = into_domain(J, theta)
    witness = J.prox(theta + p)
    gap = J.value(theta) + float(p @ (witness - theta)) - J.value(witness)
    scale = size(J, theta, witness) + square(p)
    if J.subdifferential_distance(p, theta) <= 64 * np.finfo(float).eps * scale:
        return all_of(above_tangent(J, theta, other, p), at_most(square(witness - theta), 0.0, scale))
    return all_of(at_most(square(witness - theta), gap, scale), exactly(square(witness - theta) > 0))


@subdifferential_is_characterised.twin(
    "dJ(theta) replaced by the one point J.subgradient(theta)",
    cases=[{"J": L1(1.0), "theta": np.zeros(N), "other": np.zeros(N), "p": np.full(N, 0.5)}],
)
def subdifferential_is_a_point(J: Any, theta: Array, other: Array, p: Array) -> Evidence:
    """At kinks the subdifferential is a set."""
    theta = into_domain(J, theta)
    inside = float(np.linalg.norm(J.prox(theta + p) - theta)) <= 1e-12
    return exactly(inside == bool(np.linalg.norm(p - J.subgradient(theta)) <= 1e-12))


@claim("Definition 4.10", given={"p": draw.dyadic(-64, 64, 2)}, examples=40)
def domain_of_the_subdifferential_may_be_smaller(p: float) -> Evidence:
    """dom(dJ) in dom(J), and strictly so for J(x) = -sqrt(x) on x >= 0: at 0 every slope p is refuted by a small x."""
    x = 1 / (4 * (1 + abs(p)) ** 2)
    return exactly(-np.sqrt(x) < p * x)


@domain_of_the_subdifferential_may_be_smaller.twin("-sqrt(1 + x), which has the slope -1/2 at 0", cases=[{"p": -1.0}])
def domain_of_a_shifted_root(p: float) -> Evidence:
    """Away from its endpoint the root has subgradients."""
    x = 1 / (4 * (1 + abs(p)) ** 2)
    return exactly(1 - np.sqrt(1 + x) < p * x)


@claim("Definition 4.10", given={"theta": POINT, "p": POINT, "lam": LAM}, code=(SquaredL2,))
def subdifferential_of_a_smooth_functional(theta: Array, p: Array, lam: float) -> Evidence:
    """Where J is differentiable the subdifferential is the gradient alone: dist(p, dJ) = |p - grad J|."""
    distance = SquaredL2(lam).subdifferential_distance(p, theta)
    return equal(distance, float(np.linalg.norm(p - lam * theta)), 1 + lam * 8 + 8)


@subdifferential_of_a_smooth_functional.twin("|.|_1 in place of a smooth J")
def subdifferential_of_a_kink(theta: Array, p: Array, lam: float) -> Evidence:
    """At a kink there are more subgradients."""
    return equal(L1(lam).subdifferential_distance(p, theta), float(np.linalg.norm(p - lam * np.sign(theta))), 16.0)


def subgradient_at(J: Any, v: Array) -> tuple[Array, Array]:
    """theta = prox_J(v) and p = v - theta in dJ(theta): any pair arises so, kinks included."""
    theta = J.prox(v)
    return theta, v - theta


@claim("Definition 4.11", given={"J": norms(), "a": POINT, "v": POINT}, code=(bregman_distance,))
def bregman_distance_of_a_norm(J: Any, a: Array, v: Array) -> Evidence:
    """For a norm J(b) = <p, b>, so that D_J^p(a, b) = J(a) - <p, a> depends on b through p only."""
    b, p = subgradient_at(J, v)
    return equal(float(bregman_distance(J, a, b, p)), J.value(a) - float(p @ a), size(J, a, b) + square(p))


@bregman_distance_of_a_norm.twin("arguments swapped")
def bregman_distance_swapped(J: Any, a: Array, v: Array) -> Evidence:
    """The linearisation belongs to the second argument."""
    b, p = subgradient_at(J, v)
    return equal(J.value(b) - J.value(a) - float(p @ (b - a)), J.value(a) - float(p @ a), size(J, a, b) + square(p))


@claim("(4.9)", given={"lam": LAM, "a": POINT, "v": POINT}, code=(bregman_distance,))
def bregman_distance_of_l1(lam: float, a: Array, v: Array) -> Evidence:
    """For lam |.|_1: D^p(a, b) = sum_i lam |a_i| - p_i a_i, that is 2 lam |a_i| where the signs of a_i and p_i = -+lam
    differ, 0 where they agree; it depends on the p chosen at a kink."""
    J = L1(lam)
    b, p = subgradient_at(J, v)
    direct = float(
        np.sum(np.where(np.abs(p) < lam, lam * np.abs(a) - p * a, lam * np.abs(a) * (1 - np.sign(a) * np.sign(p))))
    )
    return equal(float(bregman_distance(J, a, b, p)), direct, size(J, a, b) + square(p))


@bregman_distance_of_l1.twin("p = 0 at every kink")
def bregman_distance_without_its_subgradient(lam: float, a: Array, v: Array) -> Evidence:
    """Which p was chosen at a kink matters."""
    b, p = subgradient_at(L1(lam), v)
    return equal(
        float(bregman_distance(L1(lam), a, b, lam * np.sign(b))), lam * float(np.sum(np.abs(a))) - float(p @ a), 64.0
    )


@claim("(4.10)", given={"J": regularizers(), "u": POINT, "v": POINT}, code=(symmetric_bregman_distance,))
def symmetric_distance_is_a_product(J: Any, u: Array, v: Array) -> Evidence:
    """D^sym(a, b) = <pa - pb, a - b> = D^sym(b, a) >= 0."""
    (a, pa), (b, pb) = subgradient_at(J, u), subgradient_at(J, v)
    value, scale = float(symmetric_bregman_distance(J, a, b, pa, pb)), size(J, a, b) + square(pa) + square(pb)
    swapped = float(symmetric_bregman_distance(J, b, a, pb, pa))
    product = float((pa - pb) @ (a - b))
    return all_of(equal(value, product, scale), equal(value, swapped, scale), at_most(0.0, value, scale))


@symmetric_distance_is_a_product.twin("p not in dJ", cases=[{"J": L1(1.0), "u": np.full(N, 3.0), "v": np.zeros(N)}])
def symmetric_distance_of_other_slopes(J: Any, u: Array, v: Array) -> Evidence:
    """With slopes outside the subdifferential the symmetric distance may be negative."""
    (a, pa), (b, pb) = subgradient_at(J, u), subgradient_at(J, v)
    return at_most(0.0, float(symmetric_bregman_distance(J, a, b, -pa, -pb)), size(J, a, b))


@claim("Example 4.12", given={"a": POINT, "b": POINT}, code=(bregman_distance, SquaredL2))
def distance_of_the_squared_norm(a: Array, b: Array) -> Evidence:
    """D_J(a, b) = 1/2 |a - b|^2 for J = 1/2 |.|^2, whose subgradient at b is b."""

    def sides(dtype: type) -> tuple[Any, ...]:
        x: Any = a.astype(dtype)
        y: Any = b.astype(dtype)
        return bregman_distance(SquaredL2(1.0), x, y, y), np.sum((x - y) ** 2) / 2, 1 + np.sum(x * x + y * y)

    return identity(sides)


@distance_of_the_squared_norm.twin("J = |.|^2")
def distance_of_twice_the_squared_norm(a: Array, b: Array) -> Evidence:
    """Without the factor 1/2 the distance doubles."""
    return equal(float(bregman_distance(SquaredL2(2.0), a, b, 2 * b)), square(a - b) / 2, 1 + square(a) + square(b))


@claim("(4.11)", given={"J": regularizers(), "a": POINT, "v": POINT}, code=(bregman_distance,))
def distance_axioms(J: Any, a: Array, v: Array) -> Evidence:
    """D_J^p(a, b) >= 0 and D_J^p(b, b) = 0."""
    b, p = subgradient_at(J, v)
    scale = size(J, a, b) + square(p)
    at_itself = exactly(bool(bregman_distance(J, b, b, p) == 0))
    return all_of(at_most(0.0, float(bregman_distance(J, a, b, p)), scale), at_itself)


distance_axioms.without("convexity, for l_1/2", J=st.just(SquareRoots()))


@distance_axioms.twin("p not in dJ", cases=[{"J": L1(1.0), "a": np.full(N, 4.0), "v": np.full(N, 3.0)}])
def distance_axioms_of_other_slopes(J: Any, a: Array, v: Array) -> Evidence:
    """With a slope outside dJ(b) the distance may be negative."""
    b, p = subgradient_at(J, v)
    return at_most(0.0, float(bregman_distance(J, a, b, 2 * p + 1)), size(J, a, b))


def metric_axioms(J: Any, slope: Callable[[float], float], x: float) -> tuple[bool, bool, bool]:
    """Whether D_J is definite, symmetric and satisfies the triangle inequality on the points 0, x, 2x, 3x."""

    def D(a: float, b: float) -> float:
        return float(bregman_distance(J, np.full(1, a), np.full(1, b), np.full(1, slope(b))))

    points = [0.0, x, 2 * x, 3 * x]
    definite = all(D(a, b) > 0 for a in points for b in points if a != b)
    symmetric = all(D(a, b) == D(b, a) for a in points for b in points)
    return definite, symmetric, all(D(a, c) <= D(a, b) + D(b, c) for a in points for b in points for c in points)


@claim("(4.11)", given={"x": draw.positive(0.5, 4, 1)}, code=(bregman_distance,), examples=10)
def not_a_metric(x: float) -> Evidence:
    """In general D is neither definite (|x|: D(3x, x) = 0), nor symmetric (|x|: D(x, 0) > 0 = D(0, x)), nor does it
    satisfy the triangle inequality (x^2/2: D(0, 2x) = 2 x^2 > D(0, x) + D(x, 2x))."""
    l1 = metric_axioms(L1(1.0), lambda b: float(np.sign(b)), x)
    return exactly(not l1[0] and not l1[1] and not metric_axioms(SquaredL2(1.0), lambda b: b, x)[2])


@not_a_metric.twin("x^2/2 is not definite or not symmetric")
def squared_norm_is_not_definite(x: float) -> Evidence:
    """The squared norm is definite and symmetric."""
    squared = metric_axioms(SquaredL2(1.0), lambda b: b, x)
    return exactly(not (squared[0] and squared[1]))
