"""Both gradients of a 3 x 3 convolution where most of dy is 0, as it is behind max pooling: they skip the zeros.

A number dy[n, o, i, j] meets three rows of three pixels, with images and kernels channels last:

    dw[o, di, (dj, c)]                 +=  dy[n, o, i, j]  xp[n, i sh + di, (j sw + dj, c)]    all pixels, then all n
    dxp[n, i sh + di, (j sw + dj, c)]  +=  dy[n, o, i, j]  w[o, di, (dj, c)]                   all o, then all pixels

Numbers other than 0 are listed by `_listed`, a vector at a time: the bits of a comparison say which ones they are.
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

if ENABLED:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic


def _emit_listed(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `_listed`: the lowest bits first, always so many as half a vector has, and the others if any."""
    of = Vectors(context, builder, sig, args)
    a, where = of.data(0), of.data(3)
    (a0, vectors), half = args[1:3], of.lanes // 2
    count = cgutils.alloca_once_value(builder, a0.type(0))

    def write(bits: Any, first: Any, at: Any) -> Any:
        for i in range(half):
            k = builder.add(first, builder.cttz(bits, ir.IntType(1)(0)))
            builder.store(k, builder.gep(where, [of.index(at, (1, i))]))
            bits = builder.and_(bits, builder.sub(bits, bits.type(1)))
        return bits

    with cgutils.for_range(builder, vectors) as loop:
        first, at = builder.mul(loop.index, a0.type(of.lanes)), builder.load(count)
        bits = builder.fcmp_unordered("!=", of.load(a, builder.add(a0, first)), of.same(0))
        bits = builder.zext(builder.bitcast(bits, ir.IntType(of.lanes)), at.type)
        builder.store(builder.add(at, builder.ctpop(bits)), count)
        others = write(bits, first, at)
        with builder.if_then(builder.icmp_unsigned("!=", others, others.type(0)), likely=False):
            write(others, first, builder.add(at, at.type(half)))
    return builder.load(count)


def _emit_3x3(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `_3x3`: load y, loop over the list, store y."""
    of = Vectors(context, builder, sig, args)
    y, x, places, a, where = (of.data(i) for i in (0, 3, 6, 7, 9))
    (y0, yr), (x0, xr), a0, count = args[1:3], args[4:6], args[8], args[10]
    parts = [(r, v * of.lanes) for r in range(3) for v in range(3)]
    rows = of.registers([of.load(y, of.index(y0, (yr, r), (1, v))) for r, v in parts])
    with cgutils.for_range(builder, count) as loop:
        k = builder.load(builder.gep(where, [loop.index]))
        number = of.broadcast(builder.load(builder.gep(a, [builder.add(a0, k)])))
        at = builder.add(x0, builder.load(builder.gep(places, [k])))
        for (r, v), part in zip(parts, rows):
            z = of.load(x, of.index(at, (xr, r), (1, v)))
            builder.store(of.fma(number, z, builder.load(part)), part)
    for (r, v), part in zip(parts, rows):
        of.store(builder.load(part), y, of.index(y0, (yr, r), (1, v)))
    return context.get_dummy_value()


def _plain_listed(a, a0, vectors, where):
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
    def listed(typing, a, a0, vectors, where):
        return types.intp(a, types.intp, types.intp, where), _emit_listed

    @intrinsic
    def rows(typing, y, y0, yr, x, x0, xr, places, a, a0, where, count):
        n = types.intp
        return types.void(y, n, n, x, n, n, places, a, n, where, n), _emit_3x3

    return listed, rows


_listed, _3x3 = _emitted()


@kernel
def _nonzero(a, a0, n, where):
    """`_listed` for any n numbers. The list has room for them and for a vector's lanes."""
    whole = n - n % (WIDTH // a.itemsize)
    count = _listed(a, a0, n // (WIDTH // a.itemsize), where)
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
    places, where = _places(Ho, Wo, sh * row, sw * C), np.empty(pixels + lanes, np.int64)
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
def input_gradient(team, dy, w, sh, sw, high, wide, top, left, dx):
    """dx[n, c, i, j] = dxp[n, top + i, left + j, c] for dxp of high x wide pixels; w (O, 3, 3, C)."""
    share(team, len(dy), 1, task(_input_gradient, (dy, w, sh, sw, high, wide, top, left, dx)))


@kernel
def _input_gradient(begin, end, dy, w, sh, sw, high, wide, top, left, dx):
    (O, Ho, Wo), (C, H, W), lanes, ws = dy.shape[1:], dx.shape[1:], WIDTH // dy.itemsize, w.reshape(-1)
    row, pixels, dxp, inside = wide * C, Ho * Wo, buffer(high * wide * C, dy), buffer(H * W * C, dy)
    g = buffer(pixels * O, dy)
    places, kernels, where = _places(Ho, Wo, sh * row, sw * C), _places(1, O, 0, 9 * C), np.empty(O + lanes, np.int64)
    for n in range(begin, end):
        dxp[:] = 0
        channels.transpose(dy, n * O * pixels, pixels, O, pixels, g, 0, O)
        for q in range(pixels):
            count = _nonzero(g, q * O, O, where)
            for v in range(0, 3 * C, 3 * lanes):
                _3x3(dxp, places[q] + v, row, ws, v, 3 * C, kernels, g, q * O, where, count)
        for i in range(H):
            source = dxp[(top + i) * row + left * C :]
            for k in range(W * C):
                inside[i * W * C + k] = source[k]
        channels.transpose(inside, 0, C, H * W, C, dx, n * C * H * W, H * W)


@kernel
def _places(rows, columns, down, across):
    """i down + j across for all i < rows, j < columns."""
    places = np.empty(rows * columns, np.int64)
    for k in range(places.size):
        places[k] = k // columns * down + k % columns * across
    return places
