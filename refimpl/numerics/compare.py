"""Errors in units of eps, the precision ladder, derivatives to check gradients by, the order of decay.

A tolerance in this project is ``k * eps(dtype) * scale`` with a stated k; these helpers return the
measured k. A true identity has a flat k from float32 to longdouble; a near miss grows by 1e9 a rung.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from refimpl.numerics import validate

Array = np.ndarray

LADDER: tuple[type, ...] = (np.float32, np.float64, np.longdouble)


def longdouble_is_wider() -> bool:
    """Whether longdouble has more digits than float64 on this machine; if not, the ladder has two rungs."""
    return bool(np.finfo(np.longdouble).eps < np.finfo(np.float64).eps)


def rungs() -> tuple[type, ...]:
    """The dtypes of the precision ladder that differ on this machine."""
    return LADDER if longdouble_is_wider() else LADDER[:2]


def eps_of(*arrays: Any) -> float:
    """Machine epsilon of the least precise dtype among the arrays (complex dtypes count as their parts)."""
    kinds = [validate.array("arrays", a).dtype for a in arrays]
    return max((float(np.finfo(k).eps) for k in kinds if k.kind in "fc"), default=float(np.finfo(float).eps))


def magnitude(*arrays: Any) -> float:
    """The largest modulus among the finite entries; 1 where there is none above 0."""
    largest = [float(np.max(np.abs(a[np.isfinite(a)]), initial=0.0)) for a in (_numbers("arrays", a) for a in arrays)]
    return max(largest, default=0.0) or 1.0


def eps_error(actual: Any, expected: Any, scale: float | None = None) -> float:
    """max |actual - expected| in units of eps * scale: the k of the tolerance this comparison needs.

    eps belongs to the less precise of the two; ``scale`` is the size of the numbers that rounding acted
    on, by default the largest modulus of either side. Equal infinities and NaN on both sides agree;
    any other mismatch of shape, infinity or NaN is an infinite error.
    """
    a, b = _numbers("actual", actual), _numbers("expected", expected)
    if a.shape != b.shape:
        return float("inf")
    special = ~(np.isfinite(a) & np.isfinite(b))
    if not bool(np.all((a == b)[special] | (np.isnan(a) & np.isnan(b))[special])):
        return float("inf")
    difference = np.max(np.abs(a[~special] - b[~special]), initial=0.0)
    return float(difference / (eps_of(a, b) * (magnitude(a, b) if scale is None else scale)))


def ulp_error(actual: Any, expected: Any) -> float:
    """max entrywise |actual - expected| in units in the last place of ``expected`` in actual's dtype."""
    a, b = validate.real_array("actual", actual), validate.real_array("expected", expected)
    if b.ndim and a.shape != b.shape:
        validate.fail("actual", f"the shape {b.shape} of expected", validate.describe(a))
    unit = np.spacing(np.maximum(np.abs(b.astype(a.dtype)), np.finfo(a.dtype).tiny))
    return float(np.max(np.abs(a.astype(b.dtype) - b) / unit.astype(b.dtype), initial=0.0))


def ladder(sides: Callable[[type], tuple[Any, ...]], dtypes: Sequence[type] | None = None) -> dict[str, float]:
    """Evaluate both sides of an identity in every precision: dtype name -> error in eps.

    ``sides(dtype)`` returns (actual, expected) or (actual, expected, scale), computed in that dtype
    from inputs that every dtype represents exactly (dyadic numbers of at most 24 bits).
    """
    return {np.dtype(dtype).name: eps_error(*sides(dtype)) for dtype in dtypes or rungs()}


def central_difference(f: Callable[[Array], Array], x: Array, direction: Array, h: float = 1.0) -> Array:
    """(f(x + h d) - f(x - h d)) / (2 h): *exact* for maps of degree <= 2, and for piecewise linear ones
    as long as no kink lies within h d of x. Hence the adjoint check is flat in eps on such maps."""
    return (f(x + h * direction) - f(x - h * direction)) / (2 * h)


def complex_step(f: Callable[[Array], Array], x: Array, direction: Array) -> Array:
    """Im f(x + i h d) / h with h = eps^2: the derivative of an analytic f to the last bits, no cancellation."""
    h = np.finfo(x.dtype).eps ** 2
    return np.imag(f(x + 1j * h * direction)) / h


def adjoint_error(pulled_back: Sequence[Array], directions: Sequence[Array], dy: Array, derivative: Array) -> float:
    """The gradient check <backward(dy), (v, w, ...)> = <dy, Df[v, w, ...]>, in eps times the sum of moduli.

    Parameters
    ----------
    pulled_back : the gradients that backward(dy) returned, one for each argument of the map.
    directions : v, w, ...: a direction for each argument.
    dy : the cotangent.
    derivative : Df[v, w, ...], from `central_difference` or `complex_step`.
    """
    left = sum(np.sum(g * v) for g, v in zip(pulled_back, directions, strict=True))
    right = np.sum(dy * derivative)
    scale = sum(float(np.sum(np.abs(g * v))) for g, v in zip(pulled_back, directions, strict=True))
    scale += float(np.sum(np.abs(dy * derivative)))
    return eps_error(left, right, scale or 1.0)


def order_of_decay(h: Any, errors: Any) -> float:
    """The exponent a of the least-squares fit errors ~ C h^a on log-log axes (h and errors positive)."""
    h, errors = validate.real_array("h", h, ndim=1), validate.real_array("errors", errors, ndim=1)
    if len(h) != len(errors) or not all(np.isfinite(a).all() and (a > 0).all() for a in (h, errors)) or len(h) < 2:
        validate.fail(
            "h, errors", "two lists of at least two finite numbers > 0", f"{len(h)} and {len(errors)} numbers"
        )
    x, y = np.log(h.astype(float)), np.log(errors.astype(float))
    return float(np.polyfit(x, y, 1)[0])


def _numbers(name: str, value: Any) -> Array:
    """An array of numbers; truth values as 0 and 1."""
    made = validate.array(name, value)
    return made.astype(float) if made.dtype.kind == "b" else made
