"""Total variation, denoising with a certified gap, and Bregman iterations for images (Ex 4.18)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf, sqrt
from typing import Any, NamedTuple

import numpy as np

from refimpl.numerics import validate
from refimpl.numerics.kernels.total_variation import dual_ascent
from refimpl.sparsity.regularizers import Array, Regularizer, indicator, norm

Progress = Callable[[int, float], Any]


def differences(u: Array) -> Array:
    """D u of shape (2, n, m): u_{i+1,j} - u_{i,j} and u_{i,j+1} - u_{i,j}, zero beyond the last row and column."""
    z = np.zeros((2, *u.shape), u.dtype)
    z[0, :-1], z[1, :, :-1] = np.diff(u, axis=0), np.diff(u, axis=1)
    return z


def differences_transposed(z: Array) -> Array:
    """D^T z, the adjoint of `differences`: minus the divergence. Entries beyond the border do not count."""
    p = np.zeros_like(z[0])
    p[1:] += z[0, :-1]
    p[:-1] -= z[0, :-1]
    p[:, 1:] += z[1, :, :-1]
    p[:, :-1] -= z[1, :, :-1]
    return p


def tv(u: Array) -> float:
    """TV(u) = sum_ij sqrt(|u_{i+1,j} - u_ij|^2 + |u_{i,j+1} - u_ij|^2) for an image (n, m) (Ex 4.18).

    An image of shape (n, 1) is a signal. Raises ValueError for another number of axes or an empty image.
    """
    return np.sum(np.hypot(*differences(_image("u", u))))


class Denoised(NamedTuple):
    """The minimiser u of 1/2 |u - f|^2 + alpha TV(u), and why it is one.

    Attributes
    ----------
    u : with 1/2 |u - u*|^2 <= gap for the exact minimiser u*.
    p : D^T z = (f - u)/alpha, an epsilon-subgradient: TV(w) >= TV(u) + <p, w - u> - gap/alpha for all w.
    gap : alpha (TV(u) - <p, u>), the certified duality gap.
    iterations : dual steps made.
    z : the dual variable (2, n, m), |z_ij| <= 1, where the next call may start.
    """

    u: Array
    p: Array
    gap: float
    iterations: int
    z: Array


def tv_denoise(
    f: Array,
    alpha: float,
    gap: float = 1e-10,
    z: Array | None = None,
    max_iterations: int = 1_000_000,
    progress: Progress | None = None,
) -> Denoised:
    """prox_{alpha TV}(f) = argmin 1/2 |u - f|^2 + alpha TV(u) (Ex 4.18), to a certified duality gap, in float64.

    Parameters
    ----------
    f : image (n, m); (n, 1) is a signal.
    alpha : >= 0; for 0 the result is f itself.
    gap : stop when the duality gap is at most this. Rounding allows about eps alpha TV(f).
    z : (2, n, m), a dual variable to start from, such as ``result.z`` of a similar problem.
    progress : called with (iterations, gap) now and then.

    Raises
    ------
    ValueError : no image, NaN or infinities in f, wrong shape of z.
    RuntimeError : the gap was not reached within ``max_iterations`` dual steps.
    """
    f = _finite("f", f)
    alpha, gap = validate.nonnegative("alpha", alpha), validate.nonnegative("gap", gap)
    limit = validate.integer("max_iterations", max_iterations, low=1)
    if z is not None:
        z = validate.real_array("z", z, shape=(2, *f.shape))
    if alpha == 0:
        z = _directions(f)
        return Denoised(f.copy(), differences_transposed(z), 0.0, 0, z)
    return _denoise(f, alpha, gap, z, np.ones(f.shape, bool), limit, progress)


def _denoise(
    f: Array, alpha: float, gap: float, start: Array | None, free: Array, limit: int, progress: Progress | None = None
) -> Denoised:
    """Run the dual ascent in bursts; z is fixed at its start where not ``free``."""
    n, m = f.shape
    z = np.zeros((2, n + 1, m + 1))
    if start is not None:
        z[:, 1:, 1:] = start
    z[0, n], z[1, :, m] = 0, 0
    y, u, t, done, reached = z.copy(), np.empty((n + 1, m + 1)), 1.0, 0, inf
    bound = 4.0 if 1 in f.shape else 8.0  # >= |D|^2
    while done < limit and not reached <= gap:
        steps, reached, t = dual_ascent(f, alpha, bound, free, z, y, t, u, gap, min(1000, limit - done))
        done += steps
        if progress is not None:
            progress(done, reached)
    if not reached <= gap:
        raise RuntimeError(f"tv_denoise: gap {reached:.1e} after {done} iterations, wanted {gap:.1e}")
    inner = z[:, 1:, 1:].copy()
    return Denoised(u[:n, :m].copy(), differences_transposed(inner), max(float(reached), 0.0), done, inner)


def tv_bregman(f: Array, step: float, gap: float = 1e-10, max_iterations: int = 1_000_000) -> Iterator[Denoised]:
    """Bregman iterations (4.15) for J = TV and L(u) = 1/2 |u - f|^2 (Ex 4.18), warm-started.

    u <- argmin D_TV^p(u, .) + tau L = prox_{TV/tau}(f + p/tau), p <- p - tau (u - f). The start is the constant image
    mean(f) with p = 0; the limit is f, so stop early to denoise. Yields k = 0 (the start), 1, 2, ...
    Raises ValueError for no image, NaN or infinities in f, step <= 0; RuntimeError where the gap is not reached.
    """
    f, tau = _finite("f", f), validate.positive("step", step)
    if 1 / tau == inf:
        validate.fail("step", "a step whose inverse is finite", step)
    return _tv_iterates(f, tau, gap, max_iterations)


def _tv_iterates(f: Array, tau: float, gap: float, limit: int) -> Iterator[Denoised]:
    now = Denoised(np.full_like(f, np.mean(f)), np.zeros_like(f), 0.0, 0, np.zeros((2, *f.shape)))
    while True:
        yield now
        now = tv_denoise(f + now.p / tau, 1 / tau, gap, now.z, limit)  # (4.15a); its p is (4.15b)


@dataclass(frozen=True)
class TotalVariation(Regularizer):
    """J(u) = lam TV(u) for images (n, m) (Ex 4.18); prox and distance are iterative, in float64, to a duality gap.

    The subgradient is lam D^T z with z_ij = (D u)_ij / |(D u)_ij|, 0 where D u = 0. Since a prox known to a gap is
    known to sqrt(2 gap), the distance takes |(D u)_ij| <= 4 sqrt(gap) for 0.
    Raises ValueError for lam < 0 or gap <= 0, and at a call for arrays that are no image.
    """

    lam: float = 1.0
    gap: float = 1e-12

    def __post_init__(self) -> None:
        validate.nonnegative("lam", self.lam)
        validate.positive("gap", self.gap)

    def _shaped(self, name: str, value: Array) -> Array:
        return _image(name, value)

    def _value(self, theta: Array) -> float:
        return self.lam * tv(theta)

    def _prox(self, v: Array, tau: np.longdouble) -> Array:
        if not np.all(np.isfinite(v)):
            return np.full_like(v, np.nan)
        return tv_denoise(v, float(tau * self.lam), self.gap).u.astype(v.dtype)

    def _subgradient(self, theta: Array) -> Array:
        return self.lam * differences_transposed(_directions(_image("theta", theta)))

    def _distance(self, p: Array, theta: Array) -> float:
        """min |p - lam D^T z| over |z_ij| <= 1 with z fixed where D theta is not 0: a denoising problem for p."""
        theta = _image("theta", theta)
        if not np.all(np.isfinite(p) & np.isfinite(theta)) or self.lam == 0:
            return norm(p + 0 * theta)
        z, p = _directions(theta).astype(np.float64), p.astype(np.float64)
        free = np.hypot(*differences(theta)) <= 4 * sqrt(self.gap)
        return theta.dtype.type(norm(_denoise(p, self.lam, self.gap * max(1, norm(p)) ** 2, z, free, 10**6).u))

    def conjugate(self, p: Array) -> float:
        """J*(p) = 0 if p = lam D^T z for some |z_ij| <= 1 (up to the gap), else inf."""
        p = _finite("p", p)
        return indicator(bool(norm(tv_denoise(p, self.lam, self.gap).u) <= 2 * sqrt(self.gap)))


def _directions(u: Array) -> Array:
    d = differences(u)
    size = np.hypot(*d)
    return d / np.where(size == 0, 1, size)


def _image(name: str, u: Array) -> Array:
    u = validate.real_array(name, u, ndim=2)
    validate.nonempty(name, u)
    return u


def _finite(name: str, u: Array) -> Array:
    u = np.ascontiguousarray(_image(name, u), np.float64)
    if not np.all(np.isfinite(u)):
        validate.fail(name, "finite numbers", "NaN or infinities")
    return u
