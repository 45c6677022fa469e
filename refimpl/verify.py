"""Floor 5: the verb ``refimpl verify``: choose claims, run them with progress, print and write the verdicts."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from refimpl import chapter
from refimpl.report.cli import unknown
from refimpl.report.running import Usage, add_arguments, check_writable, guarded, records

if TYPE_CHECKING:
    from refimpl.claims import Claim

EPILOG = """examples:
  refimpl verify 4.26
  refimpl verify --section 4.3 --json verdicts.json
  refimpl verify loss_decay_at_given_numbers --set tau=1/3

columns:
  reading    the statement as printed, corrected where it errs, or a stronger one
  worst      the largest error found / allowed, in units of rounding (eps);
             or the smallest margin by which an inequality held
  sharpness  the largest left side / right side found of an inequality;
             "attained": no better constant is possible
  controls   wrong variants and dropped hypotheses: refuted / all

exit status: 0 every verdict as expected, 1 not, 2 bad usage"""
READINGS = ("as printed", "corrected", "stronger")


def add_parser(subparsers: Any) -> None:
    """Add the verb ``verify``; its ``run(arguments)`` returns the exit code."""
    parser = subparsers.add_parser(
        "verify",
        help="check statements of the chapter and print the verdicts",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("ids", nargs="*", metavar="ID", help='items, as "4.26" or "(4.19)", or the name of a check (default: all)')
    add("--section", metavar="S", help="only this section and its subsections, such as 4.3")
    add("--reading", choices=READINGS, help="only this reading of the statements")
    add("--json", metavar="FILE", help="write the verdicts and all evidence as JSON")
    add("--data-dir", metavar="DIR", help="folder of IDX image files (default: REFIMPL_DATA, else embedded glyphs)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="evaluate at your own number, such as tau=1/3")
    add_arguments(parser)
    parser.set_defaults(run=guarded(verify))


def verify(arguments: argparse.Namespace) -> int:
    """Verify what the arguments ask for: 0 when every verdict is the expected one, else 1.

    Raises
    ------
    Usage : what was asked for does not exist, or cannot be read or written.
    """
    _prepare_files(arguments)
    from refimpl.claims import broken_rooms, sound_claims
    from refimpl.claims.runner import Plan
    from refimpl.numerics.files import write_text
    from refimpl.report import document, table

    catalogue = sound_claims()
    items, claims = choose(catalogue, arguments.ids, arguments.section, arguments.reading)
    plan = Plan(arguments.examples, arguments.seed, settings(arguments.set, claims))
    started = time.perf_counter()
    found = records(claims, plan, arguments)
    ids = {claim.id for claim in catalogue}
    made = document.document(found, ids, time.perf_counter() - started, arguments.seed, broken_rooms())
    print(table.render(made))
    if arguments.ids:
        _print_details(found, items, claims)
    if arguments.json:
        write_text(arguments.json, document.to_json(made))
    return _exit_code(made)


def _exit_code(made: Mapping[str, Any]) -> int:
    for room, message in made["broken"].items():
        print(f"refimpl verify: the checks of {room} could not be loaded: {message}", file=sys.stderr)
    return int(bool(made["broken"]) or not all(record["as_expected"] for record in made["claims"]))


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
        sections = sorted({item.section for item in chapter.ITEMS})
        raise Usage(f"--section: there is no section {section!r}; sections are {', '.join(sections)}")
    ids = [" ".join(ids)] if chapter.find(" ".join(ids)) else ids
    checks = _checks(catalogue, ids)
    named = {item.id for id in ids for item in chapter.find(id)}
    items = [item for item in items if not ids or item.id in named]
    kept = {item.id for item in items}
    claims = [c for c in catalogue if c.id in kept or c.name in checks]
    return items, [c for c in claims if reading is None or c.reading == reading]


def _checks(catalogue: Sequence[Claim], ids: Sequence[str]) -> set[str]:
    """The names of checks among the ids; every other id must be that of an item."""
    checks = {claim.name for claim in catalogue}.intersection(ids)
    for id in ids:
        if id not in checks and not chapter.find(id):
            raise Usage(unknown(id))
    return checks


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
    check_writable("--json", arguments.json)
    check_writable("--resume", arguments.resume)
    if arguments.data_dir is not None:
        _check_data(arguments.data_dir)
        os.environ["REFIMPL_DATA"] = arguments.data_dir


def _check_data(folder: str) -> None:
    from refimpl import data

    try:
        data.load("mnist", folder)
    except (ValueError, OSError) as error:
        raise Usage(f"--data-dir: {error}") from None


def _print_details(found: Sequence[Mapping[str, Any]], items: Sequence[chapter.Item], claims: Sequence[Claim]) -> None:
    """For named items: every verdict in full, and why an item has no check of its own."""
    from refimpl.report import table

    for record in found:
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
