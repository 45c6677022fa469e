"""The page and its parts: escaping, mathematics, plots, links; in a browser where Chromium is installed."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from xml.dom import minidom

import numpy as np
import pytest

from refimpl import chapter
from refimpl.claims import sound_claims
from refimpl.claims.claim import Claim, Erratum, at_most, decays, equal, identity
from refimpl.claims.runner import record
from refimpl.report import document, markdown, page, plots, sections, source, table, words
from refimpl.report.formulas import formulas
from refimpl.report.highlight import python
from refimpl.report.markup import Markup, join, tag
from refimpl.report.mathml import mathml

HOSTILE = "<script>alert('x')</script> & \"quotes\""


def hostile_claim(body=lambda: at_most(1.0, 2.0), **options):
    """A claim whose every text is an attack on the page."""
    claim = Claim("Example 4.12", options.pop("reading", "corrected"), body, options.pop("given", {}), **options)
    claim.without(HOSTILE)
    body.__doc__ = f"Statement {HOSTILE}\n\nof two paragraphs."
    return claim


def made(claims):
    """The document of a few claims."""
    return document.document([record(c.verify(examples=5)) for c in claims], {c.id for c in claims}, 1.0, 0, {})


@pytest.fixture(scope="module")
def small():
    """A page of three artificial claims, with an erratum and an unexpected verdict."""
    h = np.array([1.0, 0.5, 0.25, 0.125])
    claims = [
        hostile_claim(reading="as printed", body=lambda: equal(1.0, 2.0), erratum=Erratum(HOSTILE, HOSTILE, "false")),
        hostile_claim(body=lambda: identity(lambda dtype: (dtype(1), dtype(1)))),
        hostile_claim(reading="stronger", body=lambda: decays(h, h**2, 2, 0.1)),
    ]
    for claim in claims[1:]:
        claim.body.__name__ = f"check_{claim.reading}"
    return made(claims), claims


class Outline(HTMLParser):
    """Ids, links, headings and balance of a page."""

    VOID = frozenset({"meta", "input", "br", "link"})

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.headings, self.open, self.external = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" else []
        self.headings += [int(tag[1])] if re.fullmatch(r"h\d", tag) else []
        self.external += [v for v in attributes.values() if v and re.match(r"(https?:)?//", v)]
        self.open += [] if tag in self.VOID else [tag]

    def handle_startendtag(self, tag, attributes):
        """Elements of MathML that close themselves."""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_tags_escape_text_and_attributes():
    made = tag("p", HOSTILE, Markup("<b>kept</b>"), None, title=HOSTILE, hidden=True, data_x=None, class_="c")
    assert made.count("<script>") == 0
    assert "<b>kept</b>" in made
    assert 'class="c"' in made
    assert " hidden" in made
    assert "data-x" not in made
    assert join("a<b", tag("br")) == "a&lt;b<br>"


def test_the_page_is_well_formed_and_stands_alone(small):
    outline = Outline(page.render(*small))
    assert outline.open == []
    assert outline.external == []
    assert sorted(i for i in outline.ids if outline.ids.count(i) > 1) == []
    assert sorted({link for link in outline.links if link.removeprefix("#") not in outline.ids}) == []


def test_headings_go_down_one_level_at_a_time(small):
    levels = Outline(page.render(*small)).headings
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_text_is_escaped(small):
    text = page.render(*small)
    assert text.count("<script>") == 1, "the page's own script"
    assert "alert(&#x27;x&#x27;)" in text


def test_every_item_has_an_article_and_every_number_an_anchor(small):
    ids = set(Outline(page.render(*small)).ids)
    assert {sections.slug(item.id) for item in chapter.ITEMS} <= ids
    assert {f"4.{n}" for n in range(1, 39)} <= ids
    assert {"4.26", "theorem-4.26", "eq-4.26", "4.19a"} <= ids


def test_statuses_say_what_happened(small):
    text = page.render(*small)
    assert 'data-status="unexpected"' in text, "its control is not refuted"
    assert "not checked" in text


def test_slugs_are_unique():
    slugs = [sections.slug(item.id) for item in chapter.ITEMS]
    assert len(set(slugs)) == len(slugs)
    assert not set(slugs) & set(sections.short_anchors().values())


@pytest.mark.parametrize("id", sorted(formulas()))
def test_every_formula_renders(id):
    chapter.get(id)
    minidom.parseString(mathml(formulas()[id]))


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"x_i^2", "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>"),
        (r"\frac12", "<mfrac><mn>1</mn><mn>2</mn></mfrac>"),
        (r"\sum_{i} x", '<munder><mo largeop="true" movablelimits="false">∑</mo><mrow><mi>i</mi></mrow></munder>'),
        (r"f'", "<msup><mi>f</mi><mo>′</mo></msup>"),
        (r"\text{a < b}", "<mtext>a\N{NO-BREAK SPACE}&lt;\N{NO-BREAK SPACE}b</mtext>"),
        (r"\mathcal{L}", "<mi>ℒ</mi>"),
        (r"a-b", "<mi>a</mi><mo>−</mo><mi>b</mi>"),
    ],
)
def test_mathml(latex, expected):
    assert expected in mathml(latex)


@pytest.mark.parametrize("latex", [r"\unknown", "{x", "x}", "x_", r"\text x", r"\text{x"])
def test_mathml_refuses_what_it_does_not_know(latex):
    with pytest.raises(ValueError, match="formula"):
        mathml(latex)


def test_source_is_highlighted_without_changing_it():
    text = 'def f(x):\n    """A < B & "C"."""\n    return x  # (4.1)\n\n\nclass Y: pass'
    block = python(text)
    assert re.sub(r"</?(pre|code|span)[^>]*>", "", block) == join(text)
    assert '<span class="k">def</span>' in block
    assert '<span class="c"># (4.1)</span>' in block


def test_source_that_does_not_parse_stays_plain():
    assert "x = (" in python("x = (")


def test_places_of_functions_methods_and_classes():
    place = source.place(words.short)
    assert place.where.startswith("refimpl/report/words.py:")
    assert place.text.startswith("def short(")
    assert source.place(source.Place).text.startswith("@dataclass")
    assert source.place(Claim.check).text.startswith("def check(self"), "methods lose their indentation"
    assert source.place(3) is None


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (lambda: decays(np.array([1.0, 0.5]), np.array([1.0, 0.25]), 2, 0.1), "polyline"),
        (lambda: identity(lambda dtype: (dtype(1), dtype(1))), "float32"),
    ],
)
def test_plots_fit_the_evidence(body, part):
    made = plots.plot(record(Claim("(4.1)", "as printed", body, {}).verify()))
    assert part in made
    minidom.parseString(made)


def test_plots_survive_infinite_and_missing_values():
    claim = Claim("(4.1)", "as printed", lambda: equal(1.0, np.inf), {})
    plain = record(claim.verify())
    assert plots.plot(plain) is None
    minidom.parseString(plots.plot({**plain, "trace": ["inf", 1.0, "nan", -1.0]}))
    minidom.parseString(plots.plot({**plain, "trace": [0.0] * 5, "sharpness": 0.0}))


def test_axis_ticks_are_round():
    assert plots.Axis(0, 1.05, 0, 100).ticks() == pytest.approx([0, 0.5, 1.0])
    assert plots.Axis(-3, 2, 0, 100, log=True).ticks() == pytest.approx([1e-3, 1e-1, 10])


def test_table_fits_the_width_it_is_given(small):
    for width in (72, 80, 100, 140):
        lines = table.table(small[0]["claims"], width=width).splitlines()
        assert max(map(len, lines)) <= width
        assert "vacuous (!)" in "\n".join(lines)
    assert all(head in lines[0] for head in table.HEADS)


def test_summary_counts_what_is_not_as_expected(small):
    assert "2 NOT AS EXPECTED" in table.summary(small[0])


def test_markdown_has_no_stray_markup(small):
    text = markdown.render(small[0])
    assert "<script>" not in text
    assert "| Item | Title |" in text


def test_documents_are_strict_json_and_repeat(small):
    text = document.to_json(small[0])
    assert json.loads(text) == small[0]


def test_coverage_accounts_for_every_item():
    checked = {claim.id for claim in sound_claims()}
    found = document.coverage(checked)
    assert found["checked"] + found["used"] + found["not checked"] + len(found["unaccounted"]) == len(chapter.ITEMS)
    nothing = document.coverage(set())
    assert nothing["used"] == 0
    assert len(nothing["unaccounted"]) == len(chapter.ITEMS) - len(chapter.NOT_CHECKED)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=5000",
    "--enable-logging=stderr",
    "--dump-dom",
]
PROBE = """
<script>
const say = (name, value) => { const p = document.createElement("p"); p.className = "probe";
  p.textContent = `${name}=${value}`; document.body.append(p); };
const visible = () => document.querySelectorAll("article:not([hidden])").length;
const choose = (id, value) => { const c = document.getElementById(id); c.value = value;
  c.dispatchEvent(new Event("input")); };
say("all", visible());
choose("section", "4.3"); say("section", visible());
choose("section", ""); choose("status", "unexpected"); say("status", visible());
choose("status", ""); choose("search", "example 4.12"); say("search", visible());
say("said", document.getElementById("shown").textContent);
location.hash = "#4.26";
setTimeout(() => {
  say("revealed", visible());
  const box = document.querySelector("#eq-4\\\\.1 math").getBoundingClientRect();
  say("maths", box.width > 100 && box.height > 10);
  say("focusable", document.querySelectorAll("select, input, button, a[href], summary").length > 100);
  say("target", document.getElementById("4.26").closest("article").id);
}, 500);
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_in_a_browser(small, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(page.render(*small).replace("</body>", PROBE), encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    probes = dict(p.split("=") for p in re.findall(r'<p class="probe">([^<]*)</p>', done.stdout))
    assert "CONSOLE" not in done.stderr
    items = len(chapter.ITEMS)
    assert probes == {
        "all": str(items),
        "section": str(len(chapter.in_section("4.3"))),
        "status": "1",
        "search": probes["search"],
        "said": f"{probes['search']} of {items} items",
        "revealed": str(items),
        "maths": "true",
        "focusable": "true",
        "target": "theorem-4.26",
    }
    assert 0 < int(probes["search"]) < items
