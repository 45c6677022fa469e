"""``refimpl reproduce``: one experiment from the command line."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from refimpl.data.sets import NAMES, present
from refimpl.experiments.catalogue import EXPERIMENTS, Experiment
from refimpl.experiments.run import Run
from refimpl.experiments.sweep import workers
from refimpl.numerics.files import check_writable
from refimpl.numerics.text import one_line


def add_parser(subparsers: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the verb ``reproduce`` to the command line; its ``run(arguments)`` returns the exit code."""
    parser = subparsers.add_parser("reproduce", help="make one of the figures or tables again")
    add_arguments(parser)
    parser.set_defaults(run=reproduce)
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``reproduce``."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="an experiment; see --list")
    parser.add_argument("--list", action="store_true", help="list the experiments")
    add_run_arguments(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that one experiment and all of them share."""
    parser.add_argument("--data", choices=NAMES, help="data set; by default mnist where a folder is given, else glyphs")
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the data files (default: REFIMPL_DATA)")
    parser.add_argument("--seeds", type=_at_least_one, metavar="K", help="how many seeds (default: 3, with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="a small version, about a minute or less")
    parser.add_argument("--jobs", type=_at_least_one, default=_cores(), metavar="N", help="processes (%(default)s)")
    parser.add_argument("--out", default="results", metavar="DIR", help="folder of the results (default: %(default)s)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="compute on this dask.distributed scheduler")


def reproduce(arguments: argparse.Namespace) -> int:
    """Run one experiment; 0 done, 1 failed on the way, 2 bad usage, 130 interrupted."""
    if arguments.list:
        print("\n".join(f"{e.name:18} {e.shows}" for e in EXPERIMENTS.values()))
        return 0
    experiment = EXPERIMENTS.get(arguments.name)
    if experiment is None:
        known = ", ".join(EXPERIMENTS)
        return _refuse(
            f"{arguments.name!r} is no experiment; there are {known}" if arguments.name else "give NAME or --list"
        )
    try:
        run = make(experiment, arguments)
    except (ValueError, OSError) as error:
        return _refuse(str(error))
    return perform(experiment, run, arguments)


def make(experiment: Experiment, arguments: argparse.Namespace) -> Run:
    """The run that the arguments describe, its data read and its folder tried.

    Raises
    ------
    ValueError : data that this experiment does not take, or that cannot be read.
    OSError : a folder that cannot be written.
    """
    given = os.environ.get("REFIMPL_DATA") if arguments.data_dir is None else arguments.data_dir
    if given == "":
        raise ValueError("--data-dir: expected a folder, got nothing")
    folder = None if given is None else str(Path(given).absolute())
    data = arguments.data or _default_data(experiment, folder)
    if data not in experiment.data:
        raise ValueError(f"--data: {experiment.name} takes {', '.join(experiment.data)}, not {data}")
    out = Path(arguments.out) / experiment.name
    check_writable(out / f"{experiment.name}.json")
    seeds = arguments.seeds or (1 if arguments.quick else 3)
    run = Run(experiment.name, out, data, folder, seeds, arguments.quick, experiment.own)
    run.source  # noqa: B018  read the data now, so that what is wrong with it is said before any work
    return run


def perform(experiment: Experiment, run: Run, arguments: argparse.Namespace) -> int:
    """Compute and draw, and say where the results are."""
    try:
        with _termination_interrupts(), workers(arguments.jobs, arguments.scheduler) as executor:
            run.executor = executor
            experiment.function(run)
        print(run.finish(), *(run.out / name for name in run.captions), sep="\n")
        return 0
    except KeyboardInterrupt:
        print("refimpl reproduce: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenProcessPool:
        print("refimpl reproduce: a worker died; the same command goes on from here", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"refimpl reproduce: {one_line(error)}", file=sys.stderr)
        return 1


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """SIGTERM stops like Ctrl-C, so that no worker outlives this process; signals belong to the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _default_data(experiment: Experiment, data_dir: str | None) -> str:
    """The first data set of the experiment whose files are in the folder; without a folder, glyphs."""
    if data_dir is None:
        return "glyphs"
    wanted = [name for name in experiment.data if name != "glyphs"]
    return next((name for name in wanted if present(name, data_dir)), wanted[0])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer >= 1, got {text!r}")
    return int(text)


def _refuse(message: str) -> int:
    print(f"refimpl reproduce: error: {one_line(message)}", file=sys.stderr)
    return 2
