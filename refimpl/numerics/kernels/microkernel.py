"""One register tile for convolution forward and its kernel gradient; the input gradient is a forward pass, too.

Both are the same sum. With output channels as *lanes* of vector registers,

    C[p, :] += sum_{r < rows} sum_{k < depth} A[a0 + r ar + p ap + k ak] * B[b0 + r br + k bk, :]

is a matrix product whose operands are read in place through strides ("implicit GEMM"):

    forward           p: pixels of a row;  A along r, k: kernel rows, (dj, c);           B: kernel (di, dj, c; o)
    kernel gradient   p: entries (dj, c);  A along r, k: image rows, pixels of a row;  B: dy (i, j; o)

`_tile` keeps P x V accumulators in registers over the whole double sum: each step loads V vectors of B,
broadcasts P scalars of A and does P * V fused multiply-adds. Compilers do not keep such a tile in registers
when it is written as plain loops, so its loop body is emitted through LLVM's own vector type; LLVM breaks
wide vectors up on machines without them. Every fourth p has a pointer of its own, which empty assembly hides from
LLVM: it would compute the P addresses by one chain of additions, which takes longer than the products. With
``REFIMPL_JIT=0`` a plain Python tile of the same meaning runs.

The images of one sample are turned into channels-last pixels, squares of vectors at a time (`_square`), and copied
into a padded image by runs of rows (``down``) and columns (``across``), see `_pad`, so that zero, circular and no
padding are one code; sums leave out the rows of zeros above and below. Samples are independent and summed in order:
results do not depend on how a batch is split among threads.
"""

from typing import Any

import numpy as np

from refimpl.numerics.jit import ENABLED, kernel
from refimpl.numerics.kernels.vectors import WIDTH, Vectors, lanes_of

Array = np.ndarray
CACHED = 24 * 1024  # bytes of the kernel that should stay in the first cache

if ENABLED:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic


def _emit(context: Any, builder: Any, sig: Any, args: Any, P: int, V: int) -> Any:
    """LLVM code of the tile: load C, loop over (r, k), store C."""
    of = Vectors(context, builder, sig, args)
    C, A, B = of.data(0), of.data(3), of.data(8)
    (c0, cp), (a0, ar, ap, ak), (b0, br, bk, rows, depth) = args[1:3], args[4:8], args[9:14]
    where = [of.index(c0, (cp, p), (1, v * of.lanes)) for p in range(P) for v in range(V)]
    tile = of.registers([of.load(C, at) for at in where])
    fourth = [cgutils.alloca_once(builder, A.type) for _ in range(0, P, 4)]  # where every fourth p reads A
    hidden = ir.FunctionType(A.type, [A.type])
    with cgutils.for_range(builder, rows) as r:
        for i, at in enumerate(fourth):
            builder.store(builder.gep(A, [of.index(a0, (ar, r.index), (ap, 4 * i))]), at)
        with cgutils.for_range(builder, depth) as k:
            b = of.index(b0, (br, r.index), (bk, k.index))
            w = [of.load(B, of.index(b, (1, v * of.lanes))) for v in range(V)]
            for p in range(P):
                x = of.broadcast(
                    builder.load(builder.gep(builder.load(fourth[p // 4]), [builder.mul(ap, ap.type(p % 4))]))
                )
                for v, total in enumerate(tile[p * V : (p + 1) * V]):
                    builder.store(of.fma(x, w[v], builder.load(total)), total)
            for at in fourth:
                builder.store(builder.asm(hidden, "", "=r,0", [builder.gep(builder.load(at), [ak])], False), at)
    for total, at in zip(tile, where):
        of.store(builder.load(total), C, at)
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


def _emit_square(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `_square`: load L vectors, exchange halves, quarters, ... of them in pairs, store them."""
    of = Vectors(context, builder, sig, args)
    dst, src, lanes = of.data(0), of.data(3), of.lanes
    rows = [of.load(src, of.index(args[4], (args[5], i))) for i in range(lanes)]
    d = lanes // 2
    while d:  # lane j of row i and lane i of row j differ in the same bits: exchange one bit at a time
        upper = [j + d if not j & d else lanes + j for j in range(lanes)]
        lower = [j if not j & d else lanes + j - d for j in range(lanes)]
        for i in (i for i in range(lanes) if not i & d):
            a, b = rows[i], rows[i + d]
            rows[i], rows[i + d] = of.shuffle(a, b, lower), of.shuffle(a, b, upper)
        d //= 2
    for i, part in enumerate(rows):
        of.store(part, dst, of.index(args[1], (args[2], i)))
    return context.get_dummy_value()


def _turned() -> Any:
    """dst[d0 + j ds + i] = src[s0 + i ss + j] for i, j < lanes of a vector: an LLVM intrinsic, or its plain twin."""
    if not ENABLED:
        return _plain_square

    @intrinsic
    def square(typing, dst, d0, ds, src, s0, ss):
        return types.void(dst, types.intp, types.intp, src, types.intp, types.intp), _emit_square

    return square


def _plain_square(dst, d0, ds, src, s0, ss):
    """The square, as it is written."""
    lanes = lanes_of(src.dtype)
    for i in range(lanes):
        dst.reshape(-1)[d0 + i :][: lanes * ds : ds] = src.reshape(-1)[s0 + i * ss :][:lanes]


_square = _turned()
_14x2, _4x2, _3x2, _1x2 = (_tile(P, 2) for P in (14, 4, 3, 1))
_14x1, _4x1, _3x1, _1x1 = (_tile(P, 1) for P in (14, 4, 3, 1))


@kernel
def _panel(c, c0, cp, a, a0, ar, ap, ak, b, b0, br, bk, rows, depth, pixels, two):
    """The sum above for any number of pixels and a panel of two vectors, or of one."""
    p = 0
    while p < pixels:
        P, cc, aa = pixels - p, c0 + p * cp, a0 + p * ap
        P = 14 if P >= 14 else (4 if P >= 4 else (3 if P == 3 else 1))
        if P == 14 and two:
            _14x2(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        elif P == 4 and two:
            _4x2(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        elif P == 3 and two:
            _3x2(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        elif two:
            _1x2(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        elif P == 14:
            _14x1(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        elif P == 4:
            _4x1(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        elif P == 3:
            _3x1(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        else:
            _1x1(c, cc, cp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        p += P


@kernel
def _buffer(n, like):
    """n numbers in like's dtype at an address that is a multiple of `WIDTH`: no vector straddles two cache lines."""
    raw = np.empty(n + WIDTH, like.dtype)
    start = (-raw.ctypes.data % WIDTH) // raw.itemsize
    return raw[start : start + n]


@kernel
def transpose(src, s0, ss, m, n, dst, d0, ds):
    """dst[d0 + j ds + i] = src[s0 + i ss + j] for i < m, j < n: by squares of vectors, the last ones overlapping."""
    a, b, lanes = src.reshape(-1), dst.reshape(-1), WIDTH // src.itemsize
    if min(m, n) < lanes:
        for i in range(m):
            for j in range(n):
                b[d0 + j * ds + i] = a[s0 + i * ss + j]
    else:
        for k in range(0, m, lanes):
            for l in range(0, n, lanes):
                i, j = min(k, m - lanes), min(l, n - lanes)
                _square(dst, d0 + j * ds + i, ds, src, s0 + i * ss + j, ss)


@kernel
def _pad(pixels, W, C, down, across, padded, wide):
    """padded[p + i, q + j, :] = pixels[r + i, s + j, :] for all runs (p, r, length) down and (q, s, length) across.

    pixels (H, W, C) and padded (high, wide, C) are flat.
    """
    for u in range(len(down)):
        for i in range(down[u, 2]):
            for v in range(len(across)):
                source = pixels[((down[u, 1] + i) * W + across[v, 1]) * C :][: across[v, 2] * C]
                target = padded[((down[u, 0] + i) * wide + across[v, 0]) * C :]
                for k in range(source.size):
                    target[k] = source[k]


@kernel
def channels_last(x, down, across, images):
    """images[n, p + i, q + j, :C] = x[n, :, r + i, s + j] for all runs, see `_pad`; images (N, high, wide, >= C)."""
    C, H, W = x.shape[1:]
    wide, D = images.shape[2:]
    z = _buffer(H * W * D, x)
    z[:] = 0
    for n in range(len(x)):
        transpose(x, n * C * H * W, H * W, C, H * W, z, 0, D)
        _pad(z, W, D, down, across, images[n].reshape(-1), wide)


@kernel
def channels_first(images, D, y):
    """y[n, o, i, j] = images[n, i, j, o], images flat with D >= O channels."""
    N, O, H, W = y.shape
    for n in range(N):
        transpose(images, n * H * W * D, D, H * W, O, y, n * O * H * W, H * W)


@kernel
def products(start, c, cs, cp, a, as_, ap, ak, b, bs, bk, depth, pixels, width):
    """c[s cs + p cp + l] = start[s, l] + sum_{k < depth} a[s as + p ap + k ak] b[s bs + k bk + l] for all s, l < width.

    Without columns in start the sum is added to c.
    """
    lanes, flat = WIDTH // c.itemsize, c.reshape(-1)
    for s in range(len(start)):
        for p in range(pixels):
            row = flat[s * cs + p * cp :]
            for l in range(start.shape[1]):
                row[l] = start[s, l]
        for v in range(0, width, 2 * lanes):
            two = v + 2 * lanes <= width
            _panel(c, s * cs + v, cp, a, s * as_, 0, ap, ak, b, s * bs + v, 0, bk, 1, depth, pixels, two)


@kernel
def forward(x, w, bias, down, across, high, wide, sh, sw, y):
    """y[b, o, i, j] = bias[o] + sum_{di, dj, c} xp[i sh + di, j sw + dj, c] w[v, di, dj, c, o] for the padded image xp.

    x (B, C, H, W); w (panels v, kh, kw, C, width), see `panels`; bias (panels, width); xp has high x wide pixels;
    y (B, O, Ho, Wo).
    """
    V, kh, kw, C, width = w.shape
    B, O, Ho, Wo = y.shape
    H, W, pixels, two = x.shape[2], x.shape[3], Ho * Wo, width * x.itemsize > WIDTH
    row, line, step = wide * C, Wo * width, kw * C * width
    band = max(1, min(Ho, CACHED // (line * x.itemsize)))  # rows of y that stay in the first cache
    z, xp, out = _buffer(H * W * C, x), np.zeros(high * wide * C, x.dtype), _buffer(band * line, x)
    first, last = down[0, 0], down[-1, 0] + down[-1, 2]  # rows of xp that hold pixels
    together = max(1, min(kh, CACHED // (step * x.itemsize)))  # kernel rows whose part of w stays in the first cache
    for n in range(B):
        transpose(x, n * C * H * W, H * W, C, H * W, z, 0, C)
        _pad(z, W, C, down, across, xp, wide)
        for v in range(V):
            for top in range(0, Ho, band):
                rows, to = min(band, Ho - top), (n * O + v * width) * pixels + top * Wo
                for p in range(rows * Wo):
                    for l in range(width):
                        out[p * width + l] = bias[v, l]
                for di in range(0, kh, together):
                    for i in range(rows):
                        r = (top + i) * sh
                        u = max(di, first - r)
                        length = min(di + together, kh, last - r) - u
                        a0, at, c0 = (r + u) * row, (v * kh + u) * step, i * line
                        _panel(out, c0, width, xp, a0, row, sw * C, 1, w, at, step, width, length, kw * C, Wo, two)
                transpose(out, 0, width, rows * Wo, min(width, O - v * width), y, to, pixels)


@kernel
def kernel_gradient(x, dy, down, across, high, wide, sh, sw, dw):
    """dw[v, di, dj, c, o] += sum_{b, i, j} xp[i sh + di, j sw + dj, c] dy[b, v, o, i, j], samples in their order.

    dw (panels v, kh, kw, C, width) starts at zero.
    """
    V, kh, kw, C, width = dw.shape
    B, O, Ho, Wo = dy.shape
    H, W, row, pixels, two = x.shape[2], x.shape[3], wide * C, Ho * Wo, width * x.itemsize > WIDTH
    z, xp, g = _buffer(H * W * C, x), np.zeros(high * wide * C, x.dtype), _buffer(pixels * width, x)
    first, last = down[0, 0], down[-1, 0] + down[-1, 2]  # rows of xp that hold pixels
    g[:] = 0
    for n in range(B):
        transpose(x, n * C * H * W, H * W, C, H * W, z, 0, C)
        _pad(z, W, C, down, across, xp, wide)
        for v in range(V):
            transpose(dy, (n * O + v * width) * pixels, pixels, min(width, O - v * width), pixels, g, 0, width)
            for di in range(kh):
                c0 = (v * kh + di) * kw * C * width
                low = max(0, -(-(first - di) // sh))
                rows = min(Ho, -(-(last - di) // sh)) - low
                a0, b0 = (low * sh + di) * row, low * Wo * width
                _panel(dw, c0, width, xp, a0, sh * row, 1, sw * C, g, b0, Wo * width, width, rows, Wo, kw * C, two)


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
