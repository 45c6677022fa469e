"""Targets of Sections 4.1.2, 4.3.2 and 4.3.3: optimizers with the l1 norm, single steps and trajectories.

A trajectory's gradients are data: ``gradients[k]``, or ``Q theta_k + gradients[k]`` for a quadratic problem with noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims.draw import arrays, dyadic
from refimpl.crosscheck import sparsity_definitions as definitions
from refimpl.crosscheck.draws import Draw, Strategy, cases, steps, weights
from refimpl.crosscheck.target import Array, Case, Target, add
from refimpl.sparsity import L1, AdaBreg, GradientDescent, LinBreg, ProximalGradient

LENGTH = 5  # steps of a drawn trajectory
BETAS = ((0.5, 0.75), (0.875, 0.96875), (0.9, 0.999))
STRATEGIES: dict[str, Strategy[Any]] = {
    "step": steps,
    "lam": weights,
    "delta": steps,
    "momentum": dyadic(0, 0.9375),
    "betas": st.sampled_from(BETAS),
    "eps": st.sampled_from((1e-8, 2.0**-4, 0.5)),
}
VALUES: dict[str, Any] = {"step": 0.5, "lam": 0.5, "delta": 2.0, "momentum": 0.75, "betas": (0.9, 0.999), "eps": 1e-8}
NEUTRAL: dict[str, Any] = {"step": None, "lam": 0.0, "delta": 1.0, "momentum": 0.0, "betas": None, "eps": 1e-8}

THETA = np.array([1.0, -0.5, 0.0, 0.25])
GRADIENTS = np.array(
    [[1, -2, 0.5, 0], [1, -1, 0.5, 0.25], [1, 3, 0.5, -4], [-2, 1, 0.5, 1], [0, 0.5, 0.5, 8], [1, 0, 0.5, 1]]
)
Q = np.array([[0.5, 0.25, 0, 0], [0.25, 0.5, 0, 0.125], [0, 0, 1, 0], [0, 0.125, 0, 0.25]])


def make(kind: str, hyper: Mapping[str, Any]) -> Any:
    """The optimizer of that kind with J = lam |.|_1."""
    step, J = hyper["step"], L1(hyper.get("lam", 0.0))
    if kind == "gradient_descent":
        return GradientDescent(step)
    if kind == "proximal_gradient":
        return ProximalGradient(J, step)
    if kind == "adabreg":
        return AdaBreg(J, step, hyper["delta"], tuple(hyper["betas"]), hyper["eps"])
    return LinBreg(J, step, hyper["delta"], hyper.get("momentum", 0.0))


def path(kind: str) -> Callable[..., Array]:
    """theta_1, theta_2, ... along the given gradients."""

    def trajectory(theta: Array, gradients: Array, Q: Array | None = None, **hyper: Any) -> Array:
        optimizer = make(kind, hyper)
        state, visited = optimizer.init(theta), []
        for b in gradients:
            state = optimizer.step(state, b if Q is None else Q @ state.theta + b)
            visited.append(state.theta.copy())
        return np.array(visited)

    return trajectory


def step_of(kind: str) -> Callable[..., Any]:
    """One step from the state given by its arrays: the new theta, then the new state."""

    def step(gradient: Array, **given: Any) -> Any:
        optimizer = make(kind, given)
        state = optimizer.init(given.get("theta", np.zeros_like(gradient)))
        fields = {n: np.array(given[n]) for n in ("v", "m", "s") if n in given and n in state._fields}
        count = {"k": given["k"] - 1} if "k" in given else {}
        after = optimizer.step(state._replace(**fields, **count), gradient)
        return tuple(getattr(after, n) for n in ("theta", *fields))

    return step


def _numbers(draw: Draw, names: tuple[str, ...]) -> dict[str, Any]:
    return {n: draw(STRATEGIES[n]) for n in names}


def _sequence(names: tuple[str, ...], quadratic: bool) -> Callable[[Draw], Case]:
    def draw_case(draw: Draw) -> Case:
        n, length = draw(st.integers(1, 3)), draw(st.integers(1, LENGTH))
        case = {"theta": draw(arrays(n)), "gradients": draw(arrays((length, n)))}
        if quadratic:
            root = draw(arrays((n, n), -1, 1))
            case["Q"] = root @ root.T / 4
        return case | _numbers(draw, names)

    return draw_case


def _single(state: tuple[str, ...], names: tuple[str, ...]) -> Callable[[Draw], Case]:
    def draw_case(draw: Draw) -> Case:
        n = draw(st.integers(1, 4))
        case: Case = {name: draw(arrays(n, 0 if name == "s" else -4)) for name in state}
        if "s" in state:
            case["k"] = draw(st.integers(1, 5))
        return case | {"gradient": draw(arrays(n))} | _numbers(draw, names)

    return draw_case


def _optimizer(kind: str, what: str, state: tuple[str, ...], names: tuple[str, ...], chaotic: bool = False) -> None:
    """The step, the trajectory on given gradients and, unless its map is too steep for one, on a quadratic."""
    values = {n: VALUES[n] for n in names}
    start = {n: np.abs(THETA) if n == "s" else THETA * (1 + i) for i, n in enumerate(state)}
    count = {"k": 2} if "s" in state else {}
    add(
        Target(
            name=f"{_section(kind)}.{kind}.step",
            what=what,
            outputs=("theta", *(n for n in state if n != "theta")),
            inputs=cases(_single(state, names)),
            reference=step_of(kind),
            k=64,
            why="a few roundings, times delta",
            scale=_growth(1),
            edges=_step_edges(start, count, values),
            definition=getattr(definitions, f"{kind}_step"),
        )
    )
    for suffix in ("trajectory",) if chaotic else ("trajectory", "quadratic"):
        quadratic = suffix == "quadratic"
        add(
            Target(
                name=f"{_section(kind)}.{kind}.{suffix}",
                what=f"theta_1, theta_2, ... for {'Q theta_k + ' if quadratic else ''}gradients[k]; {what}",
                outputs=("theta",),
                inputs=cases(_sequence(names, quadratic)),
                reference=path(kind),
                k=64,
                why="a few roundings a step, carried along by Lipschitz maps, relative to the sum of all moves",
                scale=_growth(LENGTH),
                edges=_path_edges(values, quadratic),
                definition=getattr(definitions, kind),
                steps=True,
                hyper={n: NEUTRAL[n] for n in names},
            )
        )


def _section(kind: str) -> str:
    return "setting" if kind == "gradient_descent" else "sparsity"


def _growth(power: int) -> Callable[[Case], float]:
    """(1 + delta) times the sum of the moduli of start and moves, times the growth by Q."""

    def scale(case: Case) -> float:
        moves = case["step"] * np.sum(np.abs(case["gradients"] if "gradients" in case else case["gradient"]))
        if "betas" in case:
            moves = case["step"] * 20 * (1 if "gradient" in case else len(case["gradients"])) * _steepness(case)
        start = sum(float(np.max(np.abs(case[n]), initial=0)) for n in ("theta", "v", "m") if n in case)
        growth = (1 + case["step"] * case.get("delta", 1) * np.sum(np.abs(case["Q"]))) ** power if "Q" in case else 1.0
        delta = case.get("delta", 1.0)
        return float((1 + delta) * (start * (1 + 1 / delta) + moves + case.get("lam", 0)) * growth) or 1.0

    return scale


def _steepness(case: Case) -> float:
    """The largest |m| / (sqrt(s) + eps) that a step may see: bounded by the betas, or by the given m, s and g."""
    if "m" not in case:
        return 1.0
    b1, b2 = case["betas"]
    m = b1 * np.abs(case["m"]) + (1 - b1) * np.abs(case["gradient"])
    s = b2 * case["s"] + (1 - b2) * case["gradient"] ** 2
    return float(np.max(m / (np.sqrt(s) + case["eps"]), initial=1.0)) / (1 - b1 ** case["k"])


def _step_edges(start: Case, count: Case, values: Mapping[str, Any]) -> dict[str, Case]:
    case = {**start, **count, "gradient": GRADIENTS[0], **values}
    edges = {"base": case, "zero gradient": {**case, "gradient": np.zeros(4)}}
    if "delta" in values:
        edges["delta = 1/4"] = {**case, "delta": 0.25}
        edges["tie at the threshold"] = {**case, "v": np.array([0.5, -0.5, 0.25, 1.0]), "gradient": np.zeros(4)}
    return edges


def _path_edges(values: Mapping[str, Any], quadratic: bool) -> dict[str, Case]:
    case = {"theta": THETA, "gradients": GRADIENTS[:LENGTH], **({"Q": Q} if quadratic else {}), **values}
    edges = {
        "base": case,
        "from zero": {**case, "theta": np.zeros(4)},
        "one step": {**case, "gradients": GRADIENTS[:1]},
        "zero gradients": {**case, "gradients": 0 * GRADIENTS[:3]},
    }
    if "lam" in values:
        edges["no penalty"] = {**case, "lam": 0.0}
    if "delta" in values:
        edges["delta = 1/4"] = {**case, "delta": 0.25}
        edges["delta = 1"] = {**case, "delta": 1.0}
    if "eps" in values:
        edges["gradients near eps"] = {**case, "gradients": GRADIENTS[:LENGTH] * 2.0**-27}
        edges["large eps"] = {**case, "eps": 0.5}
    return edges


_optimizer("gradient_descent", "theta - tau g (4.1.2)", ("theta",), ("step",))
_optimizer("proximal_gradient", "prox_{tau J}(theta - tau g), threshold tau lam (4.6)", ("theta",), ("step", "lam"))
_optimizer(
    "linbreg",
    "v - tau g, then theta = prox_{delta J}(delta v); v0 = theta0/delta + lam sign(theta0) (4.21)",
    ("v",),
    ("step", "lam", "delta"),
)
_optimizer(
    "momentum",
    "m <- beta m + (1 - beta) tau g, v <- v - m, theta = prox_{delta J}(delta v) (4.22)",
    ("v", "m"),
    ("step", "lam", "delta", "momentum"),
)
_optimizer(
    "adabreg",
    "v <- v - tau/(1 - b1^k) m / (sqrt(s)/sqrt(1 - b2^k) + eps), theta = prox_{delta J}(delta v) (4.3.3)",
    ("v", "m", "s"),
    ("step", "lam", "delta", "betas", "eps"),
    chaotic=True,
)
add(
    Target(
        name="sparsity.linbreg.start",
        what="v0 = theta0/delta + p0, p0 = lam sign(theta0), so that v0 in dJ_delta(theta0)",
        outputs=("v",),
        inputs=cases(lambda draw: {"theta": draw(arrays(draw(st.integers(1, 4)))), **_numbers(draw, ("lam", "delta"))}),
        reference=lambda theta, lam, delta: LinBreg(L1(lam), 1.0, delta).init(theta).v,
        why="a quotient and a sum",
        scale=lambda case: np.abs(case["theta"]) / case["delta"] + case["lam"],
        edges={
            "base": {"theta": THETA, "lam": 0.5, "delta": 0.25},
            "zeros": {"theta": np.zeros(3), "lam": 0.5, "delta": 2.0},
            "delta = 1": {"theta": THETA, "lam": 0.5, "delta": 1.0},
        },
        definition=definitions.start_v,
    )
)
