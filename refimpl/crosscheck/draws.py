"""Strategies for the inputs of targets: small arrays by value, numbers that every precision represents exactly."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims.draw import arrays, dyadic
from refimpl.crosscheck.target import Array, Case

Strategy = st.SearchStrategy
Draw = Callable[..., Any]

NAN, INF = float("nan"), float("inf")
sizes = st.integers(1, 4)
steps = dyadic(2**-4, 2)
weights = dyadic(0, 2)


def cases(draw_case: Callable[[Draw], Case]) -> Strategy[Case]:
    """The strategy of a function that draws one case: ``draw(strategy)`` gives a value."""

    @st.composite
    def strategy(draw: Draw) -> Case:
        return draw_case(draw)

    return strategy()


def vector(draw: Draw, n: int | None = None) -> Array:
    """A vector of n (or 1 to 4) dyadic numbers in [-4, 4]."""
    return draw(arrays(draw(sizes) if n is None else n))


def matrix(draw: Draw, rows: int | None = None, columns: int | None = None) -> Array:
    """A matrix of dyadic numbers."""
    n, m = (draw(sizes) if size is None else size for size in (rows, columns))
    return draw(arrays((n, m)))


def ramp(*shape: int, seed: int = 0) -> Array:
    """A fixed array of different dyadic numbers of both signs, for named cases."""
    n = int(np.prod(shape))
    order = np.random.default_rng(seed).permutation(n)
    return ((order - n // 2) / 8.0 + 1 / 16).reshape(shape)
