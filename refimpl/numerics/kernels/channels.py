"""Images from channels first to channels last and back, by squares of vectors, and into padded images.

Padded images are made of runs of rows (``down``) and columns (``across``), see `pad`, so that zero, circular and no
padding are one code.
"""

from typing import Any

from refimpl.numerics.jit import ENABLED, kernel
from refimpl.numerics.kernels.team import share, span, task, units
from refimpl.numerics.kernels.vectors import WIDTH, Vectors, buffer, lanes_of

GRAIN = 1 << 14  # numbers that are worth another thread

if ENABLED:
    from numba import types
    from numba.extending import intrinsic


def _turned(of: Any, rows: list[Any]) -> list[Any]:
    """The columns of a square of L vectors of L numbers: exchange halves, quarters, ... of them in pairs."""
    d = of.lanes // 2
    while d:  # lane j of row i and lane i of row j differ in the same bits: exchange one bit at a time
        upper = [j + d if not j & d else of.lanes + j for j in range(of.lanes)]
        lower = [j if not j & d else of.lanes + j - d for j in range(of.lanes)]
        for i in (i for i in range(of.lanes) if not i & d):
            a, b = rows[i], rows[i + d]
            rows[i], rows[i + d] = of.shuffle(a, b, lower), of.shuffle(a, b, upper)
        d //= 2
    return rows


def _emit_square(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `_square`."""
    of = Vectors(context, builder, sig, args)
    dst, src = of.data(0), of.data(3)
    rows = [of.load(src, of.index(args[4], (args[5], i))) for i in range(of.lanes)]
    for i, part in enumerate(_turned(of, rows)):
        of.store(part, dst, of.index(args[1], (args[2], i)))
    return context.get_dummy_value()


def _emit_part(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `part_of_square`: the last row again instead of those that are not there."""
    of = Vectors(context, builder, sig, args)
    dst, src, (m, n) = of.data(0), of.data(3), args[6:]
    last = builder.sub(m, m.type(1))
    there = [builder.select(builder.icmp_signed("<", m.type(i), m), m.type(i), last) for i in range(of.lanes)]
    rows = [of.load(src, of.index(args[4], (args[5], i))) for i in there]
    for i, part in enumerate(_turned(of, rows)):
        with builder.if_then(builder.icmp_signed("<", n.type(i), n)):
            of.store(part, dst, of.index(args[1], (args[2], i)))
    return context.get_dummy_value()


def _squares() -> tuple[Any, Any]:
    """`_square` and `part_of_square`: LLVM intrinsics, or their plain twins."""
    if not ENABLED:
        return _plain_square, _plain_part

    @intrinsic
    def square(typing, dst, d0, ds, src, s0, ss):
        return types.void(dst, types.intp, types.intp, src, types.intp, types.intp), _emit_square

    @intrinsic
    def part(typing, dst, d0, ds, src, s0, ss, m, n):
        return types.void(dst, *[types.intp] * 2, src, *[types.intp] * 4), _emit_part

    return square, part


def _plain_square(dst, d0, ds, src, s0, ss):
    """dst[d0 + j ds + i] = src[s0 + i ss + j] for i, j < lanes of a vector."""
    _plain_part(dst, d0, ds, src, s0, ss, lanes_of(src.dtype), lanes_of(src.dtype))


def _plain_part(dst, d0, ds, src, s0, ss, m, n):
    """The same for i < m, j < n, but whole vectors are read and written: i from m on are anything."""
    for j in range(n):
        for i in range(lanes_of(src.dtype)):
            dst.reshape(-1)[d0 + j * ds + i] = src.reshape(-1)[s0 + min(i, m - 1) * ss + j]


_square, part_of_square = _squares()


@kernel
def transpose(src, s0, ss, m, n, dst, d0, ds):
    """dst[d0 + j ds + i] = src[s0 + i ss + j] for i < m, j < n, both flat: by squares of vectors, which may overlap."""
    lanes = WIDTH // src.itemsize
    if min(m, n) < lanes:
        for i in range(m):
            for j in range(n):
                dst[d0 + j * ds + i] = src[s0 + i * ss + j]
    else:
        for k in range(0, m, lanes):
            for l in range(0, n, lanes):
                i, j = min(k, m - lanes), min(l, n - lanes)
                _square(dst, d0 + j * ds + i, ds, src, s0 + i * ss + j, ss)


@kernel
def turn(team, src, ss, m, n, dst, d0, ds):
    """`transpose` from the start of src on, shared: parts are columns of dst."""
    lanes = WIDTH // src.itemsize
    share(team, units(m, lanes), units(GRAIN, lanes * max(1, n)), task(_turn, (src, ss, m, n, dst, d0, ds)))


@kernel
def _turn(low, high, src, ss, m, n, dst, d0, ds):
    first, last = span(low, high, WIDTH // src.itemsize, m)
    transpose(src.reshape(-1), first * ss, ss, last - first, n, dst.reshape(-1), d0 + first, ds)


@kernel
def pad(pixels, W, C, down, across, padded, wide):
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
def last(x, down, across, images):
    """images[n, p + i, q + j, :C] = x[n, :, r + i, s + j] for all runs, see `pad`; images (N, high, wide, >= C)."""
    C, H, W = x.shape[1:]
    wide, D = images.shape[2:]
    z, flat = buffer(H * W * D, x), x.reshape(-1)
    if D > C:
        z[:] = 0
    for n in range(len(x)):
        if D == 1:
            pad(x[n].reshape(-1), W, D, down, across, images[n].reshape(-1), wide)
        else:
            transpose(flat, n * C * H * W, H * W, C, H * W, z, 0, D)
            pad(z, W, D, down, across, images[n].reshape(-1), wide)


@kernel
def first(images, D, y):
    """y[n, o, i, j] = images[n, i, j, o], images flat with D >= O channels."""
    (N, O, H, W), flat = y.shape, y.reshape(-1)
    for n in range(N):
        transpose(images, n * H * W * D, D, H * W, O, flat, n * O * H * W, H * W)
