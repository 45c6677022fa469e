"""One register tile for convolutions (`kernels.tiled`) and small products of matrices.

Both convolution forward and its kernel gradient are one sum. With output channels as *lanes* of vector registers,

    C[p, :] = S[s0 + p sp, :] + sum_{r < rows} sum_{k < depth} A[a0 + r ar + p ap + k ak] * B[b0 + r br + k bk, :]

is a matrix product whose operands are read in place through strides ("implicit GEMM"; S may be C, or one row, sp = 0):

    forward           p: pixels of a row;  A along r, k: kernel rows, (dj, c);           B: kernel (di, dj, c; o)
    kernel gradient   p: entries (dj, c);  A along r, k: image rows, pixels of a row;  B: dy (i, j; o)

`_tile` keeps P x V accumulators in registers over the whole double sum: each step loads V vectors of B,
broadcasts P scalars of A and does P * V fused multiply-adds. Compilers do not keep such a tile in registers
when it is written as plain loops, so its loop body is emitted through LLVM's own vector type; LLVM breaks
wide vectors up on machines without them. Every fourth p has a pointer of its own, which empty assembly hides from
LLVM: it would compute the P addresses by one chain of additions, which takes longer than the products. With
``REFIMPL_JIT=0`` a plain Python tile of the same meaning runs.
"""

from typing import Any

from refimpl.numerics.jit import ENABLED, kernel
from refimpl.numerics.kernels.vectors import WIDTH, Vectors

if ENABLED:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic


def _emit(context: Any, builder: Any, sig: Any, args: Any, P: int, V: int) -> Any:
    """LLVM code of the tile: load S, loop over (r, k), store C."""
    of = Vectors(context, builder, sig, args)
    C, S, A, B = (of.data(i) for i in (0, 3, 6, 11))
    (a0, ar, ap, ak), (b0, br, bk, rows, depth) = args[7:11], args[12:17]
    where, start = (
        [of.index(at, (step, p), (1, v * of.lanes)) for p in range(P) for v in range(V)]
        for at, step in (args[1:3], args[4:6])
    )
    tile = of.registers([of.load(S, at) for at in start])
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
    def tile(typing, c, c0, cp, s, s0, sp, a, a0, ar, ap, ak, b, b0, br, bk, rows, depth):
        n = types.intp
        sig = types.void(c, n, n, s, n, n, a, n, n, n, n, b, n, n, n, n, n)
        return sig, lambda context, builder, sig, args: _emit(context, builder, sig, args, P, V)

    return tile


def _plain(P, V, c, c0, cp, s, s0, sp, a, a0, ar, ap, ak, b, b0, br, bk, rows, depth):
    """C[p, :] = S[s0 + p sp, :] + sum_r sum_k A[a0 + r ar + p ap + k ak] B[b0 + r br + k bk, :], as it is written."""
    c, s, a, b, width = c.reshape(-1), s.reshape(-1), a.reshape(-1), b.reshape(-1), V * WIDTH // c.itemsize
    for p in range(P):
        total = s[s0 + p * sp :][:width].copy()
        for r in range(rows):
            for k in range(depth):
                at = b0 + r * br + k * bk
                total += a[a0 + r * ar + p * ap + k * ak] * b[at : at + width]
        c[c0 + p * cp :][:width] = total


_14x2, _4x2, _3x2, _1x2 = (_tile(P, 2) for P in (14, 4, 3, 1))
_14x1, _4x1, _3x1, _1x1 = (_tile(P, 1) for P in (14, 4, 3, 1))


@kernel
def panel(c, c0, cp, s, s0, sp, a, a0, ar, ap, ak, b, b0, br, bk, rows, depth, pixels, two):
    """The sum above for any number of pixels and a panel of two vectors, or of one."""
    p = 0
    while p < pixels:
        P, cc, ss, aa = pixels - p, c0 + p * cp, s0 + p * sp, a0 + p * ap
        P = 14 if P >= 14 else (4 if P >= 4 else (3 if P == 3 else 1))
        if P == 14 and two:
            _14x2(c, cc, cp, s, ss, sp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        elif P == 4 and two:
            _4x2(c, cc, cp, s, ss, sp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        elif P == 3 and two:
            _3x2(c, cc, cp, s, ss, sp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        elif two:
            _1x2(c, cc, cp, s, ss, sp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        elif P == 14:
            _14x1(c, cc, cp, s, ss, sp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        elif P == 4:
            _4x1(c, cc, cp, s, ss, sp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        elif P == 3:
            _3x1(c, cc, cp, s, ss, sp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        else:
            _1x1(c, cc, cp, s, ss, sp, a, aa, ar, ap, ak, b, b0, br, bk, rows, depth)
        p += P


@kernel
def products(start, n, sp, c, cs, cp, a, as_, ap, ak, b, bs, bk, depth, pixels, width):
    """c[s cs + p cp + l] = start[s n + p sp + l] + sum_{k < depth} a[s as + p ap + k ak] b[s bs + k bk + l], s < 36.

    For all p < pixels and l < width, a multiple of the vector's lanes.
    """
    lanes, c, start, a, b = WIDTH // c.itemsize, c.reshape(-1), start.reshape(-1), a.reshape(-1), b.reshape(-1)
    for s in range(36):
        for v in range(0, width, 2 * lanes):
            two, c0, s0 = v + 2 * lanes <= width, s * cs + v, s * n + v
            panel(c, c0, cp, start, s0, sp, a, s * as_, 0, ap, ak, b, s * bs + v, 0, bk, 1, depth, pixels, two)
