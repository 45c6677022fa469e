"""The baselines of CLIP as penalties of the same loop: weights, the product (4.5), exact Lip, attacked inputs."""

from dataclasses import dataclass

import numpy as np

from refimpl.numerics import validate
from refimpl.robustness.attacks import pgd
from refimpl.robustness.bounds import product_bound_gradient
from refimpl.robustness.norms import check_norm, norm
from refimpl.robustness.piecewise import middles, pieces
from refimpl.robustness.projections import Box
from refimpl.robustness.quotients import quotient_gradient
from refimpl.robustness.training import Memory, Penalty
from refimpl.setting.network import Network

Array = np.ndarray


@dataclass(frozen=True)
class WeightPenalty(Penalty):
    """R(theta) = 1/2 |weights|^2 (biases are free); gradient: the weights.

    The weight regularization that Section 4.2.3 compares with.
    """

    def __call__(
        self, network: Network, theta: Array, memory: Memory, pool: Array, rng: np.random.Generator
    ) -> tuple[float, Array, Memory]:
        """(1/2 |W|^2, W, memory)."""
        weights = theta.copy()
        for name, block in network.slices.items():
            if name.endswith("bias"):
                weights[block] = 0
        return float(weights @ weights) / 2, weights, memory


@dataclass(frozen=True)
class ProductPenalty(Penalty):
    """R(theta) = the product bound (4.5), an upper bound of Lip(f_theta), by its subgradient.

    Raises ValueError for p other than 1, 2, inf, and as `product_bound_gradient` does.
    """

    p: float = 2

    def __post_init__(self) -> None:
        check_norm("p", self.p)

    def __call__(
        self, network: Network, theta: Array, memory: Memory, pool: Array, rng: np.random.Generator
    ) -> tuple[float, Array, Memory]:
        """(the bound, a subgradient, memory)."""
        value, slope = product_bound_gradient(network, theta, self.p)
        return value, slope, memory


@dataclass(frozen=True)
class ExactLipschitzPenalty(Penalty):
    """R(theta) = Lip(f_theta) exactly, for ReLU networks with one input.

    f is affine on the steepest piece, so the quotient of two points inside it is Lip(f), and stays the quotient
    of that piece under small changes of theta: its gradient is the gradient of Lip wherever Lip has one.

    It is the penalty of (4.4), on (low, high). Raises ValueError as `exact_lipschitz` does.
    """

    low: float = -np.inf
    high: float = np.inf
    q: float = 2

    def __post_init__(self) -> None:
        check_norm("q", self.q)
        validate.number("low", self.low)
        validate.number("high", self.high)
        if not self.low < self.high:
            validate.fail("low", "low < high", f"{self.low} and {self.high}")

    def __call__(
        self, network: Network, theta: Array, memory: Memory, pool: Array, rng: np.random.Generator
    ) -> tuple[float, Array, Memory]:
        """(Lip, a subgradient, memory)."""
        knots, slopes = pieces(network, theta, (self.low, self.high))
        best = int(np.argmax(norm(slopes, self.q)))
        centre = middles(knots)[best]
        reach = min(1.0, float(np.min(np.abs(knots[best : best + 2] - centre)))) / 2
        x, xbar = (np.array([[centre + side * reach]]) for side in (1, -1))
        g = quotient_gradient(network, theta, x, xbar, 2, self.q, need="parameters")
        assert g.theta is not None
        return float(g.values[0]), g.theta, memory


@dataclass(frozen=True)
class AdversarialInputs(Penalty):
    """Adversarial training, min E max over B(x, eps) of the loss (Section 4.2): the batch becomes what PGD finds.

    By Danskin the gradient of the inner maximum is the gradient at the maximiser. The budget grows linearly to
    eps over the first ``warmup`` epochs: from scratch a large one can end in a constant network.

    Madry et al. 2018. Raises ValueError for eps < 0, steps or warmup out of range, p other than 1, 2, inf.
    """

    eps: float = 1.0
    warmup: int = 5
    steps: int = 7
    p: float = 2
    box: Box = (0.0, 1.0)

    def __post_init__(self) -> None:
        validate.nonnegative("eps", self.eps)
        validate.integer("warmup", self.warmup, 0)
        validate.integer("steps", self.steps, 1)
        check_norm("p", self.p)

    def inputs(self, network: Network, theta: Array, x: Array, y: Array, epoch: int, rng: np.random.Generator) -> Array:
        """The inner maximisers, as far as PGD finds them."""
        eps = self.eps * min(1.0, (epoch + 1) / (self.warmup + 1))
        return pgd(network, theta, x, y, eps, self.p, self.steps, box=self.box).x  # 4.2 adversarial training
