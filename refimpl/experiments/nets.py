"""What several experiments ask of a network: weights apart from biases, accuracy in pieces, standardised inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from refimpl.data.sets import Part
from refimpl.setting.initialization import fans
from refimpl.setting.network import Network
from refimpl.sparsity.initialization import sparsify

Array = np.ndarray


def weights(network: Network) -> list[str]:
    """The names of the weight blocks: everything with two or more axes; biases are never regularized."""
    return [name for name, shape in network.shapes.items() if len(shape) >= 2]


def is_weight(network: Network) -> Array:
    """A mask over theta: True at weights."""
    mask = np.zeros(network.size, bool)
    for name in weights(network):
        mask[network.slices[name]] = True
    return mask


def outputs(network: Network, theta: Array, x: Array, batch: int = 500) -> Array:
    """f_theta(x) for many samples, some at a time."""
    return np.concatenate([network(theta, x[i : i + batch]) for i in range(0, len(x), batch)])


def accuracy(network: Network, theta: Array, part: Part, batch: int = 500) -> float:
    """The fraction of samples whose largest output is at their label."""
    return float(np.mean(outputs(network, theta, part.x, batch).argmax(axis=1) == part.labels))


def standardiser(training: Part) -> Callable[[Part], Part]:
    """The map to mean 0 and variance 1 over all pixels of the training images, for any part."""
    mean, spread = training.x.mean(dtype=np.float64), training.x.std(dtype=np.float64)
    return lambda part: Part(((part.x - mean) / spread).astype(np.float32), part.labels)


def sparse_start(network: Network, density: float, seed: int, groups: str | Mapping[str, str] = "weights") -> Array:
    """A random theta with this share of nonzero weights (or rows, or kernels) and unchanged variance (4.33), float32.

    Biases are drawn from U[0, 1/sqrt(fan_in)]: a zero row of weights with zero bias has a zero gradient, by
    ReLU'(0) = 0, and would stay inactive for ever.
    """
    rng = np.random.default_rng(seed)
    theta = sparsify(network, network.init(rng), density, rng, groups)
    for name in weights(network):
        bias = name.removesuffix("weight") + "bias"
        if bias in network.shapes:
            fan_in = fans(network.shapes[name])[0]
            theta[network.slices[bias]] = rng.uniform(0, fan_in**-0.5, network.shapes[bias])
    return theta.astype(np.float32)
