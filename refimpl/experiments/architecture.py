"""Architectures found by sparse training: neurons of a tower (BREG-I, Fig. 4 and 5), skip connections (BREG-II)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import correlate1d, gaussian_filter

from refimpl.data.sets import Part
from refimpl.experiments import nets
from refimpl.experiments.figures import canvas, legend_below, picture, style
from refimpl.experiments.run import Run, split_of
from refimpl.experiments.training import Recipe, train
from refimpl.setting import Network, ReLU, SquaredError, mlp
from refimpl.sparsity import L1, AdaBreg, Blocks, GroupL2, Zero
from refimpl.sparsity.architecture import SkipNetwork, effective_widths

Array = np.ndarray
Settings = dict[str, Any]

LAYERS = 7
DENSE = 0.15  # products with a weight matrix skip its zeros up to this density: faster, otherwise the same
SHOWN = 6


def autoencoder_cell(settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Train 7 layers of one width to denoise; active rows a layer and epoch, SSIM and a few pictures at the end."""
    parts, side = split_of(settings), settings["side"]
    clean, held = (shrunk(p, side) for p in (parts.training.first(settings["count"]), parts.test.first(500)))
    noisy, noisy_held = (_noisy(x, settings["noise"], seed) for x, seed in ((clean, 1), (held, 2)))
    network = mlp([side * side] * (LAYERS + 1), final_activation=ReLU()).skipping_zeros(DENSE)
    names = nets.weights(network)
    J = Blocks({name: GroupL2(settings["lam"], "rows") for name in names}, network) if settings["lam"] else Zero()
    theta = rows_start(network, settings["rows"] if settings["lam"] else side**2, settings["seed"])

    def watch(theta: Array) -> dict[str, float]:
        return {f"active {i + 1}": n for i, n in enumerate(effective_widths(network, theta).values())}

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


def rows_start(network: Network, rows: int, seed: int) -> Array:
    """A random theta with exactly this many nonzero rows in every weight block and unchanged variance (4.33), float32.

    Independent draws of the rows, as `nets.sparse_start` makes them, leave 3 rows where 8 are expected now and then;
    the first steps can switch so few neurons off for all images, and then the tower stays constant for ever.
    """
    theta = nets.sparse_start(network, 1.0, seed)
    rng = np.random.default_rng([seed, rows])
    for name in nets.weights(network):
        W = network.views(theta)[name]
        kept = rng.choice(len(W), rows, replace=False)
        scale = np.zeros((len(W), 1), np.float32)
        scale[kept] = (len(W) / rows) ** 0.5  # (4.33)
        W *= scale
    return theta


def shrunk(part: Part, side: int) -> Array:
    """Flat images of side x side pixels, by block means; the side must divide theirs."""
    n, _, size, _ = part.x.shape
    block = size // side
    return part.x.reshape(n, side, block, side, block).mean(axis=(2, 4)).reshape(n, side * side)


def _noisy(x: Array, scale: float, seed: int) -> Array:
    noise = np.random.default_rng(seed).standard_normal(x.shape, dtype=np.float32)
    return x + np.float32(scale) * noise


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
    side, epochs = (14, 40) if run.quick else (28, 40)
    common = {
        "side": side,
        "epochs": epochs,
        "count": 5000 if run.quick else 10**6,
        "noise": 0.1,
        "tau": 3e-3 if run.quick else 1e-3,
        "rows": 8,
    }
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
        legend_below(figure, ax, len(moments))
        run.figure(figure, "nas-autoencoder", COUNTS)


def _draw_pictures(run: Run, sparse: dict[str, Any], dense: dict[str, Any]) -> None:
    clean, noisy, output = sparse["pictures"]
    named = {"noisy": sparse["ssim noisy"], "sparse": sparse["ssim"], "dense": dense["ssim"]}
    labels = ["clean", *(f"{name}\n{value:.3f}" for name, value in named.items())]
    with canvas(4, SHOWN, height=2.9) as (figure, axes):
        for row, images, label in zip(axes, (clean, noisy, output, dense["pictures"][2]), labels):
            for ax, image in zip(row, images):
                picture(ax, np.array(image), low=0, high=1)
            row[0].set_ylabel(label)
        run.figure(figure, "nas-autoencoder-digits", DIGITS)


DEPTH = 6
TASKS = ("denoising", "deblurring")


def degraded(x: Array, side: int, task: str, seed: int) -> Array:
    """Normal noise of size 0.05, or a 9 x 9 Gaussian blur with sigma 5 and zeros outside."""
    if task == "denoising":
        return _noisy(x, 0.05, seed)
    weights = np.exp(-(np.arange(-4, 5) ** 2) / 50.0)
    images = x.reshape(-1, side, side)
    for axis in (1, 2):
        images = correlate1d(images, weights / weights.sum(), axis, mode="constant")
    return images.reshape(x.shape).astype(np.float32)


def skips_cell(settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Train x_{l+1} = ReLU(W_l x_l + b_l) + sum_i s_{l,i} x_i with penalised rows and skips; what is left of both."""
    parts, side, task = split_of(settings), settings["side"], settings["task"]
    clean, held = (shrunk(p, side) for p in (parts.training.first(settings["count"]), parts.test.first(500)))
    given, given_held = (degraded(x, side, task, seed) for x, seed in ((clean, 1), (held, 2)))
    network = Network([SkipNetwork(side * side, DEPTH)])
    rows = {name: GroupL2(settings["lam"], "rows") for name in nets.weights(network)}
    J = Blocks(rows | {"0.skips": L1(side * settings["lam"])}, network)
    theta = nets.sparse_start(network, settings["density"], settings["seed"], "rows")

    def watch(theta: Array) -> dict[str, float]:
        return {"skips": int(np.count_nonzero(network.views(theta)["0.skips"]))}

    recipe = Recipe(settings["epochs"], 128, settings["seed"])
    outcome = train(
        network, AdaBreg(J, settings["tau"]), theta, given, clean, recipe, loss=SquaredError(), watch=watch,
        checkpoint=checkpoint, label=f"{task} seed {settings['seed']}",
    )  # fmt: skip
    return {
        "records": outcome.records,
        "skips": network.views(outcome.theta)["0.skips"].tolist(),
        "active": [int(n) for n in effective_widths(network, outcome.theta).values()],
        "ssim": mean_ssim(nets.outputs(network, outcome.theta, given_held), held, side),
        "ssim given": mean_ssim(given_held, held, side),
    }


def nas_skips(run: Run) -> None:
    """BREG-II: which skip connections survive an l1 penalty, for denoising and for deblurring."""
    side, epochs = (14, 25) if run.quick else (28, 40)  # a skip needs side lam / tau steps of one sign to leave zero
    common = {"side": side, "epochs": epochs, "count": 4000 if run.quick else 10**6, "tau": 2e-3, "lam": 0.07}
    settings = [common | {"density": 0.05, "task": task, "seed": s} for task in TASKS for s in range(run.seeds)]
    results = run.cells(skips_cell, settings)
    runs = {task: results[i * run.seeds : (i + 1) * run.seeds] for i, task in enumerate(TASKS)}
    with canvas(1, 2, width=7, height=2.9) as (figure, axes):
        means = [np.mean([r["skips"] for r in runs[task]], axis=0) for task in TASKS]
        bound = float(np.abs(means).max()) or 1.0
        for ax, task, mean in zip(axes, TASKS, means):
            _draw_skips(ax, mean, bound, task)
        run.figure(figure, "nas-skips", SKIPS)
    pairs = [(l, i) for l in range(DEPTH) for i in range(l + 1)]
    rows = [(t, s, l, i, w) for t in TASKS for s, r in enumerate(runs[t]) for (l, i), w in zip(pairs, r["skips"])]
    run.table(("task", "seed", "layer", "from", "skip"), rows)
    run.found = {
        task: {
            "skips left of 21": [int(np.count_nonzero(r["skips"])) for r in runs[task]],
            "active neurons": [r["active"] for r in runs[task]],
            "SSIM": [r["ssim"] for r in runs[task]],
            "SSIM of the input": [r["ssim given"] for r in runs[task]],
        }
        for task in TASKS
    }


def _draw_skips(ax: Any, skips: Array, bound: float, task: str) -> None:
    matrix = np.full((DEPTH, DEPTH), np.nan)
    matrix[np.tril_indices(DEPTH)] = skips
    shown = ax.imshow(matrix, cmap="RdBu_r", vmin=-bound, vmax=bound)
    for l, i in zip(*np.tril_indices(DEPTH)):
        if matrix[l, i]:
            ink = "white" if abs(matrix[l, i]) > 0.6 * bound else "black"
            text = f"{matrix[l, i]:.2g}" if abs(matrix[l, i]) >= 0.01 else f"{matrix[l, i]:.0e}"
            ax.text(i, l, text, ha="center", va="center", fontsize=6, color=ink)
    ax.set(title=task, xlabel="skip from state", ylabel="into layer")
    ax.grid(False)
    ax.figure.colorbar(shown, ax=ax, shrink=0.8)


SKIPS = """Weights of the skip connections from every state to every later layer after training with an l1 penalty on
    them (mean over seeds; no number: zero with every seed). All start at zero, so every number is a connection that
    training asked for. Denoising MNIST asks, with every seed, for the noisy image itself in the last layer, with weight
    3/4; deblurring, where the image given is of little use there, for nothing but a trace. After the 40 epochs
    here the squared error of denoising has only just come down to that of the noisy image."""
COUNTS = """Neurons with a nonzero weight row in a tower of 7 equally wide layers that learns to denoise, started with
    8 a layer (mean over seeds). Training adds neurons where they help: the numbers fall from the first layer to a
    waist and rise again, the shape of an autoencoder that nobody prescribed. 40 epochs; the published tower had 100."""
DIGITS = """Test digits that the sparse tower and an equally trained dense tower denoised. The numbers are mean
    structural similarities (SSIM) to the clean digits over 500 test images. After as few steps as here the dense tower
    is ahead; the published order, 0.93 sparse and 0.89 dense, does not come out."""
