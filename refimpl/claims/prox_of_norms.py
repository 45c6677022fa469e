"""Section 4.3.1: dual norms and proximal operators of norms and group norms (Examples 4.15 and 4.16)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, equal, exactly, identity
from refimpl.claims.convex_analysis import LAM, PAIRS, POINT, N
from refimpl.claims.noise import square
from refimpl.claims.proximal_operators import REACH, worse_nearby
from refimpl.sparsity import L1, L2, Box, GroupL2, Nonnegative, Regularizer, SparseGroup, SquaredL2

Array = np.ndarray
EXPONENT = st.sampled_from([1.0, 2.0, np.inf])
DUAL = {1.0: np.inf, 2.0: 2.0, np.inf: 1.0}


def project_to_l1_ball(v: Array) -> Array:
    """The nearest point with |.|_1 <= 1: shrink by the t >= 0 at which sum max(|v| - t, 0) = 1."""
    sizes = np.sort(np.abs(v))[::-1]
    if sizes.sum() <= 1:
        return v
    thresholds = (np.cumsum(sizes) - 1) / np.arange(1, v.size + 1)
    t = thresholds[np.flatnonzero(sizes > thresholds)[-1]]
    return np.sign(v) * np.maximum(np.abs(v) - t, 0)


def project(v: Array, p: float) -> Array:
    """The projection onto the unit ball of |.|_p for p in {1, 2, inf}."""
    if p == np.inf:
        return np.clip(v, -1, 1)
    return project_to_l1_ball(v) if p == 1 else v / np.maximum(np.linalg.norm(v), 1)


def is_prox_of_norm(theta: Array, v: Array, lam: float, p: float, other: Array) -> Evidence:
    """1/2 |theta - v|^2 + lam |theta|_p is below its value at another point by half the squared distance."""

    def objective(x: Array) -> float:
        return square(x - v) / 2 + lam * float(np.linalg.norm(x, p))

    scale = (1 + lam) * (1 + square(v) + square(other))
    return at_most(objective(theta) + square(other - theta) / 2, objective(other), scale)


NORM = {"p": EXPONENT, "v": POINT, "lam": LAM, "direction": POINT, "h": REACH}


@claim(
    "Example 4.15",
    given=NORM,
    cases=[{"p": 1.0, "v": np.full(N, 3.0), "lam": 2.0, "direction": -np.ones(N), "h": 1.0}],
    erratum=Erratum(
        "prox_{lambda J}(v) = v - Proj(v / lambda)",
        "prox_{lambda J}(v) = v - lambda Proj(v / lambda)",
        "wrong constant",
    ),
)
def prox_of_a_norm_as_printed(p: float, v: Array, lam: float, direction: Array, h: float) -> Evidence:
    """v - Proj(v/lam), with the projection onto the unit ball of the dual norm, is the prox of lam |.|_p."""
    theta = v - project(v / lam, DUAL[p])
    return is_prox_of_norm(theta, v, lam, p, theta + h * direction)


@claim("Example 4.15", reading="corrected", given=NORM, code=(L1, L2))
def prox_of_a_norm(p: float, v: Array, lam: float, direction: Array, h: float) -> Evidence:
    """v - lam Proj(v/lam) is the prox of lam |.|_p, and the package's prox for p = 1, 2."""
    theta = v - lam * project(v / lam, DUAL[p])
    computed = {1.0: L1(lam), 2.0: L2(lam)}
    same = equal(computed[p].prox(v), theta, 1 + lam + float(np.max(np.abs(v)))) if p in computed else exactly(True)
    return all_of(is_prox_of_norm(theta, v, lam, p, theta + h * direction), same)


@prox_of_a_norm.twin("the projection onto the ball of the norm itself")
def prox_with_the_primal_ball(p: float, v: Array, lam: float, direction: Array, h: float) -> Evidence:
    """The ball is that of the dual norm."""
    theta = v - lam * project(v / lam, p)
    return is_prox_of_norm(theta, v, lam, p, theta + h * direction)


def attaining(theta: Array, p: float) -> Array:
    """The f with |f|_p = 1 and <f, theta> = |theta|_q, for theta != 0 and 1/p + 1/q = 1."""
    if p == np.inf:
        return np.sign(theta)
    if p == 2:
        return theta / np.linalg.norm(theta)
    unit = np.zeros_like(theta)
    largest = int(np.argmax(np.abs(theta)))
    unit[largest] = np.sign(theta[largest])
    return unit


NONZERO = POINT.filter(np.any)


@claim(
    "Example 4.15",
    given={"p": EXPONENT, "theta": NONZERO, "f": NONZERO},
    cases=[{"p": 2.0, "theta": np.ones(N), "f": 2 * np.ones(N)}],
    erratum=Erratum("sup {|<f, theta>| : f in Theta*}", "sup {|<f, theta>| : f in Theta*, |f| <= 1}", "typo"),
)
def dual_norm_without_a_ball(p: float, theta: Array, f: Array) -> Evidence:
    """|theta|_q bounds |<f, theta>| for *all* f; yet the supremum over all f is infinite."""
    return at_most(abs(float(f @ theta)), float(np.linalg.norm(theta, DUAL[p])))


@claim("Example 4.15", reading="corrected", given={"p": EXPONENT, "theta": NONZERO, "f": NONZERO}, code=(L1.dual_norm,))
def dual_norm(p: float, theta: Array, f: Array) -> Evidence:
    """sup {<f, theta> : |f|_p <= 1} = |theta|_q with 1/p + 1/q = 1, attained; L1 and L2 compute it."""
    q, best = DUAL[p], attaining(theta, p)
    unit = f / np.linalg.norm(f, p)
    value = float(np.linalg.norm(theta, q))
    computed: dict[float, Any] = {1.0: L1(1.0), 2.0: L2(1.0)}
    same = equal(float(computed[p].dual_norm(theta)), value) if p in computed else exactly(True)
    return all_of(at_most(abs(float(unit @ theta)), value), equal(float(best @ theta), value, value), same)


@dual_norm.twin("q = p")
def norm_dual_to_itself(p: float, theta: Array, f: Array) -> Evidence:
    """Only p = 2 is its own dual."""
    return at_most(abs(float(f @ theta)) / float(np.linalg.norm(f, p)), float(np.linalg.norm(theta, p)))


@claim("Example 4.15", given={"v": POINT, "lam": LAM}, code=(L1.prox, L2.prox))
def formulas_of_the_prox(v: Array, lam: float) -> Evidence:
    """prox of lam |.|_2 is v (1 - min(lam/|v|, 1)); of lam |.|_1 entrywise v - lam, 0 or v + lam."""

    def sides(dtype: type) -> tuple[Any, ...]:
        x: Any = v.astype(dtype)
        length = np.sqrt(np.sum(x * x))
        ball = x * (1 - np.minimum(lam / np.where(length == 0, 1, length), 1))
        entries: Any = np.where(x > lam, x - lam, np.where(x < -lam, x + lam, 0 * x)).astype(dtype)
        scale = 1 + lam + float(np.max(np.abs(v)))
        return np.concatenate([L2(lam).prox(x), L1(lam).prox(x)]), np.concatenate([ball.astype(dtype), entries]), scale

    return identity(sides)


@formulas_of_the_prox.twin("hard thresholding")
def hard_thresholding(v: Array, lam: float) -> Evidence:
    """Entries above the threshold are moved, not kept."""
    return equal(L1(lam).prox(v), np.where(np.abs(v) > lam, v, 0))


CONJUGATES: list[tuple[Callable[[float], Regularizer], Callable[[Array, float, float], Array]]] = [
    (L1, lambda x, lam, tau: np.clip(x, -lam, lam)),
    (L2, lambda x, lam, tau: lam * project(x / lam, 2.0)),
    (SquaredL2, lambda x, lam, tau: x * lam / (lam + 1 / tau)),
    (Nonnegative, lambda x, lam, tau: np.minimum(x, lam)),
    (lambda lam: Box(-lam, lam), lambda x, lam, tau: np.sign(x) * np.maximum(np.abs(x) - lam / tau, 0)),
]


@claim(
    "Definition 4.13",
    reading="stronger",
    given={"which": st.integers(0, len(CONJUGATES) - 1), "v": POINT, "lam": LAM, "tau": LAM},
    code=(Regularizer.prox,),
)
def moreau_identity(which: int, v: Array, lam: float, tau: float) -> Evidence:
    """prox_{tau J}(v) + tau prox_{J*/tau}(v/tau) = v, with the prox of the conjugate written down on its own."""
    make, conjugate = CONJUGATES[which]
    total = make(lam).prox(v, tau) + tau * conjugate(v / tau, lam, tau)
    return equal(total, v, 1 + tau * lam + float(np.max(np.abs(v))))


@moreau_identity.twin("v for v/tau in the conjugate part")
def moreau_identity_unscaled(which: int, v: Array, lam: float, tau: float) -> Evidence:
    """The argument of the conjugate prox is v/tau."""
    make, conjugate = CONJUGATES[which]
    return equal(make(lam).prox(v, tau) + tau * conjugate(v, lam, tau), v, 1 + tau * lam + float(np.max(np.abs(v))))


LABELS = st.lists(st.integers(0, 2), min_size=N, max_size=N).map(np.array)


def group_norm(theta: Array, labels: Array, weight: Callable[[Array], float]) -> float:
    """sum_g weight(g) |theta_g|_2, g given as a mask."""
    masks = [labels == g for g in np.unique(labels)]
    return sum(weight(mask) * float(np.linalg.norm(theta[mask])) for mask in masks)


@claim(
    "Example 4.16",
    given={"labels": LABELS, "levels": draw.arrays(3), "lam": LAM},
    cases=[{"labels": np.array([0, 0, 0, 1]), "levels": np.ones(3), "lam": 1.0}],
    erratum=Erratum(
        "weights sqrt(#G), the number of groups",
        "weights sqrt(#g), the number of entries of the group",
        "wrong constant",
    ),
)
def groups_are_weighted_by_their_number(labels: Array, levels: Array, lam: float) -> Evidence:
    """The weights make every group count as its entries: J equals lam |.|_1 where all entries of a group are equal, and
    for groups of one entry it is the l1 norm. With sqrt(#G) for all groups alike."""
    theta, count = levels[labels], len(np.unique(labels))
    return equal(lam * group_norm(theta, labels, lambda mask: np.sqrt(count)), lam * float(np.sum(np.abs(theta))), 64.0)


@claim(
    "Example 4.16", reading="corrected", given={"labels": LABELS, "levels": draw.arrays(3), "lam": LAM}, code=(GroupL2,)
)
def groups_are_weighted_by_their_size(labels: Array, levels: Array, lam: float) -> Evidence:
    """With sqrt(#g), J equals lam |.|_1 where all entries of a group are equal; its value agrees with direct sums."""
    theta, J = levels[labels], GroupL2(lam, labels)
    direct = lam * group_norm(theta, labels, lambda mask: np.sqrt(mask.sum()))
    total = lam * float(np.sum(np.abs(theta)))
    return all_of(equal(float(J.value(theta)), total, 64.0), equal(float(J.value(theta)), direct, 64.0))


@groups_are_weighted_by_their_size.twin("unit weights")
def groups_without_weights(labels: Array, levels: Array, lam: float) -> Evidence:
    """With unit weights a group of m equal entries counts as sqrt(m) of them."""
    theta = levels[labels]
    return equal(float(GroupL2(lam, labels, "unit").value(theta)), lam * float(np.sum(np.abs(theta))), 64.0)


GROUP = {"labels": LABELS, "v": POINT, "lam": LAM, "tau": LAM, "direction": POINT, "h": REACH}


def printed_group_prox(v: Array, labels: Array, threshold: Callable[[Array], float]) -> Array:
    """v_g max(1 - min(threshold(g)/|v_g|, 1), 0), the formula of Example 4.16."""
    out = np.zeros_like(v)
    for mask in (labels == g for g in np.unique(labels)):
        length = float(np.linalg.norm(v[mask]))
        if length > 0:
            out[mask] = v[mask] * max(1 - min(threshold(mask) / length, 1), 0)
    return out


@claim("Example 4.16", reading="corrected", given=GROUP, code=(GroupL2.prox,))
def group_prox(labels: Array, v: Array, lam: float, tau: float, direction: Array, h: float) -> Evidence:
    """The prox of tau J shrinks each group by the factor 1 - min(tau lam sqrt(#g)/|v_g|, 1), zero groups staying 0; the
    outer maximum with 0 that is printed around it changes nothing."""
    J = GroupL2(lam, labels)
    formula = printed_group_prox(v, labels, lambda mask: tau * lam * np.sqrt(mask.sum()))
    return all_of(worse_nearby(J, v, tau, direction, h), equal(J.prox(v, tau), formula, 8.0))


@group_prox.twin("the threshold with sqrt(#G) for the J with sqrt(#g)")
def group_prox_with_other_weights(
    labels: Array, v: Array, lam: float, tau: float, direction: Array, h: float
) -> Evidence:
    """Both weights are consistent in themselves but not with each other."""
    count = len(np.unique(labels))
    return equal(
        GroupL2(lam, labels).prox(v, tau), printed_group_prox(v, labels, lambda m: tau * lam * np.sqrt(count)), 8.0
    )


SPARSE_GROUP = {"lam1": LAM, "lam2": LAM, "v": draw.arrays(N, -8, 8), "direction": POINT, "h": REACH}


@claim("Example 4.16", reading="stronger", given=SPARSE_GROUP, code=(SparseGroup.prox,))
def sparse_group_prox(lam1: float, lam2: float, v: Array, direction: Array, h: float) -> Evidence:
    """The prox of lam1 |.|_1 + lam2 group norm is the group prox after the soft shrinkage."""
    J = SparseGroup(lam1, lam2, PAIRS)
    composed = GroupL2(lam2, PAIRS).prox(L1(lam1).prox(v))
    return all_of(worse_nearby(J, v, 1.0, direction, h), equal(J.prox(v), composed, 16.0))


@sparse_group_prox.twin("soft shrinkage after the group prox")
def sparse_group_prox_reversed(lam1: float, lam2: float, v: Array, direction: Array, h: float) -> Evidence:
    """The order matters."""
    return equal(SparseGroup(lam1, lam2, PAIRS).prox(v), L1(lam1).prox(GroupL2(lam2, PAIRS).prox(v)), 16.0)
