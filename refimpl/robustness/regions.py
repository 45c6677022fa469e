"""The activation regions of a small ReLU network, as polyhedra with an inner ball.

Only full-dimensional regions count: a sign pattern that holds on a face alone belongs to no slope of f
(f = relu(x) - relu(-x) = x would get 2 from the pattern "both active", which only x = 0 admits).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy

from refimpl.numerics import validate
from refimpl.robustness.piecewise import Maps, apply, check_domain, inputs_of, program
from refimpl.setting.network import Network

Array = np.ndarray

THIN = 1e-8  # regions with an inner ball of at most this radius are faces, up to the accuracy of the programs


class Region(NamedTuple):
    """A full-dimensional activation region: an inner ball and the Jacobian (m, n) of f on it."""

    center: Array
    radius: float
    jacobian: Array


class _Cell(NamedTuple):
    """{x : G x <= h} with rows of length 1, and a ball inside it."""

    G: Array
    h: Array
    center: Array
    radius: float


def regions(network: Network, theta: Array, domain: Any = None, limit: int = 20_000) -> list[Region]:
    """All full-dimensional activation regions of a small ReLU network on a box (Section 4.2).

    Neuron by neuron every cell is split by the zero set of the pre-activation. A side is kept when it
    contains a ball: half of the parent's inner ball if the hyperplane cuts that, else by a linear program.

    Raises
    ------
    ValueError : unsupported layers; more than ``limit`` regions.
    """
    n, limit = inputs_of(network, theta), validate.integer("limit", limit, low=1)
    start = _box_cell(*check_domain(domain, n))
    identity: Maps = ((np.eye(n), np.zeros(n)),)
    cells = [(start, identity)]
    for op in program(network, theta):
        if op[0] != "relu":
            cells = [(cell, apply(op, maps)) for cell, maps in cells]
            continue
        cells = [child for cell, maps in cells for child in _split(cell, maps)]
        if len(cells) > limit:
            validate.fail("network", f"at most {limit} activation regions", f"{len(cells)} or more")
    return [Region(cell.center, cell.radius, maps[-1][0].T) for cell, maps in cells]


def _box_cell(low: Array, high: Array) -> _Cell:
    n = len(low)
    G, h = np.concatenate([-np.eye(n), np.eye(n)]), np.concatenate([-low, high])
    cell = inner_ball(G[np.isfinite(h)], h[np.isfinite(h)])
    assert cell is not None
    return cell


def _split(cell: _Cell, maps: Maps) -> Iterator[tuple[_Cell, Maps]]:
    """The children of a cell under the sign patterns of the top map, with relu applied."""
    a, c = maps[-1]
    parts = [(cell, np.zeros(len(c), bool))]
    for j in range(len(c)):
        parts = [child for part, active in parts for child in _halves(part, active, j, a[:, j], c[j])]
    for part, active in parts:
        yield part, (*maps[:-1], (a * active, c * active))


def _halves(cell: _Cell, active: Array, j: int, normal: Array, offset: float) -> Iterator[tuple[_Cell, Array]]:
    length = float(np.linalg.norm(normal))
    for positive in (True, False):
        pattern = active.copy()
        pattern[j] = positive
        if length == 0:
            if positive == (offset > 0):
                yield cell, pattern
            continue
        sign = 1 if positive else -1
        half = _half(cell, sign * normal / length, float(sign * offset / length))
        if half is not None:
            yield half, pattern


def _half(cell: _Cell, normal: Array, offset: float) -> _Cell | None:
    """The cell with normal . x + offset >= 0, or None if that is a face or empty; |normal| = 1."""
    G, h = np.vstack([cell.G, -normal]), np.append(cell.h, offset)
    depth = normal @ cell.center + offset  # signed distance of the centre from the hyperplane
    radius = min(cell.radius, (cell.radius + depth) / 2)
    if radius > THIN:
        return _Cell(G, h, cell.center + normal * max(0.0, (cell.radius - depth) / 2), radius)
    return inner_ball(G, h)


def inner_ball(G: Array, h: Array) -> _Cell | None:
    """The largest ball of radius <= 1 in {G x <= h}: max r subject to G x + r <= h; None if it is thin."""
    n = G.shape[1]
    rows = np.hstack([G, np.ones((len(G), 1))])
    bounds: list[Any] = [(None, None)] * n + [(0, 1)]
    options: Any = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    result = scipy.optimize.linprog(np.append(np.zeros(n), -1), rows, h, bounds=bounds, method="highs", options=options)
    if not result.success or result.x is None or result.x[-1] <= THIN:
        return None
    return _Cell(G, h, result.x[:n], float(result.x[-1]))
