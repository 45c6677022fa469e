"""The terminal table of a run, its errata and its summary line."""

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from refimpl.report import words
from refimpl.report.document import Document, errata

Record = Mapping[str, Any]

HEADS = ("item", "check", "reading", "verdict", "worst", "sharpness", "cases", "controls", "seconds")
RIGHT = {"cases", "controls", "seconds"}
DROPPED = ("seconds", "cases", "sharpness", "controls", "worst")
"""Columns that a narrow terminal does without, first one first."""
LEAST = 20
"""Columns that the name of a check keeps, however narrow the terminal."""


def render(document: Document) -> str:
    """The whole report of a run: table, what needs a look, errata, summary."""
    records = document["claims"]
    parts = [table(records), unexpected(records), found_errata(records), summary(document)]
    return "\n\n".join(part for part in parts if part)


def table(records: Sequence[Record], width: int | None = None) -> str:
    """One line a claim; names are cut and columns left out so that a line fits a terminal of ``width`` columns."""
    if not records:
        return ""
    rows = [HEADS, *map(_row, records)]
    sizes = {head: max(len(row[i]) for row in rows) for i, head in enumerate(HEADS)}
    room = width or (shutil.get_terminal_size((140, 24)).columns if sys.stdout.isatty() else 160)
    for head in DROPPED:
        if _others(sizes) + min(LEAST, sizes["check"]) > room:
            del sizes[head]
    sizes["check"] = min(sizes["check"], max(LEAST, room - _others(sizes)))
    lines = [_line(row, sizes) for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _others(sizes: Mapping[str, int]) -> int:
    """What all columns but "check" take, with the gaps."""
    return sum(sizes.values()) - sizes["check"] + 2 * (len(sizes) - 1)


def _row(record: Record) -> tuple[str, ...]:
    return (
        record["id"],
        record["check"],
        record["reading"],
        words.verdict(record),
        words.worst(record),
        words.sharpness(record),
        str(record["cases"]),
        words.controls(record),
        f"{record['seconds']:.1f}",
    )


def _line(row: Sequence[str], sizes: Mapping[str, int]) -> str:
    cells = [(head, _cut(cell, sizes[head])) for head, cell in zip(HEADS, row, strict=True) if head in sizes]
    aligned = (cell.rjust(sizes[head]) if head in RIGHT else cell.ljust(sizes[head]) for head, cell in cells)
    return "  ".join(aligned).rstrip()


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 3] + "..."


def unexpected(records: Iterable[Record]) -> str:
    """What to look at: each claim with another verdict than expected, with its witness and replay line."""
    return "\n\n".join(details(record) for record in records if not record["as_expected"])


def details(record: Record) -> str:
    """One claim in full: verdict, error, witness as Python literals, replay line."""
    lines = [f"{record['id']} [{record['reading']}] {record['check']}: {record['verdict']}"]
    if not record["as_expected"]:
        lines[0] += f", expected: {record['expected']}"
    lines += [f"  {label}: {record[key]}" for label, key in _DETAILS if record[key]]
    lines += [
        f"  control not refuted: {c['name']} ({_why(c)})" for c in record["controls"] if c["verdict"] != "refuted"
    ]
    return "\n".join([*lines, f"  replay: {record['replay']}"])


_DETAILS = (("error", "error"), ("note", "note"), ("witness", "witness"), ("extremal instance", "extremal"))


def _why(control: Record) -> str:
    return f"{control['verdict']}: {control['error']}" if control["error"] else control["verdict"]


def found_errata(records: Sequence[Record]) -> str:
    """The errata that this run demonstrated."""
    lines = [erratum(found) for found in errata(records)]
    return "\n".join(["errata found:", *lines]) if lines else ""


def erratum(found: Record) -> str:
    """One erratum in three lines."""
    head = f"  {found['id']} ({found['severity']}): {found['title']}"
    return f"{head}\n    printed:   {found['printed']}\n    corrected: {found['corrected']}"


def summary(document: Document) -> str:
    """The last line: how many checks, of how many items, and whether all went as expected."""
    records, coverage = document["claims"], document["coverage"]
    items = len({record["id"] for record in records})
    wrong = sum(not record["as_expected"] for record in records)
    held = sum(record["verdict"] == "holds" for record in records)
    shown = len(errata(records))
    verdicts = f"{words.plural(held, 'holds', 'hold')}, {words.plural(shown, 'erratum', 'errata')} demonstrated"
    outcome = f"{wrong} NOT AS EXPECTED" if wrong else "all as expected"
    return (
        f"{words.plural(len(records), 'check')} of {words.plural(items, 'item')} in {document['seconds']:.1f} s: "
        f"{verdicts}; {outcome}. The chapter's {coverage['items']} items: {coverage['checked']} checked, "
        f"{coverage['used']} used by a checked one, {coverage['not checked']} not checkable."
    )
