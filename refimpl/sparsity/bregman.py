"""Bregman distances, and the iterations built on them (Sections 4.3.1 and 4.3.2)."""

from math import inf

import numpy as np

from refimpl.numerics import validate
from refimpl.sparsity.regularizers import Array, Regularizer


def bregman_distance(J: Regularizer, a: Array, b: Array, p: Array) -> float:
    """D_J^p(a, b) = J(a) - J(b) - <p, a - b> for p in dJ(b) (4.9); inf where J(a) is.

    Whether p is a subgradient is the caller's promise: ``J.subdifferential_distance(p, b)`` tells. With
    any other p the result may be negative.

    Raises
    ------
    ValueError : shapes differ, or b lies outside the domain of J.
    """
    a, b, p = (validate.real_array(name, x) for name, x in (("a", a), ("b", b), ("p", p)))
    validate.same_shape("a", a, "b", b)
    validate.same_shape("p", p, "b", b)
    at_b = J.value(b)
    if at_b == inf:
        validate.fail("b", "a point of the domain of J", "J(b) = inf")
    return J.value(a) - at_b - np.sum(p * (a - b))  # (4.9)


def symmetric_bregman_distance(J: Regularizer, a: Array, b: Array, pa: Array, pb: Array) -> float:
    """D^sym(a, b) = D^pb(a, b) + D^pa(b, a) for pa in dJ(a), pb in dJ(b) (4.10); equals <pa - pb, a - b>."""
    return bregman_distance(J, a, b, pb) + bregman_distance(J, b, a, pa)  # (4.10)
