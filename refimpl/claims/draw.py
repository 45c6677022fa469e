"""Strategies for instances: small arrays drawn as dyadic values, so that witnesses shrink and stay readable.

Every number is an integer over a power of two with at most 24 significant bits: float32, float64 and
longdouble represent it exactly, so that a precision ladder starts from identical inputs.
"""

from collections.abc import Sequence
from math import prod

import numpy as np
from hypothesis import strategies as st

Array = np.ndarray


def dyadic(low: float = -4, high: float = 4, bits: int = 4) -> st.SearchStrategy[float]:
    """Multiples of 2^-bits in [low, high]; shrink towards 0 (or the end nearest to it)."""
    unit = 2**bits
    return st.integers(round(low * unit), round(high * unit)).map(lambda n: n / unit)


def arrays(shape: Sequence[int] | int, low: float = -4, high: float = 4, bits: int = 4) -> st.SearchStrategy[Array]:
    """float64 arrays of a fixed shape with dyadic entries."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    n = prod(shape)
    return st.lists(dyadic(low, high, bits), min_size=n, max_size=n).map(lambda xs: np.array(xs, float).reshape(shape))


def vectors(
    min_size: int = 1, max_size: int = 5, low: float = -4, high: float = 4, bits: int = 4
) -> st.SearchStrategy[Array]:
    """float64 vectors with dyadic entries."""
    return st.lists(dyadic(low, high, bits), min_size=min_size, max_size=max_size).map(lambda xs: np.array(xs, float))


def positive(low: float = 2**-4, high: float = 4, bits: int = 4) -> st.SearchStrategy[float]:
    """Dyadic numbers > 0."""
    return dyadic(low, high, bits)


def seeds() -> st.SearchStrategy[int]:
    """Seeds of a random generator, where arrays are too large to draw by value."""
    return st.integers(0, 2**16)


def uniform(seed: int, shape: Sequence[int] | int, bits: int = 10) -> Array:
    """A seeded array of dyadic numbers in [-1, 1), for instances too large to be readable."""
    return np.random.default_rng(seed).integers(-(2**bits), 2**bits, shape) / 2.0**bits
