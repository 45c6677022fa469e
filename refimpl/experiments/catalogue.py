"""The experiments by name: what each shows, where its function is, and which data it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from refimpl.experiments.run import Run

DIGITS = ("mnist", "fashion-mnist", "glyphs")


@dataclass(frozen=True)
class Experiment:
    """An entry of ``refimpl reproduce --list``.

    Attributes
    ----------
    name : as given on the command line.
    shows : the figure or table of the literature, in a few words.
    place : ``module:function`` below ``refimpl.experiments``; imported when it is run.
    data : the data sets it can use; ``glyphs`` is always one of them.
    """

    name: str
    shows: str
    place: str
    data: tuple[str, ...] = DIGITS

    @property
    def function(self) -> Callable[[Run], None]:
        """The function that computes the cells and draws the figures of a run."""
        module, name = self.place.split(":")
        return getattr(import_module(f"refimpl.experiments.{module}"), name)


EXPERIMENTS = {
    e.name: e
    for e in (
        Experiment(
            "bregman-mlp",
            "sparse training of a perceptron: SGD, ProxGD, LinBreg, momentum, AdaBreg",
            "sparsity:bregman_mlp",
        ),
    )
}
