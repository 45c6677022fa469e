"""Known mistakes in Section 4.2: projections, attacks, Lipschitz constants."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from refimpl.crosscheck.mistakes import after, changed, mistake
from refimpl.crosscheck.target import TARGETS, Array

L2 = "robustness.project_l2"


def _shrink(v: Array, center: Array, eps: float) -> Array:
    distance = np.linalg.norm(v - center, axis=1, keepdims=True)
    return center + (v - center) * np.minimum(1, eps / np.where(distance > 0, distance, 1))


@mistake("projection by clipping after shrinking", L2)
def _clip_after(v: Array, center: Array, eps: float, low: float, high: float) -> Array:
    return np.clip(_shrink(v, center, eps), low, high)


@mistake("projection by shrinking after clipping", L2)
def _clip_before(v: Array, center: Array, eps: float, low: float, high: float) -> Array:
    return _shrink(np.clip(v, low, high), center, eps)


@mistake("box ignored", L2)
def _no_box(v: Array, center: Array, eps: float, low: float, high: float) -> Array:
    return _shrink(v, center, eps)


@mistake("points inside the ball are moved to the sphere", L2)
def _to_sphere(v: Array, center: Array, eps: float, low: float, high: float) -> Array:
    distance = np.linalg.norm(v - center, axis=1, keepdims=True)
    far = center + (v - center) * 2.0**20 / np.where(distance > 0, distance, 1)
    return TARGETS[L2].reference(v=far, center=center, eps=eps, low=low, high=high)


@mistake("box ignored", "robustness.project_linf")
def _linf_without_box(v: Array, center: Array, eps: float, low: float, high: float) -> Array:
    return np.clip(v, center - eps, center + eps)


@mistake("scaled instead of shrunk: v eps / |v|_1", "robustness.project_l1")
def _scaled(v: Array, center: Array, eps: float, low: float, high: float) -> Array:
    size = np.sum(np.abs(v - center), axis=1, keepdims=True)
    return np.clip(center + (v - center) * np.minimum(1, eps / np.where(size > 0, size, 1)), low, high)


STEPS = ("robustness.fgsm_step", "robustness.pgd_step_l2", "robustness.pgd_step_linf")
changed("FGSM on the wrong sign (descent)", *STEPS, gradient=lambda c: -c["gradient"])
changed("FGSM on the wrong sign (descent)", "robustness.fgsm", labels=lambda c: 1 - c["labels"])
changed("PGD on the wrong sign (descent)", "robustness.pgd_linf", "robustness.pgd_l2", labels=lambda c: 1 - c["labels"])
changed("projected onto the ball around the current iterate", *STEPS[1:], x=lambda c: c["xbar"])
changed("box ignored", *STEPS, low=lambda c: -1e6, high=lambda c: 1e6)


@mistake("sign(0) taken as 1", STEPS[0])
def _sign_of_zero(x: Array, gradient: Array, eps: float, low: float, high: float) -> Array:
    return np.clip(x + eps * np.where(gradient >= 0, 1, -1), low, high)


@mistake("gradient instead of its sign", STEPS[0])
def _unsigned(x: Array, gradient: Array, eps: float, low: float, high: float) -> Array:
    return np.clip(x + eps * gradient, low, high)


@mistake("sign of the gradient in an l_2 ball", STEPS[1])
def _signed(xbar: Array, x: Array, gradient: Array, step: float, eps: float, low: float, high: float) -> Array:
    moved = xbar + step * np.sign(gradient)
    return TARGETS[L2].reference(v=moved, center=x, eps=eps, low=low, high=high)


@after("squared quotient for quotient", "robustness.quotient")
def _squared(outputs: Any, case: Any) -> Any:
    return outputs**2


@after("only the numerator: not divided by the distance", "robustness.quotient")
def _numerator(outputs: Any, case: Any) -> Any:
    return outputs * np.linalg.norm(case["x"] - case["xbar"], axis=1)


def _product(norm: Any) -> Any:
    return lambda W1, b1, W2: norm(W1) * norm(W2)


mistake("Frobenius norm for the spectral norm", "robustness.product_bound_l2")(_product(np.linalg.norm))
mistake(
    "largest entry: a matrix norm, but no operator norm",
    *(f"robustness.product_bound_{p}" for p in ("l1", "l2", "linf")),
)(_product(lambda W: np.max(np.abs(W))))
mistake("rows and columns confused: the norm for p = inf", "robustness.product_bound_l1")(
    _product(lambda W: np.linalg.norm(W, inf))
)
mistake("rows and columns confused: the norm for p = 1", "robustness.product_bound_linf")(
    _product(lambda W: np.linalg.norm(W, 1))
)
mistake("sum instead of product of the norms", "robustness.product_bound_l2")(
    lambda W1, b1, W2: np.linalg.norm(W1, 2) + np.linalg.norm(W2, 2)
)
