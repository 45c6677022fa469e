"""One kernel at three sizes (Fig. 4.3), and classifiers whose test images change size ([FNO], Fig. 3 and 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from refimpl.data import glyphs
from refimpl.data.sets import Part
from refimpl.experiments import nets
from refimpl.experiments.figures import canvas, photograph, picture, style
from refimpl.experiments.run import Run, split_of
from refimpl.experiments.training import Recipe, train
from refimpl.resolution import resize, spectral_convolution, to_spatial, to_spectral
from refimpl.resolution.conversion import spectral_network
from refimpl.resolution.convolution import pad_kernel, spatial_convolution
from refimpl.resolution.layers import SpectralConv
from refimpl.setting import AdaptiveAveragePool2d, Conv2d, Dense, Flatten, Layer, Network, ReLU
from refimpl.sparsity import AdaBreg, Zero

Array = np.ndarray
Settings = dict[str, Any]

KERNEL = 11
MEANS = ("CNN", "FNO (converted)", "trigonometric input", "bilinear input")


def edge_kernel(size: int = KERNEL) -> Array:
    """k_ij = i / (i^2 + j^2) around the middle, of l2 norm 1: an edge detector of long range, like a Sobel filter."""
    i = np.arange(size) - size // 2
    square = i[:, None] ** 2 + i**2
    k = i[:, None] / np.where(square, square, 1)
    return k / np.linalg.norm(k)


def fno_kernels(run: Run) -> None:
    """Fig. 4.3: a kernel designed at size N meets the image at N/2, N and 2 N, padded in space or in frequency."""
    n = 64 if run.quick else 128
    image, theta = photograph(n), edge_kernel()
    theta_hat = to_spectral(np.roll(pad_kernel(theta, (n, n)), -(KERNEL // 2), (0, 1)), (n, n))
    answer = spectral_convolution(theta_hat, image)
    rows = []
    with canvas(3, 5, width=7, height=4.4) as (figure, axes):
        for line, size in zip(axes, (n // 2, n, 2 * n)):
            v, expected = resize(image, (size, size)), resize(answer, (size, size))
            spatial = np.roll(spatial_convolution(theta, v), (-(KERNEL // 2),) * 2, (0, 1))
            spectral = spectral_convolution(theta_hat, v)
            errors = [float(np.linalg.norm(y - expected) / np.linalg.norm(expected)) for y in (spatial, spectral)]
            rows.append((size, *errors))
            kernels = (
                np.roll(pad_kernel(theta, (size, size)), -(KERNEL // 2), (0, 1)),
                to_spatial(theta_hat, (size, size)),
            )
            _line(line, size, v, kernels, (spatial, spectral), errors)
        run.figure(figure, "fno-kernels", KERNELS)
    run.table(("size", "relative change, spatial padding", "relative change, spectral padding"), rows)
    run.found = {f"size {size}": {"spatial": a, "spectral": b} for size, a, b in rows}


def _line(
    axes: Any, size: int, v: Array, kernels: tuple[Array, Array], responses: tuple[Array, Array], errors: list[float]
) -> None:
    picture(axes[0], v, f"image, N = {size}", 0, 1)
    window = slice(size // 2 - size // 8, size // 2 + size // 8 + 1)
    for place, name, kernel, response, error in zip((1, 3), ("spatial", "spectral"), kernels, responses, errors):
        centred = np.fft.fftshift(kernel)[window, window]
        bound = float(np.abs(centred).max())
        picture(axes[place], centred, f"{name} kernel", -bound, bound, "RdBu_r")
        top = float(np.quantile(np.abs(response), 0.995))
        picture(axes[place + 1], response, f"change {error:.1e}", -top, top, "RdBu_r")


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


def trained(settings: Settings, checkpoint: Path) -> tuple[Network, Array, Part, Part]:
    """Train a CNN or an FNO with Adam; the network, theta, validation and test parts (values in [-1, 1])."""
    parts = split_of(settings)
    training, validation, test = (
        Part(p.x * 2 - 1, p.labels) for p in (parts.training.first(settings["count"]), parts.validation, parts.test)
    )
    network = cnn(settings["size"]) if settings["kind"] == "CNN" else fno(settings["size"])
    theta = network.init(settings["seed"], np.float32)
    recipe = Recipe(settings["epochs"], 128, settings["seed"])
    label = f"{settings['kind']} {settings['size']} seed {settings['seed']}"
    optimizer = AdaBreg(Zero(), settings["tau"])
    outcome = train(network, optimizer, theta, training.x, training.labels, recipe, checkpoint=checkpoint, label=label)
    return network, outcome.theta, validation, test


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
    kernels = (3, 5, 9) if run.quick else (3, 5, 9, 15, 21)
    modes = (3, 7, 13, 21, 28) if run.quick else (3, 5, 9, 13, 15, 21, 25, 27, 28)
    trained_modes = (3, 7, 13) if run.quick else (3, 5, 9, 15, 21, 27)
    common = {"epochs": 4, "count": 2500} if run.quick else {"epochs": 15, "count": 10**6}
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
    """Train a CNN, then test it at other sizes: as it is, converted to an FNO, with its input interpolated."""
    network, theta, _, test = trained(settings, checkpoint)
    size = test.x.shape[-1]
    spectral = spectral_network(network, theta, test.x.shape[1:])
    return {
        method: {
            str(n): _accuracies(network, theta, spectral, _sized(settings, test, n, method), size)
            for n in settings["sizes"]
        }
        for method in settings["methods"]
    }


def _sized(settings: Settings, test: Part, n: int, method: str) -> Part:
    """The test images at size n: interpolated, or, for glyphs, drawn anew as the same functions."""
    if method != "drawn":
        return Part(resize(test.x, (n, n), method, antialias=True), test.labels)
    images, labels = glyphs.draw(10_000, n)
    return Part(images[-len(test) :] * 2 - 1, labels[-len(test) :])


def _accuracies(network: Network, theta: Array, spectral: tuple[Network, Array], test: Part, size: int) -> list[float]:
    inputs = [Part(resize(test.x, (size, size), method), test.labels) for method in ("trigonometric", "bilinear")]
    batch = 100
    return [
        nets.accuracy(network, theta, test, batch),
        nets.accuracy(*spectral, test, batch),
        *(nets.accuracy(network, theta, part, batch) for part in inputs),
    ]


def fno_resolution(run: Run) -> None:
    """Fig. 4 of [FNO]: test accuracy over the size of the test images."""
    sizes = (
        (7, 14, 21, 28, 35, 56) if run.quick else (3, 5, 7, 9, 11, 14, 17, 21, 24, 27, 28, 29, 35, 43, 51, 59, 70, 80)
    )
    methods = ["trigonometric", "bilinear"] + (["drawn"] if run.data == "glyphs" else [])
    common = {"kind": "CNN", "size": 5, "tau": 1e-3, "methods": methods, "sizes": list(sizes)}
    common |= {"epochs": 4, "count": 3000} if run.quick else {"epochs": 15, "count": 10**6}
    results = run.cells(resolution_cell, [common | {"seed": s} for s in range(run.seeds)])
    rows = []
    with canvas(1, len(methods), width=7, height=2.6, sharey=True) as (figure, axes):
        for ax, method in zip(axes, methods):
            values = np.mean([[r[method][str(n)] for n in sizes] for r in results], axis=0)
            for i, name in enumerate(MEANS):
                ax.plot(sizes, values[:, i], label=name, **style(i))
                rows += [(method, name, n, float(a)) for n, a in zip(sizes, values[:, i])]
            ax.axvline(28, color="black", linewidth=0.6, linestyle=":")
            ax.set(xlabel="size of the test images", title=f"sized by: {method}")
        axes[0].set_ylabel("test accuracy")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        run.figure(figure, "fno-resolution", RESOLUTION)
    run.table(("sized by", "network", "size", "test accuracy"), rows)
    run.found = {
        f"{m}, {name}": {str(n): a for m2, k, n, a in rows if (m2, k) == (m, name)} for m in methods for name in MEANS
    }


KERNELS = """An 11 x 11 edge kernel designed at the middle size. Padded with zeros in space it stays 11 pixels wide,
    so at another size it sees other features; padded in frequency it keeps its shape. "change" is the relative
    difference to the response at the middle size, brought to this size by trigonometric interpolation: rounding for
    spectral padding at the middle size and above (Corollary 4.31), large for spatial padding."""
CONVERSION = """Test accuracy over the kernel size of a CNN, and over the number of Fourier coefficients an axis. The
    CNN is flat; converted with fewer coefficients it loses accuracy until nearly all are kept; an FNO trained with
    few coefficients almost closes the gap."""
RESOLUTION = """A CNN trained at 28 x 28 (dotted), tested on images of other sizes. The CNN itself is best at its
    training size and falls on both sides; interpolating the input back to 28 is flat above; the same CNN converted to
    an FNO is nearly as flat, without interpolation."""
