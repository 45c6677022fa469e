"""Activation functions sigma, entrywise, each with its derivative below it (Section 4.1.1, Prop 4.5)."""

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from refimpl.setting.layer import Array, Layer, Need, Params


class Activation(Layer):
    """y = sigma(x) entrywise; a subclass states ``value`` and ``slope`` (sigma' at x, given y = sigma(x))."""

    lipschitz: float = 1.0  # the smallest constant of sigma, used by (4.5)

    def value(self, x: Array) -> Array:
        """sigma(x)."""
        raise TypeError(f"{type(self).__name__} defines no value")

    def slope(self, x: Array, y: Array) -> Array:
        """sigma'(x), where y = sigma(x) is at hand."""
        raise TypeError(f"{type(self).__name__} defines no slope")

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[Array, Array]]:
        """(sigma(x), cache)."""
        y = self.value(x)
        return y, (x, y)

    def backward(
        self, params: Params, cache: tuple[Array, Array], dy: Array, need: Need = "both"
    ) -> tuple[Array, Params]:
        """dx = sigma'(x) dy."""
        return dy * self.slope(*cache), {}


@dataclass(frozen=True)
class Identity(Activation):
    """sigma(x) = x."""

    def value(self, x: Array) -> Array:
        """x."""
        return x

    def slope(self, x: Array, y: Array) -> Array:
        """1."""
        return np.ones_like(x)


@dataclass(frozen=True)
class ReLU(Activation):
    """sigma(x) = max(x, 0); at the kink the slope is 0. NaN stays NaN."""

    def value(self, x: Array) -> Array:
        """max(x, 0)."""
        return np.maximum(x, 0)

    def slope(self, x: Array, y: Array) -> Array:
        """1 where x > 0, else 0."""
        return (x > 0).astype(x.dtype)


@dataclass(frozen=True)
class Sigmoid(Activation):
    """sigma(x) = 1 / (1 + exp(-x)), stable for large |x|; Lipschitz constant 1/4."""

    lipschitz = 0.25

    def value(self, x: Array) -> Array:
        """(1 + tanh(x/2)) / 2."""
        return (1 + np.tanh(x / 2)) / 2

    def slope(self, x: Array, y: Array) -> Array:
        """sigma (1 - sigma)."""
        return y * (1 - y)


@dataclass(frozen=True)
class Tanh(Activation):
    """sigma(x) = tanh(x)."""

    def value(self, x: Array) -> Array:
        """tanh(x)."""
        return np.tanh(x)

    def slope(self, x: Array, y: Array) -> Array:
        """1 - tanh(x)^2."""
        return 1 - y * y


@dataclass(frozen=True)
class GELU(Activation):
    """sigma(x) = x Phi(x) with the normal distribution function Phi (exact, by erf)."""

    lipschitz = 1.128904145185325  # sigma'(sqrt 2)

    def value(self, x: Array) -> Array:
        """x (1 + erf(x / sqrt 2)) / 2."""
        return x * _normal_cdf(x)

    def slope(self, x: Array, y: Array) -> Array:
        """Phi(x) + x phi(x), phi = Phi' = exp(-x^2/2) / sqrt(2 pi)."""
        return _normal_cdf(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi).astype(x.dtype)


def _normal_cdf(x: Array) -> Array:
    return (1 + erf(x * np.sqrt(x.real.dtype.type(0.5)))) / 2
