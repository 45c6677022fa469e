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
    own : what it computes on in place of any data set; "" where it uses one.
    """

    name: str
    shows: str
    place: str
    data: tuple[str, ...] = DIGITS
    own: str = ""

    @property
    def function(self) -> Callable[[Run], None]:
        """The function that computes the cells and draws the figures of a run."""
        module, name = self.place.split(":")
        return getattr(import_module(f"refimpl.experiments.{module}"), name)


EXPERIMENTS = {
    e.name: e
    for e in (
        Experiment(
            "clip-regression",
            "1-D fits and exact Lipschitz constants",
            "regression:clip_regression",
            own="noisy samples of a ramp",
        ),
        Experiment("clip-robustness", "training methods against attacks, certificates", "robustness:clip_robustness"),
        Experiment(
            "bregman-distance",
            "the gap between J and its linearisation",
            "bregman:bregman_distance_figure",
            own="functions of one variable",
        ),
        Experiment(
            "bregman-denoising",
            "TV Bregman iterations on a photograph",
            "bregman:bregman_denoising",
            own="a photograph",
        ),
        Experiment("bregman-mlp", "SGD, ProxGD, LinBreg, momentum, AdaBreg on a perceptron", "sparsity:bregman_mlp"),
        Experiment("bregman-conv", "convolutional networks: weights, kernels, baselines", "convolutions:bregman_conv"),
        Experiment(
            "bregman-resnet",
            "a short run of ResNet-18 on images of CIFAR-10's shape",
            "convolutions:bregman_resnet",
            ("cifar-10", "mnist", "fashion-mnist", "glyphs"),
        ),
        Experiment("nas-autoencoder", "neurons that sparse training leaves in a tower", "architecture:nas_autoencoder"),
        Experiment("nas-skips", "skip connections that survive sparse training", "architecture:nas_skips"),
        Experiment(
            "fno-kernels",
            "one kernel at three sizes, padded in space or frequency",
            "kernels:fno_kernels",
            own="a photograph",
        ),
        Experiment("fno-conversion", "CNN, converted CNN, trained FNO over kernel size", "resolution:fno_conversion"),
        Experiment("fno-resolution", "test accuracy over image size", "resolution:fno_resolution"),
        Experiment(
            "sparse-speed",
            "time and memory of a training step against sparsity",
            "speed:sparse_speed",
            own="random numbers",
        ),
    )
}
