"""Targets of Section 4.3: regularizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl import sparsity
from refimpl.claims.draw import arrays
from refimpl.crosscheck import sparsity_definitions as definitions
from refimpl.crosscheck.draws import INF, NAN, Draw, Strategy, cases, matrix, ramp, steps, vector, weights
from refimpl.crosscheck.target import Array, Case, Outputs, Target, add

Make = Callable[..., sparsity.Regularizer]

# Regularizers: name, J, how theta is drawn, numbers with their strategies, named arrays -----------------------

ONE_LAM: dict[str, Strategy[float]] = {"lam": weights}
VECTORS: dict[str, Array] = {
    "base": np.array([3.0, -2.0, 0.5, -0.25, 1.0]),
    "zeros": np.zeros(3),
    "ties at the threshold": np.array([1.0, -1.0, 0.5, -0.5]),
    "huge": np.array([2.0**100, -(2.0**101), 2.0**90]),
    "tiny": np.array([2.0**-60, -(2.0**-61)]),
    "one entry": np.array([-1.5]),
}
MATRICES: dict[str, Array] = {
    "base": np.array([[3.0, 4.0, 0.0], [0.25, -0.5, 0.25], [0.0, 0.0, 0.0], [-1.0, 2.0, 2.0]]),
    "zero groups": np.zeros((2, 3)),
    "one column": np.array([[3.0], [-0.5]]),
    "one row": np.array([[3.0, -0.5, 1.0]]),
    "huge": np.array([[2.0**100, 2.0**100], [2.0**99, 0.0]]),
    "tiny": np.array([[2.0**-60, 2.0**-61], [0.0, 2.0**-60]]),
}
SPECIAL: dict[str, Array] = {
    "NaN": np.array([NAN, 2.0, -2.0]),
    "NaN alone": np.array([NAN]),
    "NaN among zeros": np.array([0.0, NAN, 0.0]),
    "infinities": np.array([INF, -INF, 1.0]),
}


def _vectors(draw: Draw) -> Array:
    return vector(draw)


def _matrices(draw: Draw) -> Array:
    return matrix(draw)


def _kernels(draw: Draw) -> Array:
    return draw(arrays((draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2)), 2)))


def entrywise(case: Case) -> Array:
    """|v| plus the largest threshold that its inputs can form."""
    return np.abs(case["v"]) + case["tau"] * max(case.get("lam", 0), case.get("lam1", 0))


def _cased(name: str, draw_array: Any, numbers: Mapping[str, Strategy[float]], tau: bool) -> Callable[[Draw], Case]:
    def draw_case(draw: Draw) -> Case:
        case: Case = {name: draw_array(draw)}
        return case | ({"tau": draw(steps)} if tau else {}) | {n: draw(s) for n, s in numbers.items()}

    return draw_case


def _regularizer(
    name: str,
    make: Make,
    what: str,
    draw_array: Any,
    named: Mapping[str, Array],
    numbers: Mapping[str, Strategy[float]] = ONE_LAM,
    conventions: Mapping[str, tuple[Any, ...]] | None = None,
    **special: Any,
) -> None:
    """prox, value and subgradient of one J."""
    ones = dict.fromkeys(numbers, 0.5)
    extra = SPECIAL if named is VECTORS else special.get("specials", {})
    proxes = {label: {"v": v, "tau": 2.0, **ones} for label, v in {**named, **extra}.items()}
    proxes["tau = 0"] = {"v": named["base"], "tau": 0.0, **ones}
    proxes["lam = 2"] = {"v": named["base"], "tau": 0.25, **dict.fromkeys(numbers, 2.0)}
    common: dict[str, Any] = {"conventions": conventions or {}}
    add(
        Target(
            name=f"sparsity.prox_{name}",
            what=f"argmin 1/2 |theta - v|^2 + tau J(theta) (Def 4.13), J = {what}",
            outputs=("theta",),
            inputs=cases(_cased("v", draw_array, numbers, True)),
            reference=lambda v, tau, **given: make(**given).prox(v, tau),
            k=16,
            why="a threshold, a norm, a quotient: a few roundings, relative to |v| and the threshold",
            scale=special.get("scale"),
            edges=proxes,
            definition=getattr(definitions, f"prox_{name}", special.get("definition")),
            **common,
        )
    )
    _value_and_subgradient(name, make, what, draw_array, named, numbers, common, special)


def _value_and_subgradient(
    name: str, make: Make, what: str, draw_array: Any, named: Any, numbers: Any, common: Any, special: Any
) -> None:
    inside = special.get("domain", lambda theta: theta)
    points = {label: {"theta": inside(a), **dict.fromkeys(numbers, 0.5)} for label, a in named.items()}
    inputs = cases(lambda draw: _inside(_cased("theta", draw_array, numbers, False)(draw), inside))
    add(
        Target(
            name=f"sparsity.value_{name}",
            what=f"J(theta) = {what}",
            outputs=("value",),
            inputs=inputs,
            reference=lambda theta, **given: make(**given).value(theta),
            k=32,
            why="a sum over the entries, relative to the sum of its moduli",
            scale=lambda case: (
                np.abs(make(**{n: v for n, v in case.items() if n != "theta"}).value(case["theta"])) or 1.0
            ),
            edges=points,
            definition=getattr(definitions, f"value_{name}", None),
            **common,
        )
    )
    add(
        Target(
            name=f"sparsity.subgradient_{name}",
            what=f"any p in dJ(theta) (Def 4.10), J = {what}",
            outputs=("p",),
            inputs=inputs,
            reference=lambda theta, **given: make(**given).subgradient(theta),
            relation="member",
            residuals=_membership(make),
            k=32,
            why="the distance of p to dJ(theta), relative to |p| and J's weights",
            edges={label: case for label, case in points.items() if label not in ("huge", "tiny")},
            **common,
        )
    )


def _inside(case: Case, inside: Callable[[Array], Array]) -> Case:
    return {**case, "theta": inside(case["theta"])}


def _membership(make: Make) -> Callable[[Case, Outputs], dict[str, float]]:
    def residuals(case: Case, outputs: Outputs) -> dict[str, float]:
        given = {n: v for n, v in case.items() if n != "theta"}
        p, theta = outputs["p"], case["theta"].astype(float)
        scale = max(float(np.linalg.norm(p)), 1.0) * np.finfo(case["theta"].dtype).eps
        return {
            "distance of p to dJ(theta)": float(make(**given).subdifferential_distance(p.astype(float), theta)) / scale
        }

    return residuals


def _group(groups: str) -> Make:
    return lambda lam, weights="sqrt-size": sparsity.GroupL2(lam, groups, weights)


GROUP_WEIGHTS = {"weights": ("sqrt-size", "unit")}
_regularizer("l1", sparsity.L1, "lam |theta|_1", _vectors, VECTORS, scale=entrywise)
_regularizer("l2", sparsity.L2, "lam |theta|_2", _vectors, VECTORS)
_regularizer("squared_l2", sparsity.SquaredL2, "lam/2 |theta|^2", _vectors, VECTORS)
_regularizer(
    "nonnegative",
    sparsity.Nonnegative,
    "lam sum theta_i for theta >= 0",
    _vectors,
    VECTORS,
    domain=np.abs,
    scale=entrywise,
)
_regularizer(
    "elastic_net",
    lambda lam, delta: sparsity.ElasticNet(sparsity.L1(lam), delta),
    "lam |theta|_1 + |theta|^2 / (2 delta) (4.17)",
    _vectors,
    VECTORS,
    {"lam": weights, "delta": steps},
)
_regularizer(
    "group_l2",
    _group("rows"),
    "lam sum over rows of sqrt(#g) |theta_g|_2, #g entries a row (Example 4.16)",
    _matrices,
    MATRICES,
    conventions=GROUP_WEIGHTS,
    specials={
        "NaN": np.array([[NAN, 2.0], [3.0, 4.0]]),
        "NaN alone": np.array([[NAN]]),
        "NaN row": np.full((2, 2), NAN),
    },
    definition=definitions.group_prox(definitions.rows),
)
_regularizer(
    "group_l2_columns",
    _group("columns"),
    "lam sum over columns of sqrt(#g) |theta_g|_2 (Example 4.16)",
    _matrices,
    MATRICES,
    conventions=GROUP_WEIGHTS,
    definition=definitions.group_prox(definitions.columns),
)
_regularizer(
    "group_l2_kernels",
    _group("kernels"),
    "lam sum over kernels (o, i) of sqrt(kh kw) |theta_oi|_2, theta (c_out, c_in, kh, kw) (4.3.5)",
    _kernels,
    {"base": ramp(2, 3, 2, 2), "zero kernels": np.zeros((2, 1, 3, 3)), "pointwise": ramp(2, 2, 1, 1)},
    conventions=GROUP_WEIGHTS,
    definition=definitions.group_prox(definitions.kernels),
)
_regularizer(
    "sparse_group",
    lambda lam1, lam2: sparsity.SparseGroup(lam1, lam2, "rows"),
    "lam1 |theta|_1 + lam2 sum over rows of sqrt(#g) |theta_g|_2",
    _matrices,
    MATRICES,
    {"lam1": weights, "lam2": weights},
)


def _labelled_groups(draw: Draw) -> Case:
    v = vector(draw)
    labels = np.array(draw(st.lists(st.integers(0, 2), min_size=len(v), max_size=len(v))))
    return {"v": v, "tau": draw(steps), "lam": draw(weights), "groups": labels}


add(
    Target(
        name="sparsity.prox_group_l2_labels",
        what="prox of lam sum_g sqrt(#g) |theta_g|_2, equal labels form a group, missing labels none (Example 4.16)",
        outputs=("theta",),
        inputs=cases(_labelled_groups),
        reference=lambda v, tau, lam, groups, weights: sparsity.GroupL2(lam, groups, weights).prox(v, tau),
        k=16,
        why="a norm and a quotient a group",
        edges={
            "base": {"v": VECTORS["base"], "tau": 0.5, "lam": 0.5, "groups": np.array([0, 1, 0, 1, 3])},
            "empty groups": {"v": VECTORS["base"], "tau": 0.5, "lam": 0.5, "groups": np.array([7, 7, 2, 2, 2])},
        },
        conventions=GROUP_WEIGHTS,
        definition=definitions.group_prox(definitions.rows),
    )
)
