"""Problem (4.3) as an object: the objective of an attack, its input gradient, the best iterate so far."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from refimpl.numerics import validate
from refimpl.robustness.projections import Box, check_box
from refimpl.setting.losses import CrossEntropy, Loss

Array = np.ndarray
Pullback = Callable[..., tuple[Array | None, Array | None]]
CROSS_ENTROPY = CrossEntropy()


class Model(Protocol):
    """What an attack asks of a network: its outputs and the pull-back of its input gradient."""

    def __call__(self, theta: Array, x: Array) -> Array:
        """f_theta(x)."""

    def vjp(self, theta: Array, x: Array) -> tuple[Array, Pullback]:
        """f_theta(x) and ``pullback(dy, need)``."""


def input_gradient(pullback: Pullback, dy: Array) -> Array:
    """dx alone: no parameter gradient is computed."""
    dx, _ = pullback(dy, need="input")
    assert dx is not None
    return dx


class Attack(NamedTuple):
    """What an attack on (4.3) found: for every sample the iterate with success first, then the largest objective.

    Attributes
    ----------
    x : the attacked inputs, shape of the clean ones.
    success : (B,) the network's label of x is not the given one (targeted: is the target).
    norms : (B,) ||x - clean||_p.
    losses : (restarts, steps + 1, B) the objective at every iterate: the loss, or minus the loss of the target.
    """

    x: Array
    success: Array
    norms: Array
    losses: Array

    @property
    def robust_accuracy(self) -> float:
        """The share of samples that the attack left at their label."""
        return float(1 - np.mean(self.success))


class Problem(NamedTuple):
    """The objective of (4.3): +loss at the label to leave, or -loss at the label to reach."""

    network: Model
    theta: Array
    labels: Array
    sign: int
    loss: Loss

    def success(self, logits: Array) -> Array:
        """Whether the label is left (targeted: reached)."""
        wanted = self.labels if self.labels.ndim == 1 else np.argmax(self.labels, axis=1)
        return (np.argmax(logits, axis=1) == wanted) == (self.sign < 0)

    def score(self, x: Array) -> tuple[Array, Array]:
        """success and objective at x."""
        logits = self.network(self.theta, x)
        return self.success(logits), self.sign * self.loss.values(logits, self.labels)

    def ascent(self, x: Array) -> tuple[Array, Array, Array]:
        """success, objective and its input gradient at x; no parameter gradient is computed."""
        logits, pullback = self.network.vjp(self.theta, x)
        values = self.sign * self.loss.values(logits, self.labels)
        dx = input_gradient(pullback, self.sign * len(x) * self.loss.gradient(logits, self.labels))
        return self.success(logits), values, dx


class Best:
    """The best iterate of every sample so far, by (success, objective)."""

    def __init__(self, x: Array, success: Array, values: Array):
        self.x, self.success, self.values = x.copy(), success.copy(), values.copy()

    def update(self, x: Array, success: Array, values: Array) -> None:
        """Take over the samples that are better now."""
        better = (success & ~self.success) | ((success == self.success) & (values > self.values))
        self.x[better], self.success[better], self.values[better] = x[better], success[better], values[better]


def attack_problem(network: Model, theta: Array, x: Array, labels: Any, targeted: Any, loss: Loss) -> Problem:
    """The checked problem for labels to leave or, if given, targets to reach."""
    validate.provides("network", network, "__call__", "vjp")
    validate.provides("loss", loss, "values", "gradient")
    classes = network(theta, x[:1]).shape[-1]
    if targeted is not None:
        aims = validate.array("targeted", targeted)
        aims = np.broadcast_to(aims, (len(x),)) if aims.ndim == 0 else aims
        return Problem(network, theta, validate.labels("targeted", aims, len(x), classes), -1, loss)
    if validate.array("labels", labels).ndim == 2:
        labels = validate.real_array("labels", labels, shape=(len(x), classes))
    else:
        labels = validate.labels("labels", labels, len(x), classes)
    return Problem(network, theta, labels, 1, loss)


def check_inputs(x: Array, box: Box) -> Array:
    """A non-empty batch inside the box."""
    x = validate.real_array("x", x)
    if x.ndim < 2 or x.size == 0:
        validate.fail("x", "a non-empty batch (B, ...)", validate.describe(x))
    if box is not None:
        low, high = check_box(box, x.dtype, x.shape) or (None, None)
        if np.any(x < low) or np.any(x > high):
            validate.fail("x", f"inputs in the box {box}", f"values from {x.min()} to {x.max()}")
    return x
