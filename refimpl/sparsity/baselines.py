"""What sparse training is compared with: Lasso by subgradients with thresholding, iterative pruning (Section 4.3.5)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from refimpl.numerics import validate
from refimpl.sparsity.optimizers import Optimizer, Plain, regularizer
from refimpl.sparsity.regularizers import Array, Regularizer


@dataclass(frozen=True, init=False)
class LassoSubgradient(Optimizer[Plain]):
    """theta <- theta - tau (g + p) with p = J.subgradient(theta): min L + J, ignoring the kinks of J.

    Its iterates have small entries but no zeros; `threshold` makes them afterwards (Section 4.3.5).
    Raises ValueError for step <= 0 or a J that is no `Regularizer`.
    """

    J: Regularizer
    tau: float

    def __init__(self, J: Regularizer, step: float):
        self._set(J=regularizer(J), tau=validate.positive("step", step))

    def _init(self, theta: Array) -> Plain:
        return Plain(theta)

    def _step(self, state: Plain, g: Array, tau: float) -> Plain:
        state.theta[...] = state.theta - tau * (g + self.J.subgradient(state.theta))
        return state


def threshold(theta: Array, level: float) -> Array:
    """theta with the entries |theta_i| <= level set to 0 (hard, not soft); NaN stays.

    theta has any shape (Section 4.3.5). Raises ValueError for level < 0.
    """
    theta = validate.real_array("theta", theta)
    return np.where(np.abs(theta) <= validate.nonnegative("level", level), theta.dtype.type(0), theta)


class Pruned(NamedTuple):
    """theta = theta . mask, and the mask in {0, 1} of theta's dtype."""

    theta: Array
    mask: Array


@dataclass(frozen=True, init=False)
class IterativePruning(Optimizer[Pruned]):
    """Gradient descent on the entries that are left: theta <- (theta - tau g) . mask; `prune` shortens the mask
    (Castellano, Fanelli and Pelillo 1997, as in Section 4.3). Raises ValueError for step <= 0.
    """

    tau: float

    def __init__(self, step: float):
        self._set(tau=validate.positive("step", step))

    def _init(self, theta: Array) -> Pruned:
        return Pruned(theta, np.ones_like(theta))

    def _step(self, state: Pruned, g: Array, tau: float) -> Pruned:
        state.theta[...] = (state.theta - tau * g) * state.mask
        return state

    def prune(self, state: Pruned, density: float, where: slice = slice(None)) -> Pruned:
        """Keep the floor(density * size) entries of largest modulus in theta[where]; what was pruned stays pruned.

        Of entries of equal modulus the first are kept.
        """
        if not isinstance(where, slice):
            validate.fail("where", "a slice of theta", validate.describe(where))
        keep = int(validate.within("density", density, 0, 1) * state.theta[where].size)
        theta, mask = state.theta.copy(), state.mask.copy()
        dropped = np.argsort(-np.abs(theta[where] * mask[where]).reshape(-1), kind="stable")[keep:]
        mask[where].reshape(-1)[dropped] = 0
        return Pruned(theta * mask, mask)
