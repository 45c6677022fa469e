"""The verbs ``refimpl show``, ``refimpl errata`` and ``refimpl report``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl import chapter
from refimpl.report.running import Usage, add_arguments, check_writable, guarded, records

if TYPE_CHECKING:
    from refimpl.claims import Claim


def add_parser(subparsers: Any) -> None:
    """Add the three verbs; their ``run(arguments)`` returns the exit code."""
    show = subparsers.add_parser("show", help="print one item: statement, hypotheses, source code, evidence")
    show.add_argument(
        "id", nargs="+", metavar="ID", help='an item: "4.26", "Theorem 4.26", "(4.19)", or the name of a check'
    )
    show.set_defaults(run=guarded(_show))
    errata = subparsers.add_parser("errata", help="list what the text gets wrong, with witnesses")
    errata.add_argument("--json", metavar="FILE", help="write them as JSON")
    add_arguments(errata)
    errata.set_defaults(run=guarded(_errata))
    report = subparsers.add_parser("report", help="write the page of all items (HTML, Markdown, JSON)")
    report.add_argument("--out", default="report", metavar="DIR", help="folder to write to (default: %(default)s)")
    report.add_argument("--from", dest="source", metavar="FILE", help="use what refimpl verify --json FILE wrote")
    add_arguments(report)
    report.set_defaults(run=guarded(_report))


def _show(arguments: argparse.Namespace) -> int:
    query = " ".join(arguments.id)
    from refimpl.claims import all_claims
    from refimpl.report import memory, show

    claims, kept = all_claims(), memory.recall()
    items = chapter.find(query)
    if not items:
        claims = [claim for claim in claims if claim.name == query]
        items = [entry for entry in chapter.ITEMS if any(entry.id == claim.id for claim in claims)]
    if not items:
        raise Usage(unknown(query))
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


def _report(arguments: argparse.Namespace) -> int:
    folder, source = Path(arguments.out), arguments.source
    given = None if source is None else _read(source)
    for name in ("report.html", "report.md", "report.json"):
        check_writable("--out", str(folder / name))
    check_writable("--resume", arguments.resume)
    from refimpl.claims import all_claims
    from refimpl.numerics.files import write_text
    from refimpl.report import document, markdown, page

    claims = all_claims()
    made = given or _made(claims, arguments)
    try:
        texts = {"html": page.render(made, claims), "md": markdown.render(made), "json": document.to_json(made)}
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if given is None:
            raise
        raise Usage(f"--from: {source} is damaged ({type(error).__name__}: {error})") from None
    for kind, text in texts.items():
        write_text(folder / f"report.{kind}", text)
    print(f"{folder / 'report.html'}, report.md, report.json: {len(made['claims'])} checks")
    return int(not all(record["as_expected"] for record in made["claims"]))


def _made(claims: Sequence[Claim], arguments: argparse.Namespace) -> Mapping[str, Any]:
    from refimpl.claims.runner import Plan
    from refimpl.report import document

    started = time.perf_counter()
    found = records(claims, Plan(arguments.examples, arguments.seed), arguments)
    return document.document(found, {c.id for c in claims}, time.perf_counter() - started, arguments.seed, {})


def _read(path: str) -> Mapping[str, Any]:
    """The document that ``refimpl verify --json`` wrote."""
    import refimpl

    try:
        made = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Usage(f"--from: cannot read {path}: {error}") from None
    if not isinstance(made, dict) or made.get("version") != refimpl.__version__ or "claims" not in made:
        raise Usage(f"--from: {path} was not written by refimpl {refimpl.__version__} verify --json")
    return made
