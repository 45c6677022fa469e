"""The page: every item of the chapter with its verdicts, evidence and source, in one HTML file without any network."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from refimpl import chapter
from refimpl.report import sections
from refimpl.report.document import Document, errata
from refimpl.report.markup import Markup, tag
from refimpl.report.sections import Entry

SECTIONS = {
    "4.1": "Setting",
    "4.2": "Adversarial stability via Lipschitz training",
    "4.3": "Sparsity via Bregman iterations",
    "4.4": "Resolution stability via Fourier neural operators",
}
LEAD = (
    "Robust and sparse supervised learning as executable statements: each item with its verdict, the evidence "
    "behind it, what every hypothesis is needed for, and the code that computes it."
)
STATUSES = {
    "holds": "holds",
    "erratum": "printed form refuted, corrected form holds",
    "unexpected": "not as expected",
    "used": "used by a checked item",
    "not checked": "not checkable",
}


def render(document: Document, claims: Sequence[Any]) -> str:
    """The whole page as text, from a document of `refimpl.report.document` and the claims it is about."""
    entries = _entries(document, claims)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", "refimpl: the chapter, item by item"),
        tag("link", rel="icon", href="data:,"),
        tag("style", Markup(_asset("page.css"))),
    )
    body = tag(
        "body",
        tag("a", "Skip to the items", href="#items", class_="skip"),
        tag("header", *_introduction(document, entries)),
        tag("nav", _filters(), aria_label="Filters", class_="filters"),
        tag("main", _overview(entries), _errata(document), *_chapters(entries), id="items"),
        tag("footer", tag("p", _provenance(document))),
        tag("script", Markup(_asset("page.js"))),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _asset(name: str) -> str:
    return resources.files("refimpl.report").joinpath(name).read_text(encoding="utf-8")


def _entries(document: Document, claims: Sequence[Any]) -> list[Entry]:
    records = {record["key"]: record for record in document["claims"]}
    checked = {claim.id for claim in claims}
    used = chapter.rests_on(checked)
    return [
        Entry(item, [c for c in claims if c.id == item.id and c.key in records], records, item.id in used)
        for item in chapter.ITEMS
    ]


def _introduction(document: Document, entries: Sequence[Entry]) -> list[Markup]:
    counts = {name: sum(e.status == name for e in entries) for name in STATUSES}
    checks = len(document["claims"])
    return [
        tag("h1", "The chapter, item by item"),
        tag("p", LEAD),
        tag("ul", *(_count(name, counts[name]) for name in STATUSES if counts[name]), class_="counts"),
        tag("p", f"{len(entries)} items, {checks} checks, {len(errata(document['claims']))} errata demonstrated."),
    ]


def _count(status: str, number: int) -> Markup:
    return tag("li", sections.badge(status), f" {number} {STATUSES[status]}")


def _provenance(document: Document) -> str:
    return f"refimpl {document['version']}, seed {document['seed']}. Every verdict repeats with the line under it."


def _filters() -> Markup:
    options = [("", "all sections"), *((s, f"{s} {title}") for s, title in SECTIONS.items())]
    statuses = [("", "all verdicts"), *STATUSES.items()]
    return tag(
        "form",
        _select("section", "Section", options),
        _select("status", "Verdict", statuses),
        tag("label", "Search ", tag("input", type="search", id="search", placeholder="theorem, prox, 4.26 ...")),
        tag("output", "", id="shown", aria_live="polite"),
        tag("button", "Show all", type="reset"),
        role="search",
    )


def _select(name: str, label: str, options: Sequence[tuple[str, str]]) -> Markup:
    choices = [tag("option", text, value=value) for value, text in options]
    return tag("label", f"{label} ", tag("select", *choices, id=name))


def _overview(entries: Sequence[Entry]) -> Markup:
    heads = [tag("th", text, scope="col") for text in ("Item", "What", "Section", "Verdict", "Checks", "Sharpness")]
    table = tag(
        "table",
        tag("caption", "All items in the order of the chapter"),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *(sections.row(entry) for entry in entries)),
    )
    return tag("section", tag("h2", "Overview", id="overview"), tag("div", table, class_="wide", tabindex="0"))


def _errata(document: Document) -> Markup | None:
    found = errata(document["claims"])
    if not found:
        return None
    heads = [tag("th", text, scope="col") for text in ("Item", "Printed", "Corrected", "Severity")]
    rows = [sections.erratum_row(e) for e in found]
    caption = tag("caption", "What the text gets wrong, each with a witness below")
    table = tag("table", caption, tag("thead", tag("tr", *heads)), tag("tbody", *rows))
    return tag("section", tag("h2", "Errata", id="errata"), tag("div", table, class_="wide", tabindex="0"))


def _chapters(entries: Sequence[Entry]) -> list[Markup]:
    return [
        tag(
            "section",
            tag("h2", f"{number} {title}", id=f"section-{number}"),
            *(sections.article(e) for e in entries if e.item.section[:3] == number),
            class_="chapter",
        )
        for number, title in SECTIONS.items()
    ]
