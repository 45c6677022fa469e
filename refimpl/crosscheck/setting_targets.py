"""Targets of Section 4.1: losses and activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl import setting
from refimpl.claims.draw import arrays
from refimpl.crosscheck import setting_definitions as definitions
from refimpl.crosscheck.draws import INF, NAN, Draw, cases, matrix, ramp, vector
from refimpl.crosscheck.target import Array, Case, Target, add

# Losses -------------------------------------------------------------------------------------------------------


def _pair(draw: Draw) -> Case:
    y = matrix(draw)
    return {"y": y, "target": draw(arrays(y.shape))}


def _labelled(draw: Draw) -> Case:
    logits = matrix(draw, columns=draw(st.integers(2, 4)))
    labels = draw(st.lists(st.integers(0, logits.shape[1] - 1), min_size=len(logits), max_size=len(logits)))
    return {"logits": logits, "labels": np.array(labels)}


def _distributed(draw: Draw) -> Case:
    logits = matrix(draw, columns=draw(st.integers(2, 4)))
    cuts = np.sort(draw(arrays((len(logits), logits.shape[1] - 1), 0, 1)), axis=1)
    ones = np.ones((len(logits), 1))
    return {"logits": logits, "labels": np.diff(np.hstack([0 * ones, cuts, ones]), axis=1)}


def _reduced(loss: Any, method: str) -> Callable[..., Any]:
    """The loss averaged as in the chapter, or multiplied up to a sum over the batch."""

    def reference(reduction: str, **case: Array) -> Any:
        first, second = case.values()
        return getattr(loss, method)(first, second) * (len(first) if reduction == "sum over the batch" else 1)

    return reference


BATCH = {"reduction": ("mean", "sum over the batch")}
PAIR = {"y": np.array([[1.0, -2.0], [0.5, 3.0]]), "target": np.array([[0.0, 1.0], [2.0, -1.0]])}
LOGITS = np.array([[1.0, 2.0, -0.5], [0.25, 0.0, 3.0]])
SOFT = np.array([[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]])


def _loss(name: str, loss: Any, draw: Any, what: str, edges: dict[str, Case], value: Any, gradient: Any) -> None:
    why = "exp, log and a sum over the batch, relative to the largest input"
    common: dict[str, Any] = {"inputs": cases(draw), "k": 16, "why": why, "edges": edges, "conventions": BATCH}
    add(
        Target(
            name=f"setting.{name}.value",
            what=what,
            outputs=("value",),
            reference=_reduced(loss, "value"),
            definition=value,
            scale=_squares if "squared" in name else None,
            **common,
        )
    )
    add(
        Target(
            name=f"setting.{name}.gradient",
            what=f"gradient of: {what}",
            outputs=("gradient",),
            reference=_reduced(loss, "gradient"),
            definition=gradient,
            **common,
        )
    )


def _squares(case: Case) -> float:
    return float(np.max(np.abs(case["y"]) + np.abs(case["target"]))) ** 2 * case["y"].size or 1.0


_loss(
    "squared_error",
    setting.SquaredError(),
    _pair,
    "|y - target|^2 / (N M), mean over the batch (Example 4.2)",
    {"base": PAIR, "equal": {"y": PAIR["y"], "target": PAIR["y"]}, "large": {n: a * 2.0**40 for n, a in PAIR.items()}},
    definitions.squared_error_value,
    definitions.squared_error_gradient,
)
_loss(
    "cross_entropy",
    setting.CrossEntropy(),
    _labelled,
    "log sum_c exp(z_c) - z_label, mean over the batch (Example 4.3)",
    {
        "base": {"logits": LOGITS, "labels": np.array([2, 0])},
        "logits of +-1e4": {"logits": LOGITS * 1e4, "labels": np.array([0, 1])},
        "one logit of 1e3": {"logits": np.array([[1e3, 0.0]]), "labels": np.array([0])},
        "logits near -1e3": {"logits": np.array([[-1e3, -999.0]]), "labels": np.array([0])},
        "equal logits": {"logits": np.zeros((2, 3)), "labels": np.array([1, 2])},
    },
    definitions.cross_entropy_value,
    definitions.cross_entropy_gradient,
)
_loss(
    "cross_entropy_distributions",
    setting.CrossEntropy(),
    _distributed,
    "H(y, Q(z)) for distributions y, mean over the batch (Example 4.3)",
    {"base": {"logits": LOGITS, "labels": SOFT}, "logits of +-1e4": {"logits": LOGITS * 1e4, "labels": SOFT}},
    definitions.cross_entropy_value,
    definitions.cross_entropy_gradient,
)

# Activations --------------------------------------------------------------------------------------------------

POINTS = np.array([-3.0, -0.5, 0.0, 0.5, 2.0])
ACTIVATION_EDGES: dict[str, Array] = {
    "base": POINTS,
    "zeros": np.array([0.0, -0.0]),
    "large": np.array([-100.0, 60.0, 100.0]),
    "tiny": np.array([2.0**-60, -(2.0**-60)]),
    "infinities": np.array([INF, 1.0]),
    "NaN": np.array([NAN, 1.0]),
    "NaN alone": np.array([NAN]),
    "NaN and zero": np.array([0.0, NAN, -1.0]),
}


def _forward(activation: setting.Activation) -> Callable[..., Any]:
    return lambda x: activation.forward({}, x)[0]


def _pull(activation: setting.Activation) -> Callable[..., Any]:
    return lambda x, dy: activation.backward({}, activation.forward({}, x)[1], dy)[0]


def _gelu(x: Array, approximate: str) -> Array:
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    return setting.GELU().value(x) if approximate == "none" else x * (1 + np.tanh(inner)) / 2


def _relu_backward(x: Array, dy: Array, kink: float) -> Array:
    return np.where(x == 0, kink * dy, _pull(setting.ReLU())(x, dy))


def _activation(name: str, activation: setting.Activation, what: str, **special: Any) -> None:
    edges = {label: {"x": x} for label, x in ACTIVATION_EDGES.items()}
    add(
        Target(
            name=f"setting.{name}",
            what=f"{what}, entrywise (Section 4.1.1)",
            outputs=("y",),
            inputs=st.integers(1, 4).flatmap(lambda n: st.fixed_dictionaries({"x": arrays(n)})),
            reference=special.get("forward", _forward(activation)),
            conventions=special.get("forward_conventions", {}),
            k=16,
            why="one library function and cancellation near 0, relative to max(|x|, 1)",
            scale=lambda c: np.maximum(np.abs(c["x"]), 1),
            edges=edges,
            definition=getattr(definitions, name),
        )
    )
    add(
        Target(
            name=f"setting.{name}.backward",
            what=f"dx = sigma'(x) dy for {what}",
            outputs=("dx",),
            inputs=cases(lambda draw: {"x": (x := vector(draw)), "dy": draw(arrays(x.shape))}),
            reference=special.get("backward", _pull(activation)),
            conventions=special.get("backward_conventions", {}),
            k=32,
            why="one library function, cancellation near 0, one product",
            scale=lambda c: np.maximum(np.abs(c["dy"]), 2.0**-60),
            edges={
                label: {"x": x, "dy": ramp(*x.shape)} for label, x in ACTIVATION_EDGES.items() if label != "infinities"
            },
            definition=getattr(definitions, f"{name}_backward"),
        )
    )


_activation(
    "relu",
    setting.ReLU(),
    "max(x, 0)",
    backward=_relu_backward,
    backward_conventions={"kink": (0.0, 1.0, 0.5)},
)
_activation("sigmoid", setting.Sigmoid(), "1 / (1 + exp(-x))")
_activation("tanh", setting.Tanh(), "tanh(x)")
_activation(
    "gelu",
    setting.GELU(),
    "x Phi(x), Phi the normal distribution function",
    forward=_gelu,
    forward_conventions={"approximate": ("none", "tanh")},
)
