"""Classifiers with few Fourier coefficients, and on images of other sizes than in training ([FNO], Fig. 3 and 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from refimpl.data import glyphs
from refimpl.data.sets import Part
from refimpl.experiments import nets
from refimpl.experiments.figures import band, canvas, legend_below, style
from refimpl.experiments.run import Run, split_of
from refimpl.experiments.training import Recipe, train
from refimpl.resolution import resize
from refimpl.resolution.conversion import resolution_free, spectral_network
from refimpl.resolution.layers import SpectralConv
from refimpl.setting import AdaptiveAveragePool2d, BatchNorm2d, Conv2d, Dense, Flatten, Layer, Network, ReLU
from refimpl.setting.builders import residual_block
from refimpl.sparsity import AdaBreg, Zero

Array = np.ndarray
Settings = dict[str, Any]

WAYS = ("as it is", "as an FNO", "trigonometric input", "bilinear input")
CURVES = {
    "fno-resolution": [("CNN", way) for way in WAYS],
    "fno-resolution-resnet": [("ResNet", "as it is"), *(("trigonometric ResNet", way) for way in WAYS)],
}


def classifier(make: Any) -> Network:
    """Two convolution layers made by ``make(c_in, c_out)``, adaptive pooling to 4 x 4, 128 units, 10 classes."""
    head: list[Layer] = [AdaptiveAveragePool2d(4), Flatten(), Dense(256, 128), ReLU(), Dense(128, 10)]
    return Network([make(1, 8), ReLU(), make(8, 16), ReLU(), *head])


def cnn(kernel: int) -> Network:
    """The network with periodic convolutions of this kernel size."""
    return classifier(lambda c_in, c_out: Conv2d(c_in, c_out, kernel, padding="circular", bias=False))


def fno(modes: int) -> Network:
    """The network with spectral convolutions of so many coefficients an axis."""
    return classifier(lambda c_in, c_out: SpectralConv(c_in, c_out, (modes, modes), bias=False))


def resnet() -> Network:
    """Two residual blocks of 16 and 32 channels with strides 2, mean over the image, 10 classes; 18,626 parameters."""
    stem: list[Layer] = [Conv2d(1, 8, 3, bias=False), BatchNorm2d(8), ReLU()]
    blocks = [residual_block(8, 16, 2), ReLU(), residual_block(16, 32, 2), ReLU()]
    return Network([*stem, *blocks, AdaptiveAveragePool2d(1), Flatten(), Dense(32, 10)])


def built(settings: Settings) -> Network:
    """The network a cell's settings name."""
    made = {
        "CNN": lambda: cnn(settings["size"]),
        "FNO": lambda: fno(settings["size"]),
        "ResNet": resnet,
        "trigonometric ResNet": lambda: resolution_free(resnet()),
    }
    return made[settings["kind"]]()


def trained(settings: Settings, checkpoint: Path) -> tuple[Network, Array, Part, Part]:
    """Train with Adam; the network with its normalisation fixed, theta, validation, test (values in [-1, 1])."""
    parts = split_of(settings)
    training, validation, test = (
        Part(p.x * 2 - 1, p.labels) for p in (parts.training.first(settings["count"]), parts.validation, parts.test)
    )
    network = built(settings)
    theta = network.init(settings["seed"], np.float32)
    recipe = Recipe(settings["epochs"], 128, settings["seed"])
    label = f"{settings['kind']} {settings['size']} seed {settings['seed']}"
    optimizer = AdaBreg(Zero(), settings["tau"])
    outcome = train(network, optimizer, theta, training.x, training.labels, recipe, checkpoint=checkpoint, label=label)
    statistics = network.vjp(outcome.theta, training.x[:1000])[1].statistics
    return network.evaluation(statistics), outcome.theta, validation, test


def conversion_cell(settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Test accuracy of a trained network, and of a CNN converted with fewer and fewer coefficients."""
    network, theta, _, test = trained(settings, checkpoint)
    converted = {}
    for modes in settings["modes"]:
        f, t = spectral_network(network, theta, test.x.shape[1:], modes)
        converted[str(modes)] = nets.accuracy(f, t, test)
    return {"test": nets.accuracy(network, theta, test), "converted": converted}


def fno_conversion(run: Run) -> None:
    """Fig. 3 of [FNO]: CNN over kernel size, CNN converted with fewer coefficients, FNO trained with them."""
    kernels = (3, 5, 9)
    modes = (3, 7, 13, 21, 28) if run.quick else (3, 5, 9, 13, 15, 21, 25, 27, 28)
    trained_modes = (3, 7, 13) if run.quick else (3, 5, 9, 15, 21, 27)
    common = {"epochs": 4, "count": 2500} if run.quick else {"epochs": 4, "count": 10**6}
    cnns = [{"kind": "CNN", "size": k, "tau": 1e-3, "modes": list(modes)} for k in kernels]
    fnos = [{"kind": "FNO", "size": m, "tau": 5e-3, "modes": []} for m in trained_modes]
    results = run.cells(conversion_cell, [common | one | {"seed": s} for one in cnns + fnos for s in range(run.seeds)])
    runs = [results[i * run.seeds : (i + 1) * run.seeds] for i in range(len(cnns + fnos))]
    tests = [float(np.mean([r["test"] for r in several])) for several in runs]
    small, large = (_converted_mean(runs[i], modes) for i in (0, len(cnns) - 1))
    curves = {
        "CNN": (kernels, tests[: len(cnns)]),
        f"CNN {kernels[0]} x {kernels[0]}, converted": (modes, small),
        f"CNN {kernels[-1]} x {kernels[-1]}, converted": (modes, large),
        "FNO, trained": (trained_modes, tests[len(cnns) :]),
    }
    _draw_conversion(run, curves)
    rows = [(name, x, y) for name, (xs, ys) in curves.items() for x, y in zip(xs, ys)]
    run.table(("network", "size", "test accuracy"), rows)
    run.found = {name: dict(zip(map(str, x), y)) for name, (x, y) in curves.items()}


def _converted_mean(several: list[dict[str, Any]], modes: tuple[int, ...]) -> list[float]:
    return [float(np.mean([r["converted"][str(m)] for r in several])) for m in modes]


def _draw_conversion(run: Run, curves: dict[str, Any]) -> None:
    with canvas() as (figure, ax):
        for i, (name, (x, y)) in enumerate(curves.items()):
            ax.plot(x, y, label=name, **style(i))
        ax.set(xlabel="kernel size, or coefficients per axis", ylabel="test accuracy")
        ax.legend(loc="lower right")
        run.figure(figure, "fno-conversion", CONVERSION)


def resolution_cell(settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Train a network, then test it at other sizes: as it is, converted to an FNO, with its input interpolated."""
    network, theta, _, test = trained(settings, checkpoint)
    shape = test.x.shape[1:]
    nets_at_work = {"as it is": (network, theta)}
    if settings["kind"] != "ResNet":  # its strides and its padding have no spectral counterpart
        nets_at_work["as an FNO"] = spectral_network(network, theta, shape)
    return {
        method: {
            str(n): _accuracies(nets_at_work, _sized(test, n, method).first(settings["tests"]), shape[-1])
            for n in settings["sizes"]
        }
        for method in settings["methods"]
    }


def _sized(test: Part, n: int, method: str) -> Part:
    """The test images at size n: interpolated, or, for glyphs, drawn anew as the same functions."""
    if method != "drawn":
        return Part(resize(test.x, (n, n), method, antialias=True), test.labels)
    images, labels = glyphs.draw(10_000, n)
    return Part(images[-len(test) :] * 2 - 1, labels[-len(test) :])


def _accuracies(nets_at_work: dict[str, tuple[Network, Array]], test: Part, size: int) -> dict[str, float]:
    batch = 100
    found = {way: nets.accuracy(*one, test, batch) for way, one in nets_at_work.items()}
    for method in ("trigonometric", "bilinear"):
        part = Part(resize(test.x, (size, size), method), test.labels)
        found[f"{method} input"] = nets.accuracy(*nets_at_work["as it is"], part, batch)
    return found


def fno_resolution(run: Run) -> None:
    """Fig. 4 of [FNO]: test accuracy over the size of the test images, of a CNN and of a small ResNet."""
    sizes = (
        (7, 14, 21, 28, 35, 56) if run.quick else (3, 5, 7, 9, 11, 14, 17, 21, 24, 27, 28, 29, 35, 43, 51, 59, 70, 80)
    )
    methods = ["trigonometric", "bilinear"] + (["drawn"] if run.data == "glyphs" else [])
    common = {"tau": 1e-3, "methods": methods, "sizes": list(sizes)}
    common |= {"epochs": 4, "count": 3000, "tests": 300} if run.quick else {"epochs": 5, "count": 10**6, "tests": 1000}
    kinds = {"CNN": 5, "ResNet": 3, "trigonometric ResNet": 3}
    cells = [(kind, s) for kind in kinds for s in range(run.seeds)]
    results = run.cells(resolution_cell, [common | {"kind": k, "size": kinds[k], "seed": s} for k, s in cells])
    rows = [
        (method, kind, way, n, seed, accuracy)
        for (kind, seed), result in zip(cells, results)
        for method in methods
        for n in sizes
        for way, accuracy in result[method][str(n)].items()
    ]
    run.table(("sized by", "network", "way", "size", "seed", "test accuracy"), rows)
    for name, curves in CURVES.items():
        _draw_sizes(run, name, curves, methods, rows)
    run.found = {
        f"{m}, {kind}, {way}": {str(n): _over_seeds(rows, m, kind, way, n) for n in sizes}
        for m in methods
        for curves in CURVES.values()
        for kind, way in curves
    }


def _over_seeds(rows: list[Any], *cell: Any) -> list[float]:
    return [row[-1] for row in rows if row[:4] == cell]


def _draw_sizes(run: Run, name: str, curves: list[tuple[str, str]], methods: list[str], rows: list[Any]) -> None:
    sizes = sorted({row[3] for row in rows})
    with canvas(1, len(methods), width=7, height=2.7, sharey=True) as (figure, axes):
        for ax, method in zip(axes, methods):
            for i, (kind, way) in enumerate(curves):
                runs = np.transpose([_over_seeds(rows, method, kind, way, n) for n in sizes])
                band(ax, sizes, runs, i, kind if way == "as it is" else way, markevery=1)
            ax.axvline(28, color="black", linewidth=0.6, linestyle=":")
            ax.set(xlabel="size of the test images", title=f"sized by: {method}")
        axes[0].set_ylabel("test accuracy")
        legend_below(figure, axes[0], len(curves))
        run.figure(figure, name, CAPTIONS[name])


CONVERSION = """Test accuracy over the kernel size of a CNN, and over the number of Fourier coefficients an axis. The
    CNN is nearly flat; converted with few coefficients it loses much, the more the smaller its kernel; an FNO trained
    with few coefficients loses far less. Means over the seeds."""
CAPTIONS = {
    "fno-resolution": """A CNN trained at 28 x 28 (dotted), tested on images of other sizes. The CNN itself is best at
        its training size and falls on both sides; interpolating the input back to 28 is flat above; the same CNN
        converted to an FNO is nearly as flat, without interpolation. Bands: lowest to highest seed.""",
    "fno-resolution-resnet": """A small ResNet trained at 28 x 28 (dotted): with ordinary strides, and with
        trigonometric interpolation in their place. Both fall on both sides of their training size; converted to an
        FNO the second falls later, but it is not flat as the shallow network is: interpolating the input back is.
        Bands: lowest to highest seed.""",
}
