"""The embedded data set: digits 0 ... 9 as *functions* on the unit square, drawn at any resolution.

A glyph is the outline of a digit in one of matplotlib's own DejaVu fonts, moved by a random affine map.
A pixel's value is the area of the pixel that the glyph covers, computed exactly from the outline; so
the image of size N is the 2 x 2 block mean of the image of size 2N, up to rounding, for every N.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from refimpl.numerics import validate

Array = np.ndarray

FONTS = tuple(
    product(("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono"), ("normal", "bold"))
)  # family and weight, all shipped with matplotlib
_CHUNK = 64


def draw(count: int, size: int = 28, seed: int = 0, jitter: float = 1.0) -> tuple[Array, Array]:
    """Images (count, 1, size, size) in [0, 1], float32, and labels (count,): white digits on black.

    The glyphs depend on ``count``, ``seed`` and ``jitter`` alone: another ``size`` draws the same functions.

    Parameters
    ----------
    count : how many glyphs.
    size : pixels a side.
    seed : of the fonts and the affine maps.
    jitter : 0 for upright, centred digits; 1 for rotations of up to 17 degrees, shears, shifts and scales.

    Raises
    ------
    ValueError : count or size below 1, a negative seed or jitter.
    """
    validate.integer("count", count, low=1)
    validate.integer("size", size, low=1, high=1024)
    rng = np.random.default_rng(validate.integer("seed", seed, low=0))
    labels = rng.integers(0, 10, count)
    fonts = rng.integers(0, len(FONTS), count)
    maps = _affine_maps(count, validate.nonnegative("jitter", jitter), rng)
    edges = [place(outline(int(d), int(f)), a) for d, f, a in zip(labels, fonts, maps)]
    images = np.concatenate([_coverage(edges[i : i + _CHUNK], size) for i in range(0, count, _CHUNK)])
    return images[:, None].astype(np.float32), labels


@cache
def outline(digit: int, font: int = 0) -> Array:
    """The outline of a digit as directed edges (S, 2, 2): start and end points, centred in [-1/2, 1/2]^2."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    family, weight = FONTS[font]
    path = TextPath((0, 0), str(digit), size=100, prop=FontProperties(family=family, weight=weight))
    loops = [np.vstack([loop, loop[:1]]) for loop in map(np.asarray, path.to_polygons())]
    edges = np.concatenate([np.stack([loop[:-1], loop[1:]], axis=1) for loop in loops])
    low, high = edges.min(axis=(0, 1)), edges.max(axis=(0, 1))
    return (edges - (low + high) / 2) / (high - low).max()


def place(edges: Array, affine: Array) -> Array:
    """The outline under the affine map (2, 3), with the second axis pointing down as in images."""
    return (edges * [1, -1]) @ affine[:, :2].T + affine[:, 2]


def render(edges: Array, size: int) -> Array:
    """The image (size, size) of an outline in the unit square: exactly covered area per pixel, in [0, 1]."""
    edges = validate.real_array("edges", edges, shape=(None, 2, 2))
    if not len(edges) or not np.isfinite(edges).all():
        validate.fail("edges", "at least one edge of finite numbers", validate.describe(edges))
    return _coverage([edges.astype(np.float64)], validate.integer("size", size, low=1, high=1024))[0]


def _affine_maps(count: int, jitter: float, rng: np.random.Generator) -> Array:
    """Rotation times shear times scale, then a shift to the middle of the unit square, give or take."""
    u = jitter * rng.uniform(-1, 1, (6, count))
    angle, shear, across, down = 0.3 * u[0], 0.25 * u[1], 0.7 + 0.1 * u[2], 0.7 + 0.1 * u[3]
    c, s = np.cos(angle), np.sin(angle)
    linear = np.array([[c * across, (c * shear - s) * down], [s * across, (s * shear + c) * down]])
    shift = 0.5 + 0.08 * u[4:]
    return np.concatenate([linear, shift[:, None]], axis=1).transpose(2, 0, 1)


def _coverage(outlines: list[Array], size: int) -> Array:
    """Covered area per pixel by Green's theorem: an edge that goes down by dy inside one pixel covers dy of
    everything to its right, and of its own pixel the part right of its middle; rows are then summed up."""
    edges = np.concatenate(outlines) * size
    image = np.repeat(np.arange(len(outlines)), [len(e) for e in outlines])
    start, dy, owner = _pieces(edges, size)
    column = np.clip(np.floor(start[..., 0]), 0, size).astype(np.intp)
    row = np.clip(np.floor(start[..., 1]), 0, size - 1).astype(np.intp)
    right = np.clip(start[..., 0], 0, size) - column
    cell = (image[owner] * size + row) * (size + 2) + column
    length = len(outlines) * size * (size + 2)
    total = np.bincount(cell, dy * (1 - right), length) + np.bincount(cell + 1, dy * right, length)
    covered = np.cumsum(total.reshape(len(outlines), size, size + 2), axis=2)[..., :size]
    return np.clip(np.abs(covered), 0, 1)


def _pieces(edges: Array, size: int) -> tuple[Array, Array, Array]:
    """Every edge cut where it crosses a pixel border: middle points, signed heights, index of the edge.

    Pieces above or below the picture are dropped; left and right of it they keep counting.
    """
    lines = np.arange(size + 1.0)
    a, b = edges[:, 0], edges[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        cuts = (lines - a[..., None]) / (b - a)[..., None]  # (S, 2, size + 1)
    cuts = np.clip(np.nan_to_num(cuts, nan=0.0), 0, 1).reshape(len(edges), -1)
    t = np.sort(np.concatenate([cuts, np.zeros((len(edges), 1)), np.ones((len(edges), 1))], axis=1), axis=1)
    owner, k = np.nonzero(np.diff(t, axis=1) > 0)
    t0, t1 = t[owner, k], t[owner, k + 1]
    step = (b - a)[owner]
    middle = a[owner] + ((t0 + t1) / 2)[:, None] * step
    inside = (middle[:, 1] > 0) & (middle[:, 1] < size)
    return middle[inside], ((t1 - t0) * step[:, 1])[inside], owner[inside]
