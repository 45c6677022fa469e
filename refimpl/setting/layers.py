"""Layers with parameters: dense, the residual layer (4.2), flatten (Section 4.1.1)."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from refimpl.setting.layer import Array, Layer, Need, Params


@dataclass(frozen=True)
class Dense(Layer):
    """y = x W^T + b with W of shape (n_out, n_in), for x of shape (batch, n_in).

    Derivative: dy = dx W^T + x dW^T + db, hence dx = dy W, dW = dy^T x, db = sum over the batch of dy.
    """

    n_in: int
    n_out: int
    bias: bool = True

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """weight (n_out, n_in), bias (n_out,)."""
        return {"weight": (self.n_out, self.n_in)} | ({"bias": (self.n_out,)} if self.bias else {})

    def init(self, rng: np.random.Generator) -> Params:
        """He initialisation: variance 2 / n_in; zero bias."""
        weight = rng.normal(0.0, sqrt(2 / self.n_in), (self.n_out, self.n_in))
        return {"weight": weight} | ({"bias": np.zeros(self.n_out)} if self.bias else {})

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """x W^T + b."""
        y = x @ params["weight"].T
        return (y + params["bias"] if self.bias else y), x

    def backward(self, params: Params, x: Array, dy: Array, need: Need = "both") -> tuple[Array | None, Params | None]:
        """dx = dy W, dW = dy^T x, db = sum_b dy."""
        dx = dy @ params["weight"] if need != "parameters" else None
        if need == "input":
            return dx, None
        return dx, {"weight": dy.T @ x} | ({"bias": dy.sum(axis=0)} if self.bias else {})


@dataclass(frozen=True)
class Flatten(Layer):
    """(batch, ...) to (batch, product)."""

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[int, ...]]:
        """One row a sample."""
        return x.reshape(len(x), -1), x.shape

    def backward(self, params: Params, shape: tuple[int, ...], dy: Array, need: Need = "both") -> tuple[Array, Params]:
        """The same numbers in their old shape."""
        return dy.reshape(shape), {}
