"""Linearized Bregman iterations (4.19) and mirror descent (4.20), deterministic (Section 4.3.2)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refimpl.numerics import validate
from refimpl.sparsity.regularizers import Array, Regularizer

Gradient = Callable[[Array], Array]


class Linearized(NamedTuple):
    """theta = prox_{delta J}(delta p), where p in dJ_delta(theta)."""

    theta: Array
    p: Array


def linearized_bregman(
    J: Regularizer, gradient: Gradient, p: Array, step: float, delta: float = 1.0
) -> Iterator[Linearized]:
    """p <- p - tau grad L(theta), theta <- prox_{delta J}(delta p) (4.19).

    Parameters
    ----------
    gradient : theta -> grad L(theta).
    p : the start, of any shape: p in dJ_delta(theta) with theta = prox_{delta J}(delta p), for a given theta
        p = theta/delta + J.subgradient(theta).
    step, delta : tau and delta, > 0.

    Yields
    ------
    Linearized : k = 0 (the start), 1, 2, ...

    Raises
    ------
    ValueError : step or delta not positive, a J without prox.
    """
    validate.provides("J", J, "prox")
    tau, delta = validate.positive("step", step), validate.positive("delta", delta)
    return _linearized(J, gradient, validate.real_array("p", p), tau, delta)


def _linearized(J: Regularizer, gradient: Gradient, p: Array, tau: float, delta: float) -> Iterator[Linearized]:
    while True:
        theta = J.prox(delta * p, delta)  # (4.19b)
        yield Linearized(theta, p)
        p = p - tau * gradient(theta)  # (4.19a)


class Mirror:
    """A differentiable, strongly convex h, by its value, its gradient and that of its conjugate h*."""

    def value(self, theta: Array) -> float:
        """h(theta)."""
        raise TypeError(f"{type(self).__name__} defines no value")

    def gradient(self, theta: Array) -> Array:
        """grad h(theta)."""
        raise TypeError(f"{type(self).__name__} defines no gradient")

    def gradient_conjugate(self, p: Array) -> Array:
        """grad h*(p) = argmax <p, theta> - h(theta)."""
        raise TypeError(f"{type(self).__name__} defines no conjugate")


@dataclass(frozen=True)
class Entropy(Mirror):
    """h(theta) = sum_i theta_i log theta_i on the probability simplex; strongly convex with modulus 1.

    A mirror map h for (4.20). Raises ValueError at a call for an array without entries.
    """

    def value(self, theta: Array) -> float:
        """sum_i theta_i log theta_i, with 0 log 0 = 0."""
        theta = validate.real_array("theta", theta)
        return np.sum(theta * np.log(np.where(theta == 0, 1, theta)))

    def gradient(self, theta: Array) -> Array:
        """log theta + 1, for theta > 0."""
        return np.log(validate.real_array("theta", theta)) + 1

    def gradient_conjugate(self, p: Array) -> Array:
        """softmax(p): constants added to p do not matter."""
        p = validate.real_array("p", p)
        validate.nonempty("p", p)
        e = np.exp(p - np.max(p))
        return e / np.sum(e)


@dataclass(frozen=True, eq=False)
class Quadratic(Mirror):
    """h(theta) = 1/2 <theta, Q theta> with Q symmetric and Q - I positive semidefinite (modulus 1).

    A mirror map h for (4.20). Raises ValueError for any other Q, and at a call for vectors of another length.
    """

    Q: Array

    def __post_init__(self) -> None:
        Q = validate.real_array("Q", self.Q, ndim=2)
        Q = Q.astype(np.float64) if Q.dtype == np.longdouble else Q  # LAPACK knows no longdouble
        symmetric = Q.shape[0] == Q.shape[1] and np.array_equal(Q, Q.T) and np.isfinite(Q).all()
        if not symmetric or np.min(np.linalg.eigvalsh(Q), initial=1) < 1 - 1e-12:
            validate.fail("Q", "a symmetric matrix with eigenvalues >= 1", validate.describe(Q))
        object.__setattr__(self, "Q", Q)

    def value(self, theta: Array) -> float:
        """1/2 <theta, Q theta>."""
        theta = self._vector("theta", theta)
        return theta @ self.Q @ theta / 2

    def gradient(self, theta: Array) -> Array:
        """Q theta."""
        return self.Q @ self._vector("theta", theta)

    def gradient_conjugate(self, p: Array) -> Array:
        """Q^-1 p."""
        p = self._vector("p", p)
        return np.linalg.solve(self.Q, p.astype(np.float64) if p.dtype == np.longdouble else p)

    def _vector(self, name: str, value: Array) -> Array:
        return validate.real_array(name, value, shape=(len(self.Q),))


def mirror_descent(h: Mirror, gradient: Gradient, theta: Array, step: float) -> Iterator[Array]:
    """theta <- grad h*(grad h(theta) - tau grad L(theta)) (4.20); yields k = 0 (the start), 1, 2, ...

    It equals (4.19) with delta = 1 and J = h - 1/2 |.|^2, since then prox_J = grad h*.

    theta has the shape that h takes. Raises ValueError for step <= 0, an empty theta, or an h that is no mirror map.
    """
    validate.provides("h", h, "gradient", "gradient_conjugate")
    tau = validate.positive("step", step)
    theta = validate.real_array("theta", theta)
    validate.nonempty("theta", theta)
    return _mirrored(h, gradient, theta, tau)


def _mirrored(h: Mirror, gradient: Gradient, theta: Array, tau: float) -> Iterator[Array]:
    while True:
        yield theta
        theta = h.gradient_conjugate(h.gradient(theta) - tau * gradient(theta))  # (4.20)
