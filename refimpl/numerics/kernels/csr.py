"""Compressed sparse rows: building them from a dense matrix, and products with a dense one (feature-major).

A row of Y = W X is a combination of few rows of X. `_row` keeps V vectors of it in registers while it walks through the
entries of the row of W; compilers write it back after every entry when that is written as plain loops, so the loop is
emitted through LLVM's vector type. With ``REFIMPL_JIT=0`` a plain Python row of the same meaning runs.
"""

from typing import Any

import numpy as np

from refimpl.numerics.jit import ENABLED, kernel

WIDTH = 64  # bytes of a vector; LLVM breaks it up on machines without such

if ENABLED:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic


def _emit(context: Any, builder: Any, sig: Any, args: Any, V: int) -> Any:
    """LLVM code of the row: start at zero, loop over k, store y."""
    y, x, values, columns = (context.make_array(sig.args[i])(context, builder, args[i]).data for i in (0, 2, 5, 6))
    (y0,), (x0, stride), (first, last) = args[1:2], args[3:5], args[7:9]
    scalar, size = context.get_data_type(sig.args[0].dtype), sig.args[0].dtype.bitwidth // 8
    lanes, int32 = WIDTH // size, ir.IntType(32)
    vector = ir.VectorType(scalar, lanes)
    fma_type = ir.FunctionType(vector, [vector] * 3)
    fma = cgutils.get_or_insert_function(builder.module, fma_type, f"llvm.fma.v{lanes}f{8 * size}")
    nowhere, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(int32, lanes), [0] * lanes)

    def place(base: Any, at: Any, v: int) -> Any:
        at = builder.add(at, ir.Constant(at.type, v * lanes))
        return builder.bitcast(builder.gep(base, [at]), vector.as_pointer())

    row = [cgutils.alloca_once(builder, vector) for v in range(V)]  # registers, after LLVM's SROA
    for part in row:
        builder.store(ir.Constant(vector, [0.0] * lanes), part)
    with cgutils.for_range(builder, builder.sub(last, first)) as loop:
        k = builder.add(first, loop.index)
        j = builder.sext(builder.load(builder.gep(columns, [k])), stride.type)
        value = builder.insert_element(nowhere, builder.load(builder.gep(values, [k])), ir.Constant(int32, 0))
        a, at = builder.shuffle_vector(value, nowhere, zeros), builder.add(x0, builder.mul(j, stride))
        for v, part in enumerate(row):
            product = builder.call(fma, [a, builder.load(place(x, at, v), align=size), builder.load(part)])
            builder.store(product, part)
    for v, part in enumerate(row):
        builder.store(builder.load(part), place(y, y0, v), align=size)
    return context.get_dummy_value()


def _row(V: int) -> Any:
    """y[y0 + l] = sum over first <= k < last of values[k] x[x0 + columns[k] stride + l], for l in V vectors."""
    if not ENABLED:
        return lambda *args: _plain(V, *args)

    @intrinsic
    def row(typing, y, y0, x, x0, stride, values, columns, first, last):
        n = types.intp
        sig = types.void(y, n, x, n, n, values, columns, n, n)
        return sig, lambda context, builder, s, args: _emit(context, builder, s, args, V)

    return row


def _plain(V, y, y0, x, x0, stride, values, columns, first, last):
    """The row, as it is written."""
    x, lanes = x.reshape(-1), V * WIDTH // x.itemsize
    total = np.zeros(lanes, x.dtype)
    for k in range(first, last):
        total += values[k] * x[x0 + columns[k] * stride :][:lanes]
    y.reshape(-1)[y0 : y0 + lanes] = total


def _emit_pack(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `_pack`: compare a vector with 0, store what is kept of it side by side, count it."""
    columns, values, row = (context.make_array(sig.args[i])(context, builder, args[i]).data for i in (0, 1, 3))
    k, j, index = args[2], args[4], ir.IntType(32)
    scalar, lanes = context.get_data_type(sig.args[1].dtype), WIDTH // (sig.args[1].dtype.bitwidth // 8)
    vector, numbers = ir.VectorType(scalar, lanes), ir.VectorType(index, lanes)
    nowhere = ir.Constant(numbers, ir.Undefined)

    def store(x: Any, base: Any, name: str) -> None:
        to = builder.gep(base, [k])
        kind = ir.FunctionType(ir.VoidType(), [x.type, to.type, kept.type])
        pack = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.compressstore.{name}")
        builder.call(pack, [x, to, kept])

    x = builder.load(builder.bitcast(builder.gep(row, [j]), vector.as_pointer()), align=WIDTH // lanes)
    kept = builder.fcmp_unordered("!=", x, ir.Constant(vector, [0.0] * lanes))
    first = builder.insert_element(nowhere, builder.trunc(j, index), ir.Constant(index, 0))
    first = builder.shuffle_vector(first, nowhere, ir.Constant(numbers, [0] * lanes))
    store(x, values, f"v{lanes}f{8 * WIDTH // lanes}")
    store(builder.add(first, ir.Constant(numbers, list(range(lanes)))), columns, f"v{lanes}i32")
    return builder.add(k, builder.zext(builder.ctpop(builder.bitcast(kept, ir.IntType(lanes))), k.type))


def _packed() -> Any:
    """Of one vector of row[j], row[j + 1], ... the entries that are not 0 go to place k, k + 1, ...; the next place."""
    if not ENABLED:
        return _plain_pack

    @intrinsic
    def pack(typing, columns, values, k, row, j):
        return types.intp(columns, values, types.intp, row, types.intp), _emit_pack

    return pack


def _plain_pack(columns, values, k, row, j):
    """The same, as it is written."""
    for l in range(j, j + WIDTH // row.itemsize):
        if row[l] != 0:
            columns[k], values[k] = l, row[l]
            k += 1
    return k


_8, _1, _pack = _row(8), _row(1), _packed()


@kernel
def compress(W, starts, columns, values):
    """The nonzero entries of W (n, m), row after row; row i lies at starts[i] ... starts[i + 1] - 1. NaN is no zero."""
    k, m, lanes = 0, W.shape[1], WIDTH // W.itemsize
    for i in range(W.shape[0]):
        starts[i], row = k, W[i]
        for j in range(0, m - m % lanes, lanes):
            k = _pack(columns, values, k, row, j)
        for j in range(m - m % lanes, m):
            if row[j] != 0:
                columns[k], values[k] = j, row[j]
                k += 1
    starts[W.shape[0]] = k


@kernel
def times(starts, columns, values, X, Y):
    """Y = W X: row i of Y is the sum of W_ij times row j of X, in the order of j."""
    B, lanes = X.shape[1], WIDTH // X.itemsize
    for i in range(Y.shape[0]):
        first, last, b = starts[i], starts[i + 1], 0
        while b < B:
            if b + 8 * lanes <= B:
                _8(Y, i * B + b, X, b, B, values, columns, first, last)
                b += 8 * lanes
            elif b + lanes <= B:
                _1(Y, i * B + b, X, b, B, values, columns, first, last)
                b += lanes
            else:
                Y[i, b] = 0
                for k in range(first, last):
                    Y[i, b] += values[k] * X[columns[k], b]
                b += 1


@kernel
def times_transposed(starts, columns, values, Y, X):
    """X = W^T Y: row j of X is the sum of W_ij times row i of Y, in the order of i."""
    starts_t, columns_t, values_t = _transpose(starts, columns, values, X.shape[0])
    times(starts_t, columns_t, values_t, Y, X)


@kernel
def _transpose(starts, columns, values, m):
    """The rows of W^T: count the entries of each column of W, then deal them out in the order of the rows."""
    ends = np.zeros(m + 1, starts.dtype)
    for k in range(starts[-1]):
        ends[columns[k] + 1] += 1
    for j in range(m):
        ends[j + 1] += ends[j]
    starts_t, columns_t, values_t = ends.copy(), np.empty_like(columns), np.empty_like(values)
    for i in range(starts.size - 1):
        for k in range(starts[i], starts[i + 1]):
            at = ends[columns[k]]
            columns_t[at], values_t[at] = i, values[k]
            ends[columns[k]] = at + 1
    return starts_t, columns_t, values_t
