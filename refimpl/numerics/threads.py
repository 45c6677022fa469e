"""Threads: a batch in fixed parts, which depend on the batch alone, and the helpers of kernels that share their work.

Results never depend on the threads. Kernels release the GIL, so plain threads suffice; no BLAS runs inside them, so
nothing is oversubscribed. ``REFIMPL_NUM_THREADS`` (else ``OMP_NUM_THREADS``, else the number of processors) says how
many; it is read once.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from threading import Lock, Thread

import numpy as np

MOST = 256  # threads
HELD = 1 << 24  # bytes of results of the parts of a batch


@cache
def threads() -> int:
    """How many threads share a batch."""
    asked = os.environ.get("REFIMPL_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    available = len(_affinity()) or os.cpu_count() or 1
    return max(1, min(int(asked), MOST)) if asked.isdecimal() else available


class _Team:
    """The counters of `kernels.team`, and the helpers, who sleep until the bell rings."""

    def __init__(self, helpers: int) -> None:
        from refimpl.numerics.kernels import team

        self.kernels, self.counters, self.bell, self.caller = team, team.new(helpers), Lock(), -1
        self.bell.acquire()
        self.helpers = [Thread(target=self._help, daemon=True) for _ in range(helpers)]
        for helper in self.helpers:
            helper.start()

    def awake(self) -> np.ndarray:
        """The counters; the bell rings for those who sleep, who arrive some 70 us later."""
        if self._asleep():
            self._leave(_processor())
            self._ring()
        return self.counters

    def _asleep(self, coming: int = 0) -> bool:
        return bool(self.counters[self.kernels.AWAKE] + coming < self.counters[self.kernels.HELPERS])

    def _ring(self) -> None:
        if self.bell.locked():
            with suppress(RuntimeError):  # another thread was faster
                self.bell.release()

    def _leave(self, processor: int) -> None:
        """Keep the helpers off the caller's processor: they would wait there for milliseconds."""
        if processor != self.caller and (others := _affinity() - {processor}):
            self.caller = processor
            with suppress(OSError):  # the system may not allow it
                for number in (helper.native_id for helper in self.helpers if helper.native_id):
                    os.sched_setaffinity(number, others)

    def _help(self) -> None:
        while True:
            self.bell.acquire()
            if self._asleep(coming=1):
                self._ring()
            self.kernels.serve(self.counters)


def _affinity() -> set[int]:
    """The processors that this thread may use, where the system tells."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


_processor: Callable[[], int] = ctypes.CDLL(None).sched_getcpu if sys.platform == "linux" else lambda: -1


@cache
def _team(helpers: int) -> _Team:
    return _Team(helpers)


if hasattr(os, "register_at_fork"):  # the threads of a parent are none of its child's
    for found in (threads, _team):
        os.register_at_fork(after_in_child=found.cache_clear)


def team(parts: int) -> np.ndarray:
    """Who shares a kernel's work of so many parts (see `kernels.team`): nobody where there is but one."""
    if parts < 2 or threads() == 1:
        return _team(0).counters
    return _team(threads() - 1).awake()


def parts_of(batch: int, size: int, least: int) -> int:
    """In how many parts a batch is summed, one result of so many bytes each: as many whatever the threads.

    4 to 16 of them, or the least where 4 have no room.
    """
    room = min(16, HELD // max(1, size))
    return max(1, min(batch, room if room >= 4 else least))


def in_order(parts: np.ndarray) -> np.ndarray:
    """The sum of the results of the parts, which the first one becomes."""
    for part in parts[1:]:
        parts[0] += part
    return parts[0]
