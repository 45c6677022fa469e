"""The Lipschitz constant from below, exactly, and from above, side by side (Section 4.2, (4.5))."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.numerics import validate
from refimpl.robustness.bounds import Bound, certified_radius, margin, product_bound
from refimpl.robustness.exact import exact_lipschitz
from refimpl.robustness.norms import check_norm
from refimpl.robustness.piecewise import check_domain, program
from refimpl.robustness.projections import Box
from refimpl.robustness.quotients import Pairs, ascend, perturbed_pairs
from refimpl.setting.network import Network

Array = np.ndarray


@dataclass(frozen=True)
class LipschitzReport:
    """lower <= Lip(f) <= upper, with the exact constant where the network is small enough (Section 4.2).

    Attributes
    ----------
    lower : the largest quotient over the data and pairs found by ascent; never a certificate.
    exact : from breakpoints or activation regions, or None.
    upper : the product (4.5).
    margin : the median margin of the data, or None for networks with one output.
    p : the norm of inputs and outputs.
    """

    lower: Bound
    exact: Bound | None
    upper: Bound
    margin: float | None
    p: float = 2

    @property
    def certificate(self) -> Bound:
        """The sharpest constant that certifies: exact if known, else upper."""
        return self.exact or self.upper

    @property
    def lip_over_margin(self) -> float | None:
        """The certified constant over the median margin: unlike Lip itself it does not change with the scale of f."""
        if self.margin is None:
            return None
        return self.certificate.value / self.margin if self.margin > 0 else np.inf

    @property
    def bounds(self) -> list[Bound]:
        """The known constants, smallest first."""
        return [bound for bound in (self.lower, self.exact, self.upper) if bound is not None]

    def __str__(self) -> str:
        lines = [f"{bound.kind:<8}{bound.value:12.6g}" for bound in self.bounds]
        if self.margin is not None:
            radius = float(certified_radius(np.array(self.margin), self.certificate, self.p))
            lines += [
                f"{'margin':<8}{self.margin:12.6g}  (median)",
                f"{'Lip/margin':<11}{self.lip_over_margin:9.6g}  ({self.certificate.kind})",
                f"{'radius':<8}{radius:12.6g}  (median, certified in l_{self.p:g})",
            ]
        return "\n".join(lines)


def lipschitz_report(
    network: Network,
    theta: Array,
    data: Array,
    labels: Array | None = None,
    domain: Any = None,
    p: float = 2,
    steps: int = 50,
    input_shape: Sequence[int] | None = None,
    rng: np.random.Generator | int | None = 0,
) -> LipschitzReport:
    """The sandwich lower <= exact <= upper for Lip(f_theta) in ||.||_p (Section 4.2).

    Parameters
    ----------
    data : (B, ...) inputs: the pairs of the lower bound start at them, and their margins are measured.
    labels : (B,) for the margins; by default the network's own.
    domain : (low, high) for each input coordinate or for all, as in `exact_lipschitz`; pairs stay inside.
    steps : steps of ascent.
    input_shape : the shape of one input, as in `product_bound`; by default that of the data.

    Raises
    ------
    ValueError : as `quotient` and `product_bound`; data outside the domain.
    """
    data = validate.real_array("data", data)
    if data.ndim < 2 or data.size == 0:
        validate.fail("data", "a non-empty batch (B, ...)", validate.describe(data))
    validate.provides("network", network, "vjp", "views")
    shape = data.shape[1:] if input_shape is None else validate.shape("input_shape", input_shape)
    pairs = _ascended(network, theta, data, domain, p, steps, validate.generator("rng", rng))
    exact = exact_lipschitz(network, theta, domain, p) if _small(network, theta, data) else None
    upper = product_bound(network, theta, p, shape)
    return LipschitzReport(
        Bound(float(np.max(pairs.values)), "lower"),
        None if exact is None else Bound(exact, "exact"),
        Bound(upper, "upper"),
        _median_margin(network(theta, data), labels),
        check_norm("p", p),
    )


def _ascended(
    network: Network, theta: Array, data: Array, domain: Any, p: float, steps: int, rng: np.random.Generator
) -> Pairs:
    """Perturbed and shuffled pairs of the data after ascent."""
    box: Box = None
    if domain is not None:
        low, high = check_domain(domain, data[0].size)
        box = low.reshape(data.shape[1:]), high.reshape(data.shape[1:])
    if box is not None and not np.all((data >= box[0]) & (data <= box[1])):
        validate.fail("data", "inputs in the domain", f"values from {data.min()} to {data.max()}")
    near, far = perturbed_pairs(data, rng=rng, box=box), (data, rng.permutation(data))
    x, xbar = np.concatenate([near[0], far[0]]), np.concatenate([near[1], far[1]])
    return ascend(network, theta, x, xbar, 1.0, steps, "accept", box, p, p)


def _small(network: Network, theta: Array, data: Array) -> bool:
    """Whether the exact constant takes seconds: one input, or few inputs and at most 24 neurons."""
    try:
        ops = program(network, theta)
    except ValueError:
        return False
    widths = [len(op[2]) for op in ops if op[0] == "affine"]
    return data[0].size == 1 or (data[0].size <= 4 and sum(widths[:-1]) <= 24)


def _median_margin(logits: Array, labels: Array | None) -> float | None:
    if logits.ndim != 2 or logits.shape[1] < 2:
        return None
    return float(np.median(margin(logits, np.argmax(logits, axis=1) if labels is None else labels)))
