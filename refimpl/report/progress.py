"""Progress on stderr: one line rewritten in place on a terminal, else one line for each finished claim."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO


class Progress:
    """A context that counts finished claims; ``start`` of them were finished before."""

    def __init__(self, total: int, start: int = 0, stream: TextIO | None = None) -> None:
        self.total, self.done = total, start
        self.stream = stream or sys.stderr
        self.inplace = self.stream.isatty()
        self.began = time.perf_counter()

    def __enter__(self) -> Progress:
        if self.inplace:
            self._show("compiling and searching")
        return self

    def advance(self, record: Mapping[str, Any]) -> None:
        """Count a finished claim and name it."""
        self.done += 1
        self._show(f"{record['id']} ({record['reading']}): {record['verdict']}")

    def __exit__(self, *_: object) -> None:
        if self.inplace:
            self.stream.write("\r\033[K")
            self.stream.flush()

    def _show(self, text: str) -> None:
        line = f"[{self.done:{len(str(self.total))}}/{self.total}] {time.perf_counter() - self.began:4.0f} s  {text}"
        if self.inplace:
            line = "\r\033[K" + line[: shutil.get_terminal_size().columns - 1]
        self.stream.write(line if self.inplace else line + "\n")
        self.stream.flush()
