"""Schedules for tau (plateau) and lam (target sparsity), as values with explicit states (Section 4.3.5)."""

from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from refimpl.numerics import validate
from refimpl.sparsity.optimizers import Adam, Bregman
from refimpl.sparsity.regularizers import Array, Regularizer


class PlateauState(NamedTuple):
    """The current step tau, the best loss so far, and how many epochs brought nothing better."""

    step: float
    best: float = inf
    bad: int = 0


@dataclass(frozen=True)
class Plateau:
    """tau <- factor tau, once the loss has not fallen below (1 - threshold) best for more than ``patience`` epochs.

    As in the experiments of Bungert et al. 2022. Raises ValueError for a field out of range.
    """

    step: float
    factor: float = 0.5
    patience: int = 5
    threshold: float = 0.01
    minimum: float = 0.0

    def __post_init__(self) -> None:
        validate.positive("step", self.step)
        if not 0 < validate.real("factor", self.factor) < 1:
            validate.fail("factor", "a number in (0, 1)", self.factor)
        validate.integer("patience", self.patience, low=0)
        validate.within("threshold", self.threshold, 0, 1)
        validate.nonnegative("minimum", self.minimum)

    def init(self) -> PlateauState:
        """Before the first epoch."""
        return PlateauState(self.step)

    def update(self, state: PlateauState, loss: float) -> PlateauState:
        """After an epoch with this loss; NaN is not better."""
        loss = validate.number("loss", loss)
        if loss < state.best * (1 - self.threshold):
            return PlateauState(state.step, loss, 0)
        if state.bad < self.patience:
            return state._replace(bad=state.bad + 1)
        return PlateauState(max(self.factor * state.step, self.minimum), state.best, 0)


class TargetState(NamedTuple):
    """The current lam, the epochs seen, and how many more to wait before lam may change."""

    lam: float
    epoch: int = 0
    wait: int = 0


@dataclass(frozen=True)
class TargetSparsity:
    """lam rises by ``increment`` while the density N exceeds the target, and falls by it (not below 0) otherwise.

    The first ``warmup`` epochs, and ``cooldown`` epochs after each change, leave lam alone. After a change the
    optimizer needs J with the new lam and a new v: see `restart`.
    N is the density of Section 4.3.5. Raises ValueError for a field out of range.
    """

    target: float
    lam: float
    increment: float
    warmup: int = 0
    cooldown: int = 0

    def __post_init__(self) -> None:
        validate.within("target", self.target, 0, 1)
        validate.nonnegative("lam", self.lam)
        validate.positive("increment", self.increment)
        validate.integer("warmup", self.warmup, low=0)
        validate.integer("cooldown", self.cooldown, low=0)

    def init(self) -> TargetState:
        """Before the first epoch."""
        return TargetState(self.lam, 0, self.warmup)

    def update(self, state: TargetState, density: float) -> TargetState:
        """After an epoch that ended with density N."""
        density = validate.number("density", density)
        lam, epoch, wait = state
        if wait > 0 or density == self.target:
            return TargetState(lam, epoch + 1, max(wait - 1, 0))
        lam = lam + self.increment if density > self.target else max(lam - self.increment, 0.0)
        return TargetState(lam, epoch + 1, self.cooldown)


def restart(state: Any, J: Regularizer, delta: float = 1.0) -> Any:
    """The state of LinBreg or AdaBreg for another J: v = theta/delta + J.subgradient(theta), all else as it was.

    The old v is a subgradient of the old J_delta; without this, v in dJ_delta(theta) fails.
    J_delta is (4.17). Raises ValueError for another state, delta <= 0, or a J without subgradients.
    """
    if not isinstance(state, (Bregman, Adam)):
        validate.fail("state", "a state of LinBreg or AdaBreg", validate.describe(state))
    validate.provides("J", J, "subgradient")
    theta: Array = state.theta
    return state._replace(v=theta / validate.positive("delta", delta) + J.subgradient(theta))
