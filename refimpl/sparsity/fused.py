"""The steps of LinBreg and AdaBreg in one pass over memory: the same bits as the formulas in NumPy.

Each function updates v (and m, s) where they stand and overwrites theta. Blocks of theta under J = 0,
lam |.|_1 or group norms of consecutive entries shrink in the same pass; other J get v from the kernel
and theta from ``J.prox``.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from refimpl.numerics.threads import team
from refimpl.sparsity.blocks import Blocks
from refimpl.sparsity.groups import Grouping, _GroupNorm, kernels
from refimpl.sparsity.regularizers import L1, Array, Regularizer, Zero, threshold


def reaches(theta: Array, *others: Array | None) -> bool:
    """Whether the kernels can work on these arrays: contiguous, float32 or float64."""
    for x in others:
        if x is not None and not x.flags.c_contiguous:
            return False
    return theta.itemsize <= 8 and theta.flags.c_contiguous


def linbreg(J: Regularizer, theta: Array, v: Array, g: Array, tau: float, delta: float) -> None:
    """v <- v - tau g; theta <- prox_{delta J}(delta v) (4.21)."""
    for J_l, (theta_l, v_l, g_l) in _blocks(J, theta, v, g):
        groups = _consecutive(J_l, theta_l.shape)
        if groups is None:
            _soft(kernels().linbreg_soft, J_l, theta_l, (v_l, g_l), (tau, delta))
        else:
            radii = J_l.radii(theta_l, groups, delta)  # type: ignore[attr-defined]
            rate, stretch = theta.dtype.type(tau), theta.dtype.type(delta)
            v_l, g_l, x = v_l.reshape(-1), g_l.reshape(-1), theta_l.reshape(-1)
            kernels().linbreg_groups(team(x.size // kernels().GRAIN), v_l, g_l, rate, stretch, groups.ends, radii, x)


def momentum(
    J: Regularizer, theta: Array, v: Array, m: Array, g: Array, beta: float, rate: float, delta: float
) -> None:
    """m <- beta m + rate g; v <- v - m; theta <- prox_{delta J}(delta v) (4.22)."""
    for J_l, (theta_l, *others) in _blocks(J, theta, v, m, g):
        _soft(kernels().momentum_soft, J_l, theta_l, others, (beta, rate, delta))


def adabreg(
    J: Regularizer, theta: Array, v: Array, m: Array, s: Array, g: Array, rate: float, root: float, *numbers: float
) -> None:
    """Adam's update of v with ``numbers`` (b1, 1 - b1, b2, 1 - b2, eps, delta), then the prox."""
    for J_l, (theta_l, *others) in _blocks(J, theta, v, m, s, g):
        _soft(kernels().adabreg_soft, J_l, theta_l, others, numbers, rate, root)


def _soft(
    kernel: Callable[..., None],
    J: Regularizer,
    theta: Array,
    others: Iterable[Array],
    numbers: tuple[float, ...],
    *changing: float,
) -> None:
    """The kernel with the threshold delta lam for J = lam |.|_1; else with threshold 0, and J.prox after it."""
    scalars = _scalars(theta.dtype.type, J.lam if isinstance(J, L1) else 0.0, numbers)  # type: ignore[arg-type]
    flat = theta
    if theta.ndim != 1:
        flat, *others = [x.reshape(-1) for x in (theta, *others)]
    kernel(team(flat.size // kernels().GRAIN), *others, *changing, *scalars, flat)
    if not isinstance(J, (L1, Zero)):
        theta[...] = J.prox(theta, numbers[-1])


def _blocks(J: Regularizer, *arrays: Array) -> Iterable[tuple[Regularizer, tuple[Array, ...]]]:
    """J and the arrays, block by block."""
    if not isinstance(J, Blocks):
        return ((J, arrays),)
    return ((block.J, tuple(block.view(x) for x in arrays)) for block in J.pieces(arrays[0]))


def _consecutive(J: Regularizer, shape: tuple[int, ...]) -> Grouping | None:
    """The groups of J if each is a run of consecutive entries."""
    if not isinstance(J, _GroupNorm):
        return None
    groups = J.grouping(shape)
    return groups if groups.order is None else None


@lru_cache(maxsize=256)
def _scalars(dtype: Any, lam: float, numbers: tuple[float, ...]) -> tuple[Any, ...]:
    """The numbers, which end with delta, and the threshold delta lam, each rounded to the dtype."""
    return (*map(dtype, numbers), threshold(np.empty(0, dtype), numbers[-1], lam))
