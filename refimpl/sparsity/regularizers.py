"""Regularizers J, entry by entry: value, prox, subgradient, distance to the subdifferential (Section 4.3.1).

Conventions of every regularizer:

* arrays of any shape and any float dtype; the result has the input's dtype; NaN propagates.
* ``value`` is +inf outside the domain. ``subgradient`` raises there, ``subdifferential_distance`` is +inf.
* ``prox(v, tau)`` is argmin 1/2 |theta - v|^2 + tau J(theta) (Def 4.13); tau = 0 gives the projection onto
  the domain, which is the identity where J is finite everywhere.
* the threshold tau * lam is rounded once to the dtype of v; thresholds leave infinities where they are.
"""

from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np

from refimpl.numerics import validate

Array = np.ndarray


class Regularizer:
    """A convex functional J (Definition 4.9) on arrays of any shape; a subclass states the formulas, this class checks
    the arguments.
    """

    def value(self, theta: Array) -> float:
        """J(theta), a scalar of theta's dtype."""
        return self._value(self._shaped("theta", theta))

    def prox(self, v: Array, tau: float | np.floating = 1.0) -> Array:
        """argmin over theta of 1/2 |theta - v|^2 + tau J(theta) (Def 4.13), for tau >= 0."""
        validate.nonnegative("tau", tau)
        return self._prox(self._shaped("v", v), np.longdouble(tau))

    def subgradient(self, theta: Array) -> Array:
        """One p in dJ(theta) (Def 4.10); the selection is documented in each class.

        Raises
        ------
        ValueError : theta lies outside the domain of J.
        """
        theta = self._shaped("theta", theta)
        if self._value(theta) == inf and bool(np.all(np.isfinite(theta))):
            validate.fail("theta", f"a point of the domain of {self}", "J(theta) = inf")
        return self._subgradient(theta)

    def subdifferential_distance(self, p: Array, theta: Array) -> float:
        """The Euclidean distance of p to dJ(theta): 0 iff p in dJ(theta), inf outside the domain."""
        p, theta = self._shaped("p", p), self._shaped("theta", theta)
        validate.same_shape("p", p, "theta", theta)
        return self._distance(p, theta)

    def _shaped(self, name: str, value: Array) -> Array:
        """The argument of that name, of real numbers in a shape that J takes."""
        return validate.real_array(name, value)

    def _value(self, theta: Array) -> float:
        """J(theta)."""
        raise TypeError(f"{type(self).__name__} defines no value")

    def _prox(self, v: Array, tau: np.longdouble) -> Array:
        """prox_{tau J}(v); tau in longdouble, so that products with it are rounded once."""
        raise TypeError(f"{type(self).__name__} defines no prox")

    def _subgradient(self, theta: Array) -> Array:
        """A selection of dJ(theta)."""
        raise TypeError(f"{type(self).__name__} defines no subgradient")

    def _nearest(self, p: Array, theta: Array) -> Array:
        """The projection of p onto dJ(theta); infinite entries where dJ(theta) is empty."""
        raise TypeError(f"{type(self).__name__} defines no subdifferential")

    def _distance(self, p: Array, theta: Array) -> float:
        return norm(p - self._nearest(p, theta))


def norm(v: Array) -> Any:
    """|v|_2, scaled by a power of two so that squares neither overflow nor underflow."""
    largest = np.max(np.abs(v), initial=0)
    if not largest < inf:
        return largest
    exponent = np.frexp(largest)[1]
    scaled = np.ldexp(v, -exponent)
    return np.ldexp(np.sqrt(np.sum(scaled * scaled)), exponent)


def threshold(v: Array, *factors: Any) -> Any:
    """The product of the factors, rounded once to the dtype of v."""
    return v.dtype.type(prod(map(np.longdouble, factors)))


def soft(v: Array, t: Any) -> Array:
    """Soft shrinkage sign(v) max(|v| - t, 0) (Ex 4.15), without branches: v minus its clip to [-t, t]."""
    return v - np.clip(v, -t, t)


def gauge(size: Any, lam: float) -> Any:
    """size / lam, the dual of lam |.|; for lam = 0 it is 0 at 0 and inf elsewhere."""
    if lam > 0:
        return size / lam
    return size * inf if size > 0 else size


@dataclass(frozen=True)
class Zero(Regularizer):
    """J = 0: no regularization; LinBreg (4.21) with it is SGD."""

    def _value(self, theta: Array) -> float:
        return theta.dtype.type(0)

    def _prox(self, v: Array, tau: np.longdouble) -> Array:
        return v.copy()

    def _subgradient(self, theta: Array) -> Array:
        return np.zeros_like(theta)

    def _nearest(self, p: Array, theta: Array) -> Array:
        return np.zeros_like(theta)


@dataclass(frozen=True)
class L1(Regularizer):
    """J(theta) = lam |theta|_1 (Ex 4.15). The subgradient is lam sign(theta), 0 at 0.

    Raises ValueError for lam < 0.
    """

    lam: float = 1.0

    def __post_init__(self) -> None:
        validate.nonnegative("lam", self.lam)

    def _value(self, theta: Array) -> float:
        return self.lam * np.sum(np.abs(theta))

    def _prox(self, v: Array, tau: np.longdouble) -> Array:
        return soft(v, threshold(v, tau, self.lam))

    def _subgradient(self, theta: Array) -> Array:
        return self.lam * np.sign(theta)

    def _nearest(self, p: Array, theta: Array) -> Array:
        """lam sign(theta_i), or p_i clipped to [-lam, lam] where theta_i = 0."""
        return np.where(theta == 0, np.clip(p, -self.lam, self.lam), self.lam * np.sign(theta))

    def dual_norm(self, p: Array) -> float:
        """sup {<p, theta> : J(theta) <= 1} = |p|_inf / lam (Ex 4.15)."""
        return gauge(np.max(np.abs(validate.real_array("p", p)), initial=0), self.lam)

    def conjugate(self, p: Array) -> float:
        """J*(p) = 0 where the dual norm is at most 1, else inf."""
        return indicator(self.dual_norm(p) <= 1)


@dataclass(frozen=True)
class SquaredL2(Regularizer):
    """J(theta) = lam/2 |theta|^2 (Ex 4.12 for lam = 1); differentiable, with gradient lam theta.

    Raises ValueError for lam < 0.
    """

    lam: float = 1.0

    def __post_init__(self) -> None:
        validate.nonnegative("lam", self.lam)

    def _value(self, theta: Array) -> float:
        return self.lam * np.sum(theta * theta) / 2

    def _prox(self, v: Array, tau: np.longdouble) -> Array:
        return v / threshold(v, 1 + tau * self.lam)

    def _subgradient(self, theta: Array) -> Array:
        return self.lam * theta

    def _nearest(self, p: Array, theta: Array) -> Array:
        return self.lam * theta

    def conjugate(self, p: Array) -> float:
        """J*(p) = |p|^2 / (2 lam); for lam = 0 it is 0 at 0 and inf elsewhere."""
        p = validate.real_array("p", p)
        return gauge(np.sum(p * p) / 2, self.lam)


@dataclass(frozen=True)
class Nonnegative(Regularizer):
    """J(theta) = lam sum_i theta_i where theta >= 0, else inf: the l1 norm on the nonnegative orthant.

    The subgradient is lam where theta_i > 0 and 0 where theta_i = 0 (there every p_i <= lam is one).
    It extends Ex 4.15 by a constraint. Raises ValueError for lam < 0.
    """

    lam: float = 1.0

    def __post_init__(self) -> None:
        validate.nonnegative("lam", self.lam)

    def _value(self, theta: Array) -> float:
        total = self.lam * np.sum(theta)
        return theta.dtype.type(inf) if bool(np.any(theta < 0)) and not np.isnan(total) else total

    def _prox(self, v: Array, tau: np.longdouble) -> Array:
        return np.maximum(v - threshold(v, tau, self.lam), 0)

    def _subgradient(self, theta: Array) -> Array:
        return self.lam * np.sign(theta)

    def _nearest(self, p: Array, theta: Array) -> Array:
        inside = np.where(theta == 0, np.minimum(p, self.lam), self.lam * np.sign(theta))
        return np.where(theta < 0, theta.dtype.type(inf), inside)


@dataclass(frozen=True)
class Box(Regularizer):
    """J(theta) = 0 where low <= theta_i <= high for all i, else inf; the subgradient is 0.

    Infinite bounds are legal: Box(0, inf) is the nonnegative orthant.
    Its prox (Def 4.13) is a clip. Raises ValueError unless low <= high with a number between them.
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        low, high = validate.within("low", self.low, -inf, inf), validate.within("high", self.high, -inf, inf)
        if low > high or low == inf or high == -inf:
            validate.fail("low, high", "low <= high with a number between them", f"{low}, {high}")

    def _value(self, theta: Array) -> float:
        if bool(np.any(np.isnan(theta))):
            return theta.dtype.type(np.nan)
        return theta.dtype.type(indicator(bool(np.all((theta >= self.low) & (theta <= self.high)))))

    def _prox(self, v: Array, tau: np.longdouble) -> Array:
        return np.clip(v, self.low, self.high)

    def _subgradient(self, theta: Array) -> Array:
        return np.zeros_like(theta)

    def _nearest(self, p: Array, theta: Array) -> Array:
        """The normal cone: 0 inside, p_i <= 0 at low, p_i >= 0 at high, all of R where low = high."""
        at_low, at_high = theta <= self.low, theta >= self.high
        cone = np.where(at_low, np.minimum(p, 0), 0) + np.where(at_high, np.maximum(p, 0), 0)
        outside = (theta < self.low) | (theta > self.high)
        return np.where(outside, inf, cone + 0 * theta).astype(theta.dtype)


@dataclass(frozen=True)
class ElasticNet(Regularizer):
    """J_delta = J + 1/(2 delta) |.|^2 (4.17), strongly convex with modulus 1/delta.

    Raises ValueError for delta <= 0 or a J that is no `Regularizer`.
    """

    J: Regularizer
    delta: float = 1.0

    def __post_init__(self) -> None:
        validate.positive("delta", self.delta)
        if not isinstance(self.J, Regularizer):
            validate.fail("J", "a Regularizer", validate.describe(self.J))

    def _value(self, theta: Array) -> float:
        return self.J.value(theta) + np.sum(theta * theta) / (2 * self.delta)  # (4.17)

    def _prox(self, v: Array, tau: np.longdouble) -> Array:
        """prox_{s J}(v / (1 + tau/delta)) with s = tau / (1 + tau/delta)."""
        c = 1 + tau / self.delta
        return self.J.prox(v / threshold(v, c), tau / c)

    def _subgradient(self, theta: Array) -> Array:
        return self.J.subgradient(theta) + theta / self.delta

    def _nearest(self, p: Array, theta: Array) -> Array:
        return self.J._nearest(p - theta / self.delta, theta) + theta / self.delta

    def _distance(self, p: Array, theta: Array) -> float:
        return self.J.subdifferential_distance(p - theta / self.delta, theta)

    def gradient_conjugate(self, p: Array) -> Array:
        """grad J_delta*(p) = argmax <p, theta> - J_delta(theta) = prox_{delta J}(delta p) (4.18)."""
        p = validate.real_array("p", p)
        return self.J.prox(self.delta * p, self.delta)  # (4.18)

    def conjugate(self, p: Array) -> float:
        """J_delta*(p) = <p, theta> - J_delta(theta) at its maximiser theta."""
        theta = self.gradient_conjugate(p)
        return np.sum(p * theta) - self.value(theta)


def indicator(inside: bool) -> float:
    """0 inside a set, inf outside."""
    return 0.0 if inside else inf
