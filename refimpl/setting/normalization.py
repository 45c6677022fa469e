"""Batch normalisation of images, in training (batch statistics) and in evaluation (fixed statistics)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from refimpl.numerics import memory, validate
from refimpl.numerics.jit import compiled
from refimpl.numerics.threads import team
from refimpl.setting.layer import Array, Gradients, Layer, Need, Params, expect

GRID = (0, 2, 3)  # batch and pixels: what the statistics of a channel are taken over
Cache = tuple[Array, Array, Array, Params]  # x, the mean and scale to normalise by, the statistics of the batch


@dataclass(frozen=True)
class BatchNorm2d(Layer):
    """y = gamma xhat + beta, xhat = (x - mean) / sqrt(variance + eps), per channel of (batch, channels, rows, columns).

    Ioffe and Szegedy 2015. In training mean and variance are those of the batch (variance with divisor
    n = batch * pixels). In evaluation they are the given ``mean`` and ``variance``, and the layer is affine;
    `Network.evaluation` puts them in.

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

    def forward(self, params: Params, x: Array) -> tuple[Array, Cache]:
        """gamma xhat + beta."""
        expect(self, x, None, self.channels, None, None)
        gamma, beta, n = params["weight"], params["bias"], x.size // self.channels
        if self.mean is None and n < 2:
            validate.fail(f"x of {self!r} in training", "at least 2 values a channel", f"shape {x.shape}")
        if compiled(x, gamma, beta):
            y, mean, variance, scale = self._fused(x, gamma, beta)
        else:
            mean, variance = self._moments(x)
            scale = 1 / np.sqrt(variance + x.dtype.type(self.eps))
            y = _spread(gamma) * _normalized(x, mean, scale) + _spread(beta)
        statistics = {}
        if self.mean is None:
            statistics = {"mean": mean.astype(x.dtype), "variance": (variance * n / (n - 1)).astype(x.dtype)}
        return y, (x, mean, scale, statistics)

    def backward(self, params: Params, cache: Cache, dy: Array, need: Need = "both") -> Gradients:
        """dgamma = sum dy xhat, dbeta = sum dy, dx as above."""
        x, mean, scale, _ = cache
        gamma = params["weight"]
        if compiled(x, dy, gamma):
            dx, dgamma, dbeta = self._fused_backward(x, dy, gamma, mean, scale, need)
        else:
            xhat, dx = _normalized(x, mean, scale), dy
            dgamma, dbeta = (dy * xhat).sum(axis=GRID), dy.sum(axis=GRID)
            if self.mean is None:
                n = x.size // self.channels
                dx = dy - _spread(dbeta / n) - xhat * _spread(dgamma / n)
            dx = dx * _spread(gamma * scale)
        dparams = None if need == "input" else {"weight": dgamma, "bias": dbeta}
        return (None if need == "parameters" else dx), dparams

    def _moments(self, x: Array) -> tuple[Array, Array]:
        """Mean and variance to normalise by."""
        if self.mean is not None and self.variance is not None:
            return self.mean.astype(x.dtype), self.variance.astype(x.dtype)
        mean = x.mean(axis=GRID)
        centred = x - _spread(mean)
        return mean, (centred * centred).mean(axis=GRID)

    def _fused(self, x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array, Array]:
        """y, mean, variance and scale from one kernel."""
        from refimpl.numerics.kernels import normalization as kernels

        y, (mean, variance, scale) = memory.empty(x.shape, x.dtype), np.empty((3, self.channels))
        if self.mean is not None:
            mean[:], variance[:] = self.mean, self.variance
        parts, moments = team(x.size // kernels.GRAIN), (self.eps, self.mean is None, mean, variance, scale)
        kernels.forward(parts, _planes(x), gamma, beta, *moments, _planes(y))
        return y, mean, variance, scale

    def _fused_backward(
        self, x: Array, dy: Array, gamma: Array, mean: Array, scale: Array, need: Need
    ) -> tuple[Array, Array, Array]:
        """dx, which is empty where it is not needed, dgamma and dbeta from one kernel."""
        from refimpl.numerics.kernels import normalization as kernels

        dx = memory.empty((len(x) * (need != "parameters"), *x.shape[1:]), x.dtype)
        dgamma, dbeta = np.empty((2, self.channels), x.dtype)
        parts, moments = team(x.size // kernels.GRAIN), (self.mean is None, mean, scale)
        kernels.backward(parts, _planes(x), _planes(dy), gamma, *moments, dgamma, dbeta, _planes(dx))
        return dx, dgamma, dbeta

    def statistics(self, cache: Cache) -> Params:
        """mean and unbiased variance of the batch; nothing in evaluation."""
        return cache[3]

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


def _normalized(x: Array, mean: Array, scale: Array) -> Array:
    """xhat."""
    return (x - _spread(mean)) * _spread(scale)


def _planes(x: Array) -> Array:
    """(batch, channels, pixels), in one piece of memory."""
    return np.ascontiguousarray(x).reshape(*x.shape[:2], x.shape[2] * x.shape[3])


def _spread(per_channel: Array) -> Array:
    """(channels,) as (channels, 1, 1)."""
    return per_channel[:, None, None]
