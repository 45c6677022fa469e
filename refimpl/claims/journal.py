"""Finished records in a file, a line each, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TextIO

import refimpl
from refimpl.claims.literal import arguments
from refimpl.claims.runner import Plan, Record

START = '{"plan":'


class Journal:
    """A context around a run; ``kept`` maps claim key -> record of an earlier run of the same plan.

    Lines of other plans (or versions) are left in the file and ignored; so is a last line cut short.
    Without a path nothing is kept.

    Raises
    ------
    ValueError : the file was not written by this class.
    OSError : it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str] | None, plan: Plan) -> None:
        self.path = Path(path) if path else None
        self.mark = f"{refimpl.__version__} {plan.seed} {plan.examples} {arguments(plan.fixed)}"
        self.kept: dict[str, Record] = self._read()
        self._file: TextIO | None = None

    def _read(self) -> dict[str, Record]:
        if self.path is None or not self.path.exists():
            return {}
        text = self.path.read_text(encoding="utf-8")
        if not START.startswith(text.lstrip()[: len(START)]):
            raise ValueError(f"{self.path} holds something else than finished checks")
        lines = [_parsed(line) for line in text.splitlines()]
        return {line["record"]["key"]: line["record"] for line in lines if line and line.get("plan") == self.mark}

    def __enter__(self) -> Journal:
        if self.path is not None:
            self._file = open(self.path, "a", encoding="utf-8")
            self._file.write("\n" if self._file.tell() else "")  # a line cut short stays alone
        return self

    def add(self, record: Record) -> None:
        """Append a finished record."""
        if self._file is not None:
            self._file.write(json.dumps({"plan": self.mark, "record": record}) + "\n")
            self._file.flush()

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _parsed(line: str) -> Record | None:
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return None
    sound = isinstance(parsed, dict) and isinstance(parsed.get("record"), dict) and "key" in parsed["record"]
    return parsed if sound else None
