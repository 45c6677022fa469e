"""Products of matrices by the register tile, shared among threads: those of dense layers.

BLAS is as fast on one thread. On several, its threads wait actively for milliseconds after each product and take the
processors from the helpers of every other kernel; and its last bits depend on their number.
"""

import numpy as np

from refimpl.numerics.jit import kernel
from refimpl.numerics.kernels.microkernel import panel
from refimpl.numerics.kernels.team import share, task
from refimpl.numerics.kernels.vectors import WIDTH

ROWS = 14  # of the largest tile
DEPTH = 256  # rows of b, two vectors of each of which fill the first cache


@kernel
def product(team, a, ap, ak, b, rest, c):
    """c (n, l) = sum_k A[p ap + k ak] b[k, :] for the flat numbers A of a; b (m, l).

    The columns of b beyond whole vectors come once more as rest, filled up with zeros to one vector.
    """
    lanes = WIDTH // b.itemsize
    rows, columns = -(-len(c) // ROWS), max(1, b.shape[1] // (2 * lanes))
    if rows >= columns:
        share(team, rows, 1, task(_rows, (a, ap, ak, b, rest, c)))
    else:
        share(team, columns, 1, task(_columns, (a, ap, ak, b, rest, c)))


@kernel
def _rows(low, high, a, ap, ak, b, rest, c):
    _block(ROWS * low, min(len(c), ROWS * high), 0, b.shape[1], a, ap, ak, b, rest, c)


@kernel
def _columns(low, high, a, ap, ak, b, rest, c):
    two = 2 * WIDTH // b.itemsize
    left, right = two * low, b.shape[1] if two * (high + 1) > b.shape[1] else two * high
    _block(0, len(c), left, right, a, ap, ak, b, rest, c)


@kernel
def _block(low, high, left, right, a, ap, ak, b, rest, c):
    """Rows low ... high - 1 and columns left ... right - 1 of c, left a multiple of two vectors."""
    (m, l), lanes, flat, n = b.shape, WIDTH // b.itemsize, c.reshape(-1), high - low
    zeros, whole = np.zeros(2 * lanes, b.dtype), right - right % lanes
    for k in range(0, m, DEPTH):
        a0, depth = low * ap + k * ak, min(DEPTH, m - k)
        for v in range(left, whole, 2 * lanes):
            c0, two = low * l + v, v + 2 * lanes <= whole
            s, s0, sp = (flat, c0, l) if k else (zeros, 0, 0)
            panel(flat, c0, l, s, s0, sp, a, a0, 0, ap, ak, b, k * l + v, 0, l, 1, depth, n, two)
    if whole < right:
        out = np.empty((n, lanes), b.dtype)
        panel(out, 0, lanes, zeros, 0, 0, a, low * ap, 0, ap, ak, rest, 0, 0, lanes, 1, m, n, False)
        c[low:high, whole:] = out[:, : l - whole]
