"""One run of one experiment: its data, its cells, and the files it leaves."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl.data.sets import DataSet, Split, load, split
from refimpl.experiments import figures, sweep
from refimpl.numerics.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PACKAGES = ("numpy", "scipy", "numba", "matplotlib")


@dataclass
class Run:
    """What an experiment asks for its work: settings, data, a sweep, and places for its results.

    Attributes
    ----------
    name : of the experiment.
    out : the folder of this run's files.
    data, data_dir : name of the data set and the folder it lies in.
    seeds : how many; they are 0, 1, ...
    quick : a small version that shows the shape in a minute or less.
    own : what it computes on in place of the data set; "" where it uses that.
    executor : computes the cells; None computes them here.
    captions, files, found, settings : what `finish` writes down.
    stale : how many finished cells were computed by other code of the same version.
    """

    name: str
    out: Path
    data: str = "glyphs"
    data_dir: str | None = None
    seeds: int = 1
    quick: bool = False
    own: str = ""
    executor: Executor | None = None
    captions: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    settings: list[dict[str, Any]] = field(default_factory=list)
    stale: int = 0

    @cached_property
    def source(self) -> dict[str, Any]:
        """What a cell needs to load the data again, and what tells one version of the data from another."""
        return {
            "data": self.data,
            "fingerprint": loaded(self.data, self.data_dir).fingerprint,
            "data_dir": self.data_dir,
        }

    @cached_property
    def split(self) -> Split:
        """The data in the order of its files: training, validation, test."""
        return split_of(self.source)

    def cells(self, cell: sweep.Cell, settings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results of a cell function for every setting, each computed once ever."""
        self.settings += settings
        full, folder = [self.source | s for s in settings], self.out / "cells"
        stale = sweep.of_other_code(cell, full, folder)
        self.stale += stale
        if stale:
            note = f"{self.name}: {stale} cells were computed by other code; remove {folder} to compute them again"
            print(note, file=sys.stderr)
        return sweep.sweep(cell, full, folder, self.executor, self.name)

    def figure(self, figure: Figure, name: str, caption: str) -> None:
        """Save a figure as PNG and SVG; the caption says what to see."""
        self.files += figures.save(figure, self.out, name)
        self.captions[f"{name}.png"] = " ".join(caption.split())

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], name: str | None = None) -> None:
        """Save a table as CSV, under the experiment's own name by default."""
        file = f"{name or self.name}.csv"
        figures.write_csv(self.out / file, columns, rows)
        self.files.append(file)

    def finish(self) -> Path:
        """Write the JSON with settings, seeds, versions, captions and what was found; its path."""
        record = {
            "experiment": self.name,
            "data": self.own or self.source["data"],
            "data fingerprint": None if self.own else self.source["fingerprint"],
            "seeds": list(range(self.seeds)),
            "quick": self.quick,
            "settings": self.settings,
            "cells of other code": self.stale,
            "found": self.found,
            "captions": self.captions,
            "files": self.files,
            "versions": versions(),
        }
        path = self.out / f"{self.name}.json"
        write_text(path, json.dumps(record, indent=1, sort_keys=True) + "\n")
        return path


@lru_cache(maxsize=2)
def loaded(name: str, data_dir: str | None) -> DataSet:
    """`load`, once a process."""
    return load(name, data_dir)


@lru_cache(maxsize=2)
def _split(name: str, data_dir: str | None) -> Split:
    return split(loaded(name, data_dir))


def split_of(settings: dict[str, Any]) -> Split:
    """The data a cell's settings name, split in the order of its files."""
    return _split(settings["data"], settings["data_dir"])


def versions() -> dict[str, str]:
    """Versions of Python, this package and those it computes with."""
    from importlib.metadata import version

    from refimpl import __version__

    return {"python": platform.python_version(), "refimpl": __version__} | {name: version(name) for name in PACKAGES}
