"""A neural network f_theta = Phi_L o ... o Phi_1 on ONE parameter vector theta (Section 4.1.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from refimpl.numerics import memory, validate
from refimpl.setting.layer import Array, Chain, Need, Params


@dataclass(frozen=True)
class Network(Chain):
    """f_theta = Phi_L o ... o Phi_1 (Section 4.1.1), with all parameters in one vector theta in R^n.

    Parameters
    ----------
    layers : the layers, first one first.

    Examples
    --------
    >>> f = Network([Dense(784, 200), ReLU(), Dense(200, 10)])
    >>> theta = f.init(rng=0)
    >>> y, pullback = f.vjp(theta, x)
    >>> dx, dtheta = pullback(dy)
    """

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every parameter, in the order in which theta stores them."""
        return super().shapes

    @cached_property
    def size(self) -> int:
        """n, the number of parameters."""
        return sum(prod(shape) for shape in self.shapes.values())

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Name -> the slice of theta that holds this parameter."""
        ends = np.cumsum([0, *(prod(shape) for shape in self.shapes.values())])
        return {name: slice(int(a), int(b)) for name, a, b in zip(self.shapes, ends[:-1], ends[1:])}

    def views(self, theta: Array) -> Params:
        """Name -> the block of theta in its own shape; views, not copies.

        Raises
        ------
        ValueError : theta is not a vector of n real numbers.
        """
        theta = validate.real_array("theta", theta, shape=(self.size,))
        return {name: theta[block].reshape(self.shapes[name]) for name, block in self.slices.items()}

    def flatten(self, params: Params, dtype: Any = np.float64) -> Array:
        """The vector theta of a dictionary of blocks: the inverse of `views`."""
        validate.mapping("params", params, self.slices)
        theta = np.empty(self.size, validate.float_dtype("dtype", dtype))
        for name, block in self.slices.items():
            theta[block] = np.ravel(validate.real_array(f"params[{name!r}]", params[name], shape=self.shapes[name]))
        return theta

    def init(self, rng: np.random.Generator | int | None = None, dtype: Any = np.float64) -> Array:  # type: ignore[override]
        """A random theta: each layer's own rule, drawn from ``np.random.default_rng(rng)``."""
        return self.flatten(super().init(validate.generator("rng", rng)), dtype)

    def __call__(self, theta: Array, x: Array) -> Array:
        """f_theta(x) for a batch x."""
        return self.forward(self.views(theta), _batch(x))[0]

    def vjp(self, theta: Array, x: Array) -> tuple[Array, "Pullback"]:
        """f_theta(x) and its pull-back ``pullback(dy, need="both") -> (dx, dtheta)``.

        ``need="input"`` computes dx alone (dtheta is None), ``need="parameters"`` dtheta alone;
        ``pullback.statistics`` holds the batch statistics of this pass.
        """
        theta = validate.real_array("theta", theta)
        params = self.views(theta)
        y, caches = self.forward(params, _batch(x))
        return y, Pullback(self, params, caches, y.shape, theta.dtype)

    def evaluation(self, statistics: Mapping[str, Array]) -> "Network":
        """The network with every batch normalisation fixed at these statistics; theta stays the same.

        ``statistics`` come from ``pullback.statistics`` of one batch, or averaged by `running_statistics`.
        """
        return Network(super().evaluation(validate.mapping("statistics", statistics)).layers)


@dataclass(frozen=True)
class Pullback:
    """(D f_theta(x))^T of one forward pass: dy -> (dx, dtheta) (Section 4.1.2).

    Raises ValueError for dy of another shape than f_theta(x), or an unknown ``need``.
    """

    network: Network
    params: Params
    caches: list[Any]
    shape: tuple[int, ...]
    dtype: np.dtype

    def __call__(self, dy: Array, need: Need = "both") -> tuple[Array | None, Array | None]:
        """(dx, dtheta), dtheta in the dtype of theta; the half that ``need`` leaves out is None."""
        validate.choice("need", need, ("both", "input", "parameters"))
        dy = validate.real_array("dy", dy, shape=self.shape)
        dx, dparams = self.network.backward(self.params, self.caches, dy, need)
        return dx, None if dparams is None else self._gathered(dparams)

    def _gathered(self, dparams: Params) -> Array:
        """The blocks as one vector, each freed once it is copied: the gradient is in memory once, not twice."""
        dtheta = memory.empty((self.network.size,), self.dtype)
        for name, block in self.network.slices.items():
            dtheta[block] = np.ravel(dparams.pop(name))
        return dtheta

    @property
    def statistics(self) -> Params:
        """Name -> batch mean or unbiased batch variance of every batch normalisation in training."""
        return self.network.statistics(self.caches)


def _batch(x: Array) -> Array:
    x = validate.real_array("x", x)
    if x.ndim < 2:
        validate.fail("x", "a batch: at least 2 axes, the first counts the samples", validate.describe(x))
    return x
