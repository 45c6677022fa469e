"""Known mistakes in Section 4.3: proximal maps, Bregman distances, the sparse start, TV denoising."""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np

from refimpl.crosscheck.bregman_targets import denoised
from refimpl.crosscheck.mistakes import after, changed, mistake
from refimpl.crosscheck.target import TARGETS, Array
from refimpl.sparsity import L1, GroupL2

ENTRYWISE = ("l1", "nonnegative", "elastic_net")
GROUPS = ("group_l2", "group_l2_columns", "group_l2_kernels", "group_l2_labels")
LAM = [f"sparsity.prox_{n}" for n in (*ENTRYWISE, "l2", "squared_l2", *GROUPS)]
PROX = [*LAM, "sparsity.prox_sparse_group"]
SOFT = "sparsity.prox_l1"

changed("lambda applied twice", *LAM, lam=lambda c: c["lam"] ** 2)
changed("prox of tau*v", *PROX, v=lambda c: c["tau"] * c["v"])
changed("tau missing in the threshold", *PROX, tau=lambda c: 1.0)


def soft(v: Array, t: Any) -> Array:
    """sign(v) max(|v| - t, 0), NaN stays."""
    return v - np.clip(v, -t, t)


@mistake("soft shrinkage that swallows NaN", SOFT)
def _swallows(v: Array, tau: float, lam: float) -> Array:
    return np.where(v > tau * lam, v - tau * lam, np.where(v < -tau * lam, v + tau * lam, 0))


@mistake("hard thresholding", SOFT)
def _hard(v: Array, tau: float, lam: float) -> Array:
    return np.where(np.abs(v) <= tau * lam, 0, v)


@mistake("v - Proj(v/lam), the factor lam of the projection missing", SOFT)
def _printed(v: Array, tau: float, lam: float) -> Array:
    return v - np.clip(v / (tau * lam), -1, 1) if tau * lam else v


@mistake("negative entries reflected instead of cut off", "sparsity.prox_nonnegative")
def _reflected(v: Array, tau: float, lam: float) -> Array:
    return np.maximum(np.abs(v) - tau * lam, 0)


@mistake("quadratic without its factor 1/2: v / (1 + 2 tau lam)", "sparsity.prox_squared_l2")
def _no_half(v: Array, tau: float, lam: float) -> Array:
    return v / (1 + 2 * tau * lam)


@mistake("quadratic term of the elastic net forgotten", "sparsity.prox_elastic_net")
def _no_quadratic(v: Array, tau: float, lam: float, delta: float) -> Array:
    return soft(v, tau * lam)


@mistake("divided before shrinking", "sparsity.prox_elastic_net")
def _divided_first(v: Array, tau: float, lam: float, delta: float) -> Array:
    return soft(v / (1 + tau / delta), tau * lam)


@mistake("entrywise instead of the norm of the whole vector", "sparsity.prox_l2")
def _entrywise(v: Array, tau: float, lam: float) -> Array:
    return soft(v, tau * lam)


def _count_and_size(name: str, case: dict[str, Any]) -> tuple[int, Array]:
    """The number of groups, and every entry's group size."""
    v = case["v"]
    if name == "group_l2_labels":
        label, counts = np.unique(case["groups"], return_inverse=True, return_counts=True)[1:]
        return len(counts), counts[label]
    axes = {"group_l2": (0,), "group_l2_columns": (1,), "group_l2_kernels": (0, 1)}[name]
    count = int(np.prod([v.shape[a] for a in axes]))
    return count, np.full(v.shape, v.size // max(count, 1))


def _number_of_groups(name: str) -> Any:
    def twin(**case: Any) -> Array:
        """The unit-weight prox, group by group, with lam sqrt(#G)."""
        count, _ = _count_and_size(name, case)
        unit = {**case, "weights": "unit", "lam": case["lam"] * sqrt(count)}
        return TARGETS[f"sparsity.prox_{name}"].reference(**unit)

    return twin


for _name in GROUPS:
    mistake("group weight sqrt(#G) for sqrt(#g)", f"sparsity.prox_{_name}")(_number_of_groups(_name))


@mistake("group norm over the wrong axis", "sparsity.prox_group_l2")
def _columns(v: Array, tau: float, lam: float, weights: str) -> Array:
    return GroupL2(lam, "columns", weights).prox(v, tau)


@mistake("group norm over the wrong axis", "sparsity.prox_group_l2_columns")
def _rows(v: Array, tau: float, lam: float, weights: str) -> Array:
    return GroupL2(lam, "rows", weights).prox(v, tau)


@mistake("group norm over the wrong axis: filters (o) instead of kernels (o, i)", "sparsity.prox_group_l2_kernels")
def _filters(v: Array, tau: float, lam: float, weights: str) -> Array:
    return GroupL2(lam, "rows", weights).prox(v, tau)


@mistake("the zero group is divided by its norm: 0/0", "sparsity.prox_group_l2")
def _zero_group(v: Array, tau: float, lam: float, weights: str) -> Array:
    t = tau * lam * (sqrt(v.shape[1]) if weights == "sqrt-size" else 1)
    return v * np.maximum(1 - t / np.linalg.norm(v, axis=1, keepdims=True), 0)


@mistake("groups first, entries after", "sparsity.prox_sparse_group")
def _reversed(v: Array, tau: float, lam1: float, lam2: float) -> Array:
    return soft(GroupL2(lam2, "rows").prox(v, tau), tau * lam1)


VALUE_LAM = [f"sparsity.value_{n}" for n in ("l1", "l2", "squared_l2", "nonnegative", "group_l2")]
changed("lambda applied twice", *VALUE_LAM, lam=lambda c: c["lam"] ** 2)
changed("lambda missing", *VALUE_LAM, lam=lambda c: 1.0)


@after("factor 1/2 missing", "sparsity.value_squared_l2")
def _twice(outputs: Any, case: Any) -> Any:
    return 2 * outputs


@mistake("1/(2 delta) taken as delta/2", "sparsity.value_elastic_net")
def _inverse_delta(theta: Array, lam: float, delta: float) -> Any:
    return lam * np.sum(np.abs(theta)) + delta / 2 * np.sum(theta * theta)


changed("lambda missing", "sparsity.subgradient_l1", "sparsity.subgradient_group_l2", lam=lambda c: 1.0)


@mistake("group weight sqrt(#g) missing", "sparsity.subgradient_group_l2")
def _unweighted(theta: Array, lam: float, weights: str) -> Array:
    return GroupL2(lam, "rows", "unit").subgradient(theta)


# Bregman distances

D1, D2 = "sparsity.bregman_distance_l1", "sparsity.bregman_distance_squared_l2"
changed("sign of <p, a - b> wrong", D1, D2, p=lambda c: -c["p"])
changed("p missing: J(a) - J(b)", D1, D2, p=lambda c: 0 * c["p"])


@mistake("selection lam sign(b) instead of the given p", D1)
def _selected(a: Array, b: Array, p: Array, lam: float) -> Any:
    return TARGETS[D1].reference(a=a, b=b, p=L1(lam).subgradient(b), lam=lam)


@after("divided by 2", "sparsity.symmetric_bregman_distance_l1")
def _averaged(outputs: Any, case: Any) -> Any:
    return outputs / 2


# Sparse start

START, STATISTICS = "sparsity.sparse_start", "sparsity.sparse_start.statistics"
SCALES = {
    "scaled by r instead of 1/sqrt(r)": lambda r: r,
    "scaled by 1/r instead of 1/sqrt(r)": lambda r: 1 / r,
    "variance not rescaled": lambda r: 1.0,
}


def _rescaled(scale: Any) -> Any:
    return lambda weight, mask, density: weight * mask * scale(density)


def _statistics(scale: Any) -> Any:
    def twin(rows: int, columns: int, density: float, seed: int) -> dict[str, float]:
        variance = 2 / columns * density * scale(density) ** 2
        return {"density": density, "mean/deviation": 0.0, "log variance": log(variance)}

    return twin


for _label, _scale in SCALES.items():
    mistake(_label, START)(_rescaled(_scale))
    mistake(_label, STATISTICS)(_statistics(_scale))


@mistake("mask drawn with replacement: 1 - (1 - 1/n)^(n r) of the entries survive", STATISTICS)
def _replacement(rows: int, columns: int, density: float, seed: int) -> dict[str, float]:
    kept = 1 - np.exp(-density)
    return {"density": kept, "mean/deviation": 0.0, "log variance": log(2 / columns * kept / density)}


@mistake("share of zeros (the sparsity) instead of the density", "sparsity.density")
def _zeros(theta: Array) -> float:
    return 1 - np.count_nonzero(theta) / theta.size


# TV denoising

TV = "sparsity.tv_denoise"


@mistake("factor 1/2 of the data term missing", TV)
def _half_alpha(f: Array, alpha: float, gap: float) -> Array:
    return denoised(f, alpha / 2, gap)


@mistake("data term weighted by alpha instead of TV", TV)
def _weighted_data(f: Array, alpha: float, gap: float) -> Array:
    return denoised(f, 1 / alpha, gap)
