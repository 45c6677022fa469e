"""Sums of squares and multiples of groups of numbers, walked through by vectors of 8 entries.

Groups may be as short as 9 or 25 entries, which compilers leave to scalar code. `squares`, `exact_squares` and
`scaled` walk through them by vectors of 8 entries, the last ones under masks; they are emitted through LLVM's vector
type, which LLVM breaks up on machines without such vectors. Masked instructions are slow on some of them; where
``limit`` leaves room for whole vectors, these are read and written, and masks only clear what was read. With
``REFIMPL_JIT=0`` plain twins run.
"""

from fractions import Fraction
from typing import Any

import numpy as np

from refimpl.numerics.jit import ENABLED

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
    """LLVM code of `squares`: four totals for the blocks, if any; the rest goes to the first one."""
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
    """LLVM code of `exact_squares`: the error of every square (fma) and of every sum (Knuth) goes to low."""
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
    """LLVM code of `scaled`."""
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
    """`fma`, `squares`, `exact_squares` and `scaled`: LLVM intrinsics, or their plain twins."""
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


fma, squares, exact_squares, scaled = _vectors()
