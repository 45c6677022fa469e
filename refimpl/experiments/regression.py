"""What flattening does to a fit: 1-D regression with the CLIP penalty ([CLIP], Fig. 2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from refimpl.experiments.figures import canvas, style
from refimpl.experiments.robustness import resumable
from refimpl.experiments.run import Run
from refimpl.robustness import ClipPenalty, exact_lipschitz, product_bound
from refimpl.robustness import train as train_penalised
from refimpl.setting import Network, SquaredError, mlp

Array = np.ndarray
Settings = dict[str, Any]

LAMBDAS = (0.0, 1e-3, 1e-2, 1e-1, 1.0)


def ramp(x: Array) -> Array:
    """The function behind the data of the regression: max(|x| - 3, 0) / 2, with Lipschitz constant 1/2."""
    return np.maximum(np.abs(x) - 3, 0) / 2


def regression_data(seed: int, noise: float = 0.05) -> tuple[Array, Array]:
    """100 noisy samples (100, 1) of the ramp on [-4, -3], [-0.3, 0.3] and [3, 4]."""
    rng = np.random.default_rng([seed, 100])
    x = np.concatenate([rng.uniform(*ends) for ends in ((-4, -3, 33), (-0.3, 0.3, 34), (3, 4, 33))])[:, None]
    return x, ramp(x) + noise * rng.standard_normal(x.shape)


def spread_start(network: Network, seed: int) -> Array:
    """He weights with a small last layer; the kinks of the first layer spread over [-4, 4] instead of all at 0."""
    rng = np.random.default_rng(seed)
    theta = network.init(rng)
    views = network.views(theta)
    views["0.bias"][:] = -views["0.weight"][:, 0] * rng.uniform(-4, 4, len(views["0.bias"]))
    views["4.weight"] *= 0.1
    return theta


def regression_cell(settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Fit 1-64-64-1 with the CLIP penalty: the fit on a grid, the loss, and the exact Lipschitz constant."""
    x, y = regression_data(settings["seed"])
    network = mlp([1, 64, 64, 1])
    theta = spread_start(network, settings["seed"])
    penalty = ClipPenalty(pairs=30, tau=0.1, box=(-4.0, 4.0), start_from="different", resample=20)
    state, save = resumable(checkpoint, f"lambda {settings['lam']:g} seed {settings['seed']}", settings["epochs"])
    last = train_penalised(
        network, theta, x, y, penalty if settings["lam"] else None, loss=SquaredError(), batch=25, eta=0.003,
        lam=settings["lam"], epochs=settings["epochs"], rng=settings["seed"], state=state, callback=save,
    )  # fmt: skip
    grid = np.linspace(-4, 4, 321)[:, None]
    fit = network(last.theta, grid)
    return {
        "fit": fit[:, 0].tolist(),
        "mean squared error": float(np.mean((network(last.theta, x) - y) ** 2)),
        "error to the truth": float(np.sqrt(np.mean((fit - ramp(grid)) ** 2))),
        "Lip exact": float(exact_lipschitz(network, last.theta, (-4.0, 4.0))),
        "Lip product": float(product_bound(network, last.theta)),
    }


def clip_regression(run: Run) -> None:
    """Fig. 2 of [CLIP]: the fit flattens as lambda grows; exact Lipschitz constants."""
    epochs = 400 if run.quick else 2000
    settings = [{"lam": lam, "seed": s, "epochs": epochs} for lam in LAMBDAS for s in range(run.seeds)]
    results = run.cells(regression_cell, settings)
    runs = {lam: results[i * run.seeds : (i + 1) * run.seeds] for i, lam in enumerate(LAMBDAS)}
    keys = ("mean squared error", "error to the truth", "Lip exact", "Lip product")
    with canvas(1, 2, width=7, height=2.6) as (figure, (fits, constants)):
        _draw_fits(fits, runs)
        means = np.array([[np.mean([r[key] for r in runs[lam]]) for key in keys] for lam in LAMBDAS])
        places = range(len(LAMBDAS))
        for i, key in enumerate(keys):
            constants.plot(places, means[:, i], label=key, **style(i))
        constants.axhline(0.5, color="black", linewidth=0.6, linestyle=":")
        constants.set(yscale="log", xlabel=r"$\lambda$", xticks=list(places))
        constants.set_xticklabels([f"{lam:g}" for lam in LAMBDAS])
        figure.legend(*constants.get_legend_handles_labels(), loc="outside right center")
        run.figure(figure, "clip-regression", REGRESSION)
    run.table(
        ("lambda", "seed", *keys), [(lam, s, *(r[k] for k in keys)) for lam in LAMBDAS for s, r in enumerate(runs[lam])]
    )
    run.found = {f"lambda {lam:g}": {key: [r[key] for r in runs[lam]] for key in keys} for lam in LAMBDAS}


def _draw_fits(ax: Any, runs: dict[float, list[dict[str, Any]]]) -> None:
    grid = np.linspace(-4, 4, 321)
    x, y = regression_data(0)
    ax.plot(x, y, ".", color="#bbbbbb", markersize=3, label="data")
    ax.plot(grid, ramp(grid), ":", color="black", label="truth")
    for i, (lam, several) in enumerate(runs.items()):
        ax.plot(grid, several[0]["fit"], color=style(i + 1)["color"], label=rf"$\lambda$ = {lam:g}")
    ax.set(xlabel="x", ylabel="fit")
    ax.legend(ncols=2)


REGRESSION = """Left: the same 100 noisy samples fitted by 1-64-64-1 with the CLIP penalty; between the samples the
    fit flattens as lambda grows. Right, over lambda: the exact Lipschitz constant falls (truth: 1/2, dotted), the fit
    to the data gets worse, the error to the truth has its minimum in between; the product bound (4.5) overestimates
    by far."""
