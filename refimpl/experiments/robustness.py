"""Which training withstands attacks: a perceptron and a small convolutional network ([CLIP], Table 1)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.experiments.figures import band, canvas, legend_below, picture
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
    gaussian_noise,
    lipschitz_report,
    margin,
    pgd,
    product_bound,
)
from refimpl.robustness import train as train_penalised
from refimpl.setting import Conv2d, Dense, Flatten, MaxPool2d, Network, ReLU, mlp, softmax

Array = np.ndarray
Settings = dict[str, Any]

EPS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
METHODS: dict[str, Settings] = {
    "none": {"penalty": "none", "lam": 0.0},
    "weights 0.01": {"penalty": "weights", "lam": 0.01},
    "product 0.1": {"penalty": "product", "lam": 0.1},
    "CLIP 0.1": {"penalty": "clip", "lam": 0.1},
    "CLIP 0.15": {"penalty": "clip", "lam": 0.15},
    "adversarial 1": {"penalty": "adversarial", "lam": 0.0},
}
NETWORKS = {
    "perceptron": tuple(METHODS),
    "CNN": tuple(m for m in METHODS if METHODS[m]["penalty"] != "product"),  # the product has no gradient there
}
FULL: dict[str, Settings] = {
    "perceptron": {"epochs": 30, "count": 10**6, "tests": 1000, "pairs": 300, "steps": 40},
    "CNN": {"epochs": 8, "count": 10**6, "tests": 300, "pairs": 100, "steps": 40},
}
QUICK: dict[str, Settings] = {
    "perceptron": {"epochs": 8, "count": 2500, "tests": 300, "pairs": 64, "steps": 20},
    "CNN": {"epochs": 3, "count": 2500, "tests": 100, "pairs": 32, "steps": 20},
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


def perceptron() -> Network:
    """784-64-64-10 with ReLU."""
    return mlp([784, 64, 64, 10])


def cnn() -> Network:
    """5 x 5 convolutions of 8 and 16 channels, each with ReLU and max pooling by 2, then 64 units and 10 classes."""
    features = [Conv2d(1, 8, 5, padding="valid"), ReLU(), MaxPool2d(2)]
    features += [Conv2d(8, 16, 5, padding="valid"), ReLU(), MaxPool2d(2)]
    return Network([*features, Flatten(), Dense(256, 64), ReLU(), Dense(64, 10)])


def robustness_cell(settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Train one network with one penalty, then attack and certify it."""
    parts = split_of(settings)
    training, test = parts.training.first(settings["count"]), parts.test.first(settings["tests"])
    network = perceptron() if settings["network"] == "perceptron" else cnn()
    x, held, pool = (
        part.x if settings["network"] == "CNN" else part.x.reshape(len(part), -1)
        for part in (training, test, parts.validation)
    )
    epochs, seed = settings["epochs"], settings["seed"]
    state, save = resumable(
        checkpoint, f"{settings['network']} {settings['penalty']} {settings['lam']:g} seed {seed}", epochs
    )
    last = train_penalised(
        network, network.init(seed, np.float32), x, training.labels, penalty_of(settings), lam=settings["lam"],
        epochs=epochs, rng=seed, validation=(held, test.labels), pool=pool,
        state=state, callback=save,
    )  # fmt: skip
    return assessed(network, last.theta, held, test.labels, settings["steps"])


def assessed(network: Network, theta: Array, x: Array, labels: Array, steps: int) -> dict[str, Any]:
    """Accuracy clean, under noise and under both attacks; certificates; a few adversarial examples."""
    attacks: list[Attack] = pgd(network, theta, x, labels, EPS, 2, steps)
    published = attack_2021(network, theta, x, labels, 2.0, 0.25, steps, rng=0)
    bound = Bound(product_bound(network, theta, input_shape=x.shape[1:]), "upper")
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
            "clean": np.round(x[i].ravel(), 3).tolist(),
            "moved": np.round(attack.x[i].ravel(), 3).tolist(),
            "labels": [int(labels[i]), int(clean[i].argmax()), int(moved[i].argmax())],
            "confidence": [float(clean[i].max()), float(moved[i].max())],
        }
        for i in range(SHOWN)
    ]


def clip_robustness(run: Run) -> None:
    """Table 1 of [CLIP] and more: robust accuracy against eps, certificates, both attacks, a gallery."""
    sizes = QUICK if run.quick else FULL
    cells = [(n, m, s) for n, methods in NETWORKS.items() for m in methods for s in range(run.seeds)]
    results = run.cells(robustness_cell, [sizes[n] | METHODS[m] | {"network": n, "seed": s} for n, m, s in cells])
    runs = dict(zip(cells, results))
    several = {(n, m): [runs[n, m, s] for s in range(run.seeds)] for n, methods in NETWORKS.items() for m in methods}
    _draw_curves(run, several)
    _gallery(run, {m: several["perceptron", m][0]["examples"] for m in ("none", "CLIP 0.15")})
    keys = ("test", "noise", "attack of 2021, eps 2", "Lip lower", "Lip upper")
    columns = ("network", "method", "seed", *keys, *(f"{k} {e:g}" for k in ("PGD", "certified") for e in EPS[1:]))
    rows = [(*cell, *(r[k] for k in keys), *r["robust"][1:], *r["certified"][1:]) for cell, r in runs.items()]
    run.table(columns, rows)
    run.found = {
        f"{n}, {m}": {k: [r[k] for r in rs] for k in (*keys, "robust", "certified")} for (n, m), rs in several.items()
    }


def _draw_curves(run: Run, several: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    panels = (("perceptron", "robust"), ("perceptron", "certified"), ("CNN", "robust"))
    titles = ("perceptron against PGD", "perceptron certified by (4.5)", "CNN against PGD")
    with canvas(1, 3, width=7, height=2.7, sharey=True) as (figure, axes):
        for ax, (network, key), title in zip(axes, panels, titles):
            for m in NETWORKS[network]:
                band(ax, EPS, np.array([r[key] for r in several[network, m]]), list(METHODS).index(m), m)
            ax.set(xlabel=r"$\varepsilon$ ($\ell_2$)", title=title, ylim=(-0.02, 1.02))
        axes[0].set_ylabel("accuracy")
        legend_below(figure, axes[0], len(METHODS))
        run.figure(figure, "clip-robustness", ROBUSTNESS)


def _gallery(run: Run, examples: dict[str, list[dict[str, Any]]]) -> None:
    with canvas(3 * len(examples), SHOWN, height=2.5 * len(examples)) as (figure, axes):
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


ROBUSTNESS = """Attacks in l2 by projected gradient ascent with exact projections. Left, 784-64-64-10: at about equal
    clean accuracy CLIP withstands more than weight or product penalties, and about as much as adversarial training.
    Middle: what the product bound certifies of it; only the network trained against this bound gets much. Right, a
    small convolutional network after 8 epochs, on 300 test images: every penalty withstands far more than plain
    training; CLIP and the weight penalty differ by less than their seeds, CLIP 0.1 ahead at eps = 2 with every seed;
    adversarial training withstands most. Bands: lowest to highest seed."""
GALLERY = """For plain training and for CLIP: clean images, perturbations of l2 norm at most 1.5 (red and blue, each
    scaled to its own largest entry), and the attacked images. Above an image stand the network's label and its
    confidence."""
