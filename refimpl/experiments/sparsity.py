"""Sparse training of a perceptron: which method leaves how many weights at which accuracy (BREG-I, Fig. 2 and 3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from refimpl.experiments import nets
from refimpl.experiments.figures import band, canvas, legend_below
from refimpl.experiments.run import Run, split_of
from refimpl.experiments.training import Recipe, train
from refimpl.setting import mlp
from refimpl.sparsity import L1, AdaBreg, Blocks, LinBreg, ProximalGradient, Zero

Settings = dict[str, Any]

MLP = (784, 200, 80, 10)
METHODS: dict[str, Settings] = {
    "SGD": {"method": "sgd", "lam": 0.0},
    "ProxGD 1e-4": {"method": "proxgd", "lam": 1e-4},
    "LinBreg 1e-3": {"method": "linbreg", "lam": 1e-3},
    "LinBreg 1e-1": {"method": "linbreg", "lam": 1e-1},
    "momentum 1e-1": {"method": "momentum", "lam": 1e-1},
    "AdaBreg 1e-1": {"method": "adabreg", "lam": 1e-1},
    "AdaBreg 5e-1": {"method": "adabreg", "lam": 5e-1},
}
LATE = ("AdaBreg 5e-1",)  # a first nonzero weight takes lam / tau = 500 steps, more than a quick run has
FIGURES = {
    "bregman-mlp-lambda": ("SGD", "ProxGD 1e-4", "LinBreg 1e-3", "LinBreg 1e-1"),
    "bregman-mlp-methods": ("LinBreg 1e-1", "momentum 1e-1", "AdaBreg 1e-1", "AdaBreg 5e-1"),
}
PANELS = (("validation", "validation accuracy"), ("l1", r"$\|W\|_1$"), ("nonzero", "nonzero weights"))


def optimizer(settings: Settings, J: Any) -> Any:
    """The optimizer a cell's settings name, for the regularizer J."""
    method, tau = settings["method"], settings["tau"]
    if method == "sgd":
        return LinBreg(Zero(), tau)
    if method == "proxgd":
        return ProximalGradient(J, tau)
    if method == "adabreg":
        return AdaBreg(J, tau / 100)
    return LinBreg(J, tau, momentum=0.9 if method == "momentum" else 0.0)


def mlp_cell(settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Train 784-200-80-10 from 1 % nonzero weights; a record of accuracy, l1 norm and nonzero weights per epoch."""
    parts = split_of(settings)
    ready = nets.standardiser(parts.training)
    training, validation = ready(parts.training.first(settings["count"])), ready(parts.validation)
    flat, held = training.x.reshape(len(training), -1), validation.x.reshape(len(validation), -1)
    network = mlp(MLP)
    J = Blocks({name: L1(settings["lam"]) for name in nets.weights(network)}, network)
    mask = nets.is_weight(network)

    def watch(theta: np.ndarray) -> dict[str, float]:
        right = network(theta, held).argmax(axis=1) == validation.labels
        fitted = network(theta, flat).argmax(axis=1) == training.labels
        return {
            "training": float(fitted.mean()),
            "validation": float(right.mean()),
            "l1": float(np.abs(theta[mask]).sum(dtype=np.float64)),
            "nonzero": float(np.count_nonzero(theta[mask]) / mask.sum()),
        }

    theta = nets.sparse_start(network, settings["density"], settings["seed"])
    recipe = Recipe(settings["epochs"], 128, settings["seed"], settings["patience"])
    name = f"{settings['method']} {settings['lam']:g} seed {settings['seed']}"
    outcome = train(
        network,
        optimizer(settings, J),
        theta,
        flat,
        training.labels,
        recipe,
        watch=watch,
        checkpoint=checkpoint,
        label=name,
    )
    return {"records": outcome.records}


def bregman_mlp(run: Run) -> None:
    """Fig. 2 and 3 of BREG-I: accuracy, l1 norm and nonzero weights over the epochs."""
    common = {
        "density": 0.01,
        "tau": 0.1,
        "patience": 5,
        "epochs": 15 if run.quick else 30,
        "count": 4000 if run.quick else 10**6,
    }
    names = [m for m in METHODS if not (run.quick and m in LATE)]
    settings = [common | METHODS[m] | {"seed": s} for m in names for s in range(run.seeds)]
    records = [result["records"] for result in run.cells(mlp_cell, settings)]
    runs = {m: records[i * run.seeds : (i + 1) * run.seeds] for i, m in enumerate(names)}
    for name, methods in FIGURES.items():
        _curves(run, name, {m: runs[m] for m in methods if m in runs})
    columns = ("epoch", "loss", "tau", "training", *(key for key, _ in PANELS))
    rows = [(m, s, *(r[c] for c in columns)) for m in runs for s, one in enumerate(runs[m]) for r in one]
    run.table(("method", "seed", *columns), rows)
    run.found = {
        m: {key: [one[-1][key] for one in runs[m]] for key, _ in PANELS}
        | {"nonzero when validation first reaches 0.93": [_reached(one) for one in runs[m]]}
        for m in runs
    }


def _reached(records: list[dict[str, float]], accuracy: float = 0.93) -> float | None:
    return next((r["nonzero"] for r in records if r["validation"] >= accuracy), None)


def _curves(run: Run, name: str, runs: dict[str, list[list[dict[str, float]]]]) -> None:
    with canvas(1, 3, width=7, height=2.3) as (figure, axes):
        for ax, (key, title) in zip(axes, PANELS):
            for method, several in runs.items():
                curves = np.array([[r[key] for r in one] for one in several])
                band(ax, [r["epoch"] for r in several[0]], curves, list(METHODS).index(method), method)
            ax.set(xlabel="epoch", title=title)
        legend_below(figure, axes[0], len(runs))
        lowest = min(one[-1]["validation"] for several in runs.values() for one in several)
        axes[0].set_ylim(max(0.0, min(0.8, lowest - 0.1)), 1)
        axes[2].set_ylim(-0.03, 1.03)
        run.figure(figure, name, CAPTIONS[name])


CAPTIONS = {
    "bregman-mlp-lambda": """784-200-80-10, started with 1 % of the weights nonzero. SGD fills nearly all weights within
        the first epoch; ProxGD fills most of them and thins out slowly; LinBreg adds weights only as they are needed,
        the fewer the larger lambda is, at nearly the same accuracy. Bands: lowest to highest seed.""",
    "bregman-mlp-methods": """LinBreg, LinBreg with momentum 0.9 and AdaBreg at lambda = 0.1, started with 1 %. The
        first two stay at a few per cent, with momentum a little ahead. AdaBreg is the most accurate, but adds a quarter
        of all weights within one epoch: its steps have the same length for small and large gradients, so they carry
        many weights to the threshold together, while the loss is still on its first plateau. At lambda = 0.5 AdaBreg
        waits five times as long and stays nearly as sparse as LinBreg. Bands: lowest to highest seed.""",
}
