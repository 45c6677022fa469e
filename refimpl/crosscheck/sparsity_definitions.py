"""Section 4.3 from its definitions, entry by entry and group by group, on Decimals (or on floats)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.crosscheck import digits
from refimpl.crosscheck.digits import ONE, ZERO, Array, total

# Proximal maps ------------------------------------------------------------------------------------------------


def soft(v: Array, t: Any) -> Array:
    """sign(v) max(|v| - t, 0) (Example 4.15)."""
    return np.where(v > t, v - t, np.where(v < -t, v + t, ZERO))


def prox_l1(v: Array, tau: Any, lam: Any) -> Array:
    """Threshold tau lam."""
    return soft(v, tau * lam)


def prox_squared_l2(v: Array, tau: Any, lam: Any) -> Array:
    """v / (1 + tau lam)."""
    return v / (ONE + tau * lam)


def shrunk(v: Array, t: Any) -> Array:
    """v max(1 - t / |v|_2, 0), the prox of t |.|_2 (Example 4.16)."""
    size = total(v * v).sqrt()
    return v * (ONE - t / size) if size > t else v * ZERO


def prox_l2(v: Array, tau: Any, lam: Any) -> Array:
    """One group with weight 1."""
    return shrunk(v, tau * lam)


def prox_nonnegative(v: Array, tau: Any, lam: Any) -> Array:
    """max(v - tau lam, 0)."""
    return np.where(v > tau * lam, v - tau * lam, ZERO)


def prox_elastic_net(v: Array, tau: Any, lam: Any, delta: Any) -> Array:
    """soft(v, tau lam) / (1 + tau/delta): from 0 in theta - v + tau (lam dsign + theta/delta)."""
    return soft(v, tau * lam) / (ONE + tau / delta)


def group_prox(labels: Callable[[Array], Array]) -> Callable[..., Array]:
    """Example 4.16 with weights sqrt(#g), for groups given by their labels."""

    def prox(v: Array, tau: Any, lam: Any, **groups: Array) -> Array:
        out = digits.zeros(v.shape)
        label = groups["groups"] if groups else labels(v)
        for g in np.unique(label):
            members = label == g
            out[members] = shrunk(v[members], tau * lam * digits.sqrt(ONE * int(members.sum())))
        return out

    return prox


def rows(v: Array) -> Array:
    """The row of every entry."""
    return np.indices(v.shape)[0]


def columns(v: Array) -> Array:
    """The column of every entry."""
    return np.indices(v.shape)[1]


def kernels(v: Array) -> Array:
    """The number of the kernel (o, i) of every entry."""
    index = np.indices(v.shape)
    return index[0] * v.shape[1] + index[1]


def prox_sparse_group(v: Array, tau: Any, lam1: Any, lam2: Any) -> Array:
    """Entries first, groups (rows) after."""
    return group_prox(rows)(soft(v, tau * lam1), tau, lam2)


# Values and distances -----------------------------------------------------------------------------------------


def value_l1(theta: Array, lam: Any) -> Any:
    """lam |theta|_1."""
    return lam * total(np.abs(theta))


def value_l2(theta: Array, lam: Any) -> Any:
    """lam |theta|_2."""
    return lam * total(theta * theta).sqrt()


def value_squared_l2(theta: Array, lam: Any) -> Any:
    """lam/2 |theta|^2."""
    return lam * total(theta * theta) / 2


def value_nonnegative(theta: Array, lam: Any) -> Any:
    """lam sum theta for theta >= 0."""
    return lam * total(theta)


def value_group_l2(theta: Array, lam: Any) -> Any:
    """lam sum over rows of sqrt(#g) |theta_g|_2."""
    return lam * total(digits.sqrt(total(theta * theta, axis=1))) * (ONE * theta.shape[1]).sqrt()


def value_elastic_net(theta: Array, lam: Any, delta: Any) -> Any:
    """lam |theta|_1 + |theta|^2 / (2 delta) (4.17)."""
    return value_l1(theta, lam) + total(theta * theta) / (2 * delta)


def value_sparse_group(theta: Array, lam1: Any, lam2: Any) -> Any:
    """lam1 |theta|_1 + the group norm of the rows."""
    return value_l1(theta, lam1) + value_group_l2(theta, lam2)


def bregman_l1(a: Array, b: Array, p: Array, lam: Any) -> Any:
    """J(a) - J(b) - <p, a - b>."""
    return value_l1(a, lam) - value_l1(b, lam) - total(p * (a - b))


def bregman_squared_l2(a: Array, b: Array, p: Array, lam: Any) -> Any:
    """J(a) - J(b) - <p, a - b>; lam/2 |a - b|^2 for p = lam b (Example 4.12)."""
    return value_squared_l2(a, lam) - value_squared_l2(b, lam) - total(p * (a - b))


def symmetric_bregman_l1(a: Array, b: Array, pa: Array, pb: Array, lam: Any) -> Any:
    """<pa - pb, a - b> (4.10)."""
    return total((pa - pb) * (a - b))


# Steps and trajectories ---------------------------------------------------------------------------------------


def start_v(theta: Array, lam: Any, delta: Any) -> Array:
    """v0 = theta0/delta + lam sign(theta0), a subgradient of J_delta at theta0."""
    return theta / delta + lam * np.sign(theta).astype(object)


def gradient_descent_step(theta: Array, gradient: Array, step: Any) -> Array:
    """theta - tau g."""
    return theta - step * gradient


def proximal_gradient_step(theta: Array, gradient: Array, step: Any, lam: Any) -> Array:
    """(4.6) for the l1 norm."""
    return soft(theta - step * gradient, step * lam)


def linbreg_step(v: Array, gradient: Array, step: Any, lam: Any, delta: Any) -> tuple[Array, Array]:
    """(4.21) for the l1 norm: (theta, v)."""
    v = v - step * gradient
    return soft(delta * v, delta * lam), v


def momentum_step(
    v: Array, m: Array, gradient: Array, step: Any, lam: Any, delta: Any, momentum: Any
) -> tuple[Array, Array, Array]:
    """(4.22) for the l1 norm: (theta, v, m)."""
    m = momentum * m + (ONE - momentum) * step * gradient
    return soft(delta * (v - m), delta * lam), v - m, m


def adabreg_step(
    v: Array, m: Array, s: Array, k: int, gradient: Array, step: Any, lam: Any, delta: Any, betas: Array, eps: Any
) -> tuple[Array, Array, Array, Array]:
    """Section 4.3.3 for the l1 norm, step number k = 1, 2, ...: (theta, v, m, s)."""
    b1, b2 = betas
    m = b1 * m + (ONE - b1) * gradient
    s = b2 * s + (ONE - b2) * gradient * gradient
    v = v - step / (ONE - b1**k) * m / (digits.sqrt(s) / (ONE - b2**k).sqrt() + eps)
    return soft(delta * v, delta * lam), v, m, s


def _gradients(theta: Array, gradients: Array, Q: Array | None) -> Callable[[Array, int], Array]:
    """g_k = Q theta + b_k, or just b_k."""
    return lambda theta, k: gradients[k] if Q is None else Q @ theta + gradients[k]


def gradient_descent(theta: Array, gradients: Array, step: Any, Q: Array | None = None) -> Array:
    """theta_1, theta_2, ... of gradient descent."""
    g, path = _gradients(theta, gradients, Q), []
    for k in range(len(gradients)):
        theta = gradient_descent_step(theta, g(theta, k), step)
        path.append(theta)
    return np.array(path)


def proximal_gradient(theta: Array, gradients: Array, step: Any, lam: Any, Q: Array | None = None) -> Array:
    """theta_1, theta_2, ... of (4.6)."""
    g, path = _gradients(theta, gradients, Q), []
    for k in range(len(gradients)):
        theta = proximal_gradient_step(theta, g(theta, k), step, lam)
        path.append(theta)
    return np.array(path)


def linbreg(theta: Array, gradients: Array, step: Any, lam: Any, delta: Any, Q: Array | None = None) -> Array:
    """theta_1, theta_2, ... of (4.21) from v0 = theta0/delta + p0."""
    return momentum(theta, gradients, step, lam, delta, ZERO, Q)


def momentum(
    theta: Array, gradients: Array, step: Any, lam: Any, delta: Any, momentum: Any, Q: Array | None = None
) -> Array:
    """theta_1, theta_2, ... of (4.22)."""
    g, path = _gradients(theta, gradients, Q), []
    v, m = start_v(theta, lam, delta), digits.zeros(theta.shape)
    for k in range(len(gradients)):
        theta, v, m = momentum_step(v, m, g(theta, k), step, lam, delta, momentum)
        path.append(theta)
    return np.array(path)


def adabreg(theta: Array, gradients: Array, step: Any, lam: Any, delta: Any, betas: Array, eps: Any) -> Array:
    """theta_1, theta_2, ... of AdaBreg."""
    v, m, s, path = start_v(theta, lam, delta), digits.zeros(theta.shape), digits.zeros(theta.shape), []
    for k, gradient in enumerate(gradients, start=1):
        theta, v, m, s = adabreg_step(v, m, s, k, gradient, step, lam, delta, betas, eps)
        path.append(theta)
    return np.array(path)


def sparse_start(weight: Array, mask: Array, density: Any) -> Array:
    """mask w / sqrt(r): the variance stays (4.33)."""
    return weight * mask / density.sqrt()


def density(theta: Array) -> Any:
    """The share of nonzero entries (4.3.5)."""
    return ONE * int(np.count_nonzero(theta)) / theta.size
