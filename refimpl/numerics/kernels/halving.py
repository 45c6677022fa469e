"""Max pooling over windows of 2 x 2 pixels, 2 apart and without padding, and its adjoint: images of half the size.

L windows side by side are two vectors of 2 L pixels, whose even and odd places compilers part one by one when that is
written as plain loops. So `_best` and `_spread`, which do it for L windows, 8 or 4, are emitted through LLVM's vector
type; with ``REFIMPL_JIT=0`` plain Python of the same meaning runs. Images are (n, rows, columns); the last L windows of
a row may be some of those before once more.
"""

from typing import Any

import numpy as np

from refimpl.numerics.jit import ENABLED, kernel
from refimpl.numerics.kernels.team import share, task, units

if ENABLED:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

GRAIN = 4096  # pixels that are worth another thread


def _vector(builder: Any, array: Any, at: Any, lanes: int) -> tuple[Any, int]:
    """Where ``lanes`` numbers of an array lie from the index ``at`` on, and how many bytes each has."""
    kind = array.type.pointee
    place = builder.bitcast(builder.gep(array, [at]), ir.VectorType(kind, lanes).as_pointer())
    return place, {"i32": 4, "float": 4, "double": 8}[str(kind)]


def _load(builder: Any, array: Any, at: Any, lanes: int) -> Any:
    place, size = _vector(builder, array, at, lanes)
    return builder.load(place, align=size)


def _store(builder: Any, x: Any, array: Any, at: Any) -> None:
    place, size = _vector(builder, array, at, x.type.count)
    builder.store(x, place, align=size)


def _mixed(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    """These places of a, with b after it."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))


def _corners(builder: Any, corner: Any, W: Any, L: int) -> list[Any]:
    """The flat indices of the pixels of L windows: of their corners, what is beside, below and below beside them."""
    numbers = ir.VectorType(ir.IntType(32), L)

    def same(x: Any) -> Any:
        one = builder.insert_element(ir.Constant(numbers, ir.Undefined), x, ir.Constant(numbers.element, 0))
        return _mixed(builder, one, one, [0] * L)

    first = builder.add(same(builder.trunc(corner, numbers.element)), ir.Constant(numbers, list(range(0, 2 * L, 2))))
    below, one = builder.add(first, same(builder.trunc(W, numbers.element))), ir.Constant(numbers, [1] * L)
    return [first, builder.add(first, one), below, builder.add(below, one)]


def _emit_best(context: Any, builder: Any, sig: Any, args: Any, L: int) -> Any:
    """LLVM code of `_best`: even and odd places of two vectors of x; the largest of the four and its index."""
    y, where, x = (context.make_array(sig.args[i])(context, builder, args[i]).data for i in (0, 1, 3))
    m, (first, W, corner) = args[2], args[4:]
    rows = [_load(builder, x, at, 2 * L) for at in (first, builder.add(first, W))]
    pixels = [_mixed(builder, row, row, list(range(odd, 2 * L, 2))) for row in rows for odd in (0, 1)]
    corners = _corners(builder, corner, W, L)
    best, index = pixels[0], corners[0]
    for v, i in zip(pixels[1:], corners[1:]):  # v is larger or NaN, and best is not NaN
        wins = builder.and_(builder.fcmp_unordered(">", v, best), builder.fcmp_ordered("ord", best, best))
        best, index = builder.select(wins, v, best), builder.select(wins, i, index)
    _store(builder, best, y, m)
    _store(builder, index, where, m)
    return context.get_dummy_value()


def _emit_spread(context: Any, builder: Any, sig: Any, args: Any, L: int) -> Any:
    """LLVM code of `_spread`: the slopes at those pixels where a maximum was, else 0; even and odd places together."""
    dy, where, dx = (context.make_array(sig.args[i])(context, builder, args[i]).data for i in (0, 1, 3))
    m, (first, W, corner) = args[2], args[4:]
    slopes, index = _load(builder, dy, m, L), _load(builder, where, m, L)
    zeros = ir.Constant(slopes.type, [0.0] * L)
    corners = _corners(builder, corner, W, L)
    parts = [builder.select(builder.icmp_signed("==", index, i), slopes, zeros) for i in corners]
    zipped = [i + odd for i in range(L) for odd in (0, L)]
    for even, odd, at in ((*parts[:2], first), (*parts[2:], builder.add(first, W))):
        _store(builder, _mixed(builder, even, odd, zipped), dx, at)
    return context.get_dummy_value()


def _emitted(emit: Any, plain: Any, L: int) -> Any:
    """The LLVM intrinsic for L windows, or its plain twin."""
    if not ENABLED:
        return lambda *args: plain(L, *args)

    @intrinsic
    def body(typing, a, where, m, b, first, W, corner):
        n = types.intp
        sig = types.void(a, where, n, b, n, n, n)
        return sig, lambda context, builder, s, args: emit(context, builder, s, args, L)

    return body


def _plain_best(L, y, where, m, x, first, W, corner):
    """y[m + l] = the largest pixel of the window at x[first + 2 l], where[m + l] its index (first: corner + 2 l)."""
    for l in range(L):
        places = [0, 1, W, W + 1]
        pixels = [x[first + 2 * l + place] for place in places]
        k = np.argmax(pixels)  # the first maximum, or the first NaN
        y[m + l], where[m + l] = pixels[k], corner + 2 * l + places[k]


def _plain_spread(L, dy, where, m, dx, first, W, corner):
    """The pixel of the window at dx[first + 2 l] with the index where[m + l] is dy[m + l], the others are 0."""
    for l in range(L):
        for place in (0, 1, W, W + 1):
            dx[first + 2 * l + place] = dy[m + l] if where[m + l] == corner + 2 * l + place else 0


_best8, _best4 = (_emitted(_emit_best, _plain_best, L) for L in (8, 4))
_spread8, _spread4 = (_emitted(_emit_spread, _plain_spread, L) for L in (8, 4))


@kernel
def forward(team, x, y, where):
    """y = the maximum of each window, where = its flat index (int32); ties: the first, NaN beats every number."""
    share(team, len(x), _grain(x), task(_forward, (x, y, where)))


@kernel
def _forward(begin, end, x, y, where):
    (H, W), (Ho, Wo) = x.shape[1:], y.shape[1:]
    L = 8 if Wo >= 8 else 4
    pixels, best, index = x.reshape(-1), y.reshape(-1), where.reshape(-1)
    for n in range(begin, end):
        for i in range(Ho):
            for k in range(0, Wo, L):
                j = min(k, Wo - L)
                m, corner = (n * Ho + i) * Wo + j, 2 * (i * W + j)
                if L == 8:
                    _best8(best, index, m, pixels, n * H * W + corner, W, corner)
                else:
                    _best4(best, index, m, pixels, n * H * W + corner, W, corner)


@kernel
def backward(team, dy, where, dx):
    """dx (n, rows, columns) = dy at the maximum of each window, 0 elsewhere."""
    share(team, len(dx), _grain(dx), task(_backward, (dy, where, dx)))


@kernel
def _backward(begin, end, dy, where, dx):
    (H, W), (Ho, Wo) = dx.shape[1:], dy.shape[1:]
    L = 8 if Wo >= 8 else 4
    slopes, index, out = dy.reshape(-1), where.reshape(-1), dx.reshape(-1)
    for n in range(begin, end):
        for i in range(Ho):
            for k in range(0, Wo, L):
                j = min(k, Wo - L)
                m, corner = (n * Ho + i) * Wo + j, 2 * (i * W + j)
                if L == 8:
                    _spread8(slopes, index, m, out, n * H * W + corner, W, corner)
                else:
                    _spread4(slopes, index, m, out, n * H * W + corner, W, corner)


@kernel
def _grain(images):
    """How many images have `GRAIN` pixels."""
    return units(GRAIN, max(1, images.shape[1] * images.shape[2]))
