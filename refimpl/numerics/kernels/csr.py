"""Compressed sparse rows: building them from a dense matrix, and products with a dense one (feature-major).

A row of Y = W X is a combination of few rows of X. `_row` keeps V vectors of it in registers while it walks through the
entries of the row of W; compilers write it back after every entry when that is written as plain loops, so the loop is
emitted through LLVM's vector type. With ``REFIMPL_JIT=0`` a plain Python row of the same meaning runs. It takes as many
columns of W at once as X has rows in the first cache. For W^T the entries of some columns are dealt out to lists first.

Places and columns are unsigned: no index is negative, and compiled code need not ask.
"""

from typing import Any

import numpy as np

from refimpl.numerics.jit import ENABLED, kernel
from refimpl.numerics.kernels.vectors import WIDTH, Vectors

CACHED = 32 * 1024  # bytes of X that should stay in the first cache
WORTH = 12  # entries between which a row of Y may leave the registers
LISTS = 128  # columns whose lists stay in the first cache

if ENABLED:
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic


def _emit(context: Any, builder: Any, sig: Any, args: Any, V: int) -> Any:
    """LLVM code of a row: load y, loop over k, store y; the k that was reached."""
    of = Vectors(context, builder, sig, args)
    y, x, values, columns = (of.data(i) for i in (0, 2, 5, 6))
    (y0,), (x0, stride), (first, last, end) = args[1:2], args[3:5], args[7:10]
    row = of.registers([of.load(y, of.index(y0, (1, v * of.lanes))) for v in range(V)])
    reached = cgutils.alloca_once_value(builder, last)
    with cgutils.for_range(builder, builder.sub(last, first)) as loop:
        k = builder.add(first, loop.index)
        j = builder.zext(builder.load(builder.gep(columns, [k])), stride.type)
        with builder.if_then(builder.icmp_unsigned(">=", j, end), likely=False):
            builder.store(k, reached)
            loop.do_break()
        a = of.broadcast(builder.load(builder.gep(values, [k])))
        for v, part in enumerate(row):
            z = of.load(x, of.index(x0, (j, stride), (1, v * of.lanes)))
            builder.store(of.fma(a, z, builder.load(part)), part)
    for v, part in enumerate(row):
        of.store(builder.load(part), y, of.index(y0, (1, v * of.lanes)))
    return builder.load(reached)


def _row(V: int) -> Any:
    """y[y0 + l] += values[k] x[x0 + j stride + l] for l in V vectors, while first <= k < last and j = columns[k] < end.

    The k at which it stopped is returned.
    """
    if not ENABLED:
        return lambda *args: _plain(V, *args)

    @intrinsic
    def row(typing, y, y0, x, x0, stride, values, columns, first, last, end):
        n, k = types.intp, types.uintp
        sig = k(y, n, x, n, n, values, columns, k, k, n)
        return sig, lambda context, builder, s, args: _emit(context, builder, s, args, V)

    return row


def _plain(V, y, y0, x, x0, stride, values, columns, first, last, end):
    """The row, as it is written."""
    lanes, k = V * WIDTH // x.itemsize, first
    while k < last and columns[k] < end:
        y.reshape(-1)[y0 : y0 + lanes] += values[k] * x.reshape(-1)[x0 + int(columns[k]) * stride :][:lanes]
        k += 1
    return k


_8, _2 = _row(8), _row(2)


@kernel
def compress(W, starts, columns, values):
    """The nonzero entries of W (n, m), row after row; row i lies at starts[i] ... starts[i + 1] - 1. NaN is no zero.

    Each entry is written, and the next one over it if it was 0: columns and values have one place more than needed
    (unless nothing is 0).
    """
    k = np.uint64(0)
    for i in range(W.shape[0]):
        starts[i] = k
        for j in range(W.shape[1]):
            columns[k], values[k] = j, W[i, j]
            k += np.uint64(W[i, j] != 0)
    starts[W.shape[0]] = k


@kernel
def times(starts, columns, values, X, Y):
    """Y = W X for X (m, B): row i of Y is the sum of W_ij times row j of X, in the order of j.

    Fast where B is a multiple of eight vectors, or at least of two.
    """
    (n, B), m, eight = Y.shape, len(X), 8 * WIDTH // X.itemsize
    width, step = _block(X, starts[n] / max(1, n * m)), eight if B % eight == 0 else eight // 4
    whole = B - B % step
    Y[:] = 0
    for b in range(0, whole, step):
        at = starts.copy()
        for left in range(0, m, width):
            for i in range(n):
                if step == eight:
                    at[i] = _8(Y, i * B + b, X, b, B, values, columns, at[i], starts[i + 1], left + width)
                else:
                    at[i] = _2(Y, i * B + b, X, b, B, values, columns, at[i], starts[i + 1], left + width)
    for b in range(whole, B):
        for i in range(n):
            for k in range(starts[i], starts[i + 1]):
                Y[i, b] += values[k] * X[columns[k], b]


@kernel
def times_transposed(starts, columns, values, Y, X):
    """X = W^T Y: row j of X is the sum of W_ij times row i of Y, in the order of i."""
    (n, B), m, eight, at = Y.shape, len(X), 8 * WIDTH // X.itemsize, starts.astype(np.uint64)
    height, step = _block(Y, starts[n] / max(1, n * m)), eight if B % eight == 0 else eight // 4
    whole = B - B % step
    room = 16 * (height // 16 + 1 | 1)  # an odd number of cache lines: lists do not begin in the same place
    rows, entries = np.empty(LISTS * room, np.uint32), np.empty(LISTS * room, values.dtype)
    begins = np.empty(m, np.uint64)
    for j in range(m):
        begins[j] = j % LISTS * room
    X[:] = 0
    for top in range(0, n, height):
        ends = begins.copy()
        for left in range(0, m, LISTS):
            right = min(m, left + LISTS)
            _deal(starts, columns, values, at, top, min(n, top + height), right, ends, rows, entries)
            for b in range(0, whole, step):
                for j in range(left, right):
                    if step == eight:
                        _8(X, j * B + b, Y, b, B, entries, rows, begins[j], ends[j], n)
                    else:
                        _2(X, j * B + b, Y, b, B, entries, rows, begins[j], ends[j], n)
    for b in range(whole, B):
        for i in range(n):
            for k in range(starts[i], starts[i + 1]):
                X[columns[k], b] += values[k] * Y[i, b]


@kernel
def _block(X, density):
    """How many rows of X to take at once: what stays in the cache, or more if a row of W has too few entries there."""
    rows, lanes = len(X), max(1, min(X.shape[1], 8 * WIDTH // X.itemsize))
    best = max(CACHED / (lanes * X.itemsize), WORTH / max(density, 1e-9))
    return -(-rows // max(1, int(rows / best + 0.5))) or 1


@kernel
def _deal(starts, columns, values, at, top, bottom, right, ends, rows, entries):
    """The entries left of ``right`` in rows top <= i < bottom, from at[i] on, to the ends of their columns' lists."""
    one = np.uint64(1)
    for i in range(np.uint64(top), np.uint64(bottom)):
        k, last = at[i], starts[i + one]
        while k < last and columns[k] < np.uint64(right):
            j = columns[k]
            to = ends[j]
            rows[to], entries[to] = i, values[k]
            ends[j] = to + one
            k += one
        at[i] = k
