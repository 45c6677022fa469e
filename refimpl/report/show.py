"""One item in full, as text: statement, hypotheses, dependencies, code, errata, last evidence."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from refimpl import chapter
from refimpl.claims import Claim
from refimpl.report import source, table, words

Record = Mapping[str, Any]


def item(entry: chapter.Item, claims: Sequence[Claim], records: Mapping[str, Record]) -> str:
    """Everything there is about an item; ``records`` by claim key are the last evidence."""
    blocks = [_head(entry), _links(entry), *(claim(c, records.get(c.key)) for c in claims)]
    if not claims and entry.id in chapter.NOT_CHECKED:
        blocks.append(f"not checked: {chapter.NOT_CHECKED[entry.id]}")
    return "\n\n".join([*blocks, *_formulas(entry), *code(claims)])


def _head(entry: chapter.Item) -> str:
    title = f"{entry.id}: {entry.title}  (Section {entry.section})"
    return f"{title}\n{'=' * len(title)}\n{textwrap.fill(entry.says, 100)}"


def _links(entry: chapter.Item) -> str:
    users = chapter.used_by(entry.id)
    return f"uses:    {', '.join(entry.uses) or 'nothing'}\nused by: {', '.join(users) or 'nothing'}"


def claim(subject: Claim, record: Record | None) -> str:
    """One check: statement, what it draws, controls, erratum, last evidence."""
    lines = [f"[{subject.reading}] {subject.name}, expected: {subject.expected}", _indented(subject.statement)]
    if subject.given:
        lines.append(f"  draws:    {', '.join(subject.given)}")
    lines += [f"  control:  {control.name}" for control in subject.controls]
    if subject.erratum:
        lines += [f"  printed:  {subject.erratum.printed}", f"  correct:  {subject.erratum.corrected}"]
        lines.append(f"  severity: {subject.erratum.severity}")
    return "\n".join([*lines, *_evidence(record)])


def _evidence(record: Record | None) -> Iterable[str]:
    if record is None:
        return ["  no evidence at hand; run refimpl verify"]
    facts = [f"{record['verdict']} in {words.plural(record['cases'], 'case')}", words.worst(record)]
    if record["sharpness"] is not None:
        facts.append(f"sharpness {words.sharpness(record)}")
    if record["controls"]:
        facts.append(f"controls refuted {words.controls(record)}")
    return [f"  evidence: {'; '.join(facts)}", *table.details(record).splitlines()[1:]]


def _indented(statement: str) -> str:
    return textwrap.indent(textwrap.dedent(statement), "  ")


def _formulas(entry: chapter.Item) -> list[str]:
    lines = [f"{place.where}: {place.text}" for place in source.formula_lines(entry.id)]
    return ["lines that compute it:\n" + textwrap.indent("\n".join(lines), "  ")] if lines else []


def code(claims: Sequence[Claim]) -> list[str]:
    """The source of what computes the item and of the checks, each once."""
    return [f"{place.where}  {place.name}\n{textwrap.indent(place.text, '  ')}" for place in places(claims)]


def places(claims: Sequence[Claim]) -> list[source.Place]:
    """The code of the claims, then the bodies of their checks."""
    objects = [thing for c in claims for thing in c.code] + [c.body for c in claims]
    found = [source.place(thing) for thing in objects]
    return list(dict.fromkeys(place for place in found if place is not None))
