"""Attacks on a network: problem (4.3) by projected gradient ascent, and one step of it (FGSM)."""

from typing import Any, Literal, NamedTuple

import numpy as np

from refimpl.numerics import validate
from refimpl.robustness.norms import along, check_norm, norm, norming
from refimpl.robustness.problem import CROSS_ENTROPY, Attack, Best, Model, Problem, attack_problem, check_inputs
from refimpl.robustness.projections import Box, check_radius, project
from refimpl.setting.losses import Loss

Array = np.ndarray
Direction = Literal["normalised", "sign"]


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
    """One step of the iteration of `pgd` on (4.3), from x itself and as long as the budget: x + eps d, projected.

    In the l_inf ball without a box this is the fast gradient sign method x + eps sign(grad_x loss), the
    maximiser of the linearised loss. Arguments (x (B, ...), labels (B,)),
    result and errors as for `pgd`. Goodfellow, Shlens and Szegedy 2015.
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
    p, x = check_norm("p", p), check_inputs(x, box)
    validate.choice("gradient", gradient, ("normalised", "sign"))
    steps, restarts = validate.integer("steps", steps, 1), validate.integer("restarts", restarts, 1)
    step = None if step is None else validate.positive("step", step)
    problem = attack_problem(network, theta, x, labels, targeted, loss)
    ascent = _Ascent(problem, x, p, steps, step, gradient, box)
    rng = validate.generator("rng", rng)
    best = Best(x, *problem.score(x))
    budgets = np.atleast_1d(validate.real_array("eps", eps))
    if budgets.ndim != 1 or len(budgets) == 0 or not np.isfinite(budgets).all():
        validate.fail("eps", "a finite budget or a sequence of them", validate.describe(budgets))
    results: dict[float, Attack] = {}
    for budget in sorted(set(budgets.tolist())):
        radius = float(check_radius(budget, 1, float)[0])
        losses = [ascent.run(radius, best, rng if k else None) for k in range(restarts)]
        results[budget] = Attack(best.x.copy(), best.success.copy(), norm(best.x - x, p), np.array(losses))
    return results[budgets[0]] if np.ndim(eps) == 0 else [results[budget] for budget in budgets.tolist()]


class _Ascent(NamedTuple):
    """The iteration of `pgd` with its settings."""

    problem: Problem
    x: Array
    p: float
    steps: int
    step: float | None
    gradient: Direction
    box: Box

    def run(self, eps: float, best: Best, rng: np.random.Generator | None) -> Array:
        """The objective at every iterate of one run, from x or (with rng) a random point; updates ``best``."""
        at = self.x if rng is None else random_start(self.x, eps, self.p, self.box, rng)
        losses = []
        for _ in range(self.steps):
            success, values, g = self.problem.ascent(at)
            best.update(at, success, values)
            losses.append(values)
            at = project(at + self.move(g, eps), self.x, eps, self.p, self.box)  # (4.3)
        success, values = self.problem.score(at)
        best.update(at, success, values)
        return np.array([*losses, values])

    def move(self, g: Array, eps: float) -> Array:
        """tau d; by default of length 2.5 eps / steps in ||.||_p."""
        d = ascent_direction(g, self.p, self.gradient)
        if self.step is not None:
            return self.step * d
        length = eps if self.steps == 1 else 2.5 * eps / self.steps
        return along(length / np.maximum(norm(d, self.p), 1), d).astype(d.dtype) * d


def random_start(x: Array, eps: float, p: float, box: Box, rng: np.random.Generator) -> Array:
    """A random point of the ball, projected onto ball and box: uniform for p = inf and (a normal direction times
    U^(1/n), U uniform in [0, 1]) for p = 2, in the same way scaled for p = 1.
    """
    if p == np.inf:
        return project(x + (eps * rng.uniform(-1, 1, x.shape)).astype(x.dtype), x, eps, p, box)
    d = rng.normal(size=x.shape)
    radius = eps * rng.uniform(size=len(x)) ** (1 / d[0].size)
    return project(x + (along(radius / norm(d, p), x) * d).astype(x.dtype), x, eps, p, box)
