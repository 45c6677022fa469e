"""One training loop for every experiment: minibatches by seed, records and a checkpoint per epoch, exact resume.

An epoch's batches come from ``default_rng([seed, epoch])``, so there is no random state to save: the
parameters after epoch k are the same bits whether the run was interrupted or not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from refimpl.experiments.sweep import Progress
from refimpl.numerics import validate
from refimpl.numerics.files import atomic_write
from refimpl.setting.losses import CrossEntropy, Loss
from refimpl.setting.network import Network
from refimpl.sparsity.schedules import Plateau

Array = np.ndarray
Record = dict[str, float]
Gradient = Callable[[Array, Array, Array, np.random.Generator], tuple[float, Array]]
Watch = Callable[[Array], Record]


@dataclass(frozen=True)
class Recipe:
    """How long and in what pieces to train.

    Attributes
    ----------
    epochs, batch : passes over the data; samples a step (the last batch of an epoch may be smaller).
    seed : of the order of the samples and of whatever the gradient draws.
    patience : halve tau when the loss has not fallen by 1 % for more epochs than this; None keeps tau.
    """

    epochs: int
    batch: int = 128
    seed: int = 0
    patience: int | None = None

    def __post_init__(self) -> None:
        validate.integer("epochs", self.epochs, low=0)
        validate.integer("batch", self.batch, low=1)
        validate.integer("seed", self.seed, low=0)
        if self.patience is not None:
            validate.integer("patience", self.patience, low=0)


class Outcome(NamedTuple):
    """theta after the last epoch; one record an epoch (``epoch``, ``loss``, ``tau``, and what was watched)."""

    theta: Array
    records: list[Record]


def train(
    network: Network,
    optimizer: Any,
    theta: Array,
    x: Array,
    target: Array,
    recipe: Recipe,
    *,
    loss: Loss | None = None,
    gradient: Gradient | None = None,
    watch: Watch | None = None,
    after: Callable[[Any, int], Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    label: str = "",
) -> Outcome:
    """Minimise the empirical risk (4.1) from ``theta`` by stochastic steps of ``optimizer``.

    Parameters
    ----------
    optimizer : one of `refimpl.sparsity`, or anything with their ``tau``, ``init`` and ``step``.
    x, target : all samples; target holds labels (n,) or, for regression, arrays.
    loss : of the batch mean; by default `CrossEntropy`.
    gradient : ``(theta, x, target, rng) -> (loss, gradient)`` in place of the plain minibatch gradient.
    watch : ``theta -> record`` after every epoch.
    after : ``(state, epoch) -> state`` after every epoch, before it is watched: pruning, for instance.
    checkpoint : a file that is written after every epoch and taken up again if it is there.
    label : shown with progress on stderr.

    Raises
    ------
    ValueError : samples and targets differ in number; a checkpoint that is broken or of another run.
    """
    x, target = validate.real_array("x", x), validate.array("target", target)
    if x.ndim == 0 or target.ndim == 0 or len(x) != len(target) or len(x) == 0:
        validate.fail("target", f"as many entries as x ({x.shape[:1]}), at least one", f"{target.shape[:1]}")
    gradient = gradient or risk_gradient(network, loss or CrossEntropy())
    identity = repr((recipe.batch, recipe.seed, recipe.patience, len(x), network, optimizer))
    records: list[Record] = []
    state = optimizer.init(theta)
    if checkpoint is not None and Path(checkpoint).exists():
        state, records = _resume(Path(checkpoint), state, identity)
    progress = Progress(recipe.epochs - len(records), label, every=5.0)
    for epoch in range(len(records) + 1, recipe.epochs + 1):
        tau = _scheduled(optimizer.tau, records, recipe.patience)
        state, mean = _epoch(optimizer, tau, state, gradient, x, target, recipe, epoch)
        state = after(state, epoch) if after else state
        records.append({"epoch": epoch, "loss": mean, "tau": tau} | (watch(state.theta) if watch else {}))
        if checkpoint is not None:
            _save(Path(checkpoint), state, records, identity)
        progress.passed(note=f", loss {mean:.4f}")
    return Outcome(state.theta, records)


def _epoch(
    optimizer: Any, tau: float, state: Any, gradient: Gradient, x: Array, target: Array, recipe: Recipe, epoch: int
) -> tuple[Any, float]:
    """One pass over the data: the next state and the mean loss of the samples as they were met."""
    rng = np.random.default_rng([recipe.seed, epoch])
    order, total = rng.permutation(len(x)), 0.0
    for i in range(0, len(x), recipe.batch):
        batch = order[i : i + recipe.batch]
        value, g = gradient(state.theta, x[batch], target[batch], rng)
        state = optimizer.step(state, g, step=tau, inplace=True)
        total += value * len(batch)
    return state, total / len(x)


def _scheduled(tau: float, records: list[Record], patience: int | None) -> float:
    """tau after the epochs so far: halved by `Plateau` on their losses, or as it is without patience."""
    if patience is None:
        return tau
    plateau = Plateau(tau, patience=patience)
    return reduce(plateau.update, [record["loss"] for record in records], plateau.init()).step


def risk_gradient(network: Network, loss: Loss) -> Gradient:
    """The minibatch loss and its gradient in theta, by one forward and one backward pass."""

    def gradient(theta: Array, x: Array, target: Array, rng: np.random.Generator) -> tuple[float, Array]:
        y, pullback = network.vjp(theta, x)
        value, dy = loss.value_and_gradient(y, target)
        return value, pullback(dy, need="parameters")[1]  # type: ignore[return-value]

    return gradient


def _save(path: Path, state: Any, records: list[Record], identity: str) -> None:
    arrays = {f"state_{name}": value for name, value in state._asdict().items() if value is not None}
    text = np.frombuffer(json.dumps({"records": records, "run": identity}).encode(), np.uint8)
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays, text=text)


def _resume(path: Path, start: Any, identity: str) -> tuple[Any, list[Record]]:
    """State and records of a checkpoint; ``start`` tells the kinds and shapes that are expected."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            text = json.loads(stored["text"].tobytes())
            records, run = list(text["records"]), text["run"]
            fields = {name: _like(v, stored[f"state_{name}"]) for name, v in start._asdict().items() if v is not None}
    except Exception as error:  # zip, npy, zlib and json raise a dozen types for damaged files
        raise ValueError(f"checkpoint {path}: cannot be read ({error}); remove it to start over") from None
    if run != identity:
        raise ValueError(f"checkpoint {path}: belongs to a run with other settings; remove it to start over")
    return start._replace(**fields), records


def _like(template: Any, value: Array) -> Any:
    if not isinstance(template, np.ndarray):
        return type(template)(value)
    if value.shape != template.shape or value.dtype != template.dtype:
        raise ValueError(f"expected {template.dtype} of shape {template.shape}, got {value.dtype} {value.shape}")
    return value
