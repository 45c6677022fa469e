"""Section 4.2 from its definitions: projections by bisection, quotients and norms by sums, on Decimals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.crosscheck import digits
from refimpl.crosscheck.digits import ONE, ZERO, Array, total
from refimpl.crosscheck.setting_definitions import dense, relu
from refimpl.crosscheck.sparsity_definitions import soft

HALVINGS = 180  # 2^-180 is below 50 digits


def norm2(x: Array) -> Any:
    """|x|_2."""
    return total(x * x).sqrt()


def norm1(x: Array) -> Any:
    """|x|_1."""
    return total(np.abs(x))


def _nearest(shift: Callable[[Any], Array], size: Callable[[Array], Any], eps: Any) -> Array:
    """shift(s) for the largest s in [0, 1] with size(shift(s)) <= eps; size grows with s."""
    if size(shift(ONE)) <= eps:
        return shift(ONE)
    low, high = ZERO, ONE
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if size(shift(middle)) <= eps else (low, middle)
    return shift(low)


def _rows(v: Array, center: Array, eps: Any, low: Any, high: Any, row: Callable[..., Array]) -> Array:
    pairs = zip(v - center, center)
    return np.array([c + row(w, low - c, high - c, eps) for w, c in pairs], dtype=object)


def project_l2(v: Array, center: Array, eps: Any, low: Any, high: Any) -> Array:
    """center + clip(s w), |.|_2 = eps."""

    def row(w: Array, a: Array, b: Array, eps: Any) -> Array:
        return _nearest(lambda s: np.clip(s * w, a, b), norm2, eps)

    return _rows(v, center, eps, low, high, row)


def project_l1(v: Array, center: Array, eps: Any, low: Any, high: Any) -> Array:
    """center + clip(soft(w, mu)), |.|_1 = eps; mu = (1 - s) max |w|."""

    def row(w: Array, a: Array, b: Array, eps: Any) -> Array:
        top = max(np.abs(w))
        return _nearest(lambda s: np.clip(soft(w, (ONE - s) * top), a, b), norm1, eps)

    return _rows(v, center, eps, low, high, row)


def project_linf(v: Array, center: Array, eps: Any, low: Any, high: Any) -> Array:
    """Two clips."""
    return np.clip(np.clip(v, center - eps, center + eps), low, high)


def _sign(x: Array) -> Array:
    return np.where(x > 0, ONE, np.where(x < 0, -ONE, ZERO))


def fgsm_step(x: Array, gradient: Array, eps: Any, low: Any, high: Any) -> Array:
    """x + eps sign(g), clipped."""
    return np.clip(x + eps * _sign(gradient), low, high)


def pgd_step_linf(xbar: Array, x: Array, gradient: Array, step: Any, eps: Any, low: Any, high: Any) -> Array:
    """A signed step, projected."""
    return project_linf(xbar + step * _sign(gradient), x, eps, low, high)


def pgd_step_l2(xbar: Array, x: Array, gradient: Array, step: Any, eps: Any, low: Any, high: Any) -> Array:
    """A normalised step, projected."""
    sizes = [norm2(g) for g in gradient]
    unit = np.array([g / n if n else g for g, n in zip(gradient, sizes)], dtype=object)
    return project_l2(xbar + step * unit, x, eps, low, high)


def quotient(x: Array, xbar: Array, W1: Array, b1: Array, W2: Array) -> Array:
    """|f(x) - f(xbar)|_2 / |x - xbar|_2."""
    f, g = (dense(relu(dense(z, W1, b1)), W2, digits.zeros(len(W2))) for z in (x, xbar))
    return np.array([norm2(a - b) / norm2(u - w) for a, b, u, w in zip(f, g, x, xbar)], dtype=object)


def product_bound_l1(W1: Array, b1: Array, W2: Array) -> Any:
    """Largest column sums of moduli."""
    return _largest(W1, 0) * _largest(W2, 0)


def product_bound_linf(W1: Array, b1: Array, W2: Array) -> Any:
    """Largest row sums of moduli."""
    return _largest(W1, 1) * _largest(W2, 1)


def _largest(W: Array, axis: int) -> Any:
    return max(total(np.abs(W), axis=axis))


def product_bound_l2(W1: Array, b1: Array, W2: Array) -> Any:
    """Largest singular values."""
    return _singular(W1) * _singular(W2)


def _singular(W: Array) -> Any:
    """sqrt of the largest eigenvalue of A = W^T W: A, A^2, A^4, ..., each over its trace, tend to a projection P
    onto its eigenvectors over their number, and tr(A P) is the eigenvalue."""
    gram = W.T @ W
    if not total(np.diag(gram)):
        return ZERO
    power = gram / total(np.diag(gram))
    for _ in range(60):
        power = power @ power
        power = power / total(np.diag(power))
    return total(np.diag(gram @ power)).sqrt()
