"""The verdicts as one Markdown file: summary, table, errata, items without a check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from refimpl.report import words
from refimpl.report.document import Document, errata
from refimpl.report.table import summary

Record = Mapping[str, Any]

HEADS = ("Item", "Title", "Reading", "Verdict", "Worst", "Sharpness", "Cases", "Controls")


def render(document: Document) -> str:
    """The whole file as text."""
    records = document["claims"]
    parts = ["# The chapter, item by item", summary(document), _table(HEADS, map(_row, records))]
    parts += ["## Errata", *map(_erratum, errata(records))]
    parts += ["## Not checkable", *(f"- **{id}**: {_text(why)}" for id, why in document["coverage"]["reasons"].items())]
    return "\n\n".join(parts) + "\n"


def _row(record: Record) -> Sequence[str]:
    values = [record["id"], record["title"], record["reading"], words.verdict(record), words.worst(record)]
    return [*values, words.sharpness(record), str(record["cases"]), words.controls(record)]


def _table(heads: Sequence[str], rows: Any) -> str:
    lines = [heads, ["---"] * len(heads), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _erratum(found: Record) -> str:
    return (
        f"- **{found['id']}** ({found['severity']})\n"
        f"  - printed: {_text(found['printed'])}\n"
        f"  - corrected: {_text(found['corrected'])}\n"
        f"  - witness: {_code(found['witness'])}\n"
        f"  - replay: {_code(found['replay'])}"
    )


def _text(text: str) -> str:
    """Plain text: what Markdown would read as markup is escaped."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())


def _code(text: str) -> str:
    """A code span whose fence is longer than any run of backticks inside."""
    fence = "`" * (1 + max((len(run) for run in text.split() if set(run) == {"`"}), default=0))
    return f"{fence}{' '.join(text.split())}{fence}" if text else "none"
