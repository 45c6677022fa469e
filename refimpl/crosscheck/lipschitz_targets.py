"""Targets of Section 4.2: the Lipschitz quotient and the product bound."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from refimpl import robustness
from refimpl.claims.draw import arrays
from refimpl.crosscheck import robustness_definitions as definitions
from refimpl.crosscheck.draws import Draw, cases, matrix, ramp
from refimpl.crosscheck.robustness_targets import NORMS
from refimpl.crosscheck.target import Array, Case, Target, add
from refimpl.setting import Dense, Network, ReLU


def _net(W1: Array, b1: Array, W2: Array) -> tuple[Network, Array]:
    network = Network([Dense(W1.shape[1], len(W1)), ReLU(), Dense(W2.shape[1], len(W2), bias=False)])
    return network, network.flatten({"0.weight": W1, "0.bias": b1, "2.weight": W2}, W1.dtype)


def _weights(draw: Draw) -> Case:
    n, hidden, m = (draw(st.integers(1, 3)) for _ in range(3))
    return {"W1": matrix(draw, hidden, n), "b1": draw(arrays(hidden)), "W2": matrix(draw, m, hidden)}


def _pairs(draw: Draw) -> Case:
    case = _weights(draw)
    shape = (draw(st.integers(1, 3)), case["W1"].shape[1])
    x = draw(arrays(shape))
    shift = draw(arrays(shape))
    shift[np.all(shift == 0, axis=1)] = 1
    return {"x": x, "xbar": x + shift, **case}


TWO_LAYERS = {"W1": np.array([[1.0], [-1.0]]), "b1": np.zeros(2), "W2": np.array([[1.0, 1.0]])}


def _quotient_scale(case: Case) -> Array:
    products = np.sum(np.abs(case["W2"])) * (
        np.sum(np.abs(case["W1"])) * (1 + np.abs(case["x"]).sum(1) + np.abs(case["xbar"]).sum(1))
        + np.sum(np.abs(case["b1"]))
    )
    return products / np.minimum(np.linalg.norm(case["x"] - case["xbar"], axis=1), 1) + 2.0**-40


def _quotient(x: Array, xbar: Array, W1: Array, b1: Array, W2: Array) -> Array:
    return robustness.quotient(*_net(W1, b1, W2), x, xbar)


add(
    Target(
        name="robustness.quotient",
        what="|f(x) - f(xbar)|_2 / |x - xbar|_2 for every pair, f(x) = W2 max(W1 x + b1, 0) (4.2.1)",
        outputs=("quotients",),
        inputs=cases(_pairs),
        reference=_quotient,
        k=64,
        why="two evaluations cancel and are divided by the distance",
        scale=_quotient_scale,
        definition=definitions.quotient,
        edges={
            "base": {
                "x": ramp(3, 2),
                "xbar": ramp(3, 2, seed=1),
                "W1": ramp(3, 2, seed=2),
                "b1": ramp(3),
                "W2": ramp(2, 3),
            },
            "Example 4.7": {"x": np.array([[1.0], [2.0]]), "xbar": np.array([[-1.0], [0.5]]), **TWO_LAYERS},
            "close pair": {"x": np.array([[1.0]]), "xbar": np.array([[1.0 + 2.0**-10]]), **TWO_LAYERS},
        },
    )
)
for _name, _p in NORMS.items():
    add(
        Target(
            name=f"robustness.product_bound_{_name}",
            what=f"|W1|_p |W2|_p in the operator norm for p = {_name[1:]}, ReLU between (4.5)",
            outputs=("bound",),
            inputs=cases(_weights),
            definition=getattr(definitions, f"product_bound_{_name}"),
            reference=lambda W1, b1, W2, p=_p: robustness.product_bound(*_net(W1, b1, W2), p),
            k=64,
            why="singular values, or sums of moduli, relative to the sum of all moduli",
            scale=lambda case: float(np.sum(np.abs(case["W1"])) * np.sum(np.abs(case["W2"]))) or 1.0,
            edges={
                "base": {"W1": ramp(3, 2, seed=2), "b1": ramp(3), "W2": ramp(2, 3)},
                "Example 4.7": TWO_LAYERS,
                "two heavy columns": {
                    "W1": np.array([[4.0, 0.0], [4.0, 1.0], [4.0, 0.0]]),
                    "b1": np.zeros(3),
                    "W2": np.array([[1.0, 1.0, 2.0]]),
                },
                "a heavy row": {"W1": np.array([[4.0, 4.0, 4.0]]), "b1": np.zeros(1), "W2": np.array([[1.0], [2.0]])},
                "zero layer": {"W1": np.zeros((2, 2)), "b1": np.zeros(2), "W2": np.ones((1, 2))},
            },
        )
    )
