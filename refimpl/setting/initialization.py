"""Random weights whose variance keeps the size of signals from layer to layer: He and Glorot."""

from collections.abc import Callable, Sequence
from math import prod, sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from refimpl.numerics import validate
from refimpl.setting.layer import Array

if TYPE_CHECKING:
    from refimpl.setting.network import Network

Distribution = Literal["normal", "uniform"]
Rng = np.random.Generator | int | None


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """(inputs, outputs) that meet one weight of an array (out, in, ...): in * grid and out * grid.

    Raises
    ------
    ValueError : fewer than 2 axes, or an axis of length 0.
    """
    shape = validate.shape("shape", shape)
    if len(shape) < 2:
        validate.fail("shape", "at least 2 axes", validate.describe(shape))
    grid = prod(shape[2:])
    return shape[1] * grid, shape[0] * grid


def he(shape: Sequence[int], distribution: Distribution = "normal", *, rng: Rng = None) -> Array:
    """He weights: mean 0, variance 2 / fan_in, which ReLU layers need to keep the second moment (He et al. 2015).

    fan_in is the inputs of a weight (out, in, ...) times its grid. Raises ValueError for fewer than 2 axes.
    """
    return _draw(shape, 2 / fans(shape)[0], distribution, rng)


def glorot(shape: Sequence[int], distribution: Distribution = "normal", *, rng: Rng = None) -> Array:
    """Glorot weights: mean 0, variance 2 / (fan_in + fan_out), a compromise of forward and backward.

    Glorot and Bengio 2010. Raises ValueError as `he` does.
    """
    return _draw(shape, 2 / sum(fans(shape)), distribution, rng)


def initialize(
    network: "Network", rule: Callable[..., Array] = he, distribution: Distribution = "normal", *, rng: Rng = None
) -> Array:
    """A theta with every weight of two or more axes drawn by ``rule``, everything else by the layers themselves.

    Section 4.3.5 builds on it. Raises ValueError for something that is no network.
    """
    rng = validate.generator("rng", rng)
    theta = validate.provides("network", network, "init", "views").init(rng)
    for block in network.views(theta).values():
        if block.ndim >= 2:
            block[...] = rule(block.shape, distribution, rng=rng)
    return theta


def _draw(shape: Sequence[int], variance: float, distribution: Distribution, rng: Rng) -> Array:
    """Normal, or uniform on [-a, a] with a^2 / 3 = variance."""
    validate.choice("distribution", distribution, ("normal", "uniform"))
    rng = validate.generator("rng", rng)
    if distribution == "normal":
        return rng.normal(0.0, sqrt(variance), tuple(shape))
    return rng.uniform(-sqrt(3 * variance), sqrt(3 * variance), tuple(shape))
