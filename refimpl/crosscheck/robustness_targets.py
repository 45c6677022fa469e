"""Targets of Section 4.2: projections, FGSM, PGD."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl import robustness
from refimpl.claims.draw import arrays, dyadic
from refimpl.crosscheck import robustness_definitions as definitions
from refimpl.crosscheck.draws import Draw, cases, matrix, sizes
from refimpl.crosscheck.target import Array, Case, Outputs, Target, add
from refimpl.setting import Dense, Network

Norm = float
NORMS: dict[str, Norm] = {"l1": 1, "l2": 2, "linf": inf}
radii = dyadic(0, 2)
BOX = {"low": 0.0, "high": 1.0}

# Projections --------------------------------------------------------------------------------------------------


def _point(draw: Draw) -> Case:
    center = draw(arrays((draw(st.integers(1, 2)), draw(sizes)), 0, 1))
    return {"v": draw(arrays(center.shape)), "center": center, "eps": draw(radii), **BOX}


def _projection(p: Norm) -> Callable[..., Array]:
    return lambda v, center, eps, low, high: robustness.project(v, center, eps, p, (low, high))


CENTER = np.array([[0.5, 0.25, 1.0, 0.0]])
PROJECTIONS: dict[str, Case] = {
    "base": {"v": np.array([[2.0, -1.0, 3.0, 0.5]]), "center": CENTER, "eps": 0.75, **BOX},
    "inside": {"v": CENTER + 0.0, "center": CENTER, "eps": 0.5, **BOX},
    "eps = 0": {"v": np.array([[2.0, -1.0, 3.0, 0.5]]), "center": CENTER, "eps": 0.0, **BOX},
    "ball inside the box": {"v": np.full((1, 4), 4.0), "center": np.full((1, 4), 0.5), "eps": 0.25, **BOX},
    "box inside the ball": {"v": np.full((1, 4), 4.0), "center": np.full((1, 4), 0.5), "eps": 4.0, **BOX},
    "inside, off the centre": {"v": CENTER + 0.125 * (CENTER == 0), "center": CENTER, "eps": 1.0, **BOX},
    "inside, two points": {
        "v": np.full((2, 2), 0.5),
        "center": np.array([[0.5, 0.75], [0.25, 0.25]]),
        "eps": 0.5,
        **BOX,
    },
    "corner": {"v": np.array([[3.0, 0.75]]), "center": np.array([[0.75, 0.5]]), "eps": 0.5, **BOX},
    "far corner": {"v": np.array([[-2.0, 1.0, 4.0]]), "center": np.array([[0.25, 0.5, 0.5]]), "eps": 0.625, **BOX},
    "wide box": {"v": np.array([[3.0, 4.0]]), "center": np.zeros((1, 2)), "eps": 1.0, "low": -8.0, "high": 8.0},
    "one coordinate leaves": {"v": np.array([[3.0, 1.0]]), "center": np.array([[0.5, 0.5]]), "eps": 1.0, **BOX},
    "ties": {"v": np.array([[2.0, 2.0, -2.0]]), "center": np.full((1, 3), 0.5), "eps": 0.75, **BOX},
}
for _name, _p in NORMS.items():
    add(
        Target(
            name=f"robustness.project_{_name}",
            what=f"the nearest point in l_2 of the {_name} ball around center, intersected with low <= z <= high (4.2)",
            outputs=("z",),
            inputs=cases(_point),
            reference=_projection(_p),
            k=64,
            why="one scalar root, a sum over the coordinates",
            edges=PROJECTIONS,
            definition=getattr(definitions, f"project_{_name}"),
        )
    )

# Steps of attacks, the gradient is data -----------------------------------------------------------------------


def _ascend(draw: Draw) -> Case:
    x = draw(arrays((draw(st.integers(1, 2)), draw(sizes)), 0, 1))
    return {"x": x, "gradient": draw(arrays(x.shape)), "eps": draw(dyadic(2**-4, 1)), **BOX}


def _fgsm(x: Array, gradient: Array, eps: float, low: float, high: float) -> Array:
    step = eps * robustness.attacks.ascent_direction(gradient, inf, "sign")
    return robustness.project(x + step, x, eps, inf, (low, high))


ASCENT: dict[str, Case] = {
    "base": {"x": CENTER, "gradient": np.array([[1.0, -2.0, 4.0, -8.0]]), "eps": 0.125, **BOX},
    "zero gradient": {"x": CENTER, "gradient": np.zeros((1, 4)), "eps": 0.125, **BOX},
    "some zeros": {"x": np.full((1, 3), 0.5), "gradient": np.array([[0.0, 1.0, -0.0]]), "eps": 0.25, **BOX},
    "leaves the box": {"x": np.array([[0.0, 1.0]]), "gradient": np.array([[-1.0, 1.0]]), "eps": 0.5, **BOX},
}
add(
    Target(
        name="robustness.fgsm_step",
        what="x + eps sign(gradient of the loss), clipped to the box (4.3)",
        outputs=("x_adv",),
        inputs=cases(_ascend),
        reference=_fgsm,
        why="a sum and a clip",
        edges=ASCENT,
        definition=definitions.fgsm_step,
    )
)


def _pgd_step(p: Norm) -> Callable[..., Array]:
    def step(xbar: Array, x: Array, gradient: Array, step: float, eps: float, low: float, high: float) -> Array:
        direction = robustness.attacks.ascent_direction(gradient, p, "normalised")
        return robustness.project(xbar + step * direction, x, eps, p, (low, high))

    return step


def _iterate(draw: Draw) -> Case:
    case = _ascend(draw)
    xbar = draw(arrays(case["x"].shape, 0, 1))
    return {
        "xbar": xbar,
        "x": case["x"],
        "gradient": case["gradient"],
        "step": draw(dyadic(2**-4, 2)),
        "eps": case["eps"],
        **BOX,
    }


def _iterates(case: Case) -> Case:
    xbar = np.clip(case["x"] + case["eps"] / 2, 0, 1)
    return {"xbar": xbar, "x": case["x"], "gradient": case["gradient"], "step": 0.5, "eps": case["eps"], **BOX}


for _name in ("l2", "linf"):
    add(
        Target(
            name=f"robustness.pgd_step_{_name}",
            what=f"Proj(xbar + tau d), d the steepest {_name} direction of the gradient, Proj onto ball and box (4.3)",
            outputs=("x_adv",),
            inputs=cases(_iterate),
            reference=_pgd_step(NORMS[_name]),
            k=64,
            why="a norm, one scalar root",
            edges={label: _iterates(case) for label, case in ASCENT.items()},
            definition=getattr(definitions, f"pgd_step_{_name}"),
        )
    )

# Attacks on a linear model: feasible, and nearly as good as the known optimum ---------------------------------


def _linear(draw: Draw) -> Case:
    x = draw(arrays((draw(st.integers(1, 2)), draw(sizes)), 0, 1))
    labels = np.array(draw(st.lists(st.integers(0, 1), min_size=len(x), max_size=len(x))))
    weight = matrix(draw, 2, x.shape[1])
    return {"x": x, "labels": labels, "weight": weight, "bias": draw(arrays(2)), "eps": draw(dyadic(2**-4, 1))}


LINEAR: dict[str, Case] = {
    "base": {
        "x": np.array([[0.5, 0.25, 0.75], [0.25, 0.5, 0.5]]),
        "labels": np.array([0, 1]),
        "weight": np.array([[1.0, -2.0, 0.5], [-1.0, 1.0, 2.0]]),
        "bias": np.array([0.25, 0.0]),
        "eps": 0.125,
    },
    "at the border": {
        "x": np.array([[0.0, 1.0]]),
        "labels": np.array([1]),
        "weight": np.array([[-1.0, 3.0], [1.0, 0.0]]),
        "bias": np.zeros(2),
        "eps": 0.5,
    },
}


def _model(case: Case) -> tuple[Network, Array]:
    network = Network([Dense(case["weight"].shape[1], 2)])
    return network, network.flatten({"0.weight": case["weight"], "0.bias": case["bias"]})


def _attack(p: Norm, attack: Callable[..., Any], **options: Any) -> Callable[..., Array]:
    return lambda **case: attack(*_model(case), case["x"], case["labels"], case["eps"], p=p, **options).x


def best_gain(x: Array, c: Array, eps: float, p: Norm) -> Array:
    """max <c, z - x> over ball and box [0, 1]^n, one row a sample: a clip, or z = clip(x + s c) by bisection."""
    if p == inf:
        return np.sum(c * (np.clip(x + eps * np.sign(c), 0, 1) - x), axis=1)
    low, high = np.zeros((len(x), 1)), np.full((len(x), 1), 2.0**40)
    for _ in range(200):
        middle = (low + high) / 2
        far = np.linalg.norm(np.clip(x + middle * c, 0, 1) - x, axis=1, keepdims=True) > eps
        low, high = np.where(far, low, middle), np.where(far, middle, high)
    return np.sum(c * (np.clip(x + low * c, 0, 1) - x), axis=1)


def _attacked(p: Norm, share: float) -> Callable[[Case, Outputs], dict[str, float]]:
    def residuals(case: Case, outputs: Outputs) -> dict[str, float]:
        unit = float(np.finfo(case["x"].dtype).eps)
        x, z = case["x"].astype(float), np.asarray(outputs["x_adv"], float)
        rows = case["weight"].astype(float)
        c = rows[1 - case["labels"]] - rows[case["labels"]]
        best = best_gain(x, c, case["eps"], p)
        gain = np.sum(c * (z - x), axis=1)
        lacking = share * best - gain - 1e3 * unit * (1 + np.sum(np.abs(c), axis=1))
        return {
            "distance from x beyond eps": float(np.max(np.linalg.norm(z - x, p, axis=1) - case["eps"])) / unit,
            "outside the box [0, 1]": float(np.max(np.maximum(-z, z - 1))) / unit,
            f"ascent below {share:.0%} of the optimum": float(np.max(lacking, initial=0)) / unit,
        }

    return residuals


def _add_attack(name: str, what: str, p: Norm, attack: Callable[..., Any], share: float, **options: Any) -> None:
    add(
        Target(
            name=f"robustness.{name}",
            what=f"{what} on the linear model W x + b with cross-entropy, box [0, 1] (4.3)",
            outputs=("x_adv",),
            inputs=cases(_linear),
            reference=_attack(p, attack, **options),
            relation="member",
            residuals=_attacked(p, share),
            k=64,
            why="rounding of the distance and of the box, relative to 1",
            edges=LINEAR,
        )
    )


_add_attack("fgsm", "one signed step of length eps", inf, robustness.fgsm, 1.0)
_add_attack("pgd_linf", "projected gradient ascent in the l_inf ball", inf, robustness.pgd, 0.99)
_add_attack("pgd_l2", "projected gradient ascent in the l_2 ball", 2, robustness.pgd, 0.9)
