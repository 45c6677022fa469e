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
            "bregman-distance", "Fig. 4.1: the gap between J and its linearisation", "bregman:bregman_distance_figure"
        ),
        Experiment("bregman-mlp", "SGD, ProxGD, LinBreg, momentum, AdaBreg on a perceptron", "sparsity:bregman_mlp"),
        Experiment("nas-autoencoder", "neurons that sparse training leaves in a tower", "architecture:nas_autoencoder"),
        Experiment("sparse-speed", "time and memory of a training step against sparsity", "speed:sparse_speed"),
    )
}
