"""The terminal table of a run, its errata and its summary line."""

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from refimpl.report import words
from refimpl.report.document import Document, errata

Record = Mapping[str, Any]

HEADS = ("item", "title", "reading", "verdict", "worst", "sharpness", "cases", "controls", "seconds")
RIGHT = {"cases", "controls", "seconds"}
TITLE = 1


def render(document: Document) -> str:
    """The whole report of a run: table, what needs a look, errata, summary."""
    records = document["claims"]
    parts = [table(records), unexpected(records), found_errata(records), summary(document)]
    return "\n\n".join(part for part in parts if part)


def table(records: Sequence[Record], width: int | None = None) -> str:
    """One line a claim; titles are cut so that a line fits a terminal of ``width`` columns."""
    if not records:
        return ""
    rows = [HEADS, *map(_row, records)]
    sizes = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]
    total = width or (shutil.get_terminal_size((140, 24)).columns if sys.stdout.isatty() else 160)
    sizes[TITLE] = max(12, min(sizes[TITLE], total - sum(sizes) + sizes[TITLE] - 2 * (len(HEADS) - 1)))
    lines = [_line(row, sizes) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(record: Record) -> tuple[str, ...]:
    return (
        record["id"],
        record["title"],
        record["reading"],
        words.verdict(record),
        words.worst(record),
        words.sharpness(record),
        str(record["cases"]),
        words.controls(record),
        f"{record['seconds']:.1f}",
    )


def _line(row: Sequence[str], sizes: Sequence[int]) -> str:
    cells = [
        _cut(cell, size).rjust(size) if head in RIGHT else _cut(cell, size).ljust(size)
        for cell, size, head in zip(row, sizes, HEADS, strict=True)
    ]
    return "  ".join(cells).rstrip()


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
