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
    from refimpl.numerics.kernels import channels, vectors

    if b.flags.c_contiguous:
        return _by_tile(a, b)
    if l <= n:  # the smaller one is turned
        B, columns = memory.empty((m, l), b.dtype), np.ascontiguousarray(b.T)
        channels.turn(team(B.size // channels.GRAIN), columns, m, l, m, B, 0, l)
        return _by_tile(a, B)
    if n < vectors.lanes_of(a.dtype):
        return _by_blas(a, b)
    y, Y = memory.empty((n, l), a.dtype), _by_tile(b.T, feature_major(a))  # columns of y are rows of Y
    channels.turn(team(y.size // channels.GRAIN), Y, Y.shape[1], l, n, y, 0, l)
    return y


def stacked(a: Array, z: Array) -> Array:
    """a @ z[i] for a (n, m) and every z[i] (m, l), by the tile where there are many small ones."""
    y, (m, l) = memory.empty((len(z), len(a), z.shape[2]), np.result_type(a, z)), z.shape[1:]
    if not compiled(a, z) or y.size * m < LEAST or max(m, len(a)) * l * z.itemsize > SMALL:
        return np.matmul(a, z, out=y)
    from refimpl.numerics.kernels import matrices, vectors

    if l < vectors.lanes_of(z.dtype):
        return np.matmul(a, z, out=y)
    a, ap, ak = _strided(a)
    matrices.stacked(team(len(z)), a, ap, ak, np.ascontiguousarray(z), y)
    return y


def _strided(a: Array) -> tuple[Array, int, int]:
    """A contiguous array of a's numbers, and how far apart rows and columns of a lie there."""
    if a.T.flags.c_contiguous:
        return a.T, 1, len(a)
    return np.ascontiguousarray(a), a.shape[1], 1


def _by_blas(a: Array, b: Array) -> Array:
    return np.matmul(a, b, out=memory.empty((len(a), b.shape[1]), np.result_type(a, b)))


def _by_tile(a: Array, b: Array) -> Array:
    """a @ b for contiguous rows of b."""
    from refimpl.numerics.kernels import matrices, vectors

    (m, l), lanes = b.shape, vectors.lanes_of(b.dtype)
    wide = np.zeros((m if l < lanes else 0, lanes), b.dtype)
    if l < lanes:
        wide[:, :l] = b
    c = memory.empty((len(a), l), a.dtype)
    a, ap, ak = _strided(a)
    matrices.product(team(c.size), a, ap, ak, b, wide, c)
    return c
