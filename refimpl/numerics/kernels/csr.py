"""Compressed sparse rows: building them from a dense matrix, and products with a dense one (feature-major).

A row of Y = W X is a combination of few rows of X. `_row` keeps V vectors of it in registers while it walks through the
entries of the row of W; compilers write it back after every entry when that is written as plain loops, so the loop is
emitted through LLVM's vector type. With ``REFIMPL_JIT=0`` a plain Python row of the same meaning runs. It takes as many
columns of W at once as X has rows in the first cache. For W^T the entries of some columns are dealt out to lists
first. Both need to know where in a row the entries of some columns lie: each block of columns has a start of its own.

Places and columns are unsigned: no index is negative, and compiled code need not ask.
"""

from typing import Any

import numpy as np

from refimpl.numerics.jit import ENABLED, kernel
from refimpl.numerics.kernels.team import share, task
from refimpl.numerics.kernels.vectors import WIDTH, Vectors

GRAIN = 1 << 16  # multiplications that are worth another thread
CACHED = 32 * 1024  # bytes of X that should stay in the first cache
WORTH = 12  # entries between which a row of Y may leave the registers
BLOCK = 128  # columns whose lists of entries stay in the first cache

if ENABLED:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic


def _emit(context: Any, builder: Any, sig: Any, args: Any, V: int) -> Any:
    """LLVM code of a row: load y or start from 0, loop over k, store y."""
    of = Vectors(context, builder, sig, args)
    y, x, values, columns = (of.data(i) for i in (0, 3, 6, 7))
    (y0, fresh), (x0, stride), (first, last) = args[1:3], args[4:6], args[8:10]
    start = [of.load(y, of.index(y0, (1, v * of.lanes))) for v in range(V)]
    row = of.registers([builder.select(fresh, of.same(0), part) for part in start])
    with cgutils.for_range(builder, builder.sub(last, first)) as loop:
        k = builder.add(first, loop.index)
        j = builder.zext(builder.load(builder.gep(columns, [k])), stride.type)
        a = of.broadcast(builder.load(builder.gep(values, [k])))
        for v, part in enumerate(row):
            z = of.load(x, of.index(x0, (j, stride), (1, v * of.lanes)))
            builder.store(of.fma(a, z, builder.load(part)), part)
    for v, part in enumerate(row):
        of.store(builder.load(part), y, of.index(y0, (1, v * of.lanes)))
    return context.get_dummy_value()


def _row(V: int) -> Any:
    """y[y0 + l] += values[k] x[x0 + columns[k] stride + l] for l in V vectors and first <= k < last; fresh: = ..."""
    if not ENABLED:
        return lambda *args: _plain(V, *args)

    @intrinsic
    def row(typing, y, y0, fresh, x, x0, stride, values, columns, first, last):
        n, k = types.intp, types.uintp
        sig = types.void(y, n, types.boolean, x, n, n, values, columns, k, k)
        return sig, lambda context, builder, s, args: _emit(context, builder, s, args, V)

    return row


def _plain(V, y, y0, fresh, x, x0, stride, values, columns, first, last):
    """The row, as it is written."""
    lanes = V * WIDTH // x.itemsize
    if fresh:
        y.reshape(-1)[y0 : y0 + lanes] = 0
    for k in range(first, last):
        y.reshape(-1)[y0 : y0 + lanes] += values[k] * x.reshape(-1)[x0 + int(columns[k]) * stride :][:lanes]


_8, _2 = _row(8), _row(2)


def _emit_nonzero(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `_nonzero`: the bits of a comparison, counted."""
    of, at = Vectors(context, builder, sig, args), args[1]
    bits = builder.fcmp_unordered("!=", of.load(of.data(0), at), of.same(0))
    return builder.zext(builder.ctpop(builder.bitcast(bits, ir.IntType(of.lanes))), at.type)


def _counted() -> Any:
    """How many numbers of the vector x[at], ... are not 0: an LLVM intrinsic, or its plain twin."""
    if not ENABLED:
        return lambda x, at: np.count_nonzero(x[at : at + WIDTH // x.itemsize])

    @intrinsic
    def nonzero(typing, x, at):
        return types.intp(x, types.intp), _emit_nonzero

    return nonzero


_nonzero = _counted()


def starts_of(shape: tuple[int, int]) -> np.ndarray:
    """Room for the starts of a matrix (n, m): of each row and block, and the end of all."""
    return np.empty(shape[0] * _blocks(shape[1]) + 1, np.uint64)


@kernel
def _blocks(m):
    """How many blocks m columns are."""
    return (m + BLOCK - 1) // BLOCK


@kernel
def count(W, starts):
    """Where the nonzero entries of W (n, m) will lie, row after row, and their number. NaN is no zero.

    Those of row i in block c, of the columns from c BLOCK on, lie at starts[i C + c] ... starts[i C + c + 1] - 1, C the
    number of blocks.
    """
    (n, m), flat, lanes, starts[0] = W.shape, W.reshape(-1), WIDTH // W.itemsize, 0
    C = _blocks(m)
    for i in range(n):
        for c in range(C):
            at, stop, found = i * m + c * BLOCK, i * m + min(m, (c + 1) * BLOCK), starts[i * C + c]
            while at + lanes <= stop:
                found += np.uint64(_nonzero(flat, at))
                at += lanes
            for k in range(at, stop):
                found += np.uint64(flat[k] != 0)
            starts[i * C + c + 1] = found
    return starts[n * C]


@kernel
def compress(W, columns, values):
    """The nonzero entries of W, row after row: their columns and their values.

    Each entry is written, and the next one over it if it was 0: columns and values have one place more than needed
    (unless nothing is 0).
    """
    (n, m), flat, lanes, k = W.shape, W.reshape(-1), WIDTH // W.itemsize, np.uint64(0)
    for i in range(n):
        for left in range(0, m, lanes):
            at, few = i * m + left, min(lanes, m - left)
            if few < lanes or _nonzero(flat, at) > 0:
                for j in range(few):
                    x = flat[np.uint64(at + j)]
                    columns[k], values[k] = left + j, x
                    k += np.uint64(x != 0)


@kernel
def times(team, starts, columns, values, X, Y):
    """Y = W X for X (m, B): row i of Y is the sum of W_ij times row j of X, in the order of j.

    Fast where B is a multiple of eight vectors, or at least of two.
    """
    share(team, len(Y), _grain(starts, len(Y), X.shape[1]), task(_times, (starts, columns, values, X, Y)))


@kernel
def _times(low, high, starts, columns, values, X, Y):
    (n, B), m, eight = Y.shape, len(X), 8 * WIDTH // X.itemsize
    C, step = _blocks(m), eight if B % eight == 0 else eight // 4
    wide, whole = _rows(X, starts[n * C] / max(1, n * m)) // BLOCK or 1, B - B % step
    if C == 0:
        Y[low:high] = 0
    for b in range(0, whole, step):
        for left in range(0, C, wide):
            right = min(C, left + wide)
            for i in range(low, high):
                first, last = starts[i * C + left], starts[i * C + right]
                if step == eight:
                    _8(Y, i * B + b, left == 0, X, b, B, values, columns, first, last)
                else:
                    _2(Y, i * B + b, left == 0, X, b, B, values, columns, first, last)
    for b in range(whole, B):
        for i in range(low, high):
            Y[i, b] = 0
            for k in range(starts[i * C], starts[(i + 1) * C]):
                Y[i, b] += values[k] * X[columns[k], b]


@kernel
def times_transposed(team, starts, columns, values, Y, X):
    """X = W^T Y: row j of X is the sum of W_ij times row i of Y, in the order of i."""
    C = _blocks(len(X))
    share(team, C, _grain(starts, C, Y.shape[1]), task(_times_transposed, (starts, columns, values, Y, X)))


@kernel
def _times_transposed(low, high, starts, columns, values, Y, X):
    (n, B), m, eight = Y.shape, len(X), 8 * WIDTH // X.itemsize
    C, step = _blocks(m), eight if B % eight == 0 else eight // 4
    height, whole = _rows(Y, starts[n * C] / max(1, n * m)), B - B % step
    room = 16 * (height // 16 + 1 | 1)  # an odd number of cache lines: lists do not begin in the same place
    rows, entries = np.empty(BLOCK * room, np.uint32), np.empty(BLOCK * room, values.dtype)
    ends = np.empty(BLOCK, np.uint64)
    for c in range(low, high):
        left, right = c * BLOCK, min(m, (c + 1) * BLOCK)
        if n == 0:
            X[left:right] = 0
        for top in range(0, n, height):
            for j in range(BLOCK):
                ends[j] = j * room
            for i in range(top, min(n, top + height)):
                _deal(
                    starts[i * C + c], starts[i * C + c + 1], np.uint32(left), i, columns, values, ends, rows, entries
                )
            for b in range(0, whole, step):
                for j in range(left, right):
                    begin, end = np.uint64((j - left) * room), ends[j - left]
                    if step == eight:
                        _8(X, j * B + b, top == 0, Y, b, B, entries, rows, begin, end)
                    else:
                        _2(X, j * B + b, top == 0, Y, b, B, entries, rows, begin, end)
        for b in range(whole, B):
            X[left:right, b] = 0
            for i in range(n):
                for k in range(starts[i * C + c], starts[i * C + c + 1]):
                    X[columns[k], b] += values[k] * Y[i, b]


@kernel
def _grain(starts, n, B):
    """How many of n rows or blocks have `GRAIN` multiplications, in the middle."""
    return max(1, int(n * GRAIN / max(1.0, float(starts[-1]) * B)))


@kernel
def _rows(X, density):
    """How many rows of X to take at once: what stays in the cache, or more if a row of W has too few entries there."""
    rows, lanes = len(X), max(1, min(X.shape[1], 8 * WIDTH // X.itemsize))
    best = max(CACHED / (lanes * X.itemsize), WORTH / max(density, 1e-9))
    return -(-rows // max(1, int(rows / best + 0.5))) or 1


@kernel
def _deal(first, last, left, i, columns, values, ends, rows, entries):
    """The entries first <= k < last, of row i, to the ends of their columns' lists."""
    for k in range(first, last):
        j = columns[k] - left
        to = ends[j]
        rows[to], entries[to] = i, values[k]
        ends[j] = to + np.uint64(1)
