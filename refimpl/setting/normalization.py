"""Batch normalisation of images, in training (batch statistics) and in evaluation (fixed statistics)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from refimpl.numerics import memory, validate
from refimpl.setting.layer import Array, Gradients, Layer, Need, Params, expect

GRID = (0, 2, 3)  # batch and pixels: what the statistics of a channel are taken over


@dataclass(frozen=True)
class BatchNorm2d(Layer):
    """y = gamma xhat + beta, xhat = (x - mean) / sqrt(variance + eps), per channel of (batch, channels, rows, columns).

    Ioffe and Szegedy 2015. In training mean and variance are those of the batch (variance with divisor
    n = batch * pixels). In evaluation they are the given ``mean`` and ``variance``, and the layer is affine;
    `Network.evaluation` puts
    them in.

    Derivative, with g = gamma dy and s = sqrt(variance + eps): dgamma = sum dy xhat, dbeta = sum dy,
    and dx = (g - mean(g) - xhat mean(g xhat)) / s in training, where the means are the derivatives of the
    batch statistics; dx = g / s in evaluation.

    Raises
    ------
    ValueError : only one of mean and variance, or of a wrong shape; a negative variance; in training, fewer
        than two values a channel.
    """

    channels: int
    eps: float = 1e-5
    mean: Array | None = field(default=None, compare=False, repr=False)
    variance: Array | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        validate.integer("channels", self.channels, low=1)
        validate.positive("eps", self.eps)
        if (self.mean is None) != (self.variance is None):
            validate.fail("mean and variance", "both or none", "one of them")
        if self.mean is not None:
            mean = validate.real_array("mean", self.mean, shape=(self.channels,))
            variance = validate.real_array("variance", self.variance, shape=(self.channels,))
            if (variance < 0).any():
                validate.fail("variance", "numbers >= 0", validate.describe(self.variance))
            object.__setattr__(self, "mean", mean)
            object.__setattr__(self, "variance", variance)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """weight gamma (channels,), bias beta (channels,)."""
        return {"weight": (self.channels,), "bias": (self.channels,)}

    def init(self, rng: np.random.Generator) -> Params:
        """gamma = 1, beta = 0."""
        return {"weight": np.ones(self.channels), "bias": np.zeros(self.channels)}

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[Array, Array, Params]]:
        """gamma xhat + beta."""
        expect(self, x, None, self.channels, None, None)
        mean, variance, batch = self._moments(x)
        scale = 1 / np.sqrt(variance + x.dtype.type(self.eps))
        xhat = _centred(x, mean)
        xhat *= _spread(scale)
        gamma, beta = _spread(params["weight"]), _spread(params["bias"])
        y = np.multiply(xhat, gamma, out=_like(xhat, gamma, beta))
        y += beta
        return y, (xhat, scale, batch)

    def backward(self, params: Params, cache: tuple[Array, Array, Params], dy: Array, need: Need = "both") -> Gradients:
        """dgamma = sum dy xhat, dbeta = sum dy, dx as above."""
        xhat, scale, _ = cache
        dx = np.multiply(dy, xhat, out=_like(dy, xhat, params["weight"]))
        dgamma, dbeta = dx.sum(axis=GRID), dy.sum(axis=GRID)
        dparams = None if need == "input" else {"weight": dgamma, "bias": dbeta}
        if need == "parameters":
            return None, dparams
        if self.mean is None:
            n = dy.dtype.type(xhat.size // self.channels)
            np.multiply(xhat, _spread(-dgamma / n), out=dx)
            dx += dy
            dx -= _spread(dbeta / n)
            dy = dx
        return np.multiply(dy, _spread(params["weight"] * scale), out=dx), dparams

    def _moments(self, x: Array) -> tuple[Array, Array, Params]:
        """Mean and variance to normalise by, and the statistics to report: the variance there has divisor n - 1."""
        if self.mean is not None and self.variance is not None:
            return self.mean.astype(x.dtype), self.variance.astype(x.dtype), {}
        n = x.size // self.channels
        if n < 2:
            validate.fail(f"x of {self!r} in training", "at least 2 values a channel", f"shape {x.shape}")
        mean = x.mean(axis=GRID)
        centred = _centred(x, mean)
        variance = np.multiply(centred, centred, out=centred).mean(axis=GRID)
        return mean, variance, {"mean": mean, "variance": variance * x.dtype.type(n) / x.dtype.type(n - 1)}

    def statistics(self, cache: tuple[Array, Array, Params]) -> Params:
        """mean and unbiased variance of the batch; nothing in evaluation."""
        return cache[2]

    def evaluation(self, statistics: Mapping[str, Array]) -> "BatchNorm2d":
        """This layer with fixed mean and variance."""
        if not {"mean", "variance"} <= set(statistics):
            validate.fail("statistics", "mean and variance of every batch normalisation", repr(sorted(statistics)))
        return replace(self, mean=statistics["mean"], variance=statistics["variance"])


def running_statistics(
    running: Mapping[str, Array] | None, batch: Mapping[str, Array], momentum: float = 0.1
) -> Params:
    """(1 - momentum) running + momentum batch, entry by entry; a first call with None starts at mean 0, variance 1.

    A pure function: both arguments stay as they are. ``batch`` comes from `Network.statistics`;
    in ``running`` and ``batch`` every array is (channels,) (Ioffe and Szegedy 2015).

    Raises
    ------
    ValueError : momentum outside [0, 1]; different names in running and batch.
    """
    momentum, batch = validate.within("momentum", momentum, 0, 1), _statistics("batch", batch)
    if running is None:
        running = {name: np.full_like(value, float(name.endswith("variance"))) for name, value in batch.items()}
    running = _statistics("running", running)
    if {name: value.shape for name, value in running.items()} != {name: value.shape for name, value in batch.items()}:
        validate.fail("running", f"the names and shapes of batch, {sorted(batch)}", repr(sorted(running)))
    return {name: (1 - momentum) * running[name] + momentum * value for name, value in batch.items()}


def _statistics(name: str, values: Mapping[str, Array]) -> Params:
    items = validate.mapping(name, values).items()
    return {str(key): validate.real_array(f"{name}[{key!r}]", value) for key, value in items}


def _centred(x: Array, mean: Array) -> Array:
    """x - mean, in memory of its own."""
    return np.subtract(x, _spread(mean), out=_like(x))


def _like(x: Array, *others: Array) -> Array:
    """Room for x times the others."""
    return memory.empty(x.shape, np.result_type(x, *others))


def _spread(per_channel: Array) -> Array:
    """(channels,) as (channels, 1, 1)."""
    return per_channel[:, None, None]
