"""Transforms T(x, delta) of images and attacks through them: translation, rotation, change of basis (Section 4.2).

Images are batches (B, ..., N, M): the last two axes are the grid. T(x, 0) = x for each of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy

from refimpl.numerics import validate
from refimpl.robustness.attacks import pgd
from refimpl.robustness.norms import norm
from refimpl.robustness.problem import (
    CROSS_ENTROPY,
    Attack,
    Best,
    Model,
    Pullback,
    attack_problem,
    check_inputs,
    input_gradient,
)
from refimpl.robustness.projections import Box, project_box

Array = np.ndarray
Transform = Callable[[Array, Any], Array]


def _images(x: Array, name: str = "x") -> Array:
    x = validate.real_array(name, x)
    if x.ndim < 3 or 0 in x.shape[1:]:
        validate.fail(name, "images (B, ..., N, M)", validate.describe(x))
    return x


def _fits(name: str, delta: Array, x: Array) -> None:
    """Raise unless delta broadcasts to the shape of x."""
    if delta.ndim > x.ndim or any(n not in (1, m) for n, m in zip(delta.shape[::-1], x.shape[::-1])):
        validate.fail(name, f"a shape that broadcasts to {x.shape}", validate.describe(delta))


def addition(x: Array, delta: Array) -> Array:
    """T(x, delta) = x + delta (Section 4.2), delta of a shape that broadcasts to the shape of x.

    Raises ValueError for any other.
    """
    x, delta = validate.real_array("x", x), validate.real_array("delta", delta)
    _fits("delta", delta, x)
    return x + delta


def translation(x: Array, shift: Sequence[int], boundary: Literal["periodic", "zero"] = "periodic") -> Array:
    """T(x, (s, t))_{ij} = x_{i-s, j-t} for whole pixels; beyond the edge the image repeats or is zero.

    Section 4.2; x is (B, ..., N, M). Raises ValueError for another shape, or a shift that is not two integers.
    """
    x = _images(x)
    shift = validate.integers("shift", shift)
    if len(shift) != 2:
        validate.fail("shift", "two integers", validate.describe(shift))
    s, t = shift
    validate.choice("boundary", boundary, ("periodic", "zero"))
    moved = np.roll(x, (s, t), axis=(-2, -1))
    if boundary == "periodic":
        return moved
    rows, columns = np.arange(x.shape[-2]) - s, np.arange(x.shape[-1]) - t  # where each pixel comes from
    inside = ((rows >= 0) & (rows < len(rows)))[:, None] & ((columns >= 0) & (columns < len(columns)))
    return np.where(inside, moved, np.zeros_like(moved))


def rotation(x: Array, angle: float) -> Array:
    """Rotate the grid about its centre by an angle in radians, from the first grid axis towards the second.

    Bilinear interpolation of the zero-extended image; angle = 0 is the identity, a multiple of pi/2 on a
    square grid a permutation of pixels (up to rounding of the angle). T_r of Section 4.2; x is (B, ..., N, M).
    Raises ValueError for another shape or an infinite angle.
    """
    x, angle = _images(x), validate.real("angle", angle)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, s], [-s, c]])  # output position -> input position
    centre = (np.array(x.shape[-2:]) - 1) / 2
    matrix, offset = np.eye(x.ndim), np.zeros(x.ndim)
    matrix[-2:, -2:], offset[-2:] = turn, centre - turn @ centre
    at_most_double = x.astype(np.float64) if x.dtype.itemsize > 8 else x  # ndimage knows no longdouble
    turned = scipy.ndimage.affine_transform(at_most_double, matrix, offset, order=1, mode="grid-constant")
    return turned.astype(x.dtype, copy=False)


def change_of_basis(x: Array, coefficients: Array) -> Array:
    """T(x, delta) = B^T (B x + delta) for the orthonormal discrete cosine basis B of the grid (Section 4.2).

    x is (B, ..., N, M), coefficients of a shape that broadcasts to it. Raises ValueError for others.
    """
    x, coefficients = _images(x), validate.real_array("coefficients", coefficients)
    _fits("coefficients", coefficients, x)
    return to_pixels(to_cosines(x) + coefficients)


def to_cosines(x: Array) -> Array:
    """B x: the orthonormal DCT-II coefficients on the last two axes (Section 4.2).

    x is (B, ..., N, M). Raises ValueError for fewer axes.
    """
    return scipy.fft.dctn(_images(x), axes=(-2, -1), norm="ortho")


def to_pixels(coefficients: Array) -> Array:
    """B^T c: the image with these coefficients; inverse and adjoint of `to_cosines` (Section 4.2).

    coefficients are (B, ..., N, M). Raises ValueError for fewer axes.
    """
    return scipy.fft.idctn(_images(coefficients, "coefficients"), axes=(-2, -1), norm="ortho")


class _InCosines(NamedTuple):
    """delta -> f_theta(clean + B^T (mask delta)), with the pull-back that `pgd` asks for."""

    network: Model
    clean: Array
    mask: Array

    def image(self, x: Array) -> Array:
        """The images of the coefficients x."""
        return self.clean[: len(x)] + to_pixels(self.mask * x)

    def __call__(self, theta: Array, x: Array) -> Array:
        """The outputs at the coefficients x."""
        return self.network(theta, self.image(x))

    def vjp(self, theta: Array, x: Array) -> tuple[Array, Pullback]:
        """d delta = mask B dx, since B is orthonormal."""
        y, pullback = self.network.vjp(theta, self.image(x))

        def in_cosines(dy: Array, need: str = "input") -> tuple[Array, None]:
            return self.mask * to_cosines(input_gradient(pullback, dy)), None

        return y, in_cosines


def cosine_attack(
    network: Model,
    theta: Array,
    x: Array,
    labels: Array,
    eps: float,
    mask: Array,
    box: Box = (0.0, 1.0),
    **options: Any,
) -> Attack:
    """PGD on (4.3) in the DCT coefficients chosen by ``mask`` (N, M): delta = 0 elsewhere, ||delta||_2 <= eps.

    x is (B, ..., N, M), labels (B,).

    The basis is orthonormal, so the budget is the same in pixels. The found images are clipped to the box at
    the end, which never enlarges ||x - clean||_2 but may leave the subspace; success is judged after it.

    Raises
    ------
    ValueError : as `pgd`; a mask that is not (N, M) of zeros and ones.
    """
    x, mask = _images(check_inputs(x, box)), validate.array("mask", mask)
    if mask.shape != x.shape[-2:] or not np.isin(mask, (0, 1)).all():
        validate.fail("mask", f"zeros and ones of shape {x.shape[-2:]}", validate.describe(mask))
    validate.provides("network", network, "__call__", "vjp")
    eps = validate.nonnegative("eps", eps)
    inner = _InCosines(network, x, mask.astype(x.dtype))
    found = pgd(inner, theta, np.zeros_like(x), labels, eps, box=None, **options)
    end = project_box(inner.image(found.x), box)
    problem = attack_problem(network, theta, x, labels, options.get("targeted"), options.get("loss", CROSS_ENTROPY))
    return Attack(end, problem.score(end)[0], norm(end - x, 2), found.losses)


def grid_attack(
    network: Model,
    theta: Array,
    x: Array,
    labels: Array,
    transform: Transform,
    deltas: Sequence[Any],
    box: Box = (0.0, 1.0),
) -> Attack:
    """The worst of T(x, delta) over a finite list of delta (angles of `rotation`, shifts of `translation`).

    Section 4.2; x is (B, ...), labels (B,).

    Returns
    -------
    Attack : losses (number of deltas, 1, B); norms in l_2.

    Raises
    ------
    ValueError : as `pgd`; no deltas.
    """
    x = check_inputs(x, box)
    problem = attack_problem(network, theta, x, labels, None, CROSS_ENTROPY)
    deltas = list(deltas) if np.iterable(deltas) and not isinstance(deltas, (str, bytes)) else []
    if not deltas:
        validate.fail("deltas", "a non-empty sequence of parameters", validate.describe(deltas))
    best, losses = Best(x, *problem.score(x)), []
    for delta in deltas:
        at = project_box(transform(x, delta), box)
        success, values = problem.score(at)
        best.update(at, success, values)
        losses.append(values)
    return Attack(best.x, best.success, norm(best.x - x, 2), np.array(losses)[:, None])
