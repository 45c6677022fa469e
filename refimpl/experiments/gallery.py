"""One self-contained page with all figures, their captions, and what was found."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from refimpl.numerics.files import write_text
from refimpl.numerics.text import escaped

PAGE = """<!doctype html> <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-
    width, initial-scale=1"> <title>Figures and tables</title> <style> body {{ font: 16px/1.5 system-ui, sans-serif;
    max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }} figure {{ margin: 1rem 0 2rem; }} img {{
    max-width: 100%; }} figcaption {{ color: #444; }} h2 {{ border-top: 1px solid #ccc; padding-top: 1rem; }} pre {{
    overflow-x: auto; background: #f6f6f6; padding: .5rem; }} small {{ color: #666; }}
    </style></head><body><h1>Figures and tables</h1> <nav>{links}</nav> {sections} </body></html>"""


def write_gallery(folder: Path, names: list[str]) -> Path:
    """``folder/index.html`` from the results of the experiments below it; those without results are left out.

    Every text is escaped and every picture embedded, so that the page can be passed on alone.
    """
    present = [name for name in names if (folder / name / f"{name}.json").is_file()]
    records = [(folder / name, json.loads((folder / name / f"{name}.json").read_text())) for name in present]
    links = " · ".join(f'<a href="#{escaped(r["experiment"])}">{escaped(r["experiment"])}</a>' for _, r in records)
    page = PAGE.format(links=links, sections="\n".join(_section(place, record) for place, record in records))
    write_text(folder / "index.html", page)
    return folder / "index.html"


def _section(folder: Path, record: dict[str, Any]) -> str:
    name = escaped(record["experiment"])
    version = "; quick version (the captions describe the full one)" if record["quick"] else ""
    setting = f"data: {record['data']}; seeds: {len(record['seeds'])}{version}"
    figures = "\n".join(_figure(folder / file, caption) for file, caption in record["captions"].items())
    found = escaped(json.dumps(record["found"], indent=1))
    details = f"<details><summary>what was found</summary><pre>{found}</pre></details>"
    return f'<section id="{name}"><h2>{name}</h2><small>{escaped(setting)}</small>\n{figures}\n{details}</section>'


def _figure(path: Path, caption: str) -> str:
    image = base64.b64encode(path.read_bytes()).decode()
    text = escaped(caption)
    return f'<figure><img src="data:image/png;base64,{image}" alt="{text}"><figcaption>{text}</figcaption></figure>'
