"""Products with a sparse matrix stored by rows (CSR) for batches of row vectors: equal to dense ones up to rounding."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refimpl.numerics import memory, validate
from refimpl.numerics.threads import team

Array = np.ndarray


class Compressed(NamedTuple):
    """The entries of W (n, m) other than 0, ``values[k]`` in ``columns[k]``; ``starts`` of rows: `csr.compress`."""

    starts: Array
    columns: Array
    values: Array
    shape: tuple[int, int]


def compress(W: Array, share: float = 1.0) -> Compressed | None:
    """The entries of W (n, m) other than 0 (NaN is one); None where they are more than this share of W."""
    W = validate.real_array("W", W, ndim=2)
    if W.dtype.itemsize > 8:
        validate.fail("W", "dtype float32 or float64", validate.describe(W))
    share = validate.number("share", share)
    from refimpl.numerics.kernels import csr

    W, starts = np.ascontiguousarray(W), csr.starts_of(W.shape)
    count = int(csr.count(W, starts))
    if count > share * W.size:
        return None
    columns, values = np.empty(count + 1, np.uint32), np.empty(count + 1, W.dtype)
    csr.compress(W, columns, values)
    return Compressed(starts, columns[:count], values[:count], W.shape)


def times(W: Compressed, x: Array) -> Array:
    """x W^T for x (batch, m)."""
    from refimpl.numerics.kernels import csr

    return _product(csr.times, W, _fitting("x", x, W, W.shape[1]), W.shape[0])


def times_transposed(W: Compressed, dy: Array) -> Array:
    """dy W for dy (batch, n): the adjoint of `times`."""
    from refimpl.numerics.kernels import csr

    return _product(csr.times_transposed, W, _fitting("dy", dy, W, W.shape[0]), W.shape[1])


def _product(kernel: Callable, W: Compressed, x: Array, width: int) -> Array:
    """Eight vectors of the batch at a time, whose columns mostly fit the second cache."""
    from refimpl.numerics.kernels import channels, csr, vectors

    y, part = memory.empty((len(x), width), x.dtype), 8 * vectors.WIDTH // x.itemsize
    for first in range(0, len(x), part):
        X = feature_major(x[first : first + part])
        Y = vectors.empty((width, X.shape[1]), x.dtype)
        kernel(team(len(W.values) * X.shape[1] // csr.GRAIN), *W[:3], X, Y)
        batch = min(part, len(x) - first)  # NumPy's transpose takes five times as long
        channels.turn(team(batch * width // channels.GRAIN), Y, Y.shape[1], width, batch, y, first * width, width)
    return y


def feature_major(x: Array) -> Array:
    """x^T for x (batch, m) as the kernels take it: with zeros up to an even count of vectors."""
    from refimpl.numerics.kernels import channels, vectors

    (batch, m), two = x.shape, 2 * vectors.WIDTH // x.itemsize
    X = vectors.empty((m, -(-batch // two) * two), x.dtype)
    X[:, batch:] = 0
    channels.turn(team(x.size // channels.GRAIN), np.ascontiguousarray(x), m, batch, m, X, 0, X.shape[1])
    return X


def _fitting(name: str, x: Array, W: Compressed, width: int) -> Array:
    """Kernels look no index up twice, so that a wrong width would read foreign memory."""
    x = validate.real_array(name, x, shape=(None, width))
    return (
        x if x.dtype == W.values.dtype else validate.fail(name, f"dtype {W.values.dtype}, as W", validate.describe(x))
    )
