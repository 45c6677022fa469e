"""The verbs ``refimpl show``, ``refimpl errata`` and ``refimpl report``."""

from __future__ import annotations

import argparse
from typing import Any

from refimpl import chapter
from refimpl.report.running import Usage, add_arguments, check_writable, guarded, records


def add_parser(subparsers: Any) -> None:
    """Add the three verbs; their ``run(arguments)`` returns the exit code."""
    show = subparsers.add_parser("show", help="print one item: statement, hypotheses, source code, evidence")
    show.add_argument("id", nargs="+", metavar="ID", help='an item: "4.26", "Theorem 4.26", "(4.19)"')
    show.set_defaults(run=guarded(_show))
    errata = subparsers.add_parser("errata", help="list what the text gets wrong, with witnesses")
    errata.add_argument("--json", metavar="FILE", help="write them as JSON")
    add_arguments(errata)
    errata.set_defaults(run=guarded(_errata))


def _show(arguments: argparse.Namespace) -> int:
    query = " ".join(arguments.id)
    items = chapter.find(query)
    if not items:
        raise Usage(unknown(query))
    from refimpl.claims import all_claims
    from refimpl.report import memory, show

    claims, kept = all_claims(), memory.recall()
    for entry in items:
        print(show.item(entry, [c for c in claims if c.id == entry.id], kept), end="\n\n")
    return 0


def unknown(id: str) -> str:
    """The message for an id that names nothing."""
    near = chapter.near_matches(id)
    return f"unknown id {id!r}" + (f"; did you mean {' or '.join(map(repr, near))}?" if near else "")


def _errata(arguments: argparse.Namespace) -> int:
    check_writable("--json", arguments.json)
    check_writable("--resume", arguments.resume)
    from refimpl.claims import all_claims
    from refimpl.claims.runner import Plan
    from refimpl.numerics.files import write_text
    from refimpl.report import document, table

    claims = [claim for claim in all_claims() if claim.erratum]
    found = document.errata(records(claims, Plan(arguments.examples, arguments.seed), arguments))
    for entry in found:
        print(f"{table.erratum(entry)}\n    witness:   {entry['witness']}\n    replay:    {entry['replay']}\n")
    print(f"{len(found)} errata demonstrated, {len(claims) - len(found)} not")
    if arguments.json:
        write_text(arguments.json, document.to_json(found))
    return int(len(found) != len(claims))
