"""Products with a sparse matrix stored by rows (CSR) for batches of row vectors: equal to dense ones up to rounding."""

from typing import NamedTuple

import numpy as np

from refimpl.numerics import validate

Array = np.ndarray


class Compressed(NamedTuple):
    """W (n, m): row i has the entries ``values[k]`` in ``columns[k]`` for starts[i] <= k < starts[i + 1]."""

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
    count = np.count_nonzero(W != 0)  # of booleans: five times as fast as of numbers
    if count > share * W.size:
        return None
    from refimpl.numerics.kernels import csr

    starts = np.empty(len(W) + 1, np.int64)
    columns, values = np.empty(count, np.int32), np.empty(count, W.dtype)
    csr.compress(W, starts, columns, values)
    return Compressed(starts, columns, values, W.shape)


def times(W: Compressed, x: Array) -> Array:
    """x W^T for x (batch, m)."""
    x = _fitting("x", x, W, W.shape[1])
    from refimpl.numerics.kernels import csr

    y = np.empty((W.shape[0], len(x)), x.dtype)
    csr.times(*W[:3], _transposed(x), y)
    return _transposed(y)


def times_transposed(W: Compressed, dy: Array) -> Array:
    """dy W for dy (batch, n): the adjoint of `times`."""
    dy = _fitting("dy", dy, W, W.shape[0])
    from refimpl.numerics.kernels import csr

    dx = np.empty((W.shape[1], len(dy)), dy.dtype)
    csr.times_transposed(*W[:3], _transposed(dy), dx)
    return _transposed(dx)


def _transposed(x: Array) -> Array:
    """x^T as a matrix of its own: NumPy's copy of a transposed view takes up to five times as long."""
    from refimpl.numerics.kernels import microkernel

    (m, n), out = x.shape, np.empty(x.shape[::-1], x.dtype)
    microkernel.transpose(np.ascontiguousarray(x), 0, n, m, n, out, 0, m)
    return out


def _fitting(name: str, x: Array, W: Compressed, width: int) -> Array:
    """Kernels look no index up twice, so that a wrong width would read foreign memory."""
    x = validate.real_array(name, x, shape=(None, width))
    return (
        x if x.dtype == W.values.dtype else validate.fail(name, f"dtype {W.values.dtype}, as W", validate.describe(x))
    )
