"""A batch in fixed parts over threads: the parts depend on the batch alone, so results never depend on the threads.

Long vectors, whose entries do not know of each other, are cut into as many parts as threads.
Kernels release the GIL, so plain threads suffice; no BLAS runs inside them, so nothing is oversubscribed.
``REFIMPL_NUM_THREADS`` (else ``OMP_NUM_THREADS``, else the number of processors) says how many.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

Result = TypeVar("Result")
PARTS = 8
LONG = 1 << 22  # bytes of a vector from which on waking a thread (70 us) costs less than it saves


def threads() -> int:
    """How many threads share a batch."""
    asked = os.environ.get("REFIMPL_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(asked)) if asked.isdecimal() else available


@lru_cache(maxsize=4)
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """One pool a process (a forked child must not use its parent's)."""
    return ThreadPoolExecutor(workers)


def over_batch(work: Callable[[slice], Result], batch: int) -> list[Result]:
    """``work(part)`` for at most `PARTS` contiguous parts of the batch, results in the order of the parts."""
    return list(results(work, batch))


def results(work: Callable[[slice], Result], batch: int) -> Iterator[Result]:
    """The same one by one: a sum over large results holds few of them at once."""
    size = -(-batch // PARTS) or 1
    parts = [slice(i, min(i + size, batch)) for i in range(0, batch, size)]
    workers = min(threads(), len(parts))
    if workers <= 1:
        return map(work, parts)
    return _pool(os.getpid(), workers).map(work, parts)


def over_entries(work: Callable[..., object], first: np.ndarray, *others: Any) -> None:
    """``work(first, *others)`` for work that treats every entry of its vectors alone, long ones in parts."""
    n, workers = first.size, threads() if first.nbytes >= LONG else 1
    if workers == 1:
        work(first, *others)
        return

    def part(at: slice) -> None:
        work(first[at], *(x[at] if isinstance(x, np.ndarray) else x for x in others))

    step = -(-n // workers)
    list(_pool(os.getpid(), workers).map(part, [slice(i, i + step) for i in range(0, n, step)]))
