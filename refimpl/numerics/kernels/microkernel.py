"""One register tile for convolution forward, its input gradient and its kernel gradient.

All three are the same sum. With output channels (or input channels) as *lanes* of vector registers,

    C[p, :] += sum_{r < rows} sum_{k < depth} A[a0 + r ar + p ap + k ak] * B[b0 + r br + k bk, :]

is a matrix product whose operands are read in place through strides ("implicit GEMM"):

=================  ====================  =============================  ==========================
map                p counts              A is read along r, k           B
=================  ====================  =============================  ==========================
forward            pixels of a row       kernel rows; (dj, c)           kernel  (di, dj, c; o)
input gradient     pixels of a row       one; output channels o         kernel  (di, dj, o; c)
kernel gradient    entries (dj, c)       image rows; pixels of a row    dy      (i, j; o)
=================  ====================  =============================  ==========================

`_tile` keeps P x V accumulators in registers over the whole double sum: each step loads V vectors of B,
broadcasts P scalars of A and does P * V fused multiply-adds. Compilers do not keep such a tile in registers
when it is written as plain loops, so its loop body is emitted through LLVM's own vector type; LLVM breaks
wide vectors up on machines without them. With ``REFIMPL_JIT=0`` a plain Python tile of the same meaning runs.

The images of one sample are copied into a channels-last buffer through index maps (`rows`, `cols`: which input
row or column stands at each padded place, -1 for a zero), so that zero, circular and no padding are one code.
Samples are independent and summed in order: results do not depend on how a batch is split among threads.
"""

from typing import Any

import numpy as np

from refimpl.numerics.jit import ENABLED, kernel

Array = np.ndarray
CACHED = 24 * 1024  # bytes of the kernel that should stay in the first cache

if ENABLED:
    import llvmlite.binding as llvm
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    WIDTH = 64 if llvm.get_host_cpu_features().get("avx512f") else 32  # bytes of a vector
else:
    WIDTH = 64


def lanes_of(dtype: np.dtype) -> int:
    """Numbers in one vector."""
    return WIDTH // np.dtype(dtype).itemsize


def _emit(context: Any, builder: Any, sig: Any, args: Any, P: int, V: int) -> Any:
    """LLVM code of the tile: load C, loop over (r, k), store C."""
    C, A, B = (context.make_array(sig.args[i])(context, builder, args[i]).data for i in (0, 3, 8))
    (c0, cp), (a0, ar, ap, ak), (b0, br, bk, rows, depth) = args[1:3], args[4:8], args[9:14]
    scalar, size = context.get_data_type(sig.args[0].dtype), sig.args[0].dtype.bitwidth // 8
    lanes = WIDTH // size
    vector = ir.VectorType(scalar, lanes)
    fma_type = ir.FunctionType(vector, [vector] * 3)
    fma = cgutils.get_or_insert_function(builder.module, fma_type, f"llvm.fma.v{lanes}f{8 * size}")
    int32 = ir.IntType(32)
    nowhere, first = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(int32, lanes), [0] * lanes)

    def index(base: Any, stride: Any, i: int | Any) -> Any:
        return builder.add(base, builder.mul(stride, ir.Constant(args[1].type, i) if isinstance(i, int) else i))

    def place(base: Any, offset: Any) -> Any:
        return builder.bitcast(builder.gep(base, [offset]), vector.as_pointer())

    def broadcast(x: Any) -> Any:
        return builder.shuffle_vector(builder.insert_element(nowhere, x, ir.Constant(int32, 0)), nowhere, first)

    one = ir.Constant(args[1].type, 1)
    where = [[index(index(c0, cp, p), one, v * lanes) for v in range(V)] for p in range(P)]
    tile = [[cgutils.alloca_once(builder, vector) for v in range(V)] for p in range(P)]  # registers, after LLVM's SROA
    for p in range(P):
        for v in range(V):
            builder.store(builder.load(place(C, where[p][v]), align=size), tile[p][v])
    with cgutils.for_range(builder, rows) as r, cgutils.for_range(builder, depth) as k:
        a, b = index(index(a0, ar, r.index), ak, k.index), index(index(b0, br, r.index), bk, k.index)
        w = [builder.load(place(B, index(b, one, v * lanes)), align=size) for v in range(V)]
        for p in range(P):
            x = broadcast(builder.load(builder.gep(A, [index(a, ap, p)])))
            for v in range(V):
                builder.store(builder.call(fma, [x, w[v], builder.load(tile[p][v])]), tile[p][v])
    for p in range(P):
        for v in range(V):
            builder.store(builder.load(tile[p][v]), place(C, where[p][v]), align=size)
    return context.get_dummy_value()


def _tile(P: int, V: int) -> Any:
    """The tile of P scalars by V vectors: an LLVM intrinsic, or its plain twin."""
    if not ENABLED:
        return lambda *args: _plain(P, V, *args)

    @intrinsic
    def tile(typing, c, c0, cp, a, a0, ar, ap, ak, b, b0, br, bk, rows, depth):
        n = types.intp
        sig = types.void(c, n, n, a, n, n, n, n, b, n, n, n, n, n)
        return sig, lambda context, builder, s, args: _emit(context, builder, s, args, P, V)

    return tile


def _plain(P, V, c, c0, cp, a, a0, ar, ap, ak, b, b0, br, bk, rows, depth):
    """C[p, :] += sum_r sum_k A[a0 + r ar + p ap + k ak] B[b0 + r br + k bk, :], as it is written."""
    c, a, b, width = c.reshape(-1), a.reshape(-1), b.reshape(-1), V * WIDTH // c.itemsize
    for p in range(P):
        for r in range(rows):
            for k in range(depth):
                at = b0 + r * br + k * bk
                c[c0 + p * cp :][:width] += a[a0 + r * ar + p * ap + k * ak] * b[at : at + width]


_14x2, _4x2, _1x2 = _tile(14, 2), _tile(4, 2), _tile(1, 2)
_14x1, _4x1, _1x1 = _tile(14, 1), _tile(4, 1), _tile(1, 1)


@kernel
def _panel(c, c0, cp, a, a0, ar, ap, ak, b, b0, br, bk, rows, depth, pixels, two):
    """The sum above for any number of pixels and a panel of two vectors, or of one."""
    p = 0
    while p < pixels:
        cc, aa = c0 + p * cp, a0 + p * ap
        if pixels - p >= 14:
            if two:
                _14x2(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
            else:
                _14x1(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
            p += 14
        elif pixels - p >= 4:
            if two:
                _4x2(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
            else:
                _4x1(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
            p += 4
        else:
            if two:
                _1x2(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
            else:
                _1x1(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
            p += 1


@kernel
def _buffer(n, like):
    """n numbers in like's dtype at an address that is a multiple of `WIDTH`: no vector straddles two cache lines."""
    raw = np.empty(n + WIDTH, like.dtype)
    start = (-raw.ctypes.data % WIDTH) // raw.itemsize
    return raw[start : start + n]


@kernel
def _channels_last(x, rows, cols, out):
    """out[i, j, c] = x[c, rows[i], cols[j]] where both indices are >= 0; elsewhere out keeps its zeros."""
    for i in range(len(rows)):
        if rows[i] >= 0:
            for c in range(x.shape[0]):
                source = x[c, rows[i]]
                for j in range(len(cols)):
                    if cols[j] >= 0:
                        out[i, j, c] = source[cols[j]]


@kernel
def forward(x, w, bias, rows, cols, sh, sw, y):
    """y[b, o, i, j] = bias[o] + sum_{di, dj, c} xp[i sh + di, j sw + dj, c] w[v, di, dj, c, o] for the padded image xp.

    x (B, C, H, W); w (panels v, kh, kw, C, width), see `panels`; y (B, O, Ho, Wo).
    """
    V, kh, kw, C, width = w.shape
    B, O, Ho, Wo = y.shape
    two = width * x.itemsize > WIDTH
    xp, out = np.zeros((len(rows), len(cols), C), x.dtype), _buffer(Ho * Wo * width, x).reshape((Ho, Wo, width))
    row, line, step = len(cols) * C, Wo * width, kw * C * width
    together = max(1, min(kh, CACHED // (step * x.itemsize)))  # kernel rows whose part of w stays in the first cache
    for n in range(B):
        _channels_last(x[n], rows, cols, xp)
        for v in range(V):
            out[:] = 0
            for di in range(0, kh, together):
                at, rest = (v * kh + di) * kw * C * width, min(together, kh - di)
                for i in range(Ho):
                    a0 = (i * sh + di) * row
                    _panel(out, i * line, width, xp, a0, row, sw * C, 1, w, at, step, width, rest, kw * C, Wo, two)
            for i in range(Ho):
                for o in range(v * width, min(v * width + width, O)):
                    target = y[n, o, i]
                    for j in range(Wo):
                        target[j] = out[i, j, o - v * width] + bias[o]


@kernel
def input_gradient(dy, w, rows, cols, sh, sw, dx):
    """dxp[i sh + di, j sw + dj, c] += sum_o dy[i, j, o] w[v, di, dj, o, c], then the adjoint of the padding.

    dy (B, O, Ho, Wo); w (panels v, kh, kw, O, width); dx (B, C, H, W) starts at zero.
    """
    V, kh, kw, O, width = w.shape
    B, _, Ho, Wo = dy.shape
    C, two = dx.shape[1], width * dy.itemsize > WIDTH
    dxp = _buffer(len(rows) * len(cols) * width, dy).reshape((len(rows), len(cols), width))
    g = np.empty((Ho, Wo, O), dy.dtype)
    down, across = np.arange(Ho), np.arange(Wo)
    for n in range(B):
        _channels_last(dy[n], down, across, g)
        for v in range(V):
            dxp[:] = 0
            for di in range(kh):
                for i in range(Ho):
                    for dj in range(kw):
                        c0 = ((i * sh + di) * len(cols) + dj) * width
                        b0 = ((v * kh + di) * kw + dj) * O * width
                        _panel(dxp, c0, sw * width, g, i * Wo * O, 0, O, 1, w, b0, 0, width, 1, O, Wo, two)
            for i in range(len(rows)):
                if rows[i] >= 0:
                    for c in range(v * width, min(v * width + width, C)):
                        target = dx[n, c, rows[i]]
                        for j in range(len(cols)):
                            if cols[j] >= 0:
                                target[cols[j]] += dxp[i, j, c - v * width]


@kernel
def kernel_gradient(x, dy, rows, cols, sh, sw, dw):
    """dw[v, di, dj, c, o] += sum_{b, i, j} xp[i sh + di, j sw + dj, c] dy[b, v, o, i, j], samples in their order.

    dw (panels v, kh, kw, C, width) starts at zero.
    """
    V, kh, kw, C, width = dw.shape
    B, O, Ho, Wo = dy.shape
    two = width * x.itemsize > WIDTH
    xp, g = np.zeros((len(rows), len(cols), C), x.dtype), _buffer(Ho * Wo * width, x).reshape((Ho, Wo, width))
    row, down, across = len(cols) * C, np.arange(Ho), np.arange(Wo)
    for n in range(B):
        _channels_last(x[n], rows, cols, xp)
        for v in range(V):
            part = dy[n, v * width : min(v * width + width, O)]
            if len(part) < width:
                g[:] = 0
            _channels_last(part, down, across, g)
            for di in range(kh):
                c0 = (v * kh + di) * kw * C * width
                _panel(dw, c0, width, xp, di * row, sh * row, 1, sw * C, g, 0, Wo * width, width, Ho, Wo, kw * C, two)


def panels(w: Array) -> Array:
    """(kh, kw, A, O) -> (panels, kh, kw, A, width): the last axis in panels of two vectors (one where one will do)."""
    lanes = lanes_of(w.dtype)
    width = lanes if w.shape[-1] <= lanes else 2 * lanes
    shape = (-(-w.shape[-1] // width), *w.shape[:-1], width)
    out = _buffer(int(np.prod(shape)), w).reshape(shape)
    out[:] = 0
    for v in range(shape[0]):
        part = w[..., v * width : (v + 1) * width]
        out[v, ..., : part.shape[-1]] = part
    return out


def unpanel(w: Array, size: int) -> Array:
    """The inverse of `panels` for a last axis of the given size."""
    return np.moveaxis(w, 0, -2).reshape(*w.shape[1:-1], -1)[..., :size]
