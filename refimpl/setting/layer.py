"""The contract of a layer: a value that maps (params, x) to y, with its pull-back directly below."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from refimpl.numerics import validate

Array = np.ndarray
Params = dict[str, Array]
Need = Literal["both", "input", "parameters"]
Gradients = tuple[Array | None, Params | None]  # (dx, dparams), each None where it was not asked for


class Layer:
    """A map y = Phi(params, x), such as (4.2), and its hand-written derivative.

    A layer is a frozen dataclass of hyper-parameters: it owns no arrays, no counters and no random state.
    Batches lead, grids trail. `forward` also returns a cache: whatever `backward` needs, explicit and
    private to the layer. The contract, tested for every layer:

        <backward(dy), (v, w)> = <dy, D Phi(x, params)[v, w]>   for all directions v of x and w of params.

    ``need`` says which half of the gradient is wanted, so that attacks (input only) and training
    (parameters only) do not pay for each other; the other half is then None (or, where a layer has no
    parameters, an empty dictionary).
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

    def backward(self, params: Params, cache: Any, dy: Array, need: Need = "both") -> Gradients:
        """(dx, dparams) = (D Phi)^T dy."""
        raise TypeError(f"{type(self).__name__} defines no backward map")

    def statistics(self, cache: Any) -> Params:
        """Name -> batch statistics that `forward` normalised by (batch normalisation; else nothing)."""
        return {}

    def evaluation(self, statistics: Mapping[str, Array]) -> "Layer":
        """This layer with its statistics fixed (batch normalisation; else the layer itself)."""
        return self

    def skipping_zeros(self, density: float) -> "Layer":
        """This layer with sparse products where at most this share of a matrix is not 0 (else the layer itself)."""
        return self


def scoped(params: Mapping[str, Array], prefix: str) -> Params:
    """The parameters below ``prefix.``, with that prefix removed."""
    start = len(prefix) + 1
    return {name[start:]: value for name, value in params.items() if name.startswith(prefix + ".")}


def prefixed(prefix: str, values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The inverse of `scoped`: every name gets ``prefix.`` in front."""
    return {f"{prefix}.{name}": value for name, value in (values or {}).items()}


def expect(layer: Layer, x: Array, *shape: int | None) -> None:
    """Raise a ``ValueError`` that names the layer unless x has this shape (None: any length)."""
    if x.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, x.shape)):
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        validate.fail(f"x of {layer!r}", f"shape ({wanted})", f"shape {x.shape}")


@dataclass(frozen=True)
class Chain(Layer):
    """Phi_L o ... o Phi_1 (Section 4.1.1): layers one after the other, parameters named ``index.name``; may
    hold chains itself.

    Raises
    ------
    ValueError : something in ``layers`` is not a `Layer`.
    """

    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        if isinstance(self.layers, Layer) or not isinstance(self.layers, Sequence):
            validate.fail("layers", "a sequence of layers", validate.describe(self.layers))
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                validate.fail(f"layers[{i}]", "a Layer", validate.describe(layer))
        layers = (Chain(layer.layers) if isinstance(layer, Chain) else layer for layer in self.layers)
        object.__setattr__(self, "layers", tuple(layers))  # a network inside is a chain: it shares the outer theta

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every parameter of every layer, first layer first."""
        return _merged(prefixed(str(i), layer.shapes) for i, layer in enumerate(self.layers))

    def init(self, rng: np.random.Generator) -> Params:
        """Random parameters of all layers."""
        return _merged(prefixed(str(i), layer.init(rng)) for i, layer in enumerate(self.layers))

    def forward(self, params: Params, x: Array) -> tuple[Array, list[Any]]:
        """f_theta(x) = Phi_L(... Phi_1(x)) and the caches of all layers."""
        caches = []
        for i, layer in enumerate(self.layers):
            x, cache = layer.forward(scoped(params, str(i)), x)
            caches.append(cache)
        return x, caches

    def backward(self, params: Params, cache: list[Any], dy: Array, need: Need = "both") -> Gradients:
        """The chain rule, last layer first: dy <- (D Phi_l)^T dy. No input gradient below the first parameter."""
        lowest = self._lowest() if need == "parameters" else 0
        parts: list[dict[str, Any]] = []
        dx: Any = dy
        for i in reversed(range(lowest, len(self.layers))):
            wanted = "both" if need == "parameters" and i > lowest else need
            dx, grads = self.layers[i].backward(scoped(params, str(i)), cache[i], dx, wanted)
            parts.append(prefixed(str(i), grads))
        return (None if need == "parameters" else dx), (None if need == "input" else _merged(parts))

    def _lowest(self) -> int:
        """The first layer with parameters."""
        return next((i for i, layer in enumerate(self.layers) if layer.shapes), len(self.layers))

    def statistics(self, cache: list[Any]) -> Params:
        """The statistics of all layers, named like parameters."""
        return _merged(prefixed(str(i), layer.statistics(c)) for i, (layer, c) in enumerate(zip(self.layers, cache)))

    def evaluation(self, statistics: Mapping[str, Array]) -> "Chain":
        """The same layers with their statistics fixed."""
        return type(self)([layer.evaluation(scoped(statistics, str(i))) for i, layer in enumerate(self.layers)])

    def skipping_zeros(self, density: float) -> Self:
        """The same layers, dense ones with sparse products where at most this share of W is not 0 (see `Dense`).

        Worth it for a share of a few hundredths; theta and its order stay the same.
        """
        return type(self)([layer.skipping_zeros(density) for layer in self.layers])


def _merged(parts: Any) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}
