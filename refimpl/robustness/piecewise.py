"""ReLU networks as piecewise affine maps: their operations on a stack of affine maps, their pieces on the line."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from refimpl.numerics import validate
from refimpl.setting.activations import Identity, ReLU
from refimpl.setting.layer import Chain, Layer, Params, scoped
from refimpl.setting.layers import Dense, Flatten, Residual
from refimpl.setting.network import Network

Array = np.ndarray
Op = tuple[Any, ...]
Maps = tuple[tuple[Array, Array], ...]  # a stack of affine maps (A, c)


def program(network: Network, theta: Array) -> list[Op]:
    """The network as operations on a stack of affine maps: affine, relu, push, swap, add.

    Raises
    ------
    ValueError : a layer other than Dense, ReLU, Identity, Flatten and Residual blocks of these.
    """
    validate.provides("network", network, "views")
    return list(_operations(network, network.views(theta)))


def _operations(layer: Layer, params: Params) -> Iterator[Op]:
    if isinstance(layer, Chain):
        for i, part in enumerate(layer.layers):
            yield from _operations(part, scoped(params, str(i)))
    elif isinstance(layer, Dense):
        yield "affine", params["weight"], params.get("bias", np.zeros(layer.n_out, params["weight"].dtype))
    elif isinstance(layer, ReLU):
        yield ("relu",)
    elif isinstance(layer, Residual):
        yield ("push",)
        yield from _operations(layer._parts["branch"], scoped(params, "branch"))
        yield ("swap",)
        yield from _operations(layer._parts["shortcut"], scoped(params, "shortcut"))
        yield "add", params["w"][()] if layer.learn else layer.w
    elif not isinstance(layer, (Identity, Flatten)):
        validate.fail("network", "Dense, ReLU, Identity, Flatten and Residual layers", repr(layer))


def apply(op: Op, maps: Maps) -> Maps:
    """One operation other than relu. A is (..., n_out) per input coordinate, so that x -> W x is A W^T."""
    *rest, (a, c) = maps
    if op[0] == "affine":
        _, weight, bias = op
        return (*rest, (a @ weight.T, c @ weight.T + bias))
    if op[0] == "push":
        return (*maps, (a, c))
    *rest, (b, d) = rest
    if op[0] == "swap":
        return (*rest, (a, c), (b, d))
    return (*rest, (b + op[1] * a, d + op[1] * c))  # (4.2)


def inputs_of(network: Network, theta: Array) -> int:
    """n, the number of inputs of the first dense layer."""
    first = next((op for op in program(network, theta) if op[0] == "affine"), None)
    if first is None:
        validate.fail("network", "at least one Dense layer", repr(network))
    return first[1].shape[1]


def check_domain(domain: Any, n: int) -> tuple[Array, Array]:
    """low and high, (n,): from None (all of R^n), one pair for all coordinates, or n pairs."""
    if domain is None:
        return np.full(n, -np.inf), np.full(n, np.inf)
    pairs = validate.real_array("domain", domain)
    if pairs.shape == (2,):
        pairs = np.broadcast_to(pairs, (n, 2))
    low, high = validate.real_array("domain", pairs, shape=(n, 2)).T
    if not np.all(low < high):
        validate.fail("domain", "low < high in every coordinate", validate.describe(domain))
    return low, high


class Pieces(NamedTuple):
    """A piecewise linear function of one variable: knots (K + 1,) with the ends, slopes (K, m) between them."""

    knots: Array
    slopes: Array


def pieces(network: Network, theta: Array, domain: Any = None) -> Pieces:
    """The affine pieces of a network with one input: zeros of every pre-activation become knots, layer by layer
    (for the exact constant of Section 4.2).

    The slope of a piece is the product of the weights under the sign pattern at its midpoint, never a secant:
    knots that nearly coincide (up to 1e-12) then cannot spoil it.

    Raises
    ------
    ValueError : more than one input, unsupported layers.
    """
    if inputs_of(network, theta) != 1:
        validate.fail("network", "one input", repr(network))
    (low,), (high,) = check_domain(domain, 1)
    ops = program(network, theta)
    with np.errstate(over="ignore", invalid="ignore"):
        return line_pieces(ops, low, high, one=np.float64(1), gap=1e-12)


def line_pieces(ops: list[Op], low: Any, high: Any, one: Any, gap: float) -> Pieces:
    """The pieces of a program on one variable, in the arithmetic of ``one`` (a float or a Fraction)."""
    knots = np.array([low, high], dtype=object if isinstance(one, Fraction) else float)
    maps: Maps = ((np.array([[one]]), np.array([[0 * one]])),)
    for op in ops:
        if op[0] == "relu":
            knots, maps = _fold(knots, maps, gap)
        else:
            maps = apply(op, maps)
    return Pieces(knots, maps[-1][0])


def _fold(knots: Array, maps: Maps, gap: float) -> tuple[Array, Maps]:
    """relu of the top map: new knots at its zeros, then slope and offset are kept where it is positive."""
    a, c = maps[-1]
    fine = _refine(knots, a, c, gap)
    middle = middles(fine)
    parent = np.searchsorted(knots[1:-1], middle)
    maps = tuple((s[parent], o[parent]) for s, o in maps)
    a, c = maps[-1]
    active = a * middle[:, None] + c > 0
    return fine, (*maps[:-1], (a * active, c * active))


def _refine(knots: Array, a: Array, c: Array, gap: float) -> Array:
    """The knots with every zero -c/a that lies inside its own interval, nearly equal ones merged."""
    k, j = np.nonzero(a != 0)
    zeros = -c[k, j] / a[k, j]
    inside = (zeros > knots[k]) & (zeros < knots[k + 1])
    candidates = np.unique(np.concatenate([knots[1:-1], zeros[inside.astype(bool)]]))
    kept = [knots[0]]
    for t in candidates:
        if t - kept[-1] > gap * (1 + abs(t)) and knots[-1] - t > gap * (1 + abs(t)):
            kept.append(t)
    return np.array([*kept, knots[-1]], dtype=knots.dtype)


def middles(knots: Array) -> Array:
    """A point inside every interval."""
    low, high = knots[:-1].copy(), knots[1:].copy()
    if low[0] == -np.inf:
        low[0] = 0 * high[0] - 1 if high[0] == np.inf else high[0] - 2
    if high[-1] == np.inf:
        high[-1] = low[-1] + 2
    return (low + high) / 2
