"""Pages made of hostile names: nothing in them acts, in a parser or in a browser."""

import base64
import json
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from refimpl.claims.claim import Claim, Erratum, at_most, equal
from refimpl.claims.runner import record
from refimpl.crosscheck import report as crosscheck_report
from refimpl.crosscheck.diagnosis import Diagnosis
from refimpl.crosscheck.judge import Report
from refimpl.crosscheck.target import Finding, Target
from refimpl.experiments import gallery
from refimpl.numerics.text import escaped, one_line
from refimpl.report import document, markdown, page

HOSTILE = [
    "<script>document.title = 'ran'</script>",
    '"><img src=x onerror="document.title = \'ran\'">',
    "' onmouseover='document.title=1' x='",
    "]]><svg onload=document.title='ran'>",
    "--><script>document.title='ran'</script><!--",
    "</pre></code></textarea></title></style></script><script>document.title='ran'</script>",
    "javascript:document.title='ran'",
    "&lt;script&gt; &#60;script&#62; &amp;",
    "\u202egnp.exe\u2066\u2069\u200f",
    "\x00\x1b[31m\x08\ud800\ufeff",
    "{links} {0} %s ${x} {{",
]
ALL = " ".join(HOSTILE)
ACTING = set("\x00\x1b\x08\u202e\u2066\u2069\u200f\ufeff\ud800")


class Reader(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.names, self.links, self.texts, self.scripts = [], set(), [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.names |= {name for name, _ in attributes}
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_data(self, data):
        (self.scripts if self.tags and self.tags[-1] == "script" else self.texts).append(data)


def hostile_page():
    claims = []
    for reading, body in (("as printed", lambda: equal(1.0, 2.0)), ("corrected", lambda: at_most(1.0, 2.0, note=ALL))):
        body.__name__, body.__doc__ = f"check <{reading}> {ALL}", ALL
        erratum = Erratum(ALL, ALL, "false") if reading == "as printed" else None
        claims.append(Claim("Example 4.12", reading, body, {}, erratum=erratum).without(ALL))

    def failing():
        raise ValueError(ALL)

    failing.__doc__, failing.__name__ = ALL, ALL
    claims.append(Claim("Example 4.12", "stronger", failing, {}))
    records = [record(claim.verify(examples=1)) for claim in claims]
    for one in records:
        one |= {"note": ALL, "witness": ALL, "extremal": ALL, "error": ALL, "title": ALL, "check": ALL, "replay": ALL}
    made = document.document(records, {"Example 4.12"}, 1.0, 0, {ALL: ALL})
    return page.render(made, claims), markdown.render(made)


def judged_page():
    target = Target(ALL, ALL, ("y",), None, lambda x: x, edges={ALL: {"x": np.ones(2)}})
    finding = Finding(
        {"x": np.ones(2)}, "differs", ALL, actual={"y": np.ones(2)}, expected={"y": np.zeros(2)}, name=ALL
    )
    report = Report(target, ALL, {ALL: ALL}, {ALL: ALL}, 0, [finding], finding, [Diagnosis(ALL, 1)], ALL)
    return crosscheck_report.page(report)


def gallery_page(folder):
    place = folder / "bregman-mlp"
    place.mkdir()
    (place / "x.png").write_bytes(b"\x89PNG")
    hostile = {
        "experiment": ALL,
        "data": ALL,
        "seeds": [0],
        "quick": True,
        "captions": {"x.png": ALL},
        "found": {ALL: ALL},
    }
    (place / "bregman-mlp.json").write_text(json.dumps(hostile))
    return gallery.write_gallery(folder, ["bregman-mlp"]).read_text()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return {
        "report": hostile_page()[0],
        "crosscheck": judged_page(),
        "gallery": gallery_page(tmp_path_factory.mktemp("gallery")),
    }


@pytest.mark.parametrize("name", ["report", "crosscheck", "gallery"])
def test_hostile_texts_stay_texts(name, pages):
    text = pages[name]
    text.encode("utf-8")
    read = Reader(text)
    assert read.tags.count("script") == (name == "report")
    assert not [tag for tag in read.tags if tag in ("svg", "textarea", "iframe", "object")] or name == "report"
    assert not [attribute for attribute in read.names if attribute.startswith("on")]
    assert not [link for link in read.links if not link.startswith(("#", "data:"))]
    assert not ACTING & set(text)
    shown = "".join(read.texts)
    for hostile in HOSTILE[:8]:
        assert " ".join(hostile.split()) in " ".join(shown.split()), hostile
    assert "\\u202egnp.exe" in shown


def test_markdown_of_hostile_texts_has_no_tags():
    text = hostile_page()[1]
    assert "<script" not in text.replace("\\<script", "").split("witness")[0]


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_comes_back(text):
    read = Reader(f'<p title="{escaped(text)}">{escaped(text)}</p>')
    assert read.tags == ["p"] and len(read.texts) == 1
    assert read.texts[0] == text or ACTING & set(text)
    assert "\n" not in one_line(text + "\n" + text) and not ACTING & set(one_line(text))


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--virtual-time-budget=3000", "--dump-dom"]


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_no_script_runs_in_a_browser(pages, tmp_path):
    """All pages in frames of one, each with a look at its own title and at what acts in it."""
    probe = "<script>parent.document.body.append(`[${document.title.startsWith('ran') ? 'ran' : 'quiet'}]`)</script>"
    frames = []
    for text in pages.values():
        source = base64.b64encode((text + probe).encode()).decode()
        frames.append(f'<iframe srcdoc="" data-page="{source}"></iframe>')
    fill = "for (const f of document.querySelectorAll('iframe')) f.srcdoc = new TextDecoder().decode("
    fill += "Uint8Array.from(atob(f.dataset.page), c => c.charCodeAt(0)))"
    file = tmp_path / "frames.html"
    file.write_text(f"<!doctype html><body>{''.join(frames)}<script>{fill}</script></body>")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.count("[quiet]") == len(pages) and "[ran]" not in done.stdout
