"""A neural network f_theta = Phi_L o ... o Phi_1 on ONE parameter vector theta (Section 4.1.1)."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from refimpl.numerics import validate
from refimpl.setting.layer import Array, Chain, Layer, Need, Params

Pullback = Callable[..., tuple[Array | None, Array | None]]


class Network(Chain):
    """f_theta = Phi_L o ... o Phi_1, with all parameters in one vector theta in R^n.

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

    def __init__(self, layers: Sequence[Layer]):
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                validate.fail(f"layers[{i}]", "a Layer", validate.describe(layer))
        self.layers = tuple(layers)

    def __repr__(self) -> str:
        return f"Network({list(self.layers)!r})"

    @property
    def size(self) -> int:
        """n, the number of parameters."""
        return sum(prod(shape) for shape in self.shapes.values())

    @property
    def slices(self) -> dict[str, slice]:
        """Name -> the slice of theta that holds this parameter."""
        ends = np.cumsum([0, *(prod(shape) for shape in self.shapes.values())])
        return {name: slice(int(a), int(b)) for name, a, b in zip(self.shapes, ends[:-1], ends[1:])}

    def views(self, theta: Array) -> Params:
        """Name -> the block of theta in its own shape; views, not copies.

        Raises
        ------
        ValueError : theta is not a contiguous vector of n real numbers.
        """
        theta = validate.real_array("theta", theta, shape=(self.size,))
        shapes = self.shapes
        return {name: theta[block].reshape(shapes[name]) for name, block in self.slices.items()}

    def flatten(self, params: Params, dtype: np.dtype | type = np.float64) -> Array:
        """The vector theta of a dictionary of blocks: the inverse of `views`."""
        return np.concatenate([np.ravel(params[name]) for name in self.shapes] or [np.zeros(0)]).astype(dtype)

    def init(self, rng: np.random.Generator | int | None = None, dtype: type = np.float64) -> Array:  # type: ignore[override]
        """A random theta: each layer's own rule, drawn from ``np.random.default_rng(rng)``."""
        return self.flatten(super().init(np.random.default_rng(rng)), dtype)

    def __call__(self, theta: Array, x: Array) -> Array:
        """f_theta(x) for a batch x."""
        return self.forward(self.views(theta), self._input(x))[0]

    def vjp(self, theta: Array, x: Array) -> tuple[Array, Pullback]:
        """f_theta(x) and its pull-back ``pullback(dy, need="both") -> (dx, dtheta)``.

        ``need="input"`` computes dx alone (dtheta is None), ``need="parameters"`` dtheta alone.
        """
        params = self.views(theta)
        y, caches = self.forward(params, self._input(x))

        def pullback(dy: Array, need: Need = "both") -> tuple[Array | None, Array | None]:
            validate.choice("need", need, ("both", "input", "parameters"))
            dy = validate.real_array("dy", dy, shape=y.shape)
            dx, dparams = self.backward(params, caches, dy, need)
            return dx, None if dparams is None else self.flatten(dparams, theta.dtype)

        return y, pullback

    @staticmethod
    def _input(x: Array) -> Array:
        x = validate.real_array("x", x)
        if x.ndim < 2:
            validate.fail("x", "a batch: at least 2 axes, the first counts the samples", validate.describe(x))
        return x
