"""Attacks on a network: problem (4.3) by projected gradient ascent, one step of it (FGSM), noise."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from refimpl.numerics import validate
from refimpl.robustness.norms import along, check_norm, norm, norming
from refimpl.robustness.projections import Box, check_box, check_radius, project
from refimpl.setting.losses import CrossEntropy, Loss

Array = np.ndarray
Pullback = Callable[..., tuple[Array | None, Array | None]]
Direction = Literal["normalised", "sign"]
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
    """What an attack found: for every sample the iterate with success first, then the largest objective.

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


class _Problem(NamedTuple):
    """The objective of (4.3): +loss at the label to leave, or -loss at the label to reach."""

    network: Model
    theta: Array
    labels: Array
    sign: int
    loss: Loss

    def success(self, logits: Array) -> Array:
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


class _Best:
    """The best iterate of every sample so far, by (success, objective)."""

    def __init__(self, x: Array, success: Array, values: Array):
        self.x, self.success, self.values = x.copy(), success.copy(), values.copy()

    def update(self, x: Array, success: Array, values: Array) -> None:
        better = (success & ~self.success) | ((success == self.success) & (values > self.values))
        self.x[better], self.success[better], self.values[better] = x[better], success[better], values[better]


def _problem(network: Model, theta: Array, x: Array, labels: Any, targeted: Any, loss: Loss) -> _Problem:
    classes = network(theta, x[:1]).shape[-1]
    if targeted is not None:
        aims = np.broadcast_to(np.asarray(targeted), (len(x),))
        return _Problem(network, theta, validate.labels("targeted", aims, len(x), classes), -1, loss)
    if np.ndim(labels) == 2:
        labels = validate.real_array("labels", labels, shape=(len(x), classes))
    else:
        labels = validate.labels("labels", labels, len(x), classes)
    return _Problem(network, theta, labels, 1, loss)


def _inputs(x: Array, box: Box) -> Array:
    x = validate.real_array("x", x)
    if x.ndim < 2 or len(x) == 0:
        validate.fail("x", "a non-empty batch (B, ...)", validate.describe(x))
    if box is not None:
        low, high = check_box(box, x.dtype) or (None, None)
        if np.any(x < low) or np.any(x > high):
            validate.fail("x", f"inputs in the box {box}", f"values from {x.min()} to {x.max()}")
    return x


def ascent_direction(g: Array, p: float, gradient: Direction) -> Array:
    """The direction of a step: the unit vector of ||.||_p that ascends most along g, or sign(g).

    "normalised": g / ||g||_2 for p = 2, sign(g) for p = inf, one coordinate for p = 1. "sign": the chapter's
    step, whatever p; in an l_2 ball it keeps only ||g||_1 / (sqrt n ||g||_2) of the ascent.
    """
    if gradient == "sign" or p == np.inf:
        return np.sign(g)
    return norming(g, np.inf if p == 1 else 2)


def fgsm(
    network: Model,
    theta: Array,
    x: Array,
    labels: Array,
    eps: Any,
    p: float = np.inf,
    gradient: Direction = "normalised",
    box: Box = (0.0, 1.0),
    *,
    targeted: Any = None,
    loss: Loss = CROSS_ENTROPY,
) -> Any:
    """One step of the iteration of `pgd`, from x itself and as long as the budget: x + eps d, projected.

    In the l_inf ball without a box this is the fast gradient sign method x + eps sign(grad_x loss), the
    maximiser of the linearised loss. Arguments, result and errors as for `pgd`.
    """
    return pgd(network, theta, x, labels, eps, p, 1, None, gradient, 1, box, None, targeted=targeted, loss=loss)


def pgd(
    network: Model,
    theta: Array,
    x: Array,
    labels: Array,
    eps: Any,
    p: float = 2,
    steps: int = 40,
    step: float | None = None,
    gradient: Direction = "normalised",
    restarts: int = 1,
    box: Box = (0.0, 1.0),
    rng: np.random.Generator | int | None = None,
    *,
    targeted: Any = None,
    loss: Loss = CROSS_ENTROPY,
) -> Any:
    r"""Projected gradient ascent on (4.3): xbar <- Proj(xbar + tau d(grad_x loss(f(xbar), y))).

    Proj is the exact projection onto B_p(x, eps) intersected with the box; d is `ascent_direction`. The first
    run starts at x, every further one at a random point of the feasible set. For every sample the best of
    all iterates of all runs is kept, x itself included, so a longer or repeated attack never reports less.

    Parameters
    ----------
    x, labels : (B, ...) inputs in the box and their true labels, (B,) integers (or (B, C) distributions).
        The network's own output f(x) as label makes the gradient at xbar = x vanish.
    eps : the budget, or a sequence of budgets: then a list with one result each, where what a smaller
        budget found carries over to the larger ones. eps = 0 returns x.
    p : 1, 2 or inf.
    steps, step : the number of steps and tau; by default each moves 2.5 eps / steps in ||.||_p (eps if steps = 1).
    restarts : the number of runs.
    targeted : a label, or one a sample: minimise the loss at that label instead; success means reaching it.

    Raises
    ------
    ValueError : inputs outside the box, labels out of range, a negative budget, an unknown name.
    """
    p, x = check_norm("p", p), _inputs(x, box)
    validate.choice("gradient", gradient, ("normalised", "sign"))
    steps, restarts = validate.integer("steps", steps, 1), validate.integer("restarts", restarts, 1)
    step = None if step is None else validate.positive("step", step)
    problem = _problem(network, theta, x, labels, targeted, loss)
    rng = np.random.default_rng(rng)
    best = _Best(x, *problem.score(x))
    budgets = np.atleast_1d(validate.real_array("eps", eps))
    results: dict[float, Attack] = {}
    for budget in sorted(set(budgets.tolist())):
        radius = float(check_radius(budget, 1, float)[0])
        losses = [_run(problem, x, radius, p, steps, step, gradient, box, best, k and rng) for k in range(restarts)]
        results[budget] = Attack(best.x.copy(), best.success.copy(), norm(best.x - x, p), np.array(losses))
    return results[budgets[0]] if np.ndim(eps) == 0 else [results[budget] for budget in budgets.tolist()]


def _run(
    problem: _Problem,
    x: Array,
    eps: float,
    p: float,
    steps: int,
    step: float | None,
    gradient: Direction,
    box: Box,
    best: _Best,
    rng: Any,
) -> Array:
    """One run of the iteration; updates ``best`` and returns the objective at every iterate."""
    length = step or (eps if steps == 1 else 2.5 * eps / steps)
    at = random_start(x, eps, p, box, rng) if rng else x
    losses = []
    for _ in range(steps):
        success, values, g = problem.ascent(at)
        best.update(at, success, values)
        losses.append(values)
        d = ascent_direction(g, p, gradient)
        scale = 1.0 if step else 1 / np.maximum(norm(d, p), 1)
        at = project(at + along(np.broadcast_to(length * scale, len(x)), x).astype(x.dtype) * d, x, eps, p, box)
    success, values = problem.score(at)
    best.update(at, success, values)
    return np.array([*losses, values])


def random_start(x: Array, eps: float, p: float, box: Box, rng: np.random.Generator) -> Array:
    """A random direction with a radius eps U^(1/n), U uniform in [0, 1], projected onto ball and box."""
    d = rng.uniform(-1, 1, x.shape) if p == np.inf else rng.normal(size=x.shape)
    n = d[0].size
    size = rng.uniform(size=len(x)) ** (1 / n) / (1 if p == np.inf else norm(d, p))
    return project(x + (eps * along(size, x) * d).astype(x.dtype), x, eps, p, box)


def attack_2021(
    network: Model,
    theta: Array,
    x: Array,
    labels: Array,
    eps: float = 2.0,
    step: float = 0.25,
    steps: int = 100,
    box: Box = (0.0, 1.0),
    rng: np.random.Generator | int | None = None,
) -> Attack:
    """The attack behind the published numbers of [CLIP], kept for comparison: it over-reports robustness.

    A random start on the sphere; then delta <- clip(delta + step sign(grad)) to the box, *rescaled* to
    ||delta||_2 = eps (no projection: it can never shrink, and may leave the box); samples that are already
    misclassified stop; the last iterate counts, clipped to the box. Raises as `pgd` does.
    """
    eps, x = validate.nonnegative("eps", eps), _inputs(x, box)
    problem = _problem(network, theta, x, labels, None, CROSS_ENTROPY)
    delta = np.random.default_rng(rng).uniform(-eps, eps, x.shape).astype(x.dtype)
    delta = _to_sphere(project(x + delta, x, np.inf, 2, box) - x, eps)
    losses = []
    for _ in range(validate.integer("steps", steps, 1)):
        success, values, g = problem.ascent(x + delta)
        losses.append(values)
        moved = project(x + delta + step * np.sign(g), x, np.inf, 2, box) - x
        delta = np.where(along(success, x), delta, _to_sphere(moved, eps))
    end = project(x + delta, x, np.inf, 2, box)
    success, values = problem.score(end)
    return Attack(end, success, norm(end - x, 2), np.array([[*losses, values]]))


def _to_sphere(delta: Array, eps: float) -> Array:
    return eps * norming(delta, 2)


def noise(
    network: Model,
    theta: Array,
    x: Array,
    labels: Array,
    eps: float,
    p: float = 2,
    trials: int = 10,
    box: Box = (0.0, 1.0),
    rng: np.random.Generator | int | None = None,
) -> Attack:
    """A baseline without gradients: random feasible points (`random_start`), the best of ``trials`` a sample.

    An attack that finds less than this is broken. Raises as `pgd` does.
    """
    p, eps, x = check_norm("p", p), validate.nonnegative("eps", eps), _inputs(x, box)
    problem = _problem(network, theta, x, labels, None, CROSS_ENTROPY)
    rng = np.random.default_rng(rng)
    best, losses = _Best(x, *problem.score(x)), []
    for _ in range(validate.integer("trials", trials, 1)):
        at = random_start(x, eps, p, box, rng)
        success, values = problem.score(at)
        best.update(at, success, values)
        losses.append(values)
    return Attack(best.x, best.success, norm(best.x - x, p), np.array(losses)[:, None])


def gaussian_noise(
    x: Array, scale: float = 1.0, box: Box = (0.0, 1.0), rng: np.random.Generator | int | None = None
) -> Array:
    """x + scale N(0, 1), clipped to the box (``box=None``: unclipped)."""
    x = _inputs(x, box)
    noisy = x + np.random.default_rng(rng).normal(0.0, validate.nonnegative("scale", scale), x.shape)
    return project(noisy.astype(x.dtype), x, np.inf, np.inf, box)
