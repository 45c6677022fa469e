"""Large arrays in memory that was used before: fresh pages of the system cost more than the arithmetic on them.

An array of `LEAST` bytes or more gives its memory back when it and its last view are gone, and the next one of as many
bytes takes it up. When more than ``KEPT`` bytes wait, all of it goes back to the system. Every operation on the
shared dictionary is atomic: threads and the garbage collector may come in between.
"""

from math import prod
from typing import Any

import numpy as np

Array = np.ndarray
LEAST = 1 << 17  # the C library maps as much afresh each time
KEPT = 1 << 28

_waiting: dict[int, list[Array]] = {}  # by size in bytes


class _Loan:
    """What an array holds on to: its memory, to be given back."""

    def __init__(self, memory: Array, shape: tuple[int, ...], dtype: np.dtype):
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__ | {"shape": shape, "typestr": dtype.str}

    def __del__(self, waiting: dict[int, list[Array]] = _waiting) -> None:
        waiting.setdefault(self.memory.nbytes, []).append(self.memory)
        if sum(size * len(several) for size, several in list(waiting.items())) > KEPT:
            waiting.clear()


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """``np.empty(shape, dtype)``, in memory that was used before if some of that size waits."""
    dtype = np.dtype(dtype)
    size = prod(shape) * dtype.itemsize
    if size < LEAST:
        return np.empty(shape, dtype)
    try:
        memory = _waiting[size].pop()
    except (KeyError, IndexError):
        memory = np.empty(size, np.uint8)
    return np.asarray(_Loan(memory, shape, dtype))
