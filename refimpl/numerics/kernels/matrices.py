"""Products of matrices by the register tile, shared among threads: those of dense and spectral layers.

BLAS is as fast on one thread. On several, its threads wait actively for milliseconds after each product and take the
processors from the helpers of every other kernel; and its last bits depend on their number.
"""

import numpy as np

from refimpl.numerics.jit import kernel
from refimpl.numerics.kernels.microkernel import panel
from refimpl.numerics.kernels.team import share, span, task, units
from refimpl.numerics.kernels.vectors import WIDTH

ROWS = 14  # of the largest tile
LARGE = 1 << 13  # bytes of a matrix that is read in one run first
DEPTH = 256  # rows of b, two vectors of each of which fill the first cache


@kernel
def product(team, a, ap, ak, b, c):
    """c (n, l) = sum_k A[p ap + k ak] b[k, :l] for the flat numbers A of a; b (m, at least l and a vector)."""
    rows, columns = -(-len(c) // ROWS), units(c.shape[1], 2 * WIDTH // c.itemsize)
    by_rows = rows >= columns
    share(team, rows if by_rows else columns, 1, task(_product, (by_rows, a, ap, ak, b, c)))


@kernel
def _product(first, last, by_rows, a, ap, ak, b, c):
    (m, bk), l, lanes, low, high, left, right = b.shape, c.shape[1], WIDTH // b.itemsize, 0, len(c), 0, c.shape[1]
    if by_rows:
        low, high = ROWS * first, min(high, ROWS * last)
    else:
        left, right = span(first, last, 2 * lanes, l)
    zeros, n, whole, a0 = np.zeros(2 * lanes, b.dtype), high - low, right - right % lanes, low * ap
    flat, a, b = c.reshape(-1), a.reshape(-1), b.reshape(-1)
    for k in range(0, m, DEPTH):
        depth = min(DEPTH, m - k)
        for v in range(left, whole, 2 * lanes):
            c0, two = low * l + v, v + 2 * lanes <= whole
            s, s0, sp = (flat, c0, l) if k else (zeros, 0, 0)
            panel(flat, c0, l, s, s0, sp, a, a0 + k * ak, 0, ap, ak, b, k * bk + v, 0, bk, 1, depth, n, two)
    if whole < right and l >= lanes:  # a last vector, which overlaps those before
        c0 = low * l + l - lanes
        panel(flat, c0, l, zeros, 0, 0, a, a0, 0, ap, ak, b, l - lanes, 0, bk, 1, m, n, False)
    elif whole < right:  # vectors reach into the next rows, which come later; beyond the last rows they must not
        few = min(n, (lanes - 1) // l)
        n, out = n - few, np.empty(few * lanes, b.dtype)
        panel(flat, low * l, l, zeros, 0, 0, a, a0, 0, ap, ak, b, 0, 0, bk, 1, m, n, False)
        panel(out, 0, lanes, zeros, 0, 0, a, a0 + n * ap, 0, ap, ak, b, 0, 0, bk, 1, m, few, False)
        for p in range(few):
            for v in range(l):
                c[low + n + p, v] = out[p * lanes + v]


@kernel
def stacked(team, a, ap, ak, z, y):
    """y[i] (n, l) = A z[i] for A_pk = a[p ap + k ak], flat, and z[i] (m, l) with at least a vector of columns.

    The tile goes through matrices by panels, which is slow where they lie in no cache.
    """
    share(team, len(z), 1, task(_stacked, (a, ap, ak, z, y)))


@kernel
def _touched(z, start, stop):
    """The sum of one number of each line of the cache."""
    total = z.dtype.type(0)
    for e in range(start, stop, 64 // z.itemsize):
        total += z[np.uint64(e)]
    return total


@kernel
def _stacked(first, last, a, ap, ak, z, y):
    (m, l), n, lanes = z.shape[1:], y.shape[1], WIDTH // z.itemsize
    zeros, flat, a, z = np.zeros(2 * lanes, z.dtype), y.reshape(-1), a.reshape(-1), z.reshape(-1)
    for i in range(first, last):
        y[i], v = 0, 0  # y[i] comes to the cache in one run, and so does a large z[i]
        if m * l * z.itemsize > LARGE:
            flat[i * n * l] = _touched(z, i * m * l, (i + 1) * m * l)
        while v < l:  # the last vector overlaps those before
            two, at = v + 2 * lanes <= l, min(v, l - lanes)
            panel(flat, i * n * l + at, l, zeros, 0, 0, a, 0, 0, ap, ak, z, i * m * l + at, 0, l, 1, m, n, two)
            v += 2 * lanes if two else lanes
