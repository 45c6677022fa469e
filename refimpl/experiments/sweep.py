"""Sweeps: the cells of an experiment (one setting, one seed) on any ``concurrent.futures`` executor.

A finished cell is one JSON file named by a hash of its function, its settings and the version; it is never
computed again. It also holds a hash of the code that computed it: where that differs from the present code, a
sweep says so. An unfinished cell leaves its checkpoint beside it, so the same command takes it up where it stood.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import refimpl
from refimpl import __version__
from refimpl.numerics.files import write_text

Settings = dict[str, Any]
Cell = Callable[[Settings, Path], dict[str, Any]]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def key(cell: Cell, settings: Settings) -> str:
    """The name of a cell's result: 20 hexadecimal digits of the function, its settings and this version.

    Raises
    ------
    TypeError : settings that are not plain JSON values.
    """
    identity = [cell.__module__, cell.__qualname__, __version__, identifying(settings)]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:20]


def identifying(settings: Settings) -> Settings:
    """The settings that determine a result: all but the folder in which the data lies."""
    return {name: value for name, value in settings.items() if name != "data_dir"}


@cache
def code() -> str:
    """A hash of all source files of this package as they are now: 20 hexadecimal digits."""
    folder = Path(refimpl.__file__).parent
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        total.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return total.hexdigest()[:20]


def of_other_code(cell: Cell, settings: Sequence[Settings], folder: Path) -> int:
    """How many of these cells are finished and were computed by code that differs from the present one."""
    stored = [_stored(folder / f"{key(cell, s)}.json") for s in settings]
    return sum(one is not None and one.get("code") != code() for one in stored)


def compute(cell: Cell, settings: Settings, folder: Path) -> dict[str, Any]:
    """The result of one cell: from its file if it is there, else computed, written, its checkpoint removed.

    ``cell(settings, checkpoint)`` returns plain JSON values and may keep its progress in the file
    ``checkpoint``. ``settings["data_dir"]`` says where data lies and is no part of the cell's identity.
    """
    name = key(cell, settings)
    done = folder / f"{name}.json"
    stored = _stored(done)
    if stored is not None:
        return stored["result"]
    checkpoint, computed_by = folder / f"{name}.npz", code()
    result = cell(settings, checkpoint)
    text = json.dumps({"settings": identifying(settings), "result": result, "code": computed_by}, sort_keys=True)
    write_text(done, text)
    checkpoint.unlink(missing_ok=True)
    return json.loads(text)["result"]


def sweep(
    cell: Cell, settings: Sequence[Settings], folder: Path, executor: Executor | None = None, label: str = ""
) -> list[dict[str, Any]]:
    """The results of all cells, in the order of ``settings``.

    Parameters
    ----------
    cell : a function that workers can import by its name.
    folder : where finished cells and checkpoints are kept; every worker must see it.
    executor : any executor; None computes here, one cell after the other.
    label : shown with the progress on stderr.
    """
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    progress = Progress(len(settings), label)
    if executor is None:
        return [progress.passed(compute(cell, s, folder)) for s in settings]
    waiting = {executor.submit(compute, cell, s, folder): i for i, s in enumerate(settings)}
    results: dict[int, dict[str, Any]] = {}
    try:
        for future in as_completed(waiting):
            results[waiting[future]] = progress.passed(future.result())
    finally:
        for future in waiting:
            future.cancel()
    return [results[i] for i in range(len(settings))]


@contextmanager
def workers(jobs: int = 1, scheduler: str | None = None) -> Iterator[Executor]:
    """An executor for a sweep: ``jobs`` fresh processes with one BLAS thread each, or a dask scheduler.

    One thread a process makes the results independent of ``jobs``. An interrupt ends the processes;
    checkpoints are written atomically, so nothing but the epoch under way is lost.

    Raises
    ------
    ValueError : ``scheduler`` is given, but dask.distributed is missing or does not answer.
    """
    if scheduler is not None:
        yield from _dask(scheduler)
        return
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_on_interrupt)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class Progress:
    """``label: 3 of 12, 1:20 left`` on stderr, once a finished step; silent where ``total`` is below 2."""

    def __init__(self, total: int, label: str = "", every: float = 0.0):
        self.total, self.label, self.every = total, label, every
        self.done, self.start, self.shown = 0, time.monotonic(), float("-inf")

    def passed(self, value: Any = None, note: str = "") -> Any:
        """Count one step, perhaps say so, and hand ``value`` through."""
        self.done += 1
        now = time.monotonic()
        if self.label and self.total > 1 and (now - self.shown >= self.every or self.done == self.total):
            self.shown = now
            left = (now - self.start) / self.done * (self.total - self.done)
            print(f"{self.label}: {self.done} of {self.total}{note}, {_clock(left)} left", file=sys.stderr, flush=True)
        return value


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _end_on_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _stored(path: Path) -> dict[str, Any] | None:
    try:
        stored = json.loads(path.read_text())
        if not isinstance(stored, dict) or "result" not in stored:
            raise ValueError("no result in it")
        return stored
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"result file {path}: cannot be read ({error}); remove it to compute the cell again") from None


def _dask(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError:
        raise ValueError("scheduler: needs dask.distributed; install refimpl[distributed]") from None
    try:
        client = Client(address, timeout=5)
    except (OSError, ValueError) as error:
        raise ValueError(f"scheduler: no dask scheduler answers at {address} ({error})") from None
    with client:
        yield client.get_executor()
