"""Theorem 4.26 at the reader's own numbers: every quantity of the statement is an argument of its own."""

from typing import Any

import numpy as np

from refimpl.claims import draw
from refimpl.claims.claim import Evidence, claim, vacuous
from refimpl.claims.convergence import loss_decay_along
from refimpl.claims.noise import Noise, Quadratic
from refimpl.sparsity import L1, LinBreg

NUMBERS = {
    "tau": draw.positive(1 / 16, 1, 4),
    "delta": draw.positive(1 / 4, 2, 2),
    "L": draw.positive(1 / 4, 2, 2),
    "lam": draw.dyadic(0, 2, 2),
    "sigma": draw.dyadic(0, 2, 2),
    "v0": draw.dyadic(-4, 4, 2),
    "share": draw.positive(1 / 8, 7 / 8, 3),
}
PLAIN = {"tau": 0.5, "delta": 1.0, "L": 1.0, "lam": 0.0, "sigma": 0.0, "v0": 1.0, "share": 0.5}


@claim("Theorem 4.26", given=NUMBERS, cases=[PLAIN], reading="corrected", code=(LinBreg,), examples=40)
def loss_decay_at_given_numbers(
    tau: float, delta: float, L: float, lam: float, sigma: float, v0: float, share: float
) -> Evidence:
    """(4.26) for tau < 2/(delta L) with c = share (2 - tau delta L) and C the rest, on the loss L x^2 / 2 with
    J = lam |x|, gradients with noise +-sigma and a start at v0: three steps, expectations exact."""
    h = tau * delta * L
    if not 0 < h < 2:
        return vacuous(f"tau < 2/(delta L) fails: tau delta L = {h:g}")
    c = share * (2 - h)
    return _decay(h, 2 - h - c, c, delta=delta, L=L, lam=lam, sigma=sigma, v0=v0)


@loss_decay_at_given_numbers.twin("tau = 2/(delta L) with c = C = 1/8")
def loss_decay_at_the_largest_step(
    tau: float, delta: float, L: float, lam: float, sigma: float, v0: float, share: float
) -> Evidence:
    """At the largest step of the printed statement no C > 0 survives."""
    return _decay(2.0, 1 / 8, 1 / 8, delta=delta, L=L, lam=lam, sigma=sigma, v0=v0)


def _decay(h: float, C: float, c: float, **numbers: Any) -> Evidence:
    problem = {
        "loss": Quadratic(np.array([[numbers["L"]]]), np.zeros(1)),
        "J": L1(numbers["lam"]),
        "delta": numbers["delta"],
        "noise": Noise(np.array([numbers["sigma"]])),
        "v0": np.array([numbers["v0"]]),
    }
    return loss_decay_along(problem, h, C, 1 / (2 * c))
