"""Targets of Section 4.3: Bregman distances, the sparse start, TV denoising."""

from __future__ import annotations

from collections.abc import Callable
from math import log, sqrt
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl import sparsity
from refimpl.claims.draw import arrays, dyadic
from refimpl.crosscheck import sparsity_definitions as definitions
from refimpl.crosscheck.draws import Draw, cases, matrix, ramp, weights
from refimpl.crosscheck.target import Array, Case, Outputs, Target, add

Make = Callable[..., sparsity.Regularizer]

# Bregman distances --------------------------------------------------------------------------------------------


def _with_subgradient(J: Make, symmetric: bool = False) -> Callable[[Draw], Case]:
    """a, b and subgradients there, inside the interval at kinks."""

    def draw_case(draw: Draw) -> Case:
        n, lam = draw(st.integers(1, 4)), draw(weights)
        a, b = draw(arrays(n)), draw(arrays(n))
        slopes = [np.where(x == 0, draw(arrays(n, -1, 1)) * (J is sparsity.L1), 0) * lam for x in (a, b)]
        pa, pb = (J(lam).subgradient(x) + s for x, s in zip((a, b), slopes))
        return {"a": a, "b": b, **({"pa": pa, "pb": pb} if symmetric else {"p": pb}), "lam": lam}

    return draw_case


A, B = np.array([1.0, -2.0, 0.0, 3.0]), np.array([-1.0, -0.5, 2.0, 0.0])
DISTANCE = "a sum of differences, relative to the sum of moduli"


def _moduli(case: Case) -> float:
    return float(
        np.sum(
            (np.abs(case["a"]) + np.abs(case["b"])) * (case["lam"] + 1) * (np.abs(case["a"]) + np.abs(case["b"]) + 1)
        )
    )


def _distance(name: str, J: Make, at_b: Array, definition: Any) -> None:
    add(
        Target(
            name=f"sparsity.bregman_distance_{name}",
            what="J(a) - J(b) - <p, a - b> for p in dJ(b) (4.9)",
            outputs=("distance",),
            inputs=cases(_with_subgradient(J)),
            reference=lambda a, b, p, lam: sparsity.bregman_distance(J(lam), a, b, p),
            why=DISTANCE,
            scale=_moduli,
            edges={
                "base": {"a": A, "b": B, "p": at_b, "lam": 0.5},
                "same point": {"a": B, "b": B, "p": at_b, "lam": 0.5},
            },
            definition=definition,
        )
    )


_distance("l1", sparsity.L1, np.array([-0.5, -0.5, 0.5, 0.25]), definitions.bregman_l1)
_distance("squared_l2", sparsity.SquaredL2, 0.5 * B, definitions.bregman_squared_l2)
add(
    Target(
        name="sparsity.symmetric_bregman_distance_l1",
        what="D^pb(a, b) + D^pa(b, a) = <pa - pb, a - b> (4.10)",
        outputs=("distance",),
        inputs=cases(_with_subgradient(sparsity.L1, symmetric=True)),
        reference=lambda a, b, pa, pb, lam: sparsity.symmetric_bregman_distance(sparsity.L1(lam), a, b, pa, pb),
        why=DISTANCE,
        scale=_moduli,
        edges={"base": {"a": A, "b": B, "pa": np.sign(A) / 2, "pb": np.array([-0.5, -0.5, 0.5, 0.25]), "lam": 0.5}},
        definition=definitions.symmetric_bregman_l1,
    )
)

# The sparse start ---------------------------------------------------------------------------------------------


def _masked(draw: Draw) -> Case:
    weight = matrix(draw)
    mask = draw(st.lists(st.booleans(), min_size=weight.size, max_size=weight.size))
    return {"weight": weight, "mask": np.array(mask, float).reshape(weight.shape), "density": draw(dyadic(2**-4, 1))}


add(
    Target(
        name="sparsity.sparse_start",
        what="mask * weight / sqrt(r) for a Bernoulli(r) mask: the variance stays (4.33); the mask is data",
        outputs=("weight",),
        inputs=cases(_masked),
        reference=lambda weight, mask, density: weight * mask / sqrt(density),  # (4.33)
        why="a root and two products",
        edges={
            "base": {"weight": ramp(2, 3), "mask": np.array([[1.0, 0, 0], [0, 1, 1]]), "density": 0.25},
            "dense": {"weight": ramp(2, 2), "mask": np.ones((2, 2)), "density": 1.0},
        },
        definition=definitions.sparse_start,
    )
)

N_OUT, N_IN = 256, 512


def _statistics(rows: int, columns: int, density: float, seed: int) -> dict[str, Any]:
    """What He weights under a rescaled Bernoulli(r) mask have on average: the share of nonzeros, and the variance."""
    return {"density": density, "mean/deviation": 0.0, "log variance": log(2 / columns)}


def measured(case: Case, outputs: Outputs) -> Outputs:
    """Density, mean and variance of the weights a candidate drew."""
    w = np.asarray(outputs["weight"], float)
    if w.shape != (case["rows"], case["columns"]):
        raise ValueError(f"weight has shape {w.shape}, expected {(case['rows'], case['columns'])}")
    deviation, variance = float(w.std()) or 1.0, float(w.var()) or np.finfo(float).tiny
    return {
        "density": np.count_nonzero(w) / w.size,
        "mean/deviation": float(w.mean()) / deviation,
        "log variance": log(variance),
    }


def _deviations(case: Case) -> dict[str, float]:
    """Standard errors over n weights: sqrt(r (1 - r) / n), 1/sqrt(n), and of the log variance sqrt((3/r - 1) / n)."""
    n, r = case["rows"] * case["columns"], case["density"]
    squares = {"density": r * (1 - r), "mean/deviation": 1.0, "log variance": 3 / r - 1}
    return {name: sqrt(square / n) / float(np.finfo(float).eps) for name, square in squares.items()}


add(
    Target(
        name="sparsity.sparse_start.statistics",
        what="He weights (rows, columns), each kept with probability r, times 1/sqrt(r): variance 2/columns (4.33)",
        outputs=("weight",),
        inputs=cases(
            lambda draw: {
                "rows": N_OUT,
                "columns": N_IN,
                "density": draw(st.sampled_from((0.0625, 0.25, 0.5))),
                "seed": draw(st.integers(0, 10)),
            }
        ),
        reference=_statistics,
        relation="statistic",
        measure=measured,
        k=7,
        why="standard errors; 7 of them by chance once in 4e11 draws",
        scale=_deviations,
        edges={
            "base": {"rows": N_OUT, "columns": N_IN, "density": 0.125, "seed": 0},
            "half": {"rows": N_OUT, "columns": N_IN, "density": 0.5, "seed": 2},
            "one percent": {"rows": N_OUT, "columns": N_IN, "density": 1 / 128, "seed": 1},
        },
    )
)
add(
    Target(
        name="sparsity.density",
        what="share of nonzero entries of a matrix, divided by the number of its own entries (4.3.5)",
        outputs=("density",),
        inputs=cases(lambda draw: {"theta": matrix(draw)}),
        reference=lambda theta: np.count_nonzero(theta) / theta.size,
        why="one quotient",
        edges={"base": {"theta": np.array([[1.0, 0, 0, 2], [0, 0, 0, 3]])}, "dense": {"theta": np.ones((2, 5))}},
        definition=definitions.density,
    )
)

# TV denoising -------------------------------------------------------------------------------------------------


def total_variation(u: Array) -> float:
    """sum_ij |(D u)_ij|_2, forward differences, zero beyond the last row and column."""
    down, across = np.zeros_like(u), np.zeros_like(u)
    down[:-1], across[:, :-1] = np.diff(u, axis=0), np.diff(u, axis=1)
    return float(np.sum(np.hypot(down, across)))


def denoised(f: Array, alpha: float, gap: float) -> Array:
    """argmin 1/2 |u - f|^2 + alpha TV(u)."""
    return sparsity.tv_denoise(f, alpha, gap / 100).u


def _excess(case: Case, outputs: Outputs) -> dict[str, float]:
    """How far the energy of u lies above a certified lower bound of the minimum, over the gap that was asked for."""
    f, alpha, u = case["f"].astype(float), case["alpha"], np.asarray(outputs["u"], float)
    best = sparsity.tv_denoise(f, alpha, case["gap"] / 100)
    energies = [0.5 * float(np.sum((w - f) ** 2)) + alpha * total_variation(w) for w in (u, best.u)]
    rounding = 64 * float(np.finfo(case["f"].dtype).eps) * (energies[1] + 0.5 * float(np.sum(f * f)))
    return {
        "energy above the certified minimum, over the gap": (energies[0] - energies[1] + best.gap)
        / (case["gap"] + rounding)
    }


def _image(draw: Draw) -> Case:
    f = matrix(draw)
    return {"f": f, "alpha": draw(dyadic(2**-4, 2)), "gap": 1e-6}


add(
    Target(
        name="sparsity.tv_denoise",
        what="argmin 1/2 |u - f|^2 + alpha TV(u), TV isotropic with forward differences (Example 4.18), to a gap",
        outputs=("u",),
        inputs=cases(_image),
        reference=denoised,
        relation="minimiser",
        residuals=_excess,
        k=1.01,
        why="the energy may exceed the certified minimum by the gap that was asked for",
        edges={
            "base": {"f": np.array([[0.0, 1.0, 1.0], [0.0, 1.0, 4.0], [0.0, 0.0, 1.0]]), "alpha": 0.5, "gap": 1e-6},
            "constant": {"f": np.ones((2, 3)), "alpha": 1.0, "gap": 1e-6},
            "signal": {"f": np.array([[0.0], [0.0], [3.0], [4.0]]), "alpha": 0.5, "gap": 1e-6},
            "one pixel": {"f": np.array([[2.0]]), "alpha": 1.0, "gap": 1e-6},
            "one step": {"f": np.array([[0.0, 2.0], [0.0, 2.0]]), "alpha": 0.25, "gap": 1e-6},
        },
    )
)
