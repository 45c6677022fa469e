"""The steps of LinBreg and AdaBreg in one pass over memory: the same bits as the formulas in NumPy.

Each function updates v (and m, s) where they stand and overwrites theta. Blocks of theta under J = 0,
lam |.|_1 or group norms of consecutive entries shrink in the same pass; other J get v from the kernel
and theta from ``J.prox``.
"""

from collections.abc import Callable, Iterator
from typing import Any

from refimpl.numerics.kernels import shrinkage
from refimpl.sparsity.blocks import Block, Blocks
from refimpl.sparsity.groups import Grouping, _GroupNorm
from refimpl.sparsity.regularizers import L1, Array, Regularizer, Zero, threshold


def reaches(*arrays: Array | None) -> bool:
    """Whether the kernels can work on these arrays: contiguous, float32 or float64."""
    return all(x is None or (x.dtype.itemsize <= 8 and x.flags.c_contiguous) for x in arrays)


def linbreg(J: Regularizer, theta: Array, v: Array, g: Array, tau: float, delta: float) -> None:
    """v <- v - tau g; theta <- prox_{delta J}(delta v) (4.21)."""
    rate, stretch = _scalars(theta, tau, delta)
    for block, part in _parts(J, theta):
        groups = _consecutive(block.J, part.shape)
        v_part, g_part = _flat(block, v), _flat(block, g)
        if groups is None:
            _soft(shrinkage.linbreg_soft, block, part, [v_part, g_part, rate, stretch], delta)
        else:
            radii = block.J.radii(part, groups, delta)  # type: ignore[attr-defined]
            shrinkage.linbreg_groups(v_part, g_part, rate, stretch, groups.ends, radii, part.reshape(-1))


def momentum(
    J: Regularizer, theta: Array, v: Array, m: Array, g: Array, beta: float, rate: float, delta: float
) -> None:
    """m <- beta m + rate g; v <- v - m; theta <- prox_{delta J}(delta v) (4.22)."""
    scalars = _scalars(theta, beta, rate, delta)
    for block, part in _parts(J, theta):
        _soft(shrinkage.momentum_soft, block, part, [*(_flat(block, x) for x in (v, m, g)), *scalars], delta)


def adabreg(J: Regularizer, theta: Array, v: Array, m: Array, s: Array, g: Array, *numbers: float) -> None:
    """Adam's update of v with ``numbers`` (b1, 1 - b1, b2, 1 - b2, rate, root, eps, delta), then the prox."""
    scalars = _scalars(theta, *numbers)
    for block, part in _parts(J, theta):
        _soft(shrinkage.adabreg_soft, block, part, [*(_flat(block, x) for x in (v, m, s, g)), *scalars], numbers[-1])


def _soft(kernel: Callable[..., None], block: Block, part: Array, arguments: list[Any], delta: float) -> None:
    """The kernel with the threshold delta lam for J = lam |.|_1; else with threshold 0, and J.prox after it."""
    lam = block.J.lam if isinstance(block.J, L1) else 0.0
    kernel(*arguments, threshold(part, delta, lam), part.reshape(-1))
    if not isinstance(block.J, (L1, Zero)):
        part[...] = block.J.prox(part, delta)


def _parts(J: Regularizer, theta: Array) -> Iterator[tuple[Block, Array]]:
    blocks = J.pieces(theta) if isinstance(J, Blocks) else [Block(slice(None), None, J)]
    return ((block, block.view(theta)) for block in blocks)


def _flat(block: Block, x: Array) -> Array:
    return x[block.slice].reshape(-1)


def _consecutive(J: Regularizer, shape: tuple[int, ...]) -> Grouping | None:
    """The groups of J if each is a run of consecutive entries."""
    groups = J.grouping(shape) if isinstance(J, _GroupNorm) else None
    return groups if groups is not None and groups.order is None else None


def _scalars(theta: Array, *values: float) -> list[Any]:
    return [theta.dtype.type(value) for value in values]
