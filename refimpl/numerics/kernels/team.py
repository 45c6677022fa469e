"""One kernel's work in parts over threads, for work of microseconds: `share`, which kernels call.

    @kernel
    def double(team, x, y):
        share(team, x.size, 4096, task(_double, (x, y)))

    @kernel
    def _double(low, high, x, y):
        for i in range(low, high): ...

The calling thread takes part after part from the front, helpers (`serve`, see `refimpl.numerics.threads`) from the
back. Helpers that sleep miss the work, and the caller does it all. A part may be any range, and results must not depend
on which. Waking a thread takes longer than many kernels, so a helper waits actively for a moment before it sleeps.

A team is an array of counters, each in a cache line of its own, which all change by atomic instructions. `task` puts
the arguments on the caller's stack and makes a function that reads them there; the counters pass on both addresses: a
helper first says that it is inside, and only then reads whether there is work; the caller takes the work back, and only
then waits until nobody is inside. With ``REFIMPL_JIT=0`` the caller does everything.

Arrays among the arguments are the kernel's own arguments, or it uses them after `share` once more: Numba frees an array
after its last use, and does not know of `share`'s.

Parts raise one error only, that of no memory; the caller raises it when all parts have ended.
"""

import sys
from typing import Any

import numpy as np

from refimpl.numerics.jit import ENABLED, kernel

HELPERS, AWAKE, BUSY, CODE, INSIDE, LEFT, BACK, FAILED, ARGUMENTS, SIZE, PARTS = range(0, 88, 8)
SHARES = 16  # parts a thread, so that all end together
PATIENCE = 500  # rounds that a helper waits for more, of half a microsecond each

if ENABLED:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils, compiler
    from numba.extending import intrinsic

    WORD = ir.IntType(64)
    PART = ir.FunctionType(WORD, [WORD] * 3)  # whether it failed; of where the arguments are, low, high


def new(helpers: int) -> np.ndarray:
    """The counters of a team with so many helpers, with ``REFIMPL_JIT=0`` none."""
    team = np.zeros(PARTS + 16, np.int64)
    team = team[-team.ctypes.data // 8 % 8 :]
    team[HELPERS] = helpers if ENABLED else 0
    return team


def _emit_task(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `task`: a function that calls f(low, high, *args) with the arguments at an address.

    f becomes a part of the kernel that shares it, and is optimised with it once: most of a kernel is its parts.
    """
    f, arguments = sig.args
    flags: Any = compiler.Flags()
    f.dispatcher.targetdescr.options.parse_as_flags(flags, f.dispatcher.targetoptions)
    flags.no_compile = flags.no_cpython_wrapper = True
    kinds, where = (types.intp, types.intp, *arguments.types), (context, context.active_code_library)
    made = compiler.compile_internal(context.typing_context, *where, f.dispatcher.py_func, kinds, types.none, flags, {})
    place = cgutils.alloca_once_value(builder, args[1])
    part = ir.Function(builder.module, PART, f"part.{made.fndesc.mangled_name}")
    part.linkage = "internal"
    inside = ir.IRBuilder(part.append_basic_block())
    values = cgutils.unpack_tuple(inside, inside.load(inside.inttoptr(part.args[0], place.type)))
    callee = context.declare_function(builder.module, made.fndesc)
    status, _ = context.call_conv.call_function(inside, callee, types.none, kinds, [*part.args[1:], *values])
    inside.ret(inside.zext(status.is_error, WORD))
    return context.make_tuple(builder, sig.return_type, [builder.ptrtoint(x, WORD) for x in (part, place)])


def _emit_give_way(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """LLVM code of `give_way`: a call of the system."""
    name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
    builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), name), [])
    return context.get_dummy_value()


def _intrinsics() -> Any:
    """`get`, `put` and `add` on counters, `task`, `call` and `give_way`."""

    def at(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.gep(data, [args[1]])

    @intrinsic
    def get(typing, team, i):
        return types.int64(team, types.intp), lambda context, builder, sig, args: builder.load_atomic(
            at(context, builder, sig, args), "seq_cst", 8
        )

    @intrinsic
    def put(typing, team, i, x):
        def emit(context, builder, sig, args):
            builder.store_atomic(args[2], at(context, builder, sig, args), "seq_cst", 8)
            return context.get_dummy_value()

        return types.void(team, types.intp, types.int64), emit

    @intrinsic
    def add(typing, team, i, x):
        return types.int64(team, types.intp, types.int64), lambda context, builder, sig, args: builder.atomic_rmw(
            "add", at(context, builder, sig, args), args[2], "seq_cst"
        )

    @intrinsic
    def task(typing, f, args):
        return types.UniTuple(types.int64, 2)(f, args), _emit_task

    @intrinsic
    def call(typing, task, low, high):
        def emit(context, builder, sig, args):
            code, arguments = cgutils.unpack_tuple(builder, args[0])
            return builder.call(builder.inttoptr(code, PART.as_pointer()), [arguments, *args[1:]])

        return types.int64(task, types.int64, types.int64), emit

    @intrinsic
    def give_way(typing):
        return types.void(), _emit_give_way

    return get, put, add, task, call, give_way


if ENABLED:
    get, put, add, task, call, give_way = _intrinsics()
else:

    def task(f, args):
        """The function and its arguments."""
        return f, args

    def give_way():
        """Nobody waits."""

    def call(task, low, high):
        """f(low, high, *args), which did not fail."""
        task[0](low, high, *task[1])
        return 0


@kernel
def share(team, n, grain, task):
    """f(low, high, *args) for parts of 0 ... n that cover it, of at least ``grain`` where there is more than one."""
    if n == 0:
        return
    parts = min(n // grain, SHARES * (1 + team[HELPERS]))
    if team[HELPERS] == 0 or parts < 2 or add(team, BUSY, 1) != 0:  # busy: with a kernel of another thread
        failed = call(task, 0, n)
    else:
        failed = _shared(team, n, parts, task)
    if failed != 0:
        raise MemoryError("no memory for a part of a kernel")


@kernel
def units(n, size):
    """How many units of this size n entries are, for `share`: the last one has what is left, too."""
    return max(1, n // size)


@kernel
def span(low, high, size, n):
    """The first of the entries of units low ... high - 1, and the end of them."""
    return low * size, n if high == units(n, size) else high * size


@kernel
def _shared(team, n, parts, task):
    """How many of the parts failed."""
    team[ARGUMENTS], team[SIZE], team[PARTS], team[BACK], team[FAILED] = task[1], n, parts, parts, 0
    put(team, LEFT, parts)
    put(team, CODE, task[0])
    p = 0
    while add(team, LEFT, -1) > 0:
        add(team, FAILED, call(task, p * n // parts, (p + 1) * n // parts))
        p += 1
    put(team, CODE, 0)
    rounds = 0
    while get(team, INSIDE) != 0:
        rounds += 1
        if rounds > 1000:  # a helper may wait for the processor of this thread
            give_way()
    failed = get(team, FAILED)
    put(team, BUSY, 0)
    return failed


@kernel
def serve(team):
    """Help with what is shared, until there was nothing for a moment."""
    add(team, AWAKE, 1)
    idle = 0
    while idle < 100 * PATIENCE:
        idle += 1
        if get(team, CODE) != 0:
            add(team, INSIDE, 1)
            code = get(team, CODE)
            while code != 0 and add(team, LEFT, -1) > 0:
                p, n, parts = add(team, BACK, -1), team[SIZE], team[PARTS]
                add(team, FAILED, call((code, team[ARGUMENTS]), (p - 1) * n // parts, p * n // parts))
                idle = 0
            add(team, INSIDE, -1)
        elif idle % 100 == 0:
            give_way()
    add(team, AWAKE, -1)
