"""Where the code is: file and line of functions, their source, and the lines that carry a formula's number."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import refimpl

ROOT = Path(refimpl.__file__).parent


@dataclass(frozen=True)
class Place:
    """A piece of source: what it is called, its file relative to the package's folder, first line, text."""

    name: str
    file: str
    line: int
    text: str

    @property
    def where(self) -> str:
        """ "refimpl/sparsity/optimizers.py:42"."""
        return f"{self.file}:{self.line}"


def place(object: Any) -> Place | None:
    """The source of a function, class, method or compiled kernel; None where there is none."""
    function = inspect.unwrap(getattr(object, "py_func", object))
    function = getattr(function, "func", function)  # functools.partial
    if isinstance(function, property):
        function = function.fget
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = type(function)
    try:
        lines, start = inspect.getsourcelines(function)
        file = Path(inspect.getsourcefile(function) or "")
    except (TypeError, OSError):
        return None
    return Place(_name(function), _relative(file), start, _dedent(lines))


def _dedent(lines: list[str]) -> str:
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line.rstrip()[indent:] if line.strip() else "" for line in lines)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function)).replace("<locals>.", "")


def _relative(file: Path) -> str:
    return file.relative_to(ROOT.parent).as_posix() if file.is_relative_to(ROOT.parent) else file.name


def formula_lines(id: str) -> list[Place]:
    """The lines of the package whose comment ends in an equation's number; none for other items."""
    return [place for place in _numbered() if place.name == id]


@functools.cache
def _numbered() -> tuple[Place, ...]:
    return tuple(place for file in sorted(ROOT.rglob("*.py")) for place in _scan(file))


def _scan(file: Path) -> Iterator[Place]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        for id in marks(line):
            yield Place(id, _relative(file), number, line.strip())


def marks(line: str) -> list[str]:
    """The equation numbers in the comment that ends a line of code: ["(4.19a)"]; text in quotes is no comment."""
    comment = re.search(r"\S.*#([^'\"`]*)$", line)
    return re.findall(r"\(\d\.\d+[a-z]?\)", comment.group(1)) if comment else []
