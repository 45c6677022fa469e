"""Exact projections onto p-balls, boxes and their intersections (the map Proj of Section 4.2)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.numerics import validate
from refimpl.robustness.norms import along, check_norm, norm, rows

Array = np.ndarray
Box = tuple[Any, Any] | None


def project_box(v: Array, box: Box = (0.0, 1.0)) -> Array:
    """The nearest point of low <= z <= high, entrywise (Section 4.2); ``box=None`` is the whole space.

    v has any shape.

    Raises
    ------
    ValueError : v is not real, or low > high somewhere.
    """
    v = validate.real_array("v", v)
    return _clip(v, check_box(box, v.dtype, v.shape))


def _clip(v: Array, box: Box) -> Array:
    return v if box is None else np.clip(v, *box)


def _broadcasts(shape: tuple[int, ...], *ends: Array) -> bool:
    try:
        return np.broadcast_shapes(shape, *(end.shape for end in ends)) == shape
    except ValueError:
        return False


def check_box(box: Box, dtype: Any, shape: tuple[int, ...] | None = None) -> Box:
    """The ends of the box as arrays of one dtype that broadcast to the shape, or None."""
    if box is None:
        return None
    if not isinstance(box, (tuple, list)) or len(box) != 2:
        validate.fail("box", "None or a pair (low, high)", validate.describe(box))
    low, high = (validate.real_array("box", end).astype(dtype) for end in box)
    if shape is not None and not _broadcasts(shape, low, high):
        validate.fail("box", f"ends that broadcast to shape {shape}", validate.describe(box))
    if not np.all(low <= high):
        validate.fail("box", "low <= high", validate.describe(box))
    return low, high


def project(v: Array, center: Array, eps: Any, p: float = 2, box: Box = (0.0, 1.0)) -> Array:
    r"""The nearest point to v, in l_2, of B_p(center, eps) intersected with the box (Proj of Section 4.2).

    With w = v - center and the box shifted to [a, b], the optimality conditions leave one unknown:
    p = 2: z - center = clip(s w, a, b) with 0 <= s <= 1;  p = 1: clip(soft(w, mu), a, b) with mu >= 0;
    p = inf: a clip. The norm of the right-hand side is monotone in the unknown, and piecewise linear in s^2
    (p = 2, squared norm) and in mu (p = 1), so a safeguarded Newton iteration ends on the root itself.

    Parameters
    ----------
    v, center : (B, ...) a batch of points, or (n,) one point.
    eps : the radius, >= 0, for all samples or one a sample, (B,).
    p : 1, 2 or inf.
    box : (low, high), numbers or arrays that broadcast to a sample; None: the ball alone.

    Returns
    -------
    z : the shape of v; eps = 0 gives the centre, a feasible v comes back unchanged, NaN gives NaN.

    Raises
    ------
    ValueError : shapes differ, eps < 0, low > high, or the ball and the box do not meet.
    """
    p = check_norm("p", p)
    v, center = validate.real_array("v", v), validate.real_array("center", center)
    validate.same_shape("center", center, "v", v)
    if v.ndim == 0:
        validate.fail("v", "a point (n,) or a batch (B, ...)", validate.describe(v))
    if 0 in v.shape[1:]:
        validate.fail("v", "samples with entries", validate.describe(v))
    if v.ndim == 1:
        return project(v[None], center[None], eps, p, box)[0]
    dtype = np.result_type(v, center)
    work = np.result_type(dtype, np.float64)
    z = _project(v.astype(work), center.astype(work), check_radius(eps, len(v), work), p, check_box(box, work, v.shape))
    return _clip(z.astype(dtype), check_box(box, dtype))


def check_radius(eps: Any, batch: int, dtype: Any) -> Array:
    """One radius >= 0 a sample."""
    radius = validate.real_array("eps", eps)
    if radius.shape not in ((), (batch,)) or not np.all(radius >= 0):
        validate.fail("eps", f"a number >= 0 or {batch} of them", validate.describe(eps))
    return np.broadcast_to(radius.astype(dtype), (batch,))


def _project(v: Array, center: Array, eps: Array, p: float, box: Box) -> Array:
    inside = _clip(v, box)
    nearest = _clip(center, box)
    slack = 4 * np.finfo(v.dtype).eps * norm(center, np.inf)
    if np.any(norm(nearest - center, p) > eps + slack):
        validate.fail("center", "a point within eps of the box", "one farther away: the intersection is empty")
    if p == np.inf:
        r = along(eps, v)
        return _clip(np.clip(v, center - r, center + r), box)
    far = ~(norm(inside - center, p) <= eps)
    if not np.any(far):
        return inside
    low, high = (-np.inf, np.inf) if box is None else box
    w, a, b = (rows(end - center)[far] for end in (v, low, high))  # the box, shifted to the centre
    shift = (_shift_2 if p == 2 else _shift_1)(w, a, b, eps[far])
    z = inside.copy()
    z[far] = center[far] + shift.reshape(-1, *v.shape[1:])
    return z


def _shift_2(w: Array, a: Array, b: Array, eps: Array) -> Array:
    """clip(s w, a, b) of norm eps: in t = s^2 the squared norm is piecewise linear and non-decreasing."""

    def excess(t: Array) -> tuple[Array, Array]:
        d = np.sqrt(t)[:, None] * w
        clipped = np.clip(d, a, b)
        free = np.where(clipped == d, w, 0)
        return _dot(clipped, clipped) - eps * eps, _dot(free, free)

    with np.errstate(invalid="ignore", over="ignore"):
        t = monotone_root(excess, np.zeros_like(eps), np.ones_like(eps))
        return np.clip(np.sqrt(t)[:, None] * w, a, b)


def _shift_1(w: Array, a: Array, b: Array, eps: Array) -> Array:
    """clip(soft(w, mu), a, b) of l_1 norm eps: piecewise linear and non-decreasing in t = -mu."""

    def shrunk(t: Array) -> Array:
        return np.sign(w) * np.maximum(np.abs(w) + t[:, None], 0)

    def excess(t: Array) -> tuple[Array, Array]:
        d = shrunk(t)
        clipped = np.clip(d, a, b)
        return np.abs(clipped).sum(axis=1) - eps, ((clipped == d) & (d != 0)).sum(axis=1).astype(w.dtype)

    with np.errstate(invalid="ignore", over="ignore"):
        return np.clip(shrunk(monotone_root(excess, -norm(w, np.inf), np.zeros_like(eps))), a, b)


def _dot(x: Array, y: Array) -> Array:
    return np.einsum("ij,ij->i", x, y)


def monotone_root(excess: Callable[[Array], tuple[Array, Array]], low: Array, high: Array) -> Array:
    """The zeros of non-decreasing piecewise linear functions, one a row: Newton inside a bracket.

    ``excess(t)`` returns values and slopes. A Newton step from the piece that holds the root ends on it;
    every eighth step, and any step that leaves the bracket, bisects instead. A NaN ends its own row.
    """
    tiny = 2 * np.finfo(low.dtype).eps
    t = low
    for step in range(400):
        value, slope = excess(t)
        low, high = np.where(value < 0, t, low), np.where(value >= 0, t, high)
        newton = np.where(slope > 0, t - value / np.where(slope > 0, slope, 1), np.nan)
        done = (np.abs(newton - t) <= tiny * np.abs(t)) | (value == 0) | np.isnan(value)
        middle = (low + high) / 2
        bisect = ~((newton > low) & (newton < high)) | (step % 8 == 7)
        moved = np.where(bisect, middle, newton)
        done |= ((moved == low) | (moved == high)) & bisect
        t = np.where(done, np.where(np.isnan(value), value, t), moved)
        if np.all(done):
            break
    return t
