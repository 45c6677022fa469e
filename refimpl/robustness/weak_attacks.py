"""Attacks to compare with: the one behind the published numbers, and noise."""

import numpy as np

from refimpl.numerics import validate
from refimpl.robustness.attacks import random_start
from refimpl.robustness.norms import along, check_norm, norm, norming
from refimpl.robustness.problem import CROSS_ENTROPY, Attack, Best, Model, attack_problem, check_inputs
from refimpl.robustness.projections import Box, project

Array = np.ndarray


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
    """The attack behind the numbers of Bungert et al. 2021 (CLIP), kept for comparison: it over-reports robustness.

    x is (B, ...), labels (B,). A random start on the sphere; then delta <- clip(delta + step sign(grad)) to the box,
    *rescaled* to
    ||delta||_2 = eps (no projection: it can never shrink, and may leave the box); samples that are already
    misclassified stop; the last iterate counts, clipped to the box. Raises as `pgd` does.
    """
    eps, x, step = validate.nonnegative("eps", eps), check_inputs(x, box), validate.positive("step", step)
    eps = eps + 0.0  # -0.0 is 0
    if 2 * eps == np.inf:
        validate.fail("eps", "a budget whose double is finite", eps)
    problem = attack_problem(network, theta, x, labels, None, CROSS_ENTROPY)
    delta = validate.generator("rng", rng).uniform(-eps, eps, x.shape).astype(x.dtype)
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
    """A baseline without gradients: random feasible points (`random_start`), the best of ``trials`` a sample, for
    (4.3).

    x is (B, ...), labels (B,).

    An attack that finds less than this is broken. Raises as `pgd` does.
    """
    p, eps, x = check_norm("p", p), validate.nonnegative("eps", eps), check_inputs(x, box)
    problem = attack_problem(network, theta, x, labels, None, CROSS_ENTROPY)
    rng = validate.generator("rng", rng)
    best, losses = Best(x, *problem.score(x)), []
    for _ in range(validate.integer("trials", trials, 1)):
        at = random_start(x, eps, p, box, rng)
        success, values = problem.score(at)
        best.update(at, success, values)
        losses.append(values)
    return Attack(best.x, best.success, norm(best.x - x, p), np.array(losses)[:, None])


def gaussian_noise(
    x: Array, scale: float = 1.0, box: Box = (0.0, 1.0), rng: np.random.Generator | int | None = None
) -> Array:
    """x + scale N(0, 1), clipped to the box (``box=None``: unclipped): the noise of Bungert et al. 2021, Table 1.

    x is (B, ...). Raises ValueError for x outside the box or scale < 0.
    """
    x = check_inputs(x, box)
    noisy = x + validate.generator("rng", rng).normal(0.0, validate.nonnegative("scale", scale), x.shape)
    return project(noisy.astype(x.dtype), x, np.inf, np.inf, box)
