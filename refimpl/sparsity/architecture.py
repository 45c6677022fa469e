"""Architecture search: what a sparse theta leaves of the architecture, and learnt skips (Section 4.3.5, BREG-II)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.numerics import validate
from refimpl.setting.activations import ReLU
from refimpl.setting.layer import Array, Gradients, Layer, Need, Params, scoped
from refimpl.setting.layers import Dense
from refimpl.sparsity.blocks import parameters


def active_rows(W: Array) -> Array:
    """Which rows W[i] are not all zero: the neurons of the layer that can depend on its input.

    W has two axes or more, shape (n, m, ...); Section 4.3.5. A zero row is an inactive neuron only where sigma(b_i) =
    0, for instance without bias and with ReLU.
    Raises ValueError for fewer axes.
    """
    W = validate.real_array("W", W)
    if W.ndim < 2:
        validate.fail("W", "at least 2 axes", validate.describe(W))
    return np.any(W != 0, axis=tuple(range(1, W.ndim)))


def active_kernels(W: Array) -> Array:
    """Which kernels W[i, j] of a convolution (c_out, c_in, kh, kw) are not all zero.

    Section 4.3.5. Raises ValueError for other than four axes.
    """
    W = validate.real_array("W", W, ndim=4)
    return np.any(W != 0, axis=(2, 3))


def effective_widths(network: Any, theta: Array) -> dict[str, int]:
    """Name -> number of active rows (output channels of convolutions) of every weight block.

    Section 4.3.5. Raises ValueError for a theta too short for the blocks.
    """
    theta = parameters(network, theta)
    blocks = {name: shape for name, shape in network.shapes.items() if len(shape) > 1}
    return {
        name: int(np.count_nonzero(active_rows(theta[network.slices[name]].reshape(shape))))
        for name, shape in blocks.items()
    }


@dataclass(frozen=True)
class SkipNetwork(Layer):
    """x_{l+1} = ReLU(W_l x_l + b_l) + sum_{i <= l} s_{l,i} x_i for l = 0 ... depth - 1 (Section 4.3.5).

    The states x_l have the shape (batch, width). The skips s are one parameter block "skips", a vector ordered
    (0,0), (1,0), (1,1), (2,0), ..., that starts at 0; an l1 norm on it decides which skips survive.

    Derivative, with da_l = dx_{l+1} ReLU'(a_l), from the last layer to the first:
    ds_{l,i} = <dx_{l+1}, x_i>, dx_i += s_{l,i} dx_{l+1}, and those of the affine map at da_l.

    Raises ValueError for width or depth below 1.
    """

    width: int
    depth: int
    bias: bool = True

    def __post_init__(self) -> None:
        validate.integer("width", self.width, low=1)
        validate.integer("depth", self.depth, low=1)
        validate.flag("bias", self.bias)

    @property
    def affine(self) -> Dense:
        """W_l x + b_l."""
        return Dense(self.width, self.width, self.bias)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """l.weight (width, width) and l.bias (width,) of every layer l, then skips."""
        layers = {f"{l}.{name}": s for l in range(self.depth) for name, s in self.affine.shapes.items()}
        return layers | {"skips": (self.depth * (self.depth + 1) // 2,)}

    def init(self, rng: np.random.Generator) -> Params:
        """He initialisation of every layer, zero skips."""
        layers = {f"{l}.{name}": w for l in range(self.depth) for name, w in self.affine.init(rng).items()}
        return layers | {"skips": np.zeros(self.shapes["skips"])}

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[list[Array], list[Any]]]:
        """x_depth."""
        states, affine = [x], []
        for l in range(self.depth):
            affine.append(self.affine.forward(scoped(params, str(l)), states[l]))
            skipped = sum(s * state for s, state in zip(self.skips(params, l), states))
            states.append(ReLU().value(affine[l][0]) + skipped)
        return states[-1], (states, affine)

    def backward(
        self, params: Params, cache: tuple[list[Array], list[Any]], dy: Array, need: Need = "both"
    ) -> Gradients:
        """dx and the gradients of all blocks."""
        states, affine = cache
        dstates = [np.zeros_like(state) for state in states[:-1]] + [dy]
        gradients: Params = {"skips": np.zeros_like(params["skips"])}
        for l in reversed(range(self.depth)):
            d = dstates[l + 1]
            self.skips(gradients, l)[:] = [np.sum(d * state) for state in states[: l + 1]]
            for i, s in enumerate(self.skips(params, l)):
                dstates[i] += s * d
            a, inner = affine[l]
            da = d * ReLU().slope(a, a)
            wanted: Need = "input" if need == "input" else "both"
            dx, dlayer = self.affine.backward(scoped(params, str(l)), inner, da, wanted)
            dstates[l] += dx
            gradients.update({f"{l}.{name}": g for name, g in (dlayer or {}).items()})
        return (None if need == "parameters" else dstates[0]), (None if need == "input" else gradients)

    @staticmethod
    def skips(params: Params, l: int) -> Array:
        """s_{l,0}, ..., s_{l,l}: a view of the block."""
        start = l * (l + 1) // 2
        return params["skips"][start : start + l + 1]
