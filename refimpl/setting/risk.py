"""Empirical risk (4.1), minibatches, and gradient estimators on a finite Omega (Section 4.1.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product

import numpy as np

from refimpl.numerics import validate
from refimpl.setting.initialization import Rng
from refimpl.setting.layer import Array
from refimpl.setting.losses import Loss
from refimpl.setting.network import Network

Batch = tuple[int, ...]
Outcome = tuple[float, Batch]


def empirical_risk(network: Network, loss: Loss, theta: Array, x: Array, y: Array) -> float:
    """L(theta) = 1/|T| sum over (x, y) in T of ell(f_theta(x), y) (4.1), T the rows of x and y.

    The same function on the rows of a minibatch B is its loss L(theta; B).

    x is (|T|, ...), y as the loss wants it: (|T|,) labels or (|T|, ...) targets.

    Raises
    ------
    ValueError : no network or loss; x, y or theta of shapes that do not fit.
    """
    _check(network, loss)
    return loss.value(network(theta, x), y)  # (4.1)


def risk_and_gradient(network: Network, loss: Loss, theta: Array, x: Array, y: Array) -> tuple[float, Array]:
    """L(theta) and its gradient: the pull-back of the loss's gradient in f_theta(x) (4.1).

    Shapes and errors as in `empirical_risk`: x (|T|, ...), y (|T|,) or (|T|, ...); the gradient is (n,) like theta.
    Raises ValueError as it does.
    """
    _check(network, loss)
    output, pullback = network.vjp(theta, x)
    value, dy = loss.value_and_gradient(output, y)
    return value, pullback(dy, need="parameters")[1]  # type: ignore[return-value]


def batch_gradient(network: Network, loss: Loss, x: Array, y: Array) -> Callable[[Array, Sequence[int]], Array]:
    """(theta, B) -> the gradient of the minibatch loss L(theta; B), B a sequence of row numbers (Section 4.1.2).

    x is (|T|, ...), y (|T|,) or (|T|, ...).
    Raises ValueError for other lengths, and at the call for rows outside of T.
    """
    _check(network, loss)
    x, y = validate.real_array("x", x), validate.array("y", y)
    if x.ndim < 2 or y.ndim == 0 or len(x) != len(y):
        validate.fail("y", f"as many targets as inputs x, which is {validate.describe(x)}", validate.describe(y))

    def gradient(theta: Array, batch: Sequence[int]) -> Array:
        rows = _rows(batch, len(x))
        return risk_and_gradient(network, loss, theta, x[rows], y[rows])[1]

    return gradient


def _check(network: Network, loss: Loss) -> None:
    validate.provides("network", network, "vjp")
    validate.provides("loss", loss, "value", "value_and_gradient")


def _rows(batch: Sequence[int], n: int) -> Array:
    rows = validate.array("batch", batch)
    if rows.ndim != 1 or rows.size == 0 or rows.dtype.kind not in "iu" or rows.min() < -n or rows.max() >= n:
        validate.fail("batch", f"a sequence of row numbers below {n}", validate.describe(batch))
    return rows


def minibatches(n: int, size: int, *, rng: Rng = None) -> list[Array]:
    """A random partition B_1, ..., B_b of 0 ... n - 1 into batches of ``size``, the last one smaller if need be
    (Section 4.1.2).

    Raises
    ------
    ValueError : n or size below 1.
    """
    n, size = validate.integer("n", n, low=1), validate.integer("size", size, low=1)
    order = validate.generator("rng", rng).permutation(n)
    return [order[start : start + size] for start in range(0, n, size)]


@dataclass(frozen=True)
class GradientEstimator:
    """g(theta; omega) with finitely many omega, so that expectations are exact sums (Section 4.1.2).

    Parameters
    ----------
    gradient : (theta, batch) -> gradient, for instance `batch_gradient`.
    outcomes : (probability, batch) for every omega.

    Raises
    ------
    ValueError : no outcomes, a negative probability, or probabilities that do not sum to 1.
    """

    gradient: Callable[[Array, Sequence[int]], Array]
    outcomes: Sequence[Outcome]

    def __post_init__(self) -> None:
        if isinstance(self.outcomes, (str, bytes)) or not isinstance(self.outcomes, Sequence):
            validate.fail("outcomes", "a sequence of pairs (probability, batch)", validate.describe(self.outcomes))
        for outcome in self.outcomes:
            if not isinstance(outcome, (tuple, list)) or len(outcome) != 2:
                validate.fail("outcomes", "pairs (probability, batch)", validate.describe(outcome))
        object.__setattr__(self, "outcomes", tuple(self.outcomes))
        total = sum(validate.within("probability", p, 0, 1) for p, _ in self.outcomes)
        if abs(total - 1) > 1e-12 * max(1, len(self.outcomes)):
            validate.fail("outcomes", "probabilities that sum to 1", f"a sum of {total}")

    def __call__(self, theta: Array, rng: Rng) -> Array:
        """g(theta; omega) for an omega drawn by the law of the outcomes."""
        probabilities = np.array([p for p, _ in self.outcomes])
        drawn = validate.generator("rng", rng).choice(len(self.outcomes), p=probabilities / probabilities.sum())
        return self.gradient(theta, self.outcomes[drawn][1])

    def expectation(self, theta: Array) -> Array:
        """E[g(theta; omega)] = sum of p g, exactly."""
        return sum(p * self.gradient(theta, batch) for p, batch in self.outcomes)  # type: ignore[return-value]

    def variance(self, theta: Array) -> float:
        """E|g(theta; omega) - E g|^2, exactly."""
        mean = self.expectation(theta)
        return float(sum(p * np.sum((self.gradient(theta, batch) - mean) ** 2) for p, batch in self.outcomes))


def uniform(batches: Sequence[Sequence[int]]) -> list[Outcome]:
    """Every batch equally likely: unbiased if every sample lies in as many batches of each size as any other.

    On a *fixed* partition into batches of different sizes it is biased: samples of small batches weigh more.
    """
    batches = _batches(batches)
    return [(1 / len(batches), batch) for batch in batches]


def proportional(batches: Sequence[Sequence[int]]) -> list[Outcome]:
    """The batches of a partition with probability |B| / |T|: unbiased, whatever their sizes."""
    batches = _batches(batches)
    n = sum(map(len, batches))
    return [(len(batch) / n, batch) for batch in batches]


def _batches(batches: Sequence[Sequence[int]]) -> list[Batch]:
    if not len(batches):
        validate.fail("batches", "at least one batch", "none")
    if not all(map(len, batches)):
        validate.fail("batches", "none empty", validate.describe(batches))
    return [tuple(batch) for batch in batches]


def subsets(n: int, size: int) -> list[Outcome]:
    """All batches of ``size`` different samples out of n, equally likely: unbiased. binomial(n, size) outcomes."""
    return uniform(list(combinations(range(n), validate.integer("size", size, low=1, high=n))))


def with_replacement(n: int, size: int) -> list[Outcome]:
    """All batches of ``size`` independent samples out of n, equally likely: unbiased. n^size outcomes."""
    return uniform(list(product(range(n), repeat=validate.integer("size", size, low=1))))


def reshuffled(n: int, size: int) -> list[Outcome]:
    """A batch, equally likely any one, of the shuffled partition of `minibatches`: unbiased even where the last
    batch is smaller, because every sample is equally likely in it. n! ceil(n / size) outcomes."""
    size = validate.integer("size", size, low=1)
    return uniform([order[a : a + size] for order in permutations(range(n)) for a in range(0, n, size)])
