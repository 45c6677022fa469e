"""The contract of a layer: a value that maps (params, x) to y, with its pull-back directly below."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

Array = np.ndarray
Params = dict[str, Array]
Need = Literal["both", "input", "parameters"]


class Layer:
    """A map y = Phi(params, x) and its hand-written derivative.

    A layer is a frozen dataclass of hyper-parameters: it owns no arrays, no counters and no random state.
    Batches lead, grids trail. `forward` also returns a cache: whatever `backward` needs, explicit and
    private to the layer. The contract, tested for every layer:

        <backward(dy), (v, w)> = <dy, D Phi(x, params)[v, w]>   for all directions v of x and w of params.

    ``need`` says which half of the gradient is wanted, so that attacks (input only) and training
    (parameters only) do not pay for each other; the other half is then None.
    """

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every parameter, in the order in which theta stores them."""
        return {}

    def init(self, rng: np.random.Generator) -> Params:
        """Random parameters (float64)."""
        return {}

    def forward(self, params: Params, x: Array) -> tuple[Array, Any]:
        """(y, cache)."""
        raise TypeError(f"{type(self).__name__} defines no forward map")

    def backward(self, params: Params, cache: Any, dy: Array, need: Need = "both") -> tuple[Array | None, Params | None]:
        """(dx, dparams) = (D Phi)^T dy."""
        raise TypeError(f"{type(self).__name__} defines no backward map")


def scoped(params: Params, prefix: str) -> Params:
    """The parameters below ``prefix.``, with that prefix removed."""
    start = len(prefix) + 1
    return {name[start:]: value for name, value in params.items() if name.startswith(prefix + ".")}


class Chain(Layer):
    """Phi_L o ... o Phi_1: layers one after the other, parameters named ``index.name``."""

    layers: Sequence[Layer]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every parameter of every layer, first layer first."""
        return {f"{i}.{name}": shape for i, layer in enumerate(self.layers) for name, shape in layer.shapes.items()}

    def init(self, rng: np.random.Generator) -> Params:
        """Random parameters of all layers."""
        return {f"{i}.{name}": w for i, layer in enumerate(self.layers) for name, w in layer.init(rng).items()}

    def forward(self, params: Params, x: Array) -> tuple[Array, list[Any]]:
        """f_theta(x) = Phi_L(... Phi_1(x)) and the caches of all layers."""
        caches = []
        for i, layer in enumerate(self.layers):
            x, cache = layer.forward(scoped(params, str(i)), x)
            caches.append(cache)
        return x, caches

    def backward(
        self, params: Params, cache: list[Any], dy: Array, need: Need = "both"
    ) -> tuple[Array | None, Params | None]:
        """The chain rule, last layer first: dy <- (D Phi_l)^T dy. No input gradient below the first parameter."""
        first = next((i for i, layer in enumerate(self.layers) if layer.shapes), len(self.layers))
        dparams: Params = {}
        dx: Array | None = dy
        for i in reversed(range(len(self.layers))):
            if need == "parameters" and i < first:
                return None, dparams
            wanted: Need = "parameters" if need == "parameters" and i == first else need
            if need == "parameters" and i > first:
                wanted = "both"
            dx, grads = self.layers[i].backward(scoped(params, str(i)), cache[i], dx, wanted)
            dparams.update({f"{i}.{name}": g for name, g in (grads or {}).items()})
        return (None if need == "parameters" else dx), (None if need == "input" else dparams)
