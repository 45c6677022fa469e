"""Robustness: what flattening does to a fit ([CLIP], Fig. 2), and which training withstands attacks (Table 1)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.experiments.figures import band, canvas, picture, style
from refimpl.experiments.run import Run, split_of
from refimpl.experiments.sweep import Progress
from refimpl.numerics.files import atomic_write
from refimpl.robustness import (
    AdversarialInputs,
    Attack,
    Bound,
    ClipPenalty,
    Penalty,
    ProductPenalty,
    State,
    WeightPenalty,
    attack_2021,
    certified_radius,
    exact_lipschitz,
    gaussian_noise,
    lipschitz_report,
    margin,
    pgd,
    product_bound,
)
from refimpl.robustness import train as train_penalised
from refimpl.setting import Network, SquaredError, mlp, softmax

Array = np.ndarray
Settings = dict[str, Any]

LAMBDAS = (0.0, 1e-3, 1e-2, 1e-1, 1.0)
EPS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
METHODS: dict[str, Settings] = {
    "none": {"penalty": "none", "lam": 0.0},
    "weights 0.01": {"penalty": "weights", "lam": 0.01},
    "product 0.1": {"penalty": "product", "lam": 0.1},
    "CLIP 0.1": {"penalty": "clip", "lam": 0.1},
    "CLIP 0.15": {"penalty": "clip", "lam": 0.15},
    "adversarial 1": {"penalty": "adversarial", "lam": 0.0},
}
SHOWN = 5
SHOWN_EPS = 1.5


def resumable(checkpoint: Path | None, label: str, epochs: int) -> tuple[State | None, Callable[[State], None]]:
    """The state in a checkpoint, if there is one, and a callback that writes every later state to it.

    Raises
    ------
    ValueError : a checkpoint that cannot be read.
    """
    state = None
    if checkpoint is not None and checkpoint.exists():
        try:
            with checkpoint.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                state = State.unpack(dict(stored))
        except Exception as error:
            raise ValueError(f"checkpoint {checkpoint}: cannot be read ({error}); remove it to start over") from None
    progress = Progress(epochs - (state.epoch if state else 0), label, every=5.0)

    def save(new: State) -> None:
        if checkpoint is not None:
            with atomic_write(checkpoint) as temporary, temporary.open("wb") as stream:
                np.savez(stream, **new.pack())  # type: ignore[arg-type]
        progress.passed(note=f", loss {new.history[-1].loss:.4f}")

    return state, save


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
        constants.legend(loc="center left")
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


def penalty_of(settings: Settings) -> Penalty | None:
    """The penalty a cell's settings name."""
    kinds: dict[str, Callable[[], Penalty | None]] = {
        "none": lambda: None,
        "weights": WeightPenalty,
        "product": ProductPenalty,
        "clip": lambda: ClipPenalty(pairs=settings["pairs"]),
        "adversarial": lambda: AdversarialInputs(eps=1.0),
    }
    return kinds[settings["penalty"]]()


def robustness_cell(settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Train 784-64-64-10 with one penalty, then attack and certify it."""
    parts = split_of(settings)
    training, test = parts.training.first(settings["count"]), parts.test.first(settings["tests"])
    x, held = (part.x.reshape(len(part), -1) for part in (training, test))
    network = mlp([784, 64, 64, 10])
    epochs, seed = settings["epochs"], settings["seed"]
    state, save = resumable(checkpoint, f"{settings['penalty']} {settings['lam']:g} seed {seed}", epochs)
    last = train_penalised(
        network, network.init(seed, np.float32), x, training.labels, penalty_of(settings), lam=settings["lam"],
        epochs=epochs, rng=seed, validation=(held, test.labels), pool=parts.validation.x.reshape(-1, 784),
        state=state, callback=save,
    )  # fmt: skip
    return assessed(network, last.theta, held, test.labels, settings["steps"])


def assessed(network: Network, theta: Array, x: Array, labels: Array, steps: int) -> dict[str, Any]:
    """Accuracy clean, under noise and under both attacks; certificates; a few adversarial examples."""
    attacks: list[Attack] = pgd(network, theta, x, labels, EPS, 2, steps)
    published = attack_2021(network, theta, x, labels, 2.0, 0.25, steps, rng=0)
    bound = Bound(product_bound(network, theta), "upper")
    radii = certified_radius(margin(network(theta, x), labels), bound)
    noisy = gaussian_noise(x, 1.0, rng=0)
    return {
        "test": attacks[0].robust_accuracy,
        "noise": float(np.mean(network(theta, noisy).argmax(axis=1) == labels)),
        "robust": [a.robust_accuracy for a in attacks],
        "attack of 2021, eps 2": published.robust_accuracy,
        "certified": [float(np.mean(radii > eps)) if eps else attacks[0].robust_accuracy for eps in EPS],
        "Lip lower": lipschitz_report(network, theta, x[:200]).lower.value,
        "Lip upper": bound.value,
        "examples": _examples(network, theta, x, attacks[EPS.index(SHOWN_EPS)], labels),
    }


def _examples(network: Network, theta: Array, x: Array, attack: Attack, labels: Array) -> list[dict[str, Any]]:
    """The first images with their perturbed versions, the network's labels and confidences."""
    clean, moved = (softmax(network(theta, z[:SHOWN])) for z in (x, attack.x))
    return [
        {
            "clean": np.round(x[i], 3).tolist(),
            "moved": np.round(attack.x[i], 3).tolist(),
            "labels": [int(labels[i]), int(clean[i].argmax()), int(moved[i].argmax())],
            "confidence": [float(clean[i].max()), float(moved[i].max())],
        }
        for i in range(SHOWN)
    ]


def clip_robustness(run: Run) -> None:
    """Table 1 of [CLIP] and more: robust accuracy against eps, certificates, both attacks, a gallery."""
    common = {"epochs": 30, "count": 10**6, "tests": 1000, "pairs": 300, "steps": 40}
    if run.quick:
        common = {"epochs": 8, "count": 2500, "tests": 300, "pairs": 64, "steps": 20}
    settings = [common | one | {"seed": s} for one in METHODS.values() for s in range(run.seeds)]
    results = run.cells(robustness_cell, settings)
    runs = {m: results[i * run.seeds : (i + 1) * run.seeds] for i, m in enumerate(METHODS)}
    with canvas(1, 2, width=7, height=2.7, sharey=True) as (figure, axes):
        for ax, key, title in zip(axes, ("robust", "certified"), ("against PGD (empirical)", "certified by (4.5)")):
            for i, m in enumerate(METHODS):
                band(ax, EPS, np.array([r[key] for r in runs[m]]), i, m)
            ax.set(xlabel=r"$\varepsilon$ ($\ell_2$)", title=title, ylim=(-0.02, 1.02))
        axes[0].set_ylabel("accuracy")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(METHODS))
        run.figure(figure, "clip-robustness", ROBUSTNESS)
    _gallery(run, {m: runs[m][0]["examples"] for m in ("none", "CLIP 0.15")})
    keys = ("test", "noise", "attack of 2021, eps 2", "Lip lower", "Lip upper")
    columns = ("method", "seed", *keys, *(f"PGD {e:g}" for e in EPS[1:]), *(f"certified {e:g}" for e in EPS[1:]))
    rows = [
        (m, s, *(r[k] for k in keys), *r["robust"][1:], *r["certified"][1:])
        for m in METHODS
        for s, r in enumerate(runs[m])
    ]
    run.table(columns, rows)
    run.found = {m: {k: [r[k] for r in runs[m]] for k in (*keys, "robust", "certified")} for m in METHODS}


def _gallery(run: Run, examples: dict[str, list[dict[str, Any]]]) -> None:
    with canvas(3 * len(examples), SHOWN, height=3.2 * len(examples)) as (figure, axes):
        for k, (method, several) in enumerate(examples.items()):
            for i, one in enumerate(several):
                clean, moved = (np.array(one[key]).reshape(28, 28) for key in ("clean", "moved"))
                bound = float(np.abs(moved - clean).max()) or 1.0
                before, after = (f"{n} ({c:.0%})" for n, c in zip(one["labels"][1:], one["confidence"]))
                picture(axes[3 * k, i], clean, before, 0, 1)
                picture(axes[3 * k + 1, i], moved - clean, "", -bound, bound, "RdBu_r")
                picture(axes[3 * k + 2, i], moved, after, 0, 1)
            for row, what in enumerate((method, "perturbation", "attacked")):
                axes[3 * k + row, 0].set_ylabel(what)
        run.figure(figure, "clip-gallery", GALLERY)


REGRESSION = """Left: the same 100 noisy samples fitted by 1-64-64-1 with the CLIP penalty; between the samples the
    fit flattens as lambda grows. Right, over lambda: the exact Lipschitz constant falls (truth: 1/2, dotted), the fit
    to the data gets worse, the error to the truth has its minimum in between; the product bound (4.5) overestimates
    by far."""
ROBUSTNESS = """784-64-64-10, l2 attacks by projected gradient ascent with exact projections. Left: at equal clean
    accuracy CLIP withstands more than weight or product penalties, and about as much as adversarial training. Right:
    accuracy that the product bound certifies; only the network trained against this bound gets much. Bands: lowest to
    highest seed."""
GALLERY = """For plain training and for CLIP: clean images, perturbations of l2 norm at most 1.5 (red and blue, each
    scaled to its own largest entry), and the attacked images. Above an image stand the network's label and its
    confidence."""
