"""Architectures found by sparse training: which neurons of an autoencoder stay (BREG-I, Fig. 4 and 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from refimpl.experiments import nets
from refimpl.experiments.data import Part
from refimpl.experiments.figures import canvas, picture, style
from refimpl.experiments.run import Run, split_of
from refimpl.experiments.training import Recipe, train
from refimpl.setting import Network, ReLU, SquaredError, mlp
from refimpl.sparsity import AdaBreg, Blocks, GroupL2, Zero

Array = np.ndarray
Settings = dict[str, Any]

LAYERS = 7
SHOWN = 6


def autoencoder_cell(settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Train 7 layers of one width to denoise; active rows a layer and epoch, SSIM and a few pictures at the end."""
    parts, side = split_of(settings), settings["side"]
    clean, held = (shrunk(p, side) for p in (parts.training.first(settings["count"]), parts.test.first(500)))
    noisy, noisy_held = (_noisy(x, settings["noise"], seed) for x, seed in ((clean, 1), (held, 2)))
    network = mlp([side * side] * (LAYERS + 1), final_activation=ReLU())
    names = nets.weights(network)
    J = Blocks({name: GroupL2(settings["lam"], "rows") for name in names}, network) if settings["lam"] else Zero()
    density = settings["rows"] / side**2 if settings["lam"] else 1.0
    theta = nets.sparse_start(network, density, settings["seed"], "rows")

    def watch(theta: Array) -> dict[str, float]:
        return {f"active {i + 1}": n for i, n in enumerate(active_rows(network, theta))}

    recipe = Recipe(settings["epochs"], 128, settings["seed"])
    label = f"lambda {settings['lam']:g} seed {settings['seed']}"
    optimizer = AdaBreg(J, settings["tau"])
    loss = SquaredError()
    outcome = train(
        network, optimizer, theta, noisy, clean, recipe, loss=loss, watch=watch, checkpoint=checkpoint, label=label
    )
    output = nets.outputs(network, outcome.theta, noisy_held)
    triples = [[a.reshape(side, side) for a in images[:SHOWN]] for images in (held, noisy_held, output)]
    return {
        "records": outcome.records,
        "ssim": mean_ssim(output, held, side),
        "ssim noisy": mean_ssim(noisy_held, held, side),
        "pictures": np.round(triples, 3).tolist(),
    }


def shrunk(part: Part, side: int) -> Array:
    """Flat images of side x side pixels, by block means; the side must divide theirs."""
    n, _, size, _ = part.x.shape
    block = size // side
    return part.x.reshape(n, side, block, side, block).mean(axis=(2, 4)).reshape(n, side * side)


def _noisy(x: Array, scale: float, seed: int) -> Array:
    noise = np.random.default_rng(seed).standard_normal(x.shape, dtype=np.float32)
    return x + np.float32(scale) * noise


def active_rows(network: Network, theta: Array) -> list[int]:
    """How many rows of every weight matrix have a nonzero entry."""
    views = network.views(theta)
    return [int(np.count_nonzero(views[name].any(axis=1))) for name in nets.weights(network)]


def mean_ssim(a: Array, b: Array, side: int) -> float:
    """The mean structural similarity of two batches of flat images with values in [0, 1]."""
    return float(np.mean([ssim(x.reshape(side, side), y.reshape(side, side)) for x, y in zip(a, b)]))


def ssim(a: Array, b: Array) -> float:
    """Mean structural similarity (Wang et al. 2004), Gaussian window of sigma 1.5, dynamic range 1.

    (2 ma mb + c1)(2 cov + c2) / ((ma^2 + mb^2 + c1)(va + vb + c2)), c1 = 0.01^2, c2 = 0.03^2.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    mean = lambda z: gaussian_filter(z, 1.5, truncate=3.5)  # noqa: E731
    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    return float(np.mean((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))))


def nas_autoencoder(run: Run) -> None:
    """Fig. 4 and 5 of BREG-I: a waist appears in a tower of equal layers."""
    side, epochs, count = (14, 30, 4000) if run.quick else (28, 40, 10**6)
    common = {"side": side, "epochs": epochs, "count": count, "noise": 0.3, "tau": 1e-3, "rows": 8}
    settings = [common | {"lam": lam, "seed": s} for lam in (0.07, 0.0) for s in range(run.seeds)]
    results = run.cells(autoencoder_cell, settings)
    sparse, dense = results[: run.seeds], results[run.seeds :]
    _draw_counts(run, sparse)
    _draw_pictures(run, sparse[0], dense[0])
    columns = ("epoch", "loss", *(f"active {i + 1}" for i in range(LAYERS)))
    run.table(
        ("seed", *columns), [(s, *(r[c] for c in columns)) for s, one in enumerate(sparse) for r in one["records"]]
    )
    run.found = {
        "active neurons": [_counts(one, -1) for one in sparse],
        "SSIM AdaBreg": [one["ssim"] for one in sparse],
        "SSIM dense Adam": [one["ssim"] for one in dense],
        "SSIM noisy": [one["ssim noisy"] for one in sparse],
    }


def _counts(result: dict[str, Any], epoch: int) -> list[float]:
    return [result["records"][epoch][f"active {i + 1}"] for i in range(LAYERS)]


def _draw_counts(run: Run, results: list[dict[str, Any]]) -> None:
    epochs = len(results[0]["records"])
    moments = sorted({0, epochs // 8, epochs // 3, epochs - 1})
    with canvas(1, 1) as (figure, ax):
        for i, moment in enumerate(moments):
            several = np.array([_counts(one, moment) for one in results])
            ax.plot(range(1, LAYERS + 1), several.mean(axis=0), label=f"epoch {moment + 1}", **style(i))
        ax.set(xlabel="layer", ylabel="active neurons", yscale="log")
        ax.legend(ncols=2)
        run.figure(figure, "nas-autoencoder", COUNTS)


def _draw_pictures(run: Run, sparse: dict[str, Any], dense: dict[str, Any]) -> None:
    clean, noisy, output = sparse["pictures"]
    titles = ("clean", "noisy", f"AdaBreg, SSIM {sparse['ssim']:.3f}", f"dense Adam, SSIM {dense['ssim']:.3f}")
    with canvas(4, SHOWN, height=2.9) as (figure, axes):
        for row, images, title in zip(axes, (clean, noisy, output, dense["pictures"][2]), titles):
            for ax, image in zip(row, images):
                picture(ax, np.array(image), low=0, high=1)
            row[0].set_title(title, loc="left")
        run.figure(figure, "nas-autoencoder-digits", DIGITS)


COUNTS = """Neurons with a nonzero weight row in a tower of 7 equally wide layers that learns to denoise, started with
    8 a layer (mean over seeds). Training adds neurons where they help: the numbers fall from the first layer to a
    waist and rise again, the shape of an autoencoder that nobody prescribed."""
DIGITS = """Test digits that the sparse tower and an equally trained dense tower denoised, with the mean structural
    similarity (SSIM) to the clean digits over 500 test images."""
