"""The parts of the page that are about one item: its row in the overview and its article."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refimpl import chapter
from refimpl.report import plots, show, source, words
from refimpl.report.formulas import formulas
from refimpl.report.highlight import python
from refimpl.report.markup import Markup, join, tag
from refimpl.report.mathml import mathml

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """An item with its claims, the records by claim key, and whether a checked item uses it."""

    item: chapter.Item
    claims: Sequence[Any]
    by_key: Mapping[str, Record]
    used: bool

    @property
    def records(self) -> list[Record]:
        """The records of the item's claims."""
        return [self.by_key[claim.key] for claim in self.claims]

    @property
    def status(self) -> str:
        """One of the statuses of the page."""
        if not self.claims:
            return "used" if self.used else "not checked"
        if not all(record["as_expected"] for record in self.records):
            return "unexpected"
        return "erratum" if any(record["erratum"] for record in self.records) else "holds"


def slug(id: str) -> str:
    """ "theorem-4.26", "eq-4.19a", "4.2.2-monotone-in-lambda": unique in the page."""
    name = f"eq-{id.strip('()')}" if id.startswith("(") else id
    return re.sub(r"[^a-z0-9.]+", "-", name.casefold()).strip("-")


def short_anchors() -> dict[str, str]:
    """Item id -> "4.26": each number once, for its first numbered item, else for its equation."""
    by_kind = sorted(chapter.ITEMS, key=lambda item: item.kind == "Equation")
    taken: dict[str, str] = {}
    for item in by_kind:
        number = re.fullmatch(r"\(?(?:[A-Z][a-z]+ )?(\d+\.\d+[ab]?)\)?", item.id)
        if number:
            taken.setdefault(number.group(1), item.id)
    return {id: number for number, id in taken.items()}


def badge(text: str, kind: str = "") -> Markup:
    """A verdict in its colour; the word itself carries the meaning."""
    return tag("span", text, class_=f"badge {kind or text.replace(' ', '-')}")


def link(id: str) -> Markup:
    """A link to an item's article."""
    return tag("a", id, href=f"#{slug(id)}")


def row(entry: Entry) -> Markup:
    """The item's line in the overview."""
    item, records = entry.item, entry.records
    ratios = [float(r["sharpness"]) for r in records if r["sharpness"] is not None and r["verdict"] == "holds"]
    sharp = "attained" if any(r["attained"] for r in records) else f"{max(ratios):.4f}" if ratios else ""
    cells = [item.title, item.section, badge(entry.status), str(len(records) or ""), sharp]
    return tag("tr", tag("th", link(item.id), scope="row"), *(tag("td", cell) for cell in cells), **_marks(entry))


def erratum_row(found: Mapping[str, Any]) -> Markup:
    """One erratum in the list of errata."""
    cells = [tag("td", found[key]) for key in ("printed", "corrected", "severity")]
    return tag("tr", tag("th", link(found["id"]), scope="row"), *cells)


def _marks(entry: Entry) -> dict[str, str]:
    return {"data_section": entry.item.section, "data_status": entry.status}


def article(entry: Entry) -> Markup:
    """Everything about an item."""
    item = entry.item
    latex = formulas().get(item.id)
    return tag(
        "article",
        _heading(item, entry.status),
        tag("p", item.says),
        tag("div", Markup(mathml(latex)), class_="formula", tabindex="0") if latex else None,
        _links(item),
        _excuse(entry),
        *(check(claim, record) for claim, record in zip(entry.claims, entry.records, strict=True)),
        _sources(entry),
        id=slug(item.id),
        aria_labelledby=f"{slug(item.id)}-title",
        **_marks(entry),
    )


def _excuse(entry: Entry) -> Markup | None:
    why = chapter.NOT_CHECKED.get(entry.item.id, "no check")
    return tag("p", why, class_="reason") if entry.status == "not checked" else None


def _heading(item: chapter.Item, status: str) -> Markup:
    number = _ANCHORS.get(item.id)
    alias = tag("span", id=number) if number else None
    permalink = tag("a", "#", href=f"#{number or slug(item.id)}", aria_label=f"Link to {item.id}", class_="permalink")
    return tag("h3", alias, f"{item.id}: {item.title} ", badge(status), " ", permalink, id=f"{slug(item.id)}-title")


_ANCHORS = short_anchors()


def _links(item: chapter.Item) -> Markup | None:
    parts = [_list("Uses", item.uses), _list("Used by", chapter.used_by(item.id))]
    return tag("p", *parts, class_="links") if any(parts) else None


def _list(label: str, ids: Sequence[str]) -> Markup | None:
    if not ids:
        return None
    linked = [part for id in ids for part in (Markup(", "), link(id))][1:]
    return tag("span", f"{label} ", *linked, ". ")


def check(claim: Any, record: Record) -> Markup:
    """One check of an item: statement, verdict, evidence, controls, erratum, witness."""
    title = tag("h4", record["reading"], " ", badge(words.verdict(record), _kind(record)), " ", tag("code", claim.name))
    return tag(
        "section",
        title,
        *(tag("p", paragraph) for paragraph in record["statement"].split("\n\n")),
        _erratum(record),
        tag("div", _facts(claim, record), plots.plot(record), class_="evidence"),
        _controls(record),
        _instance("Smallest witness", record["witness"]),
        _instance("Extremal instance", record["extremal"]),
        tag("p", "Replay: ", tag("code", record["replay"]), class_="replay"),
        class_="check",
    )


def _kind(record: Record) -> str:
    return record["verdict"] if record["as_expected"] else "unexpected"


def _facts(claim: Any, record: Record) -> Markup:
    facts = [
        ("Draws", ", ".join(claim.given) or "nothing: one instance"),
        ("Cases", str(record["cases"])),
        ("Worst", words.worst(record)),
        ("Sharpness", words.sharpness(record)),
        ("Note", record["note"]),
        ("Error", record["error"]),
    ]
    return tag("dl", *(part for name, value in facts if value for part in (tag("dt", name), tag("dd", value))))


def _controls(record: Record) -> Markup | None:
    if not record["controls"]:
        return None
    items = [tag("li", c["name"], ": ", badge(c["verdict"], _control_kind(c))) for c in record["controls"]]
    return join(tag("p", "Controls, each must be refuted:"), tag("ul", *items))


def _control_kind(control: Record) -> str:
    return "holds" if control["verdict"] == "refuted" else "unexpected"


def _erratum(record: Record) -> Markup | None:
    erratum = record["erratum"]
    if not erratum:
        return None
    pairs = (("Printed", erratum["printed"]), ("Corrected", erratum["corrected"]), ("Severity", erratum["severity"]))
    return tag("dl", *(part for name, text in pairs for part in (tag("dt", name), tag("dd", text))), class_="printed")


def _instance(label: str, text: str | None) -> Markup | None:
    return tag("details", tag("summary", label), tag("pre", tag("code", text), tabindex="0")) if text else None


def _sources(entry: Entry) -> Markup | None:
    """The source of what computes the item and of its checks; lines that carry an equation's number."""
    lines = [tag("li", tag("code", f"{p.where}: {p.text}")) for p in source.formula_lines(entry.item.id)]
    shown = [_source(place) for place in show.places(entry.claims)]
    return tag("div", tag("ul", *lines, class_="lines") if lines else None, *shown) if lines or shown else None


def _source(place: source.Place) -> Markup:
    summary = tag("summary", tag("code", place.name), f" {place.where}")
    return tag("details", summary, python(place.text), class_="source")
