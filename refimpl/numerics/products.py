"""Products of two matrices: large ones by `kernels.matrices`, whose bits depend on no threads, the others by BLAS."""

import numpy as np

from refimpl.numerics import memory
from refimpl.numerics.jit import compiled
from refimpl.numerics.sparse import feature_major
from refimpl.numerics.threads import team

Array = np.ndarray
LEAST = 1 << 18  # multiplications from which on OpenBLAS uses its threads


def product(a: Array, b: Array) -> Array:
    """a @ b for a (n, m), b (m, l)."""
    (n, m), l = a.shape, b.shape[1]
    if not compiled(a, b) or n * m * l < LEAST:
        return _by_blas(a, b)
    from refimpl.numerics.kernels import channels, vectors

    if b.flags.c_contiguous:
        return _by_tile(a, b)
    if l <= n:  # the smaller one is turned
        B, columns = memory.empty((m, l), b.dtype), np.ascontiguousarray(b.T)
        channels.transpose(columns, 0, m, l, m, B, 0, l)
        return _by_tile(a, B)
    if n < vectors.lanes_of(a.dtype):
        return _by_blas(a, b)
    y, Y = memory.empty((n, l), a.dtype), _by_tile(b.T, feature_major(a))  # columns of y are rows of Y
    channels.transpose(Y, 0, Y.shape[1], l, n, y, 0, l)
    return y


def _by_blas(a: Array, b: Array) -> Array:
    return np.matmul(a, b, out=memory.empty((len(a), b.shape[1]), np.result_type(a, b)))


def _by_tile(a: Array, b: Array) -> Array:
    """a @ b for contiguous rows of b."""
    from refimpl.numerics.kernels import matrices, vectors

    l = b.shape[1]
    beyond = l % vectors.lanes_of(b.dtype)
    rest = np.zeros((len(b), vectors.lanes_of(b.dtype)), b.dtype)
    rest[:, :beyond] = b[:, l - beyond :]
    c = memory.empty((len(a), l), a.dtype)
    if a.T.flags.c_contiguous:
        a, ap, ak = a.T, 1, len(a)
    else:
        a, ap, ak = np.ascontiguousarray(a), a.shape[1], 1
    matrices.product(team(c.size), a, ap, ak, b, rest, c)
    return c
