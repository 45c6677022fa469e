"""A batch in fixed parts over threads: the parts depend on the batch alone, so results never depend on the threads.

Long vectors, whose entries do not know of each other, are cut into as many parts as threads.
Kernels release the GIL, so plain threads suffice; no BLAS runs inside them, so nothing is oversubscribed.
``REFIMPL_NUM_THREADS`` (else ``OMP_NUM_THREADS``, else the number of processors) says how many.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

Result = TypeVar("Result")
PARTS = 16  # few enough to cost nothing, enough that threads end together
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
    count = min(PARTS, batch)
    parts = [slice(i * batch // count, (i + 1) * batch // count) for i in range(count)]
    return _shared(work, parts, min(threads(), count))


def over_entries(work: Callable[..., object], first: np.ndarray, *others: Any) -> None:
    """``work(first, *others)`` for work that treats every entry of its vectors alone, long ones in parts."""
    n, workers = first.size, threads() if first.nbytes >= LONG else 1
    if workers == 1:
        work(first, *others)
        return

    def part(at: slice) -> None:
        work(first[at], *(x[at] if isinstance(x, np.ndarray) else x for x in others))

    list(_shared(part, [slice(i * n // workers, (i + 1) * n // workers) for i in range(workers)], workers))


def _shared(work: Callable[[slice], Result], parts: list[slice], workers: int) -> Iterator[Result]:
    """The results in order. Each thread takes the next part when it is free, this one too: others wake up slowly."""
    if workers <= 1:
        return map(work, parts)
    waiting: deque[tuple[slice, Future[Result]]] = deque((part, Future()) for part in parts)
    futures = deque(future for _, future in waiting)

    def take() -> bool:
        """Do the next part, if there is one."""
        try:
            part, future = waiting.popleft()
        except IndexError:
            return False
        try:
            future.set_result(work(part))
        except BaseException as error:  # it belongs to who asks for the result
            future.set_exception(error)
        return True

    def helper() -> None:
        while take():
            pass

    def in_order() -> Iterator[Result]:
        while futures:
            future = futures.popleft()
            while not future.done() and take():
                pass
            yield future.result()

    pool = _pool(os.getpid(), workers - 1)
    for _ in range(workers - 1):
        pool.submit(helper)
    return in_order()
