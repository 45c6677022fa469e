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
def product(team, a, ap, ak, b, c):
    """c (n, l) = sum_k A[p ap + k ak] b[k, :] for the flat numbers A of a; b (m, l).

    Columns beyond whole vectors are computed apart, filled up with zeros.
    """
    (m, l), lanes = b.shape, WIDTH // b.itemsize
    rest = np.zeros((m if l % lanes else 0, lanes), b.dtype)
    for k in range(len(rest)):
        for j in range(l % lanes):
            rest[k, j] = b[k, l - l % lanes + j]
    share(team, -(-len(c) // ROWS), 1, task(_product, (a, ap, ak, b, rest, c)))


@kernel
def _product(low, high, a, ap, ak, b, rest, c):
    (m, l), lanes, low, high = b.shape, WIDTH // b.itemsize, ROWS * low, min(len(c), ROWS * high)
    flat, zeros, n, whole = c.reshape(-1), np.zeros(2 * lanes, b.dtype), high - low, l - l % lanes
    for k in range(0, m, DEPTH):
        a0, depth = low * ap + k * ak, min(DEPTH, m - k)
        for v in range(0, whole, 2 * lanes):
            c0, two = low * l + v, v + 2 * lanes <= whole
            s, s0, sp = (flat, c0, l) if k else (zeros, 0, 0)
            panel(flat, c0, l, s, s0, sp, a, a0, 0, ap, ak, b, k * l + v, 0, l, 1, depth, n, two)
    if len(rest):
        out = np.empty((n, lanes), b.dtype)
        panel(out, 0, lanes, zeros, 0, 0, a, low * ap, 0, ap, ak, rest, 0, 0, lanes, 1, m, n, False)
        c[low:high, whole:] = out[:, : l - whole]
