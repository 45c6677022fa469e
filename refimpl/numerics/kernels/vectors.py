"""Whole vectors in LLVM code: what the intrinsics of the other files share.

LLVM's own vector type keeps a tile of numbers in registers, which compilers do not do for plain loops; it breaks wide
vectors up on machines without them.
"""

from math import prod
from typing import Any

import numpy as np

from refimpl.numerics import memory
from refimpl.numerics.jit import ENABLED, kernel

if ENABLED:
    import llvmlite.binding as llvm
    from llvmlite import ir
    from numba.core import cgutils

    WIDTH = 64 if llvm.get_host_cpu_features().get("avx512f") else 32  # bytes of a vector
else:
    WIDTH = 64


def lanes_of(dtype: np.dtype) -> int:
    """Numbers in one vector."""
    return WIDTH // np.dtype(dtype).itemsize


@kernel
def buffer(n, like):
    """n numbers in like's dtype at an address that is a multiple of `WIDTH`: no vector straddles two cache lines."""
    raw = np.empty(n + WIDTH, like.dtype)
    start = (-raw.ctypes.data % WIDTH) // raw.itemsize
    return raw[start : start + n]


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array that starts at a multiple of `WIDTH`."""
    size = prod(shape) * np.dtype(dtype).itemsize
    raw = memory.empty((size + WIDTH,), np.uint8)
    start = -raw.ctypes.data % WIDTH
    return raw[start : start + size].view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The same, of zeros."""
    made = empty(shape, dtype)
    made[:] = 0
    return made


def copy(array: np.ndarray) -> np.ndarray:
    """The same of another array's numbers."""
    made = empty(array.shape, array.dtype)
    made[:] = array
    return made


class Vectors:
    """Loads, stores and arithmetic of whole vectors of the dtype of an intrinsic's first argument, an array."""

    def __init__(self, context: Any, builder: Any, sig: Any, args: Any) -> None:
        self.context, self.builder, self.sig, self.args = context, builder, sig, args
        bits = sig.args[0].dtype.bitwidth
        self.size, self.lanes = bits // 8, 8 * WIDTH // bits
        self.scalar = context.get_data_type(sig.args[0].dtype)
        self.type = ir.VectorType(self.scalar, self.lanes)
        form = ir.FunctionType(self.type, [self.type] * 3)
        self._fma = cgutils.get_or_insert_function(builder.module, form, f"llvm.fma.v{self.lanes}f{bits}")

    def data(self, i: int) -> Any:
        """Where the numbers of the array that is argument i start."""
        return self.context.make_array(self.sig.args[i])(self.context, self.builder, self.args[i]).data

    def index(self, start: Any, *steps: tuple[Any, Any]) -> Any:
        """start + the sum of stride times count, either of both a number of Python's."""
        for stride, count in steps:
            stride, count = (ir.Constant(start.type, n) if isinstance(n, int) else n for n in (stride, count))
            start = self.builder.add(start, self.builder.mul(stride, count))
        return start

    def load(self, base: Any, at: Any) -> Any:
        """The vector that starts at entry `at`."""
        return self.builder.load(self._place(base, at), align=self.size)

    def store(self, vector: Any, base: Any, at: Any) -> None:
        """Write it there."""
        self.builder.store(vector, self._place(base, at), align=self.size)

    def _place(self, base: Any, at: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(base, [at]), self.type.as_pointer())

    def same(self, x: float) -> Any:
        """A constant in every lane."""
        return ir.Constant(self.type, [float(x)] * self.lanes)

    def broadcast(self, x: Any) -> Any:
        """A number in every lane."""
        int32, nowhere = ir.IntType(32), ir.Constant(self.type, ir.Undefined)
        first = ir.Constant(ir.VectorType(int32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(self.builder.insert_element(nowhere, x, int32(0)), nowhere, first)

    def shuffle(self, a: Any, b: Any, order: list[int]) -> Any:
        """The entries with these numbers, those of b counted on from those of a."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), order))

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c, rounded once."""
        return self.builder.call(self._fma, [a, b, c])

    def registers(self, start: list[Any]) -> list[Any]:
        """Variables that start with these vectors: registers, after LLVM's SROA."""
        made = [cgutils.alloca_once(self.builder, self.type) for _ in start]
        for variable, value in zip(made, start):
            self.builder.store(value, variable)
        return made
