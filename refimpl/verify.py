"""Floor 5: the verb ``refimpl verify``: choose claims, run them with progress, print and write the verdicts."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from refimpl import chapter

if TYPE_CHECKING:
    from refimpl.claims import Claim
    from refimpl.claims.runner import Record

READINGS = ("as printed", "corrected", "stronger")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Usage(Exception):
    """Bad usage: one line to print."""


def add_parser(subparsers: Any) -> None:
    """Add the verb ``verify``; its ``run(arguments)`` returns the exit code."""
    from refimpl.cli import VERBS

    parser = subparsers.add_parser("verify", help=VERBS["verify"][1], description=__doc__.split(": ", 1)[1])
    add = parser.add_argument
    add(
        "ids",
        nargs="*",
        metavar="ID",
        help='items: "4.26", "Theorem 4.26", "(4.19)", or the name of a check; default: all',
    )
    add("--section", metavar="S", help="only this section and its subsections, such as 4.3")
    add("--reading", choices=READINGS, help="only this reading of the statements")
    add("--examples", type=_count, metavar="N", help="instances a check draws (default: each check's own number)")
    add("--seed", type=_seed, default=0, metavar="S", help="of the search (default: %(default)s)")
    add("--jobs", type=_count, default=_cores(), metavar="N", help="processes (default: %(default)s)")
    add("--json", metavar="FILE", help="write the verdicts and all evidence as JSON")
    add("--data-dir", metavar="DIR", help="folder of IDX image files (default: REFIMPL_DATA, else embedded glyphs)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="evaluate at your own number, such as tau=1/3")
    add("--scheduler", metavar="ADDRESS", help="run on this dask.distributed scheduler")
    add("--resume", metavar="FILE", help="keep finished checks in FILE and skip those already there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify what the arguments ask for: 0 all as expected, 1 not, 2 bad usage."""
    for name in THREADS:  # one thread a process: sums then have one order, whatever --jobs says
        os.environ.setdefault(name, "1")
    try:
        return _verify(arguments)
    except Usage as error:
        print(f"refimpl verify: error: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"refimpl verify: {error}", file=sys.stderr)
        return 1


def _verify(arguments: argparse.Namespace) -> int:
    from refimpl.claims import broken_rooms, sound_claims
    from refimpl.claims.runner import Plan
    from refimpl.report import document, table

    _prepare_files(arguments)
    broken = broken_rooms()
    catalogue = sound_claims()
    items, claims = choose(catalogue, arguments.ids, arguments.section, arguments.reading)
    plan = Plan(arguments.examples, arguments.seed, settings(arguments.set, claims))
    started = time.perf_counter()
    records = _run(claims, plan, arguments)
    seconds = time.perf_counter() - started
    made = document.document(records, {c.id for c in catalogue}, seconds, arguments.seed, broken)
    print(table.render(made))
    _print_details(arguments, records, items, claims)
    for room, message in broken.items():
        print(f"refimpl verify: the checks of {room} could not be loaded: {message}", file=sys.stderr)
    if arguments.json:
        _write(arguments.json, document.to_json(made))
    return int(bool(broken) or not all(record["as_expected"] for record in records))


def choose(
    catalogue: Sequence[Claim], ids: Sequence[str], section: str | None = None, reading: str | None = None
) -> tuple[list[chapter.Item], list[Claim]]:
    """The items that the command line names (all, if it names none) and the claims that check them.

    An id may also be the name of one check; then only that check of its item is chosen.

    Raises
    ------
    Usage : an id or a section that does not exist, with near matches.
    """
    items = list(chapter.ITEMS) if section is None else chapter.in_section(section)
    if not items:
        raise Usage(f"--section: there is no section {section!r}; sections are {', '.join(_sections())}")
    named = {item.id for id in [" ".join(ids), *ids] for item in chapter.find(id)}
    checks = set() if chapter.find(" ".join(ids)) else _checks(catalogue, ids)
    everything = not ids
    items = [item for item in items if everything or item.id in named]
    kept = {item.id for item in items}
    claims = [c for c in catalogue if c.id in kept or c.name in checks]
    return items, [c for c in claims if reading is None or c.reading == reading]


def _checks(catalogue: Sequence[Claim], ids: Sequence[str]) -> set[str]:
    """The names of checks among the ids; every other id must be that of an item."""
    checks = {claim.name for claim in catalogue}.intersection(ids)
    for id in ids:
        if id not in checks and not chapter.find(id):
            near = chapter.near_matches(id)
            raise Usage(f"unknown id {id!r}" + (f"; did you mean {' or '.join(map(repr, near))}?" if near else ""))
    return checks


def _sections() -> list[str]:
    return sorted({item.section for item in chapter.ITEMS})


def settings(texts: Sequence[str], claims: Sequence[Claim]) -> dict[str, Any]:
    """name -> value of the ``--set`` options.

    Raises
    ------
    Usage : no ``=``, a value that cannot be read, or a name that none of the claims draws.
    """
    from refimpl.claims.literal import parse

    known = sorted({name for claim in claims for name in claim.given})
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise Usage(f"--set: expected NAME=VALUE, got {text!r}")
        if name not in known:
            raise Usage(f"--set: none of the chosen checks draws {name!r}; they draw {', '.join(known) or 'nothing'}")
        try:
            values[name] = parse(value)
        except ValueError as error:
            raise Usage(f"--set {name}: {error}") from None
    return values


def _prepare_files(arguments: argparse.Namespace) -> None:
    """Try the outputs and read the data before any work starts."""
    from refimpl.numerics.files import check_writable

    for option in ("json", "resume"):
        path = getattr(arguments, option)
        try:
            if path:
                check_writable(path)
        except OSError as error:
            raise Usage(f"--{option}: cannot write {path}: {error.strerror or error}") from None
    if arguments.data_dir:
        _check_data(arguments.data_dir)
        os.environ["REFIMPL_DATA"] = arguments.data_dir


def _check_data(folder: str) -> None:
    from refimpl.experiments import data

    try:
        data.load("mnist", folder)
    except (ValueError, OSError) as error:
        raise Usage(f"--data-dir: {error}") from None


def _run(claims: Sequence[Claim], plan: Any, arguments: argparse.Namespace) -> list[Record]:
    """The records in the order of the claims, however they were computed."""
    from refimpl.claims.journal import Journal
    from refimpl.claims.runner import run
    from refimpl.report.progress import Progress

    journal = Journal(arguments.resume, plan)
    done: dict[str, Record] = {claim.key: journal.kept[claim.key] for claim in claims if claim.key in journal.kept}
    left = [claim for claim in claims if claim.key not in done]
    with Progress(len(claims), len(done)) as progress, journal:
        for record in run(left, plan, arguments.jobs, arguments.scheduler):
            done[record["key"]] = record
            journal.add(record)
            progress.advance(record)
    return [done[claim.key] for claim in claims]


def _print_details(
    arguments: argparse.Namespace, records: Sequence[Record], items: Sequence[chapter.Item], claims: Sequence[Claim]
) -> None:
    """For named items: every verdict in full, and why an item has no check of its own."""
    from refimpl.report import table

    if not arguments.ids:
        return
    for record in records:
        if record["as_expected"]:
            print("\n" + table.details(record))
    for item in items:
        if not any(claim.id == item.id for claim in claims):
            print(f"\n{item.id}: {_unchecked(item)}")


def _unchecked(item: chapter.Item) -> str:
    if item.id in chapter.NOT_CHECKED:
        return f"not checked: {chapter.NOT_CHECKED[item.id]}"
    users = chapter.used_by(item.id)
    return f"no check of its own; it is part of {', '.join(users)}" if users else "no check in this selection"


def _write(path: str, text: str) -> None:
    from refimpl.numerics.files import write_text

    write_text(path, text)


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
