"""Dense layers, flatten, the residual layer (4.2) and residual blocks (Section 4.1.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from refimpl.numerics import sparse, validate
from refimpl.numerics.jit import compiled
from refimpl.numerics.products import product
from refimpl.numerics.sparse import Compressed
from refimpl.setting.initialization import he
from refimpl.setting.layer import Array, Chain, Gradients, Layer, Need, Params, expect, prefixed, scoped


@dataclass(frozen=True)
class Dense(Layer):
    """y = x W^T + b with W of shape (n_out, n_in), for x of shape (batch, n_in): W z + b in (4.2).

    Derivative: dy = dx W^T + x dW^T + db, hence dx = dy W, dW = dy^T x, db = sum over the batch of dy.

    Where at most the share ``sparse`` of W is not 0 (default: never), the products with W skip its zeros: the
    same numbers up to rounding, save that a zero no longer turns an infinite input into NaN. dW stays dense.

    Raises ValueError for sizes below 1 or a share outside [0, 1], and at the call for other shapes.
    """

    n_in: int
    n_out: int
    bias: bool = True
    sparse: float = 0.0

    def __post_init__(self) -> None:
        validate.integer("n_in", self.n_in, low=1)
        validate.integer("n_out", self.n_out, low=1)
        validate.flag("bias", self.bias)
        validate.within("sparse", self.sparse, 0, 1)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """weight (n_out, n_in), bias (n_out,)."""
        return {"weight": (self.n_out, self.n_in)} | ({"bias": (self.n_out,)} if self.bias else {})

    def init(self, rng: np.random.Generator) -> Params:
        """He initialisation: variance 2 / n_in; zero bias."""
        weight = he((self.n_out, self.n_in), rng=rng)
        return {"weight": weight} | ({"bias": np.zeros(self.n_out)} if self.bias else {})

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[Array, Compressed | None]]:
        """x W^T + b."""
        expect(self, x, None, self.n_in)
        W = params["weight"]
        rows = sparse.compress(W, self.sparse) if self.sparse and compiled(W, x) else None
        y = product(x, W.T) if rows is None else sparse.times(rows, x)
        if self.bias:
            y += params["bias"]
        return y, (x, rows)

    def backward(self, params: Params, cache: tuple, dy: Array, need: Need = "both") -> Gradients:
        """dx = dy W, dW = dy^T x, db = sum_b dy."""
        x, rows = cache
        dx = None
        if need != "parameters":
            dense = rows is None or not compiled(rows.values, dy)
            dx = product(dy, params["weight"]) if dense else sparse.times_transposed(rows, dy)
        if need == "input":
            return dx, None
        return dx, {"weight": product(dy.T, x)} | ({"bias": dy.sum(axis=0)} if self.bias else {})

    def skipping_zeros(self, density: float) -> "Dense":
        """This layer with ``sparse=density``."""
        return replace(self, sparse=density)


@dataclass(frozen=True)
class Flatten(Layer):
    """(batch, ...) to (batch, product), the map from images to vectors between the layers of Section 4.1.1."""

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[int, ...]]:
        """One row a sample."""
        return x.reshape(len(x), prod(x.shape[1:])), x.shape

    def backward(self, params: Params, shape: tuple[int, ...], dy: Array, need: Need = "both") -> tuple[Array, Params]:
        """The same numbers in their old shape."""
        return dy.reshape(shape), {}


@dataclass(frozen=True)
class Residual(Layer):
    """Phi(z) = w S(z) + F(z), F the branch, S the shortcut, the identity unless given (4.2).

    ``Residual([Dense(n, n), Tanh()])`` is Phi(w, W, b)(z) = w z + sigma(W z + b) with w = 1 fixed;
    ``learn=True`` makes w a parameter that starts at ``w``.

    Derivative: dPhi = dw S(z) + w dS + dF, hence dw = <S(z), dy>, and dy pulls back through F as it is,
    through S times w; the two input gradients add up.

    Parameters
    ----------
    branch, shortcut : layers, first one first; parameters "branch.0.weight", "shortcut.0.weight", "w".

    Raises
    ------
    ValueError : something in branch or shortcut is no `Layer`; at the call, their outputs differ in shape.
    """

    branch: Sequence[Layer] | Chain
    w: float = 1.0
    learn: bool = False
    shortcut: Sequence[Layer] | Chain = ()

    def __post_init__(self) -> None:
        validate.real("w", self.w)
        validate.flag("learn", self.learn)
        object.__setattr__(self, "branch", _chain(self.branch))
        object.__setattr__(self, "shortcut", _chain(self.shortcut))

    @property
    def _parts(self) -> dict[str, Chain]:
        assert isinstance(self.branch, Chain) and isinstance(self.shortcut, Chain)
        return {"branch": self.branch, "shortcut": self.shortcut}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Those of branch and shortcut; w () if learnt."""
        named = [prefixed(name, chain.shapes) for name, chain in self._parts.items()]
        return named[0] | named[1] | ({"w": ()} if self.learn else {})

    def init(self, rng: np.random.Generator) -> Params:
        """Branch and shortcut by their own rules."""
        named = [prefixed(name, chain.init(rng)) for name, chain in self._parts.items()]
        return named[0] | named[1] | ({"w": np.array(float(self.w))} if self.learn else {})

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple]:
        """w S(z) + F(z)."""
        outputs = [chain.forward(scoped(params, name), x) for name, chain in self._parts.items()]
        (f, branch), (s, shortcut) = outputs
        if f.shape != s.shape:
            validate.fail(f"branch of {self!r}", f"the output shape {s.shape} of the shortcut", f"shape {f.shape}")
        return self._weight(params) * s + f, (branch, shortcut, s if self.learn else None)  # (4.2)

    def backward(self, params: Params, cache: tuple, dy: Array, need: Need = "both") -> Gradients:
        """dz = w S'^T dy + F'^T dy, dw = <S(z), dy>."""
        cotangents = {"branch": dy, "shortcut": self._weight(params) * dy}
        dx: Array | None = None
        grads: Params = {}
        for (name, chain), part in zip(self._parts.items(), cache):
            d, g = chain.backward(scoped(params, name), part, cotangents[name], need)
            dx = d if dx is None else dx + d
            grads |= prefixed(name, g)
        if self.learn and need != "input":
            grads["w"] = np.sum(cache[2] * dy)
        return dx, None if need == "input" else grads

    def _weight(self, params: Params) -> Array | float:
        return params["w"] if self.learn else self.w

    def statistics(self, cache: tuple) -> Params:
        """Those of branch and shortcut."""
        named = [prefixed(name, chain.statistics(c)) for (name, chain), c in zip(self._parts.items(), cache)]
        return named[0] | named[1]

    def evaluation(self, statistics: Mapping[str, Array]) -> "Residual":
        """Branch and shortcut with their statistics fixed."""
        parts = {name: chain.evaluation(scoped(statistics, name)) for name, chain in self._parts.items()}
        return Residual(parts["branch"], self.w, self.learn, parts["shortcut"])

    def skipping_zeros(self, density: float) -> "Residual":
        """Branch and shortcut with sparse products."""
        parts = {name: chain.skipping_zeros(density) for name, chain in self._parts.items()}
        return Residual(parts["branch"], self.w, self.learn, parts["shortcut"])


def _chain(layers: Sequence[Layer] | Chain) -> Chain:
    return Chain(layers.layers if isinstance(layers, Chain) else layers)
