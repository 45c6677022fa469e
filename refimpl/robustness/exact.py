"""The exact Lipschitz constant of small ReLU networks.

f is affine on every activation region, and on a convex domain Lip(f) is the largest norm of its Jacobians there.
"""

from fractions import Fraction
from typing import Any

import numpy as np

from refimpl.numerics import validate
from refimpl.robustness.norms import check_norm, norm, operator_norm
from refimpl.robustness.piecewise import check_domain, inputs_of, line_pieces, pieces, program
from refimpl.robustness.regions import regions
from refimpl.setting.network import Network

Array = np.ndarray


def exact_lipschitz(
    network: Network,
    theta: Array,
    domain: Any = None,
    p: float = 2,
    q: float | None = None,
    limit: int = 20_000,
) -> float:
    """Lip(f_theta) = max ||f(x) - f(xbar)||_q / ||x - xbar||_p over the domain, exactly up to rounding (Section 4.2).

    One input: the breakpoints of f (any size of network). More: all activation regions (a linear program for
    most of them), so small networks only.

    Parameters
    ----------
    domain : (low, high) for each input coordinate, or one such pair for all; None is R^n. Infinite ends are legal.
    p, q : the norms of inputs and outputs in {1, 2, inf}; q = p if not given.
    limit : how many regions to visit at most.

    Raises
    ------
    ValueError : other layers than Dense, ReLU, Identity, Flatten and Residual; more than ``limit`` regions.
    """
    p = check_norm("p", p)
    q = p if q is None else check_norm("q", q)
    if inputs_of(network, theta) == 1:
        _, slopes = pieces(network, theta, domain)
        return float(np.max(norm(slopes, q)))  # 4.2 exact Lipschitz constant
    found = [operator_norm(r.jacobian, p, q) for r in regions(network, theta, domain, limit)]
    return float(np.max(found))  # 4.2 exact Lipschitz constant


def exact_lipschitz_rational(network: Network, theta: Array, domain: Any = None, q: float = np.inf) -> Fraction:
    """Lip of a network with one input in rational arithmetic, without any rounding; floats count at their exact value
    (Section 4.2).

    Parameters
    ----------
    domain : (low, high) or None for all of R.
    q : 1 or inf, the norm of the outputs (they coincide for one output).

    Raises
    ------
    ValueError : as `exact_lipschitz`; more than one input; q = 2, which would need square roots.
    """
    validate.choice("q", check_norm("q", q), (1.0, np.inf))
    if inputs_of(network, theta) != 1:
        validate.fail("network", "one input", repr(network))
    if not np.isfinite(validate.real_array("theta", theta)).all():
        validate.fail("theta", "finite numbers", "NaN or infinities")
    ops = [(op[0], *map(_rational, op[1:])) for op in program(network, theta)]
    (low,), (high,) = check_domain(domain, inputs_of(network, theta))
    low, high = (end if np.isinf(end) else Fraction(end) for end in (low, high))
    _, slopes = line_pieces(ops, low, high, one=Fraction(1), gap=0)
    total = sum if q == 1 else max
    return max(total(map(abs, row)) for row in slopes)


def _rational(values: Any) -> Array:
    return np.vectorize(Fraction, otypes=[object])(np.asarray(values, dtype=float))
