"""Cheap Lipschitz training: the quotient on a set of pairs as penalty (Section 4.2.1, Algorithms 1 and 2)."""

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from refimpl.numerics import validate
from refimpl.robustness.norms import check_norm
from refimpl.robustness.projections import Box
from refimpl.robustness.quotients import ascend, perturbed_pairs, quotient_gradient
from refimpl.robustness.training import Memory, Penalty, State, train
from refimpl.setting.network import Network

Array = np.ndarray


@dataclass(frozen=True)
class ClipPenalty(Penalty):
    """R(theta) = max (or mean) over X_Lip of L^power, after ``ascents`` steps of Algorithm 1 on X_Lip.

    Attributes
    ----------
    pairs : the size of X_Lip.
    power : 1, the chapter's penalty L; 2, the L^2 of the published code.
    reduce : "max" as in the chapter, or "mean".
    tau, rule, ascents : Algorithm 1, see `ascend`; with rule "accept" every pair's tau adapts and is remembered.
    box : keep the pairs in it; None leaves them free.
    start_from : "perturbed": x with x + U[-amplitude, amplitude]; "different": two samples of the data.
    resample : draw X_Lip anew every so many steps; None never.
    p, q : norms of inputs and outputs.

    Raises
    ------
    ValueError : a field out of range.
    """

    pairs: int = 300
    power: Literal[1, 2] = 1
    reduce: Literal["max", "mean"] = "max"
    tau: float = 1.0
    rule: Literal["printed", "accept"] = "accept"
    ascents: int = 1
    box: Box = None
    start_from: Literal["perturbed", "different"] = "perturbed"
    amplitude: float = 0.1
    resample: int | None = None
    p: float = 2
    q: float = 2

    def __post_init__(self) -> None:
        validate.integer("pairs", self.pairs, 1)
        validate.choice("power", self.power, (1, 2))
        validate.choice("reduce", self.reduce, ("max", "mean"))
        validate.choice("rule", self.rule, ("printed", "accept"))
        validate.choice("start_from", self.start_from, ("perturbed", "different"))
        validate.positive("tau", self.tau)
        validate.positive("amplitude", self.amplitude)
        validate.integer("ascents", self.ascents, 0)
        if self.resample is not None:
            validate.integer("resample", self.resample, 1)
        check_norm("p", self.p)
        check_norm("q", self.q)

    def start(self, network: Network, theta: Array, pool: Array, rng: np.random.Generator) -> Memory:
        """X_Lip from the pool, with the step tau of every pair and the number of steps since."""
        chosen = rng.permutation(len(pool))[: self.pairs]
        if self.start_from == "perturbed":
            x, xbar = perturbed_pairs(pool[chosen], self.amplitude, rng, self.box)
        else:
            x, xbar = pool[chosen], pool[rng.permutation(len(pool))[: len(chosen)]]
        return {"x": x, "xbar": xbar, "tau": np.full(len(x), self.tau, x.dtype), "age": np.array(0)}

    def __call__(
        self, network: Network, theta: Array, memory: Memory, pool: Array, rng: np.random.Generator
    ) -> tuple[float, Array, Memory]:
        """First the step on X_Lip, then value and gradient on the moved pairs."""
        if self.resample is not None and memory["age"] >= self.resample:
            memory = self.start(network, theta, pool, rng)
        at = ascend(
            network,
            theta,
            memory["x"],
            memory["xbar"],
            memory["tau"],
            self.ascents,
            self.rule,
            self.box,
            self.p,
            self.q,
        )
        value, slope = self._reduced(network, theta, at.x, at.xbar, at.values)
        return value, slope, {"x": at.x, "xbar": at.xbar, "tau": at.tau, "age": memory["age"] + 1}

    def _reduced(self, network: Network, theta: Array, x: Array, xbar: Array, values: Array) -> tuple[float, Array]:
        if self.reduce == "max":  # one pair attains it: the first one at ties (Remark 4.8)
            best = int(np.argmax(values))
            x, xbar = x[best : best + 1], xbar[best : best + 1]
        weights = np.full(len(x), 1 / len(x), theta.dtype)
        g = quotient_gradient(network, theta, x, xbar, self.p, self.q, self.power, weights, need="parameters")
        assert g.theta is not None
        return float(np.mean(g.values**self.power)), g.theta


def train_clip(network: Network, theta: Array, x: Array, y: Array, lam: float = 0.1, **options: Any) -> State:
    """CLIP: for every minibatch a step of Algorithm 1 on X_Lip, then theta <- theta - eta grad(L + lam Lip(f; X_Lip)).

    Parameters
    ----------
    x, y : (B, ...) inputs and (B,) labels, as in `train`.
    lam : the weight of the penalty (4.4); its rule over the epochs is the option ``schedule``.
    options : the fields of `ClipPenalty` (power, reduce, tau, box, ...); everything else goes to
        `refimpl.robustness.training.train` (epochs, batch, eta, validation, pool, state, rng, callback, ...),
        where the result, and what Raises, are described.

    Examples
    --------
    >>> state = train_clip(f, theta, x, labels, lam=0.1, epochs=30, power=1, reduce="max", rng=0)
    >>> state.theta, state.history[-1].accuracy
    """
    names = {field.name for field in fields(ClipPenalty)}
    penalty = ClipPenalty(**{name: options.pop(name) for name in names & set(options)})
    return train(network, theta, x, y, penalty, lam=lam, **options)
