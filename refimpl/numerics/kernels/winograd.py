"""Winograd's minimal filtering F(4 x 4, 3 x 3): the three linear maps between pixels and the points of a tile.

The product of polynomials with 4 and 3 coefficients has 6: its values at 0, 1, -1, 2, -2 and its leading coefficient
determine it. With these values as rows, A^T of (6, 4) and G of (6, 3) (scaled to keep B integer), the correlation of 6
numbers d with a kernel g at 4 places, and its derivative in g, are

    y = A ((G g) . (B d)),      dg = G^T ((A^T dy) . (B d)),

with "." entry by entry: 6 products instead of 12. In two dimensions the matrices act on rows and on columns: 36 instead
of 144. Tiles of 6 x 6 pixels overlap by 2, tiles of 4 x 4 do not.

Vectors hold channels, so that all maps are emitted as sums of whole vectors in registers, with LLVM's vector type. With
``REFIMPL_JIT=0`` a plain Python map of the same meaning runs.
"""

from typing import Any

import numpy as np

from refimpl.numerics.jit import ENABLED, kernel
from refimpl.numerics.kernels import channels
from refimpl.numerics.kernels.microkernel import products
from refimpl.numerics.kernels.team import share, task
from refimpl.numerics.kernels.vectors import WIDTH, Vectors, buffer

A = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
B = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
G = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))  # over `SCALE`
SCALE = 24
CONSTANT = 7  # the point (1, 1) of 6 x 6, where A^T is 1 everywhere: what is added there is added to all 4 x 4 pixels

if ENABLED:
    from numba import types
    from numba.extending import intrinsic


def _emit(context: Any, builder: Any, sig: Any, args: Any, T: Any) -> Any:
    """LLVM code of the map: load the tile, apply T to rows, then to columns, store."""
    of = Vectors(context, builder, sig, args)
    dst, src, n = of.data(0), of.data(4), range(len(T[0]))

    def combine(row: Any, parts: Any) -> Any:
        (c, part), *rest = [(c, part) for c, part in zip(row, parts) if c]
        total = part if c == 1 else builder.fmul(of.same(c), part)
        for c, part in rest:
            total = of.fma(of.same(c), part, total)
        return total

    columns = [[of.load(src, of.index(args[5], (args[6], k), (args[7], l))) for k in n] for l in n]
    half = [[combine(row, column) for column in columns] for row in T]
    for i, line in enumerate(half):
        for j, row in enumerate(T):
            of.store(combine(row, line), dst, of.index(args[1], (args[2], i), (args[3], j)))
    return context.get_dummy_value()


def _map(T: tuple) -> Any:
    """dst[d0 + i dk + j dl] = sum_{k, l} T_ik T_jl src[s0 + k sk + l sl] for a vector of consecutive entries."""
    if not ENABLED:
        return lambda *args: _plain(np.array(T), *args)

    @intrinsic
    def tile(typing, dst, d0, dk, dl, src, s0, sk, sl):
        n = types.intp
        sig = types.void(dst, n, n, n, src, n, n, n)
        return sig, lambda context, builder, s, args: _emit(context, builder, s, args, T)

    return tile


def _plain(T, dst, d0, dk, dl, src, s0, sk, sl):
    """The map, as it is written."""
    lanes, (m, n) = WIDTH // dst.itemsize, T.shape
    d = np.array([[src.reshape(-1)[s0 + k * sk + l * sl :][:lanes] for l in range(n)] for k in range(n)])
    for i in range(m):
        for j in range(m):
            value = np.einsum("k,l,klc->c", T[i], T[j], d)
            dst.reshape(-1)[d0 + i * dk + j * dl :][:lanes] = value


_B, _A, _At, _G, _Gt = _map(B), _map(A), _map(tuple(zip(*A))), _map(G), _map(tuple(zip(*G)))


@kernel
def kernel_points(w, U):
    """U (6, 6, C, P) = G w G^T for kernels w (3, 3, C, P), P a multiple of the vector's lanes."""
    n = w.shape[2] * w.shape[3]
    for at in range(0, n, WIDTH // w.itemsize):
        _G(U, at, 6 * n, n, w, at, 3 * n, n)


@kernel
def kernel_of_points(U, w):
    """w (3, 3, C, P) = G^T U G, the adjoint."""
    n = w.shape[2] * w.shape[3]
    for at in range(0, n, WIDTH // w.itemsize):
        _Gt(w, at, 3 * n, n, U, at, 6 * n, n)


@kernel
def _to_points(images, rows, columns, overlap, points):
    """points (tiles, 37, C) = B d B^T of the tiles of 6 x 6 pixels (overlap) or A^T d A of those of 4 x 4.

    images are (N, high, wide, C) with C a multiple of the vector's lanes; row 36 of points is left alone: it keeps
    one point of all tiles from lying in one set of the cache.
    """
    high, wide, C = images.shape[1:]
    for tile in range(len(points)):
        n, t, u = tile // (rows * columns), tile // columns % rows, tile % columns
        for c in range(0, C, WIDTH // images.itemsize):
            d0, s0 = tile * 37 * C + c, ((n * high + 4 * t) * wide + 4 * u) * C + c
            if overlap:
                _B(points, d0, 6 * C, C, images, s0, wide * C, C)
            else:
                _At(points, d0, 6 * C, C, images, s0, wide * C, C)


@kernel
def _to_pixels(points, rows, columns, high, wide, pixels):
    """pixels (flat, of images (high, wide, C)) = A M A^T of all tiles (tiles, 37, C).

    Tiles that reach beyond the right or lower edge write into the next row or image, and are overwritten by it: rows
    of tiles come from left to right last to first. The end of pixels has room for the last ones.
    """
    C = points.shape[2]
    for line in range(len(points) // columns):
        n, t = line // rows, line % rows
        for u in range(columns - 1, -1, -1):
            for c in range(0, C, WIDTH // points.itemsize):
                d0 = ((n * high + 4 * t) * wide + 4 * u) * C + c
                _A(pixels, d0, wide * C, C, points, (line * columns + u) * 37 * C + c, 6 * C, C)


@kernel
def _memory(x, few, rows, columns, overlap):
    """Padded images of zeros for a few samples, channels filled up to whole vectors, and the points of their tiles."""
    lanes, high, wide = WIDTH // x.itemsize, 4 * rows + overlap, 4 * columns + overlap
    D = -(-x.shape[1] // lanes) * lanes
    images = buffer(few * high * wide * D, x).reshape((few, high, wide, D))
    images[:] = 0
    return images, buffer(few * rows * columns * 37 * D, x).reshape((few * rows * columns, 37, D))


@kernel
def forward(team, x, U, start, down, across, rows, columns, few, y):
    """y = A M A^T of all tiles, M = U . (B d B^T) summed over channels, a few samples at a time.

    x (B, C, H, W); the kernel's points U (36, C, O filled up); start (36, O filled up): what M starts from.
    """
    share(team, len(x), 1, task(_forward, (x, U, start, down, across, rows, columns, few, y)))


@kernel
def _forward(begin, end, x, U, start, down, across, rows, columns, few, y):
    x, y = x[begin:end], y[begin:end]
    (B, C), P, (high, wide) = x.shape[:2], U.shape[2], y.shape[2:]
    few = min(few, B)
    images, points = _memory(x, few, rows, columns, 2)
    D, M = points.shape[2], buffer(len(points) * 37 * P, x).reshape((len(points), 37, P))
    pixels = buffer(((few * high + 4) * wide + 4) * P, x)
    for i in range(0, B, few):
        n = min(few, B - i) * rows * columns
        channels.last(x[i : i + few], down, across, images)
        _to_points(images, rows, columns, 2, points[:n])
        products(start, P, 0, M, P, 37 * P, points, D, 37 * D, 1, U, C * P, P, C, n, P)
        _to_pixels(M[:n], rows, columns, high, wide, pixels)
        channels.first(pixels, P, y[i : i + few])


@kernel
def kernel_gradient(team, x, dy, down, across, below, beside, rows, columns, few, dU):
    """dU[p] (36, C, O filled up) += (A^T dy A) . (B d B^T), summed over tiles of part p of the batch."""
    share(team, len(dU), 1, task(_kernel_gradient, (x, dy, down, across, below, beside, rows, columns, few, dU)))


@kernel
def _kernel_gradient(begin, end, x, dy, down, across, below, beside, rows, columns, few, dU):
    (B, C), P, few = x.shape[:2], dU.shape[3], max(1, min(few, -(-len(x) // len(dU))))
    images, points = _memory(x, few, rows, columns, 2)
    slopes, others = _memory(dy, few, rows, columns, 0)
    D = points.shape[2]
    for p in range(begin, end):
        stop = (p + 1) * B // len(dU)
        for i in range(p * B // len(dU), stop, few):
            k = min(few, stop - i)
            n = k * rows * columns
            channels.last(x[i : i + k], down, across, images)
            _to_points(images, rows, columns, 2, points[:n])
            channels.last(dy[i : i + k], below, beside, slopes)
            _to_points(slopes, rows, columns, 0, others[:n])
            products(dU[p], C * P, P, dU[p], C * P, P, points, D, 1, 37 * D, others, P, 37 * P, n, C, P)
