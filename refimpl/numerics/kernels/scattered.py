"""Both gradients of a 3 x 3 convolution where most of dy is 0, as it is behind max pooling: they skip the zeros.

A number dy[n, o, i, j] meets three rows of three pixels, with images and kernels channels last:

    dw[o, di, (dj, c)]                 +=  dy[n, o, i, j]  xp[n, i sh + di, (j sw + dj, c)]    all pixels, then all n
    dxp[n, i sh + di, (j sw + dj, c)]  +=  dy[n, o, i, j]  w[o, di, (dj, c)]                   all o, then all pixels

Numbers other than 0 are listed by `_listed`, a vector at a time: of the bits of a comparison, eight at once, the places
of those that are 1 stand in the table `BITS`.
`_3x3` keeps three vectors of each of the three rows on the left in registers while it goes through the list. Both are
emitted through LLVM's vector type. Sums have the order of `kernels.tiled`, so that the results are the same bits. There
are whole vectors of channels c, and xp and w are finite: 0 times what is not would be NaN.
"""

from typing import Any

import numpy as np

from refimpl.numerics.jit import ENABLED, kernel
from refimpl.numerics.kernels import channels
from refimpl.numerics.kernels.team import share, task
from refimpl.numerics.kernels.vectors import WIDTH, Vectors, buffer

BITS = np.array([sorted(range(8), key=lambda k: not n >> k & 1) for n in range(256)], np.uint8).reshape(-1)  # 1s first

if ENABLED:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic


def _emit_listed(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `_listed`: for eight bits of a comparison their places at once, which are looked up."""
    of = Vectors(context, builder, sig, args)
    a, bits_of, where = of.data(0), of.data(3), of.data(4)
    (a0, vectors), few, many = args[1:3], ir.VectorType(ir.IntType(8), 8), ir.VectorType(ir.IntType(32), 8)
    count = cgutils.alloca_once_value(builder, a0.type(0))
    with cgutils.for_range(builder, vectors) as loop:
        first = builder.mul(loop.index, a0.type(of.lanes))
        bits = builder.fcmp_unordered("!=", of.load(a, builder.add(a0, first)), of.same(0))
        bits = builder.zext(builder.bitcast(bits, ir.IntType(of.lanes)), a0.type)
        for k in range(0, of.lanes, 8):
            eight = builder.and_(builder.lshr(bits, bits.type(k)), bits.type(255))
            places = builder.bitcast(builder.gep(bits_of, [builder.mul(eight, eight.type(8))]), few.as_pointer())
            places = builder.zext(builder.load(places, align=1), many)
            start = builder.trunc(builder.add(first, first.type(k)), many.element)
            start = builder.insert_element(ir.Constant(many, ir.Undefined), start, ir.IntType(32)(0))
            start = builder.shuffle_vector(start, start, ir.Constant(many, [0] * 8))
            at = builder.load(count)
            to = builder.bitcast(builder.gep(where, [at]), many.as_pointer())
            builder.store(builder.add(places, start), to, align=4)
            builder.store(builder.add(at, builder.ctpop(eight)), count)
    return builder.load(count)


def _emit_3x3(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `_3x3`: load y, loop over the list, store y."""
    of = Vectors(context, builder, sig, args)
    y, x, places, a, where = (of.data(i) for i in (0, 3, 6, 7, 9))
    (y0, yr), (x0, xr), a0, count = args[1:3], args[4:6], args[8], args[10]
    parts = [(r, v * of.lanes) for r in range(3) for v in range(3)]
    rows = of.registers([of.load(y, of.index(y0, (yr, r), (1, v))) for r, v in parts])
    with cgutils.for_range(builder, count) as loop:
        k = builder.zext(builder.load(builder.gep(where, [loop.index])), a0.type)
        number = of.broadcast(builder.load(builder.gep(a, [builder.add(a0, k)])))
        at = builder.add(x0, builder.load(builder.gep(places, [k])))
        for (r, v), part in zip(parts, rows):
            z = of.load(x, of.index(at, (xr, r), (1, v)))
            builder.store(of.fma(number, z, builder.load(part)), part)
    for (r, v), part in zip(parts, rows):
        of.store(builder.load(part), y, of.index(y0, (yr, r), (1, v)))
    return context.get_dummy_value()


def _plain_listed(a, a0, vectors, bits_of, where):
    """The numbers k with a[a0 + k] other than 0, k below so many vectors' lanes: to the list; how many they are."""
    found = np.flatnonzero(a[a0 : a0 + vectors * (WIDTH // a.itemsize)])
    where[: found.size] = found
    return found.size


def _plain_3x3(y, y0, yr, x, x0, xr, places, a, a0, where, count):
    """y[y0 + r yr + l] += a[a0 + k] x[x0 + r xr + places[k] + l] for r < 3, three vectors l, the listed k."""
    lanes = 3 * WIDTH // y.itemsize
    for k in where[:count]:
        for r in range(3):
            y[y0 + r * yr :][:lanes] += a[a0 + k] * x[x0 + r * xr + places[k] :][:lanes]


def _emitted() -> tuple[Any, Any]:
    """`_listed` and `_3x3`: LLVM intrinsics, or their plain twins."""
    if not ENABLED:
        return _plain_listed, _plain_3x3

    @intrinsic
    def listed(typing, a, a0, vectors, bits_of, where):
        return types.intp(a, types.intp, types.intp, bits_of, where), _emit_listed

    @intrinsic
    def rows(typing, y, y0, yr, x, x0, xr, places, a, a0, where, count):
        n = types.intp
        return types.void(y, n, n, x, n, n, places, a, n, where, n), _emit_3x3

    return listed, rows


_listed, _3x3 = _emitted()


@kernel
def _nonzero(a, a0, n, where):
    """`_listed` for any n numbers. The list has room for them and eight more."""
    whole = n - n % (WIDTH // a.itemsize)
    count = _listed(a, a0, n // (WIDTH // a.itemsize), BITS, where)
    for k in range(whole, n):
        where[count] = k
        count += a[a0 + k] != 0
    return count


@kernel
def kernel_gradient(team, x, dy, down, across, high, wide, sh, sw, dw):
    """dw[p, o, di, dj, c] = sum_{b, i, j} xp[i sh + di, j sw + dj, c] dy[b, o, i, j], samples in their order.

    dw (parts p of the batch, O, 3, 3, C), parts not empty. Threads share the parts, or else the channels o.
    """
    parts, O = dw.shape[:2]
    work = task(_kernel_gradient, (x, dy, down, across, high, wide, sh, sw, dw))
    share(team, parts * O, O if parts > 1 else 1, work)


@kernel
def _kernel_gradient(begin, end, x, dy, down, across, high, wide, sh, sw, dw):
    (O, _, _, C), (B, _, Ho, Wo), lanes = dw.shape[1:], dy.shape, WIDTH // x.itemsize
    row, pixels, xs = wide * C, Ho * Wo, buffer(high * wide * C, x)
    xs[:], xp, flat, out = 0, xs.reshape((1, high, wide, C)), dy.reshape(-1), dw.reshape(-1)
    places, where = _places(Ho, Wo, sh * row, sw * C), np.empty(pixels + 8, np.uint32)
    for p in range(begin // O, -(-end // O)):
        left, right, top = max(begin - p * O, 0), min(end - p * O, O), p * B // len(dw)
        dw[p, left:right] = 0
        for n in range(top, (p + 1) * B // len(dw)):
            channels.last(x[n : n + 1], down, across, xp)
            for o in range(left, right):
                dy0, dw0 = (n * O + o) * pixels, (p * O + o) * 9 * C
                count = _nonzero(flat, dy0, pixels, where)
                for v in range(0, 3 * C, 3 * lanes):
                    _3x3(out, dw0 + v, 3 * C, xs, v, row, places, flat, dy0, where, count)


@kernel
def input_gradient(team, dy, w, sh, sw, high, wide, down, across, dx):
    """dx[n, c, i, j] = dxp[n, r + i, s + j, c] for the runs of dxp, of high x wide pixels; w (O, 3, 3, C)."""
    share(team, len(dy), 1, task(_input_gradient, (dy, w, sh, sw, high, wide, down, across, dx)))


@kernel
def _input_gradient(begin, end, dy, w, sh, sw, high, wide, down, across, dx):
    (O, Ho, Wo), (C, H, W), lanes, ws = dy.shape[1:], dx.shape[1:], WIDTH // dy.itemsize, w.reshape(-1)
    row, pixels, dxp, inside = wide * C, Ho * Wo, buffer(high * wide * C, dy), buffer(H * W * C, dy)
    g, dys, out = buffer(pixels * O, dy), dy.reshape(-1), dx.reshape(-1)
    places, kernels, where = _places(Ho, Wo, sh * row, sw * C), _places(1, O, 0, 9 * C), np.empty(O + 8, np.uint32)
    for n in range(begin, end):
        dxp[:] = 0
        channels.transpose(dys, n * O * pixels, pixels, O, pixels, g, 0, O)
        for q in range(pixels):
            count = _nonzero(g, q * O, O, where)
            for v in range(0, 3 * C, 3 * lanes):
                _3x3(dxp, places[q] + v, row, ws, v, 3 * C, kernels, g, q * O, where, count)
        channels.pad(dxp, wide, C, down, across, inside, W)  # backwards: without the frame
        channels.transpose(inside, 0, C, H * W, C, out, n * C * H * W, H * W)


@kernel
def _places(rows, columns, down, across):
    """i down + j across for all i < rows, j < columns."""
    places = np.empty(rows * columns, np.int64)
    for k in range(places.size):
        places[k] = k // columns * down + k % columns * across
    return places
