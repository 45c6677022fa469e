"""Sums over blocks of theta: J(theta) = sum_l J^l(W^l) (Section 4.3.5)."""

from collections.abc import Iterable, Mapping
from math import hypot
from typing import Any, NamedTuple

import numpy as np

from refimpl.numerics import validate
from refimpl.sparsity.regularizers import Array, Regularizer, Zero


class Block(NamedTuple):
    """A slice of theta, the shape it is read in (None: a vector), and its regularizer."""

    slice: slice
    shape: tuple[int, ...] | None
    J: Regularizer

    def view(self, theta: Array) -> Array:
        """The block of theta in its own shape."""
        part = theta[self.slice]
        return part if self.shape is None else part.reshape(self.shape)


def parameters(network: Any, theta: Array) -> Array:
    """theta as the vector of all parameters of anything with ``slices`` and ``shapes`` by name."""
    tables = [getattr(network, name, None) for name in ("slices", "shapes")]
    if not all(isinstance(table, Mapping) for table in tables):
        validate.fail("network", "slices and shapes of its blocks by name", validate.describe(network))
    return _long_enough("theta", theta, network.slices.values())


def _long_enough(name: str, value: Any, slices: Iterable[slice]) -> Array:
    vector = validate.real_array(name, value, ndim=1)
    end = max((block.stop for block in slices), default=0)
    if vector.size < end:
        validate.fail(name, f"a vector of at least {end} entries", validate.describe(vector))
    return vector


class Blocks(Regularizer):
    """J(theta) = sum_l J^l(theta_l) over disjoint blocks of a vector theta (Section 4.3.5); the rest of theta is not
    penalised.

    Parameters
    ----------
    parts : block -> J^l, as a mapping or as pairs. A block is a slice (slices are dictionary keys from
        Python 3.12 on), a range, a pair (start, stop), or the name of a block of ``network``.
    network : anything with ``slices`` and ``shapes`` by name, such as `refimpl.setting.Network`; named blocks are
        regularized in their own shapes (rows of W, kernels of a convolution).

    Raises
    ------
    ValueError : blocks that overlap, are unknown or not consecutive, or whose J is no `Regularizer`; theta too short.

    Examples
    --------
    >>> J = Blocks({"0.weight": L1(0.1), "2.weight": GroupL2(0.1, "rows")}, network)
    >>> J = Blocks([(slice(0, 6), L1(0.1)), (slice(6, 8), Nonnegative(1.0))])
    """

    def __init__(self, parts: Mapping[Any, Regularizer] | Iterable[tuple[Any, Regularizer]], network: Any = None):
        blocks = [_block(key, J, network) for key, J in _pairs(parts)]
        self.blocks = tuple(sorted(blocks, key=lambda b: (b.slice.start, b.slice.stop)))
        for left, right in zip(self.blocks, self.blocks[1:]):
            if left.slice.stop > right.slice.start:
                validate.fail("parts", "disjoint blocks", f"{left.slice} and {right.slice}")

    def __repr__(self) -> str:
        return f"Blocks({[((b.slice.start, b.slice.stop), b.J) for b in self.blocks]!r})"

    def pieces(self, theta: Array) -> list[Block]:
        """All of theta in consecutive blocks, those without penalty with J = 0.

        Raises
        ------
        ValueError : theta is no vector, or too short for the blocks.
        """
        theta = self._shaped("theta", theta)
        edges = [0, *(e for b in self.blocks for e in (b.slice.start, b.slice.stop)), theta.size]
        gaps = [Block(slice(a, b), None, Zero()) for a, b in zip(edges[::2], edges[1::2]) if a < b]
        return sorted([*self.blocks, *gaps], key=lambda b: b.slice.start)

    def _shaped(self, name: str, value: Array) -> Array:
        return _long_enough(name, value, (b.slice for b in self.blocks))

    def _value(self, theta: Array) -> float:
        return sum((b.J.value(b.view(theta)) for b in self.pieces(theta)), start=theta.dtype.type(0))

    def _assemble(self, theta: Array, parts: Iterable[Array]) -> Array:
        return np.concatenate([np.ravel(part) for part in parts] or [theta.copy()])

    def _prox(self, v: Array, tau: np.longdouble) -> Array:
        return self._assemble(v, (b.J.prox(b.view(v), tau) for b in self.pieces(v)))

    def _subgradient(self, theta: Array) -> Array:
        return self._assemble(theta, (b.J.subgradient(b.view(theta)) for b in self.pieces(theta)))

    def _nearest(self, p: Array, theta: Array) -> Array:
        return self._assemble(theta, (b.J._nearest(b.view(p), b.view(theta)) for b in self.pieces(theta)))

    def _distance(self, p: Array, theta: Array) -> float:
        parts = [b.J.subdifferential_distance(b.view(p), b.view(theta)) for b in self.pieces(theta)]
        return theta.dtype.type(hypot(*parts))


def _pairs(parts: Any) -> list[tuple[Any, Regularizer]]:
    pairs = list(parts.items()) if isinstance(parts, Mapping) else parts
    if isinstance(pairs, (str, bytes, np.ndarray)) or not isinstance(pairs, Iterable):
        validate.fail("parts", "a mapping, or pairs (block, J)", validate.describe(parts))
    pairs = list(pairs)
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        validate.fail("parts", "a mapping, or pairs (block, J)", validate.describe(parts))
    return pairs


def _block(key: Any, J: Regularizer, network: Any) -> Block:
    if not isinstance(J, Regularizer):
        validate.fail("parts", f"a Regularizer for the block {key!r}", validate.describe(J))
    if isinstance(key, str):
        slices = getattr(network, "slices", None)
        if not isinstance(slices, Mapping) or key not in slices:
            known = "a network" if not isinstance(slices, Mapping) else "one of " + ", ".join(network.slices)
            validate.fail("parts", f"{known} to look the block's name up in", repr(key))
        return Block(network.slices[key], tuple(network.shapes[key]), J)
    if isinstance(key, (slice, range)):
        if key.step not in (None, 1):
            validate.fail("parts", "blocks of consecutive entries", repr(key))
        key = (key.start or 0, key.stop)
    if not isinstance(key, (tuple, list)) or len(key) != 2:
        validate.fail("parts", "blocks (start, stop), slices, ranges or names", validate.describe(key))
    start, stop = (validate.integer("parts", end, low=0) for end in key)
    if start > stop:
        validate.fail("parts", "blocks with start <= stop", repr(key))
    return Block(slice(start, stop), None, J)
