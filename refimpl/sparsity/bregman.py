"""Bregman distances, Bregman iterations (4.15) and the inverse scale space flow (Section 4.3.1)."""

from collections.abc import Iterator
from math import inf
from typing import Any, NamedTuple

import numpy as np
import scipy

from refimpl.numerics import validate
from refimpl.sparsity.regularizers import L1, Array, Regularizer, norm


def bregman_distance(J: Regularizer, a: Array, b: Array, p: Array) -> float:
    """D_J^p(a, b) = J(a) - J(b) - <p, a - b> for p in dJ(b) (4.9); inf where J(a) is.

    Whether p is a subgradient is the caller's promise: ``J.subdifferential_distance(p, b)`` tells. With
    any other p the result may be negative.

    Raises
    ------
    ValueError : shapes differ, or b lies outside the domain of J.
    """
    validate.provides("J", J, "value")
    a, b, p = (validate.real_array(name, x) for name, x in (("a", a), ("b", b), ("p", p)))
    validate.same_shape("a", a, "b", b)
    validate.same_shape("p", p, "b", b)
    at_b = J.value(b)
    if at_b == inf:
        validate.fail("b", "a point of the domain of J", "J(b) = inf")
    return J.value(a) - at_b - np.sum(p * (a - b))  # (4.9)


def symmetric_bregman_distance(J: Regularizer, a: Array, b: Array, pa: Array, pb: Array) -> float:
    """D^sym(a, b) = D^pb(a, b) + D^pa(b, a) for pa in dJ(a), pb in dJ(b) (4.10); equals <pa - pb, a - b>.

    All four arrays have the same shape. Raises ValueError where they differ, or outside the domain of J.
    """
    a, b, pa, pb = (validate.real_array(name, x) for name, x in (("a", a), ("b", b), ("pa", pa), ("pb", pb)))
    validate.same_shape("pa", pa, "a", a)
    validate.same_shape("pb", pb, "b", b)
    return bregman_distance(J, a, b, pb) + bregman_distance(J, b, a, pa)  # (4.10)


class Iterate(NamedTuple):
    """theta and its subgradient p in dJ(theta); how far p is from dJ(theta) in floating point."""

    theta: Array
    p: Array
    distance: float


def bregman_iteration(
    A: Array, f: Array, lam: float = 1.0, step: float = 1.0, p: Array | None = None
) -> Iterator[Iterate]:
    """Bregman iterations (4.15) for L(theta) = 1/2 |A theta - f|^2 and J = lam |.|_1, exactly.

    theta <- argmin D_J^p(theta, .) + tau L, p <- p - tau A^T (A theta - f). Each inner problem is solved by an
    active-set method, and the distance of p to dJ(theta) certifies it. From p = 0 (or p in the range of A^T)
    the limit minimises J among the solutions of A theta = f (Rem 4.17).

    Parameters
    ----------
    A, f : of shape (m, n) and (m,), computed with in float64.
    lam, step : lam and tau, > 0.
    p : (n,) the start, a subgradient at theta = 0: |p_i| <= lam; by default 0.

    Yields
    ------
    Iterate : k = 0 (theta = 0), 1, 2, ...

    Raises
    ------
    ValueError : wrong shapes, or |p|_inf > lam.
    RuntimeError : an inner problem was not solved to rounding.
    """
    A, f = _system(A, f)
    J, tau = L1(validate.positive("lam", lam)), validate.positive("step", step)
    theta = np.zeros_like(A[0])
    p = theta.copy() if p is None else validate.real_array("p", p, shape=theta.shape)
    if np.any(np.abs(p) > lam):
        validate.fail("p", f"a subgradient at 0: entries in [-{lam}, {lam}]", validate.describe(p))
    return _bregman_iterates(A, f, J, tau, theta, p)


def _bregman_iterates(A: Array, f: Array, J: L1, tau: float, theta: Array, p: Array) -> Iterator[Iterate]:
    scale = J.lam + tau * norm(A) * norm(f)
    while True:
        distance = J.subdifferential_distance(p, theta)
        if not distance <= 1e4 * np.finfo(float).eps * scale:
            raise RuntimeError(f"the inner problem of (4.15) is solved only to {distance:.1e}, too far from dJ(theta)")
        yield Iterate(theta, p, distance)
        theta = lasso(A, f, J.lam, tau, p, theta)  # (4.15a)
        p = p - tau * (A.T @ (A @ theta - f))  # (4.15b)


def lasso(A: Array, f: Array, lam: float = 1.0, tau: float = 1.0, p: Any = 0.0, theta: Array | None = None) -> Array:
    """argmin lam |theta|_1 - <p, theta> + tau/2 |A theta - f|^2 by a feature-sign search, exact up to rounding.

    The active entries and their signs change one at a time; between changes the problem is quadratic. The
    objective falls strictly, so the search ends. ``theta`` is where it starts (0 by default).

    The inner problem of (4.15). A is (m, n), f (m,), p a number or (n,), theta (n,); computed in float64.

    Raises
    ------
    ValueError : other shapes, lam < 0, tau <= 0.
    """
    A, f = _system(A, f)
    lam, tau = validate.nonnegative("lam", lam), validate.positive("tau", tau)
    start = np.zeros(A.shape[1]) if theta is None else validate.real_array("theta", theta, shape=(A.shape[1],))
    theta, p = start.astype(np.float64), validate.real_array("p", p).astype(np.float64)
    if p.shape not in ((), theta.shape):
        validate.fail("p", f"a number or {theta.size} of them", validate.describe(p))
    p = np.broadcast_to(p, theta.shape)
    signs = np.sign(theta)
    slack = 64 * np.finfo(float).eps * (lam + tau * norm(A) * norm(f))
    for _ in range(50 * theta.size + 50):
        while np.any(signs) and not _settle(A, f, lam, tau, p, theta, signs, slack):
            pass
        gradient = tau * (A.T @ (A @ theta - f)) - p
        excess = np.where(signs == 0, np.abs(gradient) - lam, -inf)
        j = int(np.argmax(excess))
        if not excess[j] > slack:
            break
        signs[j] = -np.sign(gradient[j])
    return theta


def _settle(A: Array, f: Array, lam: float, tau: float, p: Array, theta: Array, signs: Array, slack: float) -> bool:
    """Move theta towards the minimiser for fixed signs, at most to the first sign that changes; True if settled."""
    active = np.flatnonzero(signs)
    B = A[:, active]
    force = p[active] - lam * signs[active] - tau * (B.T @ (A @ theta - f))
    direction = np.linalg.lstsq(np.sqrt(tau) * B, np.linalg.pinv(np.sqrt(tau) * B.T) @ force, rcond=None)[0]
    kernel_part = force - tau * (B.T @ (B @ direction))
    flat = norm(kernel_part) > slack * np.sqrt(active.size)
    if flat:
        direction = kernel_part
    crossing = theta[active] + (0 if flat else 1) * direction
    hits = direction * signs[active] < 0 if flat else crossing * signs[active] < 0
    if not np.any(hits):
        theta[active] = crossing
        return True
    lengths = np.where(hits, -theta[active] / np.where(hits, direction, 1), inf)
    first = int(np.argmin(lengths))
    theta[active] += lengths[first] * direction
    theta[active[first]] = signs[active[first]] = 0
    return False


def _system(A: Array, f: Array) -> tuple[Array, Array]:
    A = validate.real_array("A", A, ndim=2).astype(np.float64)
    validate.nonempty("A", A)
    return A, validate.real_array("f", f, shape=(len(A),)).astype(np.float64)


class Break(NamedTuple):
    """From time t on (up to the next break) theta is constant and p(s) = p + (s - t) A^T (f - A theta)."""

    t: float
    theta: Array
    p: Array


def inverse_scale_space(A: Array, f: Array, lam: float = 1.0) -> list[Break]:
    """The flow dp/dt = -grad L(theta), p in dJ(theta), for J = lam |.|_1 and L = 1/2 |A theta - f|^2, exactly.

    theta is piecewise constant in time: on {|p_i| = lam} it is the least-squares solution whose signs agree
    with p, until a further entry of p, which moves linearly, reaches +-lam. Starts from p = 0; the last
    break is the limit, a J-minimal solution (4.16) if A theta = f has one.

    A is (m, n) and f (m,), computed with in float64 (Section 4.3.1). Raises ValueError for other shapes or lam <= 0.
    """
    A, f = _system(A, f)
    lam = validate.positive("lam", lam)
    breaks = [Break(0.0, np.zeros(A.shape[1]), np.zeros(A.shape[1]))]
    while (nxt := _next_break(A, f, lam, breaks[-1])) is not None:
        breaks.append(nxt)
    return breaks


def _next_break(A: Array, f: Array, lam: float, now: Break) -> Break | None:
    speed = A.T @ (f - A @ now.theta)
    moving = (np.abs(speed) > 1e-12 * norm(A) * norm(f)) & (np.sign(speed) * now.p < lam)
    if not np.any(moving):
        return None
    times = np.where(moving, (lam - np.sign(speed) * now.p) / np.where(moving, np.abs(speed), 1), inf)
    p = np.clip(now.p + np.min(times) * np.where(moving, speed, 0), -lam, lam)
    p = np.where(times <= np.min(times) * (1 + 1e-12), lam * np.sign(speed), p)
    active, theta = np.abs(p) == lam, np.zeros_like(p)
    signs = np.sign(p[active])
    theta[active] = signs * scipy.optimize.nnls(A[:, active] * signs, f)[0]
    return Break(now.t + np.min(times), theta, p)
