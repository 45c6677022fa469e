"""What every verb that runs claims shares: its options, its threads, its progress, its memory."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from refimpl.numerics.text import one_line

if TYPE_CHECKING:
    from refimpl.claims import Claim
    from refimpl.claims.runner import Plan, Record

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Usage(Exception):
    """Bad usage: one line to print."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--examples``, ``--seed``, ``--jobs``, ``--scheduler`` and ``--resume``."""
    add = parser.add_argument
    add("--examples", type=_count, metavar="N", help="instances a check draws (default: each check's own number)")
    add("--seed", type=_seed, default=0, metavar="S", help="of the search (default: %(default)s)")
    add("--jobs", type=_count, default=_cores(), metavar="N", help="processes (default: %(default)s)")
    add("--scheduler", metavar="ADDRESS", help="run on this dask.distributed scheduler")
    add("--resume", metavar="FILE", help="keep finished checks in FILE and skip those already there")


def guarded(verb: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Wrap a verb: one thread a process; bad usage or a full disk is one line and code 2, dead workers code 1."""

    def run(arguments: argparse.Namespace) -> int:
        _one_thread()
        try:
            return verb(arguments)
        except BrokenPipeError:
            raise
        except (Usage, RuntimeError, OSError) as error:
            print(f"refimpl {arguments.verb}: error: {one_line(error)}", file=sys.stderr)
            return 1 if isinstance(error, RuntimeError) else 2

    return run


def _one_thread() -> None:
    """Limit BLAS and Numba to one thread a process (unless the user says otherwise), before NumPy loads.

    Sums then have one order, so that results do not depend on ``--jobs``.
    """
    for name in THREADS:
        os.environ.setdefault(name, "1")


def records(claims: Sequence[Claim], plan: Plan, arguments: argparse.Namespace) -> list[Record]:
    """The records in the order of the claims, however they were computed; remembered for ``refimpl show``."""
    from refimpl.claims.journal import Journal
    from refimpl.claims.runner import run
    from refimpl.report import memory
    from refimpl.report.progress import Progress

    try:
        journal = Journal(arguments.resume, plan)
    except (ValueError, OSError) as error:
        raise Usage(f"--resume: cannot read {arguments.resume}: {error}") from None
    done: dict[str, Record] = {claim.key: journal.kept[claim.key] for claim in claims if claim.key in journal.kept}
    left = [claim for claim in claims if claim.key not in done]
    with Progress(len(claims), len(done)) as progress, journal:
        for record in run(left, plan, arguments.jobs, arguments.scheduler):
            done[record["key"]] = record
            journal.add(record)
            progress.advance(record)
    if not plan.fixed:
        memory.remember(done)
    return [done[claim.key] for claim in claims]


def check_writable(option: str, path: str | None) -> None:
    """Raise `Usage` now if an output could not be written later."""
    from refimpl.numerics import files

    try:
        if path is not None:
            files.check_writable(path)
    except OSError as error:
        raise Usage(f"{option}: cannot write {path}: {error.strerror or error}") from None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer >= 1, got {text!r}")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected an integer >= 0, got {text!r}")
    return int(text)
