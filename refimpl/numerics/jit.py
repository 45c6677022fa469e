"""How a kernel is compiled: lazily, cached on disk, with NumPy's rules for division; or not at all.

``REFIMPL_JIT=0`` runs the plain Python body of every kernel, so that a reader can step through it.
``NUMBA_CACHE_DIR`` moves the cache; where no cache can be written the kernel compiles once a process, and a
damaged one is replaced.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, update_wrapper
from typing import Any, TypeVar, cast

import numpy as np

Function = TypeVar("Function", bound=Callable)

ENABLED = os.environ.get("REFIMPL_JIT", "1") != "0"


class Kernel:
    """A function that Numba compiles at its first call: importing it imports no Numba. Pickled by its name."""

    def __init__(self, function: Callable, fastmath: set[str] | bool) -> None:
        update_wrapper(self, function)
        self.py_func, self.fastmath = function, fastmath

    def __call__(self, *args: Any) -> Any:
        return self.dispatcher(*args)

    def __reduce__(self) -> str:
        return str(self.py_func.__qualname__)

    @cached_property
    def dispatcher(self) -> Any:
        """Numba's function, with the cache of `refimpl.numerics.cache` where there is a writable place for it."""
        import numba

        from refimpl.numerics.cache import Cache

        jit: Any = numba.njit  # whose types lack the last option: C calls no kernel
        made = jit(error_model="numpy", nogil=True, fastmath=self.fastmath, no_cfunc_wrapper=True)(self.py_func)
        found = made.get_call_template  # one compilation for all numbers that other kernels write out in a call
        made.get_call_template = lambda args, kws: found(tuple(map(_kind, args)), kws)
        with suppress(RuntimeError):
            made._cache = Cache(self.py_func)
        return made

    @property
    def _numba_type_(self) -> Any:
        """How Numba types a kernel that another kernel calls."""
        return self.dispatcher._numba_type_


def _kind(of: Any) -> Any:
    """The type of a number: Numba has one for each number that is written out, too."""
    from numba import types

    return of.literal_type if isinstance(of, (types.IntegerLiteral, types.BooleanLiteral)) else of


def kernel(function: Function, fastmath: set[str] | bool = False) -> Function:
    """Compile a function with Numba on its first call (cached on disk, NumPy's division, the GIL released).

    No explicit signatures (they would compile at import). NaN and infinities propagate through every kernel, so that
    of fastmath only {"contract"} is used, where a kernel names it: a b + c may be rounded once.
    """
    return cast(Function, Kernel(function, fastmath)) if ENABLED else function


def body_for(function: Function, *arrays: np.ndarray) -> Function:
    """The compiled kernel, or its plain Python body when an array has a dtype that Numba lacks (longdouble)."""
    if all(array.dtype.itemsize <= 8 for array in arrays):
        return function
    return getattr(function, "py_func", function)


def compiled(first: np.ndarray, *others: np.ndarray) -> bool:
    """Whether fast kernels serve these arrays: all float32 or all float64, and compilation is on."""
    for array in others:
        if array.dtype != first.dtype:
            return False
    return ENABLED and first.dtype.char in "fd"
