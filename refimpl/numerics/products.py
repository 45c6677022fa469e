"""Products of two matrices: large ones by `kernels.matrices`, whose bits depend on no threads, the others by BLAS."""

import numpy as np

from refimpl.numerics import memory
from refimpl.numerics.jit import compiled
from refimpl.numerics.sparse import feature_major
from refimpl.numerics.threads import team

Array = np.ndarray
LEAST = 1 << 18  # multiplications from which on OpenBLAS uses its threads
SMALL = 1 << 15  # bytes of a matrix that stays in the first cache


def product(a: Array, b: Array) -> Array:
    """a @ b for a (n, m), b (m, l)."""
    (n, m), l = a.shape, b.shape[1]
    if not compiled(a, b) or n * m * l < LEAST:
        return _by_blas(a, b)
    if b.flags.c_contiguous:
        return _by_tile(a, b, l)
    if l <= n:  # the smaller one is turned
        return _by_tile(a, feature_major(b.T), l)
    from refimpl.numerics.kernels import channels, vectors

    if n < vectors.lanes_of(a.dtype):
        return _by_blas(a, b)
    y, A = memory.empty((n, l), a.dtype), feature_major(a)
    Y = _by_tile(b.T, A, A.shape[1])  # its rows are columns of y
    channels.turn(team(y.size // channels.GRAIN), Y, Y.shape[1], l, n, y, 0, l)
    return y


def stacked(a: Array, z: Array) -> Array:
    """a @ z[i] for a (n, m) and every z[i] (m, l), by the tile where there are many small ones."""
    y, (m, l) = memory.empty((len(z), len(a), z.shape[2]), np.result_type(a, z)), z.shape[1:]
    if compiled(a, z) and y.size * m >= LEAST and max(m, len(a)) * l * z.itemsize <= SMALL:
        from refimpl.numerics.kernels import matrices, vectors

        if l >= vectors.lanes_of(z.dtype):
            a, ap, ak = _strided(a)
            matrices.stacked(team(len(z)), a, ap, ak, np.ascontiguousarray(z), y)
            return y
    return np.matmul(a, z, out=y)


def _strided(a: Array) -> tuple[Array, int, int]:
    """A contiguous array of a's numbers, and how far apart rows and columns of a lie there."""
    if a.T.flags.c_contiguous:
        return a.T, 1, len(a)
    return np.ascontiguousarray(a), a.shape[1], 1


def _by_blas(a: Array, b: Array) -> Array:
    return np.matmul(a, b, out=memory.empty((len(a), b.shape[1]), np.result_type(a, b)))


def _by_tile(a: Array, b: Array, l: int) -> Array:
    """a @ b[:, :l] for contiguous rows of b, which are filled up to a vector."""
    from refimpl.numerics.kernels import matrices, vectors

    if b.shape[1] < vectors.lanes_of(b.dtype):
        narrow, b = b, np.zeros((len(b), vectors.lanes_of(b.dtype)), b.dtype)
        b[:, : narrow.shape[1]] = narrow
    c = memory.empty((len(a), l), a.dtype)
    a, ap, ak = _strided(a)
    matrices.product(team(c.size), a, ap, ak, b, c)
    return c
