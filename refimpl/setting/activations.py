"""Activation functions sigma, entrywise, each with its derivative below it (Section 4.1.1, Prop 4.5)."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy

from refimpl.numerics import memory
from refimpl.numerics.jit import compiled
from refimpl.numerics.threads import team
from refimpl.setting.layer import Array, Layer, Need, Params


@cache
def kernels() -> Any:
    """The module of the kernels, which brings Numba: imported at the first use."""
    from refimpl.numerics.kernels import pointwise

    return pointwise


class Activation(Layer):
    """y = sigma(x) entrywise, the sigma of (4.2).

    A subclass states ``value`` and ``slope``, sigma' at x, given y = sigma(x).
    """

    lipschitz: float = 1.0  # the smallest constant of sigma, used by (4.5)

    def value(self, x: Array) -> Array:
        """sigma(x)."""
        raise TypeError(f"{type(self).__name__} defines no value")

    def slope(self, x: Array, y: Array) -> Array:
        """sigma'(x), where y = sigma(x) is at hand."""
        raise TypeError(f"{type(self).__name__} defines no slope")

    def forward(self, params: Params, x: Array) -> tuple[Array, Any]:
        """(sigma(x), cache)."""
        y = self.value(x)
        return y, (x, y)

    def backward(self, params: Params, cache: Any, dy: Array, need: Need = "both") -> tuple[Array, Params]:
        """dx = sigma'(x) dy."""
        return dy * self.slope(*cache), {}


class _SlopeFromOutput(Activation):
    """An activation whose slope y alone tells: x is not kept, and the next layer keeps y anyway."""

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """(sigma(x), cache)."""
        y = self.value(x)
        return y, y

    def backward(self, params: Params, y: Array, dy: Array, need: Need = "both") -> tuple[Array, Params]:
        """dx = sigma'(x) dy."""
        return dy * self.slope(y, y), {}


@dataclass(frozen=True)
class Identity(Activation):
    """sigma(x) = x: with it the layer (4.2) is affine."""

    def value(self, x: Array) -> Array:
        """x."""
        return x

    def slope(self, x: Array, y: Array) -> Array:
        """1."""
        return np.ones_like(x)


@dataclass(frozen=True)
class ReLU(_SlopeFromOutput):
    """sigma(x) = max(x, 0) in (4.2); at the kink the slope is 0. NaN stays NaN, in the slope too."""

    def value(self, x: Array) -> Array:
        """max(x, 0)."""
        return np.maximum(x, 0)

    def slope(self, x: Array, y: Array) -> Array:
        """1 where x > 0, else 0."""
        return np.heaviside(x, 0)

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """(sigma(x), cache)."""
        if not compiled(x):
            return super().forward(params, x)
        y = memory.empty(x.shape, x.dtype)
        kernels().relu(team(x.size // kernels().GRAIN), x.ravel(), y.ravel())
        return y, y

    def backward(self, params: Params, y: Array, dy: Array, need: Need = "both") -> tuple[Array, Params]:
        """dx = sigma'(x) dy."""
        if not compiled(y, dy):
            return super().backward(params, y, dy)
        dx = memory.empty(y.shape, y.dtype)
        kernels().relu_backward(team(y.size // kernels().GRAIN), y.ravel(), dy.ravel(), dx.ravel())
        return dx, {}


@dataclass(frozen=True)
class Sigmoid(_SlopeFromOutput):
    """sigma(x) = 1 / (1 + exp(-x)) in (4.2), stable for large |x|; Lipschitz constant 1/4, at 0."""

    lipschitz = 0.25

    def value(self, x: Array) -> Array:
        """(1 + tanh(x/2)) / 2."""
        return (1 + np.tanh(x / 2)) / 2

    def slope(self, x: Array, y: Array) -> Array:
        """sigma (1 - sigma)."""
        return y * (1 - y)


@dataclass(frozen=True)
class Tanh(_SlopeFromOutput):
    """sigma(x) = tanh(x) in (4.2); Lipschitz constant 1, at 0."""

    def value(self, x: Array) -> Array:
        """tanh(x)."""
        return np.tanh(x)

    def slope(self, x: Array, y: Array) -> Array:
        """1 - tanh(x)^2."""
        return 1 - y * y


@dataclass(frozen=True)
class GELU(Activation):
    """sigma(x) = x Phi(x), Phi the normal distribution function (exact; Hendrycks and Gimpel 2016).

    The slope is largest at sqrt 2, where sigma'' = phi(x) (2 - x^2) changes sign: the Lipschitz constant is
    Phi(sqrt 2) + sqrt 2 phi(sqrt 2).
    """

    lipschitz = 1.1289041451851548

    def value(self, x: Array) -> Array:
        """x Phi(x); left of -50 Phi is 0 in every precision, so that -inf gives 0."""
        return np.maximum(x, -50) * normal_cdf(x)

    def slope(self, x: Array, y: Array) -> Array:
        """Phi(x) + x phi(x), phi = Phi' = exp(-x^2/2) / sqrt(2 pi); its second term is 0 beyond 200."""
        z = np.clip(x, -200, 200)
        return normal_cdf(x) + z * np.exp(-z * z / 2) / np.sqrt(8 * np.arctan(x.dtype.type(1)))

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """(sigma(x), cache): the slope, which shares its exponential with the value."""
        if not compiled(x):
            y = self.value(x)
            return y, self.slope(x, y)
        y, slope = memory.empty(x.shape, x.dtype), memory.empty(x.shape, x.dtype)
        kernels().gelu(x.ravel(), y.ravel(), slope.ravel())
        return y, slope

    def backward(self, params: Params, slope: Array, dy: Array, need: Need = "both") -> tuple[Array, Params]:
        """dx = sigma'(x) dy."""
        if not compiled(slope, dy):
            return dy * slope, {}
        dx = memory.empty(dy.shape, dy.dtype)
        kernels().product(team(dy.size // kernels().GRAIN), dy.ravel(), slope.ravel(), dx.ravel())
        return dx, {}


def normal_cdf(x: Array) -> Array:
    """Phi(x) = 1/2 + phi(x) (x + x^3/3 + x^5/(3 5) + x^7/(3 5 7) + ...), real or complex.

    SciPy computes it in single and double precision, the series (for |x| <= 10; 0 or 1 beyond) in longdouble.
    """
    return scipy.special.ndtr(x) if x.real.dtype.itemsize <= 8 else _normal_cdf_series(x)


def _normal_cdf_series(x: Array) -> Array:
    far = np.abs(x.real) > 10
    z = np.where(far, 0, x)
    term = total = z
    for odd in range(3, 600, 2):
        term = term * z * z / odd
        total = total + term
    one = x.real.dtype.type(1)
    density = np.exp(-z * z / 2) / np.sqrt(8 * np.arctan(one))
    return np.where(far, np.heaviside(x.real, one / 2), one / 2 + density * total)
