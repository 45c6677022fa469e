"""Soft and group shrinkage, and the optimizer steps fused with them: one pass over memory each.

The state (v, m, s) is updated where it stands and theta is overwritten. x - min(max(x, -t), t) shrinks
without a branch, and NaN stays NaN whatever the clip returns.

Groups may be as short as 9 or 25 entries, which compilers leave to scalar code. `_squares`, `_exact_squares` and
`_scaled` walk through them by vectors of 8 entries, the last ones under masks; they are emitted through LLVM's vector
type, which LLVM breaks up on machines without such vectors. Masked instructions are slow on some of them; where
``limit`` leaves room for whole vectors, these are read and written, and masks only clear what was read. With
``REFIMPL_JIT=0`` plain twins run.
"""

from fractions import Fraction
from math import frexp, inf, ldexp, nan
from typing import Any

import numpy as np

from refimpl.numerics.jit import ENABLED, kernel

TILE = 8192  # bytes that stay in the first cache between the two passes over their groups
CHUNK = 4096  # entries of a group that are summed apart, for small errors
CANCELS = 2.0  # n^2 / t^2 below which 1 - t/n in float64 needs more than float64

if ENABLED:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic


def _call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    """A call of LLVM's function ``name``."""
    kind = ir.FunctionType(result, [x.type for x in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}"), args)


class _Lanes:
    """Emits LLVM code on delta x[a:b] (delta = None: on x[a:b]), where args = (x, delta, a, b, limit, ...): 8 lanes."""

    def __init__(self, context: Any, builder: Any, sig: Any, args: Any) -> None:
        self.context, self.builder, self.a, self.limit, self.far = context, builder, args[2], args[4], False
        self.bits, self.n = sig.args[0].dtype.bitwidth, builder.sub(args[3], args[2])
        self.kind, self.wide = (
            ir.VectorType(k, 8) for k in (context.get_data_type(sig.args[0].dtype), ir.DoubleType())
        )
        self.x, self.full = self.start(sig.args[0], args[0]), builder.and_(self.n, ir.Constant(self.n.type, -32))
        self.delta = None if sig.args[1] == types.none else self.all(args[1])

    def start(self, kind: Any, array: Any) -> Any:
        """The address of array[a]."""
        return self.builder.gep(self.context.make_array(kind)(self.context, self.builder, array).data, [self.a])

    def all(self, x: Any) -> Any:
        """x in every lane."""
        nowhere, index = ir.Constant(ir.VectorType(x.type, 8), ir.Undefined), ir.IntType(32)
        one = self.builder.insert_element(nowhere, x, ir.Constant(index, 0))
        return self.builder.shuffle_vector(one, nowhere, ir.Constant(ir.VectorType(index, 8), [0] * 8))

    def total(self) -> Any:
        """Eight float64, 0 at first: a register, after LLVM's SROA."""
        at = cgutils.alloca_once(self.builder, self.wide)
        self.builder.store(ir.Constant(self.wide, [0.0] * 8), at)
        return at

    def place(self, base: Any, i: Any) -> tuple[Any, Any]:
        """The address of eight entries, and its alignment."""
        at = self.builder.bitcast(self.builder.gep(base, [i]), self.kind.as_pointer())
        return at, ir.Constant(ir.IntType(32), self.bits // 8)

    def load(self, i: Any, mask: Any) -> Any:
        """Eight entries of delta x[a:b] from i on, 0 outside the mask."""
        (at, align), zeros = self.place(self.x, i), ir.Constant(self.kind, [0.0] * 8)
        if mask is None or self.far:
            x = self.builder.load(at, align=align.constant)
            x = x if mask is None else self.builder.select(mask, x, zeros)
        else:
            x = _call(self.builder, f"masked.load.v8f{self.bits}", self.kind, at, align, mask, zeros)
        return x if self.delta is None else self.builder.fmul(x, self.delta)

    def load_wide(self, i: Any, mask: Any) -> Any:
        """The same in float64."""
        x = self.load(i, mask)
        return self.builder.fpext(x, self.wide) if self.bits == 32 else x

    def store(self, x: Any, base: Any, i: Any, mask: Any) -> None:
        """Eight entries from i on, those under the mask; far from the limit all of them."""
        at, align = self.place(base, i)
        if mask is None or self.far:
            self.builder.store(x, at, align=align.constant)
        else:
            _call(self.builder, f"masked.store.v8f{self.bits}", ir.VoidType(), x, at, align, mask)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """x y + z in float64, rounded once."""
        return _call(self.builder, "fma.v8f64", self.wide, x, y, z)

    def blocks(self, body: Any) -> None:
        """body(i, v, None) for v < 4 and i = 8 v, 8 v + 32, ...: blocks of 32 entries, as many as fit."""
        with cgutils.for_range(self.builder, self.builder.lshr(self.n, ir.Constant(self.n.type, 5))) as loop:
            self.four(self.builder.shl(loop.index, ir.Constant(self.n.type, 5)), body)

    def rest(self, body: Any) -> None:
        """body(i, v, mask) for the last block, which is not full: twice, far from the limit and near it."""
        room = self.builder.sub(self.limit, self.builder.add(self.a, self.full))
        whole = self.builder.icmp_signed(">=", room, ir.Constant(room.type, 32))
        left = self.all(self.builder.trunc(self.builder.sub(self.n, self.full), ir.IntType(32)))
        with self.builder.if_else(whole, likely=True) as branches:
            for self.far, branch in zip((True, False), branches):
                with branch:
                    self.four(self.full, body, left)

    def four(self, i: Any, body: Any, left: Any = None) -> None:
        """One block, of which ``left`` entries are there, or all."""
        for v in range(4):
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), 8), list(range(8 * v, 8 * v + 8)))
            mask = None if left is None else self.builder.icmp_signed("<", lanes, left)
            body(self.builder.add(i, ir.Constant(i.type, 8 * v)), v, mask)

    def halves(self, x: Any) -> tuple[Any, Any]:
        """The lower and the upper half of the lanes."""
        half = x.type.count // 2
        orders = (ir.Constant(ir.VectorType(ir.IntType(32), half), list(range(k, k + half))) for k in (0, half))
        lower, upper = (self.builder.shuffle_vector(x, x, order) for order in orders)
        return lower, upper

    def first(self, x: Any) -> Any:
        """The first lane."""
        return self.builder.extract_element(x, ir.Constant(ir.IntType(32), 0))


def _emit_squares(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `_squares`: four totals for the blocks, if any; the rest goes to the first one."""
    lanes = _Lanes(context, builder, sig, args)
    totals = [lanes.total() for _ in range(4)]

    def add(i: Any, v: int, mask: Any) -> None:
        y, to = lanes.load_wide(i, mask), totals[0 if mask else v]
        builder.store(lanes.fma(y, y, builder.load(to)), to)

    with builder.if_then(builder.icmp_signed(">=", lanes.n, ir.Constant(lanes.n.type, 32)), likely=False):
        lanes.blocks(add)
        a, b, c, d = (builder.load(each) for each in totals)
        builder.store(builder.fadd(builder.fadd(a, b), builder.fadd(c, d)), totals[0])
    lanes.rest(add)
    total = builder.load(totals[0])
    while total.type.count > 1:
        total = builder.fadd(*lanes.halves(total))
    return lanes.first(total)


def _emit_exact_squares(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `_exact_squares`: the error of every square (fma) and of every sum (Knuth) goes to low."""
    lanes = _Lanes(context, builder, sig, args)
    scale, high, low = lanes.all(args[5]), lanes.total(), lanes.total()

    def add(a: Any, b: Any) -> tuple[Any, Any]:
        s = builder.fadd(a, b)
        d = builder.fsub(s, a)
        return s, builder.fadd(builder.fsub(a, builder.fsub(s, d)), builder.fsub(b, d))

    def body(i: Any, v: int, mask: Any) -> None:
        y = builder.fmul(lanes.load_wide(i, mask), scale)
        p = builder.fmul(y, y)
        s, e = add(builder.load(high), p)
        e = builder.fadd(e, lanes.fma(y, y, builder.fneg(p)))
        builder.store(s, high)
        builder.store(builder.fadd(builder.load(low), e), low)

    lanes.blocks(body)
    lanes.rest(body)
    s, e = builder.load(high), builder.load(low)
    while s.type.count > 1:
        s, r = add(*lanes.halves(s))
        e = builder.fadd(builder.fadd(*lanes.halves(e)), r)
    return context.make_tuple(builder, sig.return_type, [lanes.first(s), lanes.first(e)])


def _emit_scaled(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `_scaled`."""
    lanes = _Lanes(context, builder, sig, args)
    factor, out = lanes.all(args[5]), lanes.start(sig.args[6], args[6])

    def body(i: Any, v: int, mask: Any) -> None:
        lanes.store(builder.fmul(lanes.load(i, None if lanes.far else mask), factor), out, i, mask)

    lanes.blocks(body)
    lanes.rest(body)
    return context.get_dummy_value()


def _plain_fma(x, y, z):
    """x y + z, rounded once if longdouble is wide enough."""
    return np.float64(np.longdouble(x) * y + z)


def _plain_squares(x, delta, a, b, limit):
    """|delta x[a:b]|^2 in float64."""
    return np.sum(_entries(x, delta, a, b).astype(np.float64) ** 2)


def _plain_exact_squares(x, delta, a, b, limit, scale):
    """|scale delta x[a:b]|^2 as high + low, exact before they are rounded."""
    exact = sum((Fraction(float(y) * float(scale)) ** 2 for y in _entries(x, delta, a, b)), Fraction(0))
    return np.float64(exact), np.float64(exact - Fraction(float(exact)))


def _plain_scaled(x, delta, a, b, limit, factor, out):
    """out[a:b] = factor delta x[a:b]; entries from b on, below the limit, may change: they are for later groups."""
    out[a:b] = _entries(x, delta, a, b) * factor


def _entries(x, delta, a, b):
    """delta x[a:b], or x[a:b]."""
    return x[a:b] if delta is None else x[a:b] * delta


def _vectors() -> tuple[Any, Any, Any, Any]:
    """`_fma`, `_squares`, `_exact_squares` and `_scaled`: LLVM intrinsics, or their plain twins."""
    if not ENABLED:
        return _plain_fma, _plain_squares, _plain_exact_squares, _plain_scaled

    @intrinsic
    def fma(typing, x, y, z):
        name = f"fma.f{x.bitwidth}"
        return x(x, x, x), lambda context, builder, sig, args: _call(builder, name, args[0].type, *args)

    @intrinsic
    def squares(typing, x, delta, a, b, limit):
        return types.float64(x, delta, *[types.intp] * 3), _emit_squares

    @intrinsic
    def exact_squares(typing, x, delta, a, b, limit, scale):
        pair = types.UniTuple(types.float64, 2)
        return pair(x, delta, *[types.intp] * 3, types.float64), _emit_exact_squares

    @intrinsic
    def scaled(typing, x, delta, a, b, limit, factor, out):
        return types.void(x, delta, *[types.intp] * 3, x.dtype, out), _emit_scaled

    return fma, squares, exact_squares, scaled


_fma, _squares, _exact_squares, _scaled = _vectors()


@kernel
def linbreg_soft(v, g, tau, delta, t, theta):
    """v <- v - tau g; theta <- soft(delta v, t), where t = delta lam (4.21)."""
    for i in range(v.size):
        w = v[i] - tau * g[i]
        x = delta * w
        v[i] = w
        theta[i] = x - min(max(x, -t), t)


@kernel
def momentum_soft(v, m, g, beta, rate, delta, t, theta):
    """m <- beta m + rate g with rate = (1 - beta) tau; v <- v - m; theta <- soft(delta v, t) (4.22)."""
    for i in range(v.size):
        a = beta * m[i] + rate * g[i]
        w = v[i] - a
        x = delta * w
        m[i] = a
        v[i] = w
        theta[i] = x - min(max(x, -t), t)


@kernel
def _quotient(x, b, r):
    """x / b with r = 1 / b, the same bits without a division, for the root x >= 0 of a number and 0 < b <= 1.

    The remainder x - y b of y = x r corrects y to the nearest number (Brisebarre, Muller and Raina 2004): none of the
    three is near the ends of the range, where x, b and r are those of roots. x = inf leaves inf - inf, and y = inf.
    """
    if not ENABLED:
        return x / b
    y = x * r
    z = _fma(_fma(-y, b, x), r, y)
    return z if z == z else y


@kernel
def adabreg_soft(v, m, s, g, rate, root, b1, c1, b2, c2, eps, delta, t, theta):
    """m <- b1 m + c1 g; s <- b2 s + c2 g^2; v <- v - rate m / (sqrt(s)/root + eps); theta <- soft(delta v, t)."""
    rate, root = v.dtype.type(rate), v.dtype.type(root)  # these come as float64: they change with every step
    inverse = v.dtype.type(1) / root
    for i in range(v.size):
        a = b1 * m[i] + c1 * g[i]
        q = b2 * s[i] + c2 * (g[i] * g[i])
        w = v[i] - rate * (a / (_quotient(np.sqrt(q), root, inverse) + eps))
        x = delta * w
        m[i] = a
        s[i] = q
        v[i] = w
        theta[i] = x - min(max(x, -t), t)


@kernel
def linbreg_groups(v, g, tau, delta, ends, t, theta):
    """v <- v - tau g; theta_g <- x_g max(1 - t_g / |x_g|, 0) with x = delta v, t_g = delta lam w_g (4.21)."""
    first, a, entries = 0, 0, TILE // v.itemsize
    factors = np.empty(min(ends.size, entries))
    while first < ends.size:
        last = _tile(ends, first, a, entries)
        b = ends[last - 1]
        _advance(v[a:b], g[a:b], tau)
        _shrink(v, delta, a, ends[first:last], t[first:last], factors, theta)
        first, a = last, b


@kernel
def shrink_groups(x, ends, t, out):
    """out_g <- x_g max(1 - t_g / |x_g|, 0) for consecutive groups that end at ``ends``; out is not x (Ex 4.16)."""
    first, a, entries = 0, 0, TILE // x.itemsize
    factors = np.empty(min(ends.size, entries))
    while first < ends.size:
        last = _tile(ends, first, a, entries)
        _shrink(x, None, a, ends[first:last], t[first:last], factors, out)
        first, a = last, ends[last - 1]


@kernel
def _tile(ends, first, a, entries):
    """The end of a run of groups that begins with group ``first`` at entry a: at most so many entries, or one group."""
    last = first + 1
    while last < min(ends.size, first + entries) and ends[last] - a <= entries:
        last += 1
    return last


@kernel
def _advance(v, g, tau):
    """v <- v - tau g. On slices, since an index that may be negative does not vectorise."""
    for i in range(v.size):
        v[i] = v[i] - tau * g[i]


@kernel
def _shrink(x, delta, a, ends, t, factors, out):
    """out_g = y_g max(1 - t_g / n, 0), y = delta x, n = |y_g|_2, for groups from a on; 1 for 1 - t/n if n = inf.

    n^2 is summed in float64, and the factors of many groups are computed together: divisions and roots are slow.
    """
    start = a
    for j in range(ends.size):
        b = ends[j]
        factors[j] = _squares(x, delta, start, b, x.size) if b - start <= CHUNK else _square(x, delta, start, b)
        start = b
    limit = start
    _factors(factors[: ends.size], t, 1.0005 if x.itemsize == 4 else CANCELS)
    start = a
    for j in range(ends.size):
        b, factor = ends[j], factors[j]
        if factor != factor:
            factor = _careful(x, delta, start, b, t[j])
        _scaled(x, delta, start, b, limit, x.dtype.type(factor), out)
        start = b


@kernel
def _factors(squares, t, cancels):
    """n^2 <- max(1 - t / n, 0), or NaN: left to `_careful` are n^2 < cancels t^2, where that cancels, and 1e+-200.

    With the remainders of the division q = t / n and of the root, 1 - t/n is as exact as n^2 is.
    """
    for j in range(squares.size):
        square, limit = squares[j], t[j] * t[j]
        plain = (square >= cancels * limit) & (square > 1e-200) & (square < 1e200)
        zero = (square <= 0.999 * limit) & (limit > 1e-200) & (limit < 1e200)
        s, r = (square, t[j]) if plain else (1.0, 0.0)
        n = np.sqrt(s)
        inverse = 1.0 / n
        q = r * inverse
        more = (_fma(-q, n, r) - 0.5 * q * inverse * _fma(-n, n, s)) * inverse
        squares[j] = (1.0 - q) - more if plain else (0.0 if zero else nan)


@kernel
def group_norms(x, ends, out):
    """out_g = |x_g|_2 for the consecutive groups that end at ``ends``; NaN before inf."""
    a = 0
    for j in range(ends.size):
        out[j] = _norm(x, a, ends[j])
        a = ends[j]


@kernel
def _norm(x, a, b):
    """|x[a:b]|_2."""
    scale = _scale(x, None, a, b)
    if not 0.0 < scale < inf:
        return inf if scale == 0.0 else (0.0 if scale == inf else nan)
    high, low = _exact_squares(x, None, a, b, x.size, scale)
    return np.sqrt(high + low) / scale


@kernel
def _square(x, delta, a, b):
    """|delta x[a:b]|^2 in float64, every `CHUNK` entries apart."""
    total = 0.0
    for k in range(a, b, CHUNK):
        total += _squares(x, delta, k, min(k + CHUNK, b), x.size)
    return total


@kernel
def _careful(x, delta, a, b, t):
    """max(1 - t/n, 0) as (n^2 - t^2) / (n (n + t)), n^2 to about 100 bits; beyond 1e+-200 all is scaled first."""
    scale = _scale(x, delta, a, b)
    if not 0.0 < scale < inf:
        return 1.0 if scale == 0.0 else (0.0 if scale == inf else nan)
    high, low = _exact_squares(x, delta, a, b, x.size, scale)
    t = t * scale
    upper = 134217729.0 * t - (134217729.0 * t - t)
    excess = (high - upper * upper) + (low - (t + upper) * (t - upper))
    n = np.sqrt(high + low)
    return 0.0 if excess <= 0.0 else excess / (n * (n + t))


@kernel
def _scale(x, delta, a, b):
    """A power of two that brings max |delta x_i| near 1, or 1 if that is not needed for squares.

    inf if all are 0, 0 if one is infinite, NaN if one is NaN.
    """
    if 1e-200 < _square(x, delta, a, b) < 1e200:
        return 1.0
    largest = 0.0
    for i in range(a, b):
        y = abs(np.float64(x[i] if delta is None else delta * x[i]))
        if y != y:
            return y
        largest = max(largest, y)
    if largest == 0.0 or largest == inf:
        return inf if largest == 0.0 else 0.0
    return ldexp(1.0, -max(frexp(largest)[1], -1000))
