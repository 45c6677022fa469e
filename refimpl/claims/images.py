"""Instances for Section 4.4: kernels and images on grids of 1, 2 and 3 dimensions, sizes of every parity."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw

Array = np.ndarray
Keep = Callable[[int, int, int], bool]
LARGEST = {1: 9, 2: 5, 3: 4}  # sizes by dimension, so that arrays stay small
NORMS = ("1", "sqrt", "n")


def odd(*sizes: int) -> bool:
    """Whether all sizes are odd."""
    return all(n % 2 for n in sizes)


@st.composite
def problems(draw_: Any, keep: Keep = lambda m, n, l: True, dimensions: tuple[int, ...] = (1, 2, 3)) -> dict[str, Any]:
    """theta on J_M, v on J_N and a third size L, drawn by value; on each axis ``keep(m, n, l)``."""
    d = draw_(st.sampled_from(dimensions))
    allowed = [s for s in product(range(1, LARGEST[d] + 1), repeat=3) if keep(*s)]
    m, n, l = zip(*(draw_(st.sampled_from(allowed)) for _ in range(d)))
    return {"theta": draw_(draw.arrays(m)), "v": draw_(draw.arrays(n)), "size": l}


def problem(m: tuple[int, ...], n: tuple[int, ...], l: tuple[int, ...] | None = None, seed: int = 0) -> dict[str, Any]:
    """One such instance, its values from a seed."""
    return {"theta": draw.uniform(seed, m), "v": draw.uniform(seed + 1, n), "size": n if l is None else l}


def parts(instance: dict[str, Any], dtype: type) -> tuple[Array, Array, tuple[int, ...]]:
    """theta, v and L in one precision."""
    return instance["theta"].astype(dtype), instance["v"].astype(dtype), instance["size"]


def size_of(theta: Array, v: Array) -> float:
    """sum |theta| max |v|, which bounds a convolution."""
    return float(np.sum(np.abs(theta)) * np.max(np.abs(v))) or 1.0


def direct_convolution(a: Array, b: Array) -> Array:
    """(a * b)_j = sum_k a_k b_{j-k} on one grid, entry by entry."""
    y = np.zeros_like(b)
    for k in np.ndindex(a.shape):
        for j in np.ndindex(b.shape):
            y[j] += a[k] * b[tuple((p - q) % n for p, q, n in zip(j, k, b.shape))]
    return y


def direct_correlation(g: Array, v: Array) -> Array:
    """sum_j g_j v_{j-k}: the gradient in theta of <g, C(theta)(v)> for theta on the grid of v."""
    axes = tuple(range(v.ndim))
    return np.array([np.sum(g * np.roll(v, k, axes)) for k in np.ndindex(v.shape)], v.dtype).reshape(v.shape)
