"""Known mistakes in the optimizers of Sections 4.1.2, 4.3.2 and 4.3.3: one loop with the mistakes as switches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.crosscheck.mistakes import changed, mistake
from refimpl.crosscheck.sparsity_mistakes import soft
from refimpl.crosscheck.target import Array

KINDS = ("linbreg", "momentum", "adabreg")


@dataclass(frozen=True)
class Wrong:
    """LinBreg, momentum and AdaBreg with the l1 norm; a field that is not the default is one mistake."""

    start: Callable[[Array, float, float], Array] = lambda theta, lam, delta: theta / delta + lam * np.sign(theta)
    threshold: Callable[[float, float], float] = lambda lam, delta: delta * lam
    scale: Callable[[float], float] = lambda delta: delta
    mirror_lag: bool = False
    restart: bool = False
    damping: Callable[[float, int], float] = lambda beta, k: 1 - beta
    eps_inside: bool = False
    correct_first: bool = True
    correct_second: bool = True
    sign: int = 1

    def theta(self, v: Array, lam: float, delta: float) -> Array:
        """prox_{delta J}(delta v)."""
        return soft(self.scale(delta) * v, self.threshold(lam, delta))

    def direction(self, m: Array, s: Array, g: Array, k: int, case: dict[str, Any]) -> tuple[Array, Array, Array]:
        """(what is subtracted from v, m, s)."""
        step = self.sign * case["step"]
        if "betas" not in case:
            beta = case.get("momentum", 0.0)
            m = beta * m + self.damping(beta, k) * step * g
            return m, m, s
        b1, b2 = case["betas"]
        m, s = b1 * m + (1 - b1) * g, b2 * s + (1 - b2) * g * g
        rate = step / (1 - b1**k if self.correct_first else 1)
        second = s / (1 - b2**k if self.correct_second else 1)
        root = np.sqrt(second + case["eps"]) if self.eps_inside else np.sqrt(second) + case["eps"]
        return rate * m / root, m, s

    def path(self, theta: Array, gradients: Array, Q: Array | None = None, **case: Any) -> Array:
        """theta_1, theta_2, ..."""
        lam, delta = case["lam"], case["delta"]
        v, m, s, visited = self.start(theta, lam, delta), np.zeros_like(theta), np.zeros_like(theta), []
        for k, b in enumerate(gradients, start=1):
            before = v
            move, m, s = self.direction(m, s, b if Q is None else Q @ theta + b, k, case)
            v = (theta / delta if self.restart else v) - move
            theta = self.theta(before if self.mirror_lag else v, lam, delta)
            visited.append(theta)
        return np.array(visited)

    def step(self, v: Array, gradient: Array, k: int = 2, **case: Any) -> tuple[Array, ...]:
        """(theta, v[, m[, s]])."""
        zero = np.zeros_like(v)
        move, m, s = self.direction(case.get("m", zero), case.get("s", zero), gradient, k, case)
        after = {"v": v - move, "m": m, "s": s}
        theta = self.theta(v if self.mirror_lag else v - move, case["lam"], case["delta"])
        return (theta, *(after[n] for n in ("v", "m", "s") if n == "v" or n in case))


def _register(name: str, wrong: Wrong, kinds: tuple[str, ...] = KINDS, steps: bool = True) -> None:
    for kind in kinds:
        paths = ("trajectory",) if kind == "adabreg" else ("trajectory", "quadratic")
        mistake(name, *(f"sparsity.{kind}.{path}" for path in paths))(wrong.path)
        if steps:
            mistake(name, f"sparsity.{kind}.step")(wrong.step)


_register("threshold not scaled by delta", Wrong(threshold=lambda lam, delta: lam))
_register("delta missing in front of v: prox_J(v)", Wrong(scale=lambda delta: 1.0, threshold=lambda lam, delta: lam))
_register("lambda applied twice", Wrong(threshold=lambda lam, delta: delta * lam**2))
_register("1/delta missing in v0", Wrong(start=lambda theta, lam, delta: theta + lam * np.sign(theta)), steps=False)
_register("p0 missing in v0", Wrong(start=lambda theta, lam, delta: theta / delta), steps=False)
_register("v0 = 0", Wrong(start=lambda theta, lam, delta: 0 * theta), steps=False)
_register("theta computed from the old v", Wrong(mirror_lag=True))
_register(
    "v restarted from theta/delta in every step: the subgradient is lost",
    Wrong(restart=True),
    ("linbreg", "momentum"),
    False,
)
_register("gradient ascent", Wrong(sign=-1), ("linbreg", "momentum", "adabreg"))
_register(
    "(1 - beta) missing (the momentum of deep-learning frameworks, dampening 0)",
    Wrong(damping=lambda beta, k: 1.0),
    ("momentum",),
)
_register(
    "lr damped momentum: the first gradient undamped, the later ones times 1 - beta (dampening = beta)",
    Wrong(damping=lambda beta, k: 1.0 if k == 1 else 1 - beta),
    ("momentum",),
    False,
)
_register("Adam eps inside the root", Wrong(eps_inside=True), ("adabreg",))
_register("bias correction unused (first moment)", Wrong(correct_first=False), ("adabreg",))
_register("bias correction unused (second moment)", Wrong(correct_second=False), ("adabreg",))
_register("bias correction unused (both moments)", Wrong(correct_first=False, correct_second=False), ("adabreg",))

GD = [f"setting.gradient_descent.{n}" for n in ("step", "trajectory", "quadratic")]
PROX = [f"sparsity.proximal_gradient.{n}" for n in ("step", "trajectory", "quadratic")]
changed("gradient ascent", GD[0], PROX[0], gradient=lambda c: -c["gradient"])
changed("gradient ascent", GD[1], PROX[1], gradients=lambda c: -c["gradients"])
changed("gradient ascent", GD[2], PROX[2], gradients=lambda c: -c["gradients"], Q=lambda c: -c["Q"])
changed("threshold lam instead of tau lam", *PROX, lam=lambda c: c["lam"] / c["step"])
changed("lambda applied twice", *PROX, lam=lambda c: c["lam"] ** 2)
changed("penalty ignored: plain gradient descent", *PROX, lam=lambda c: 0.0)

START = "sparsity.linbreg.start"
changed("1/delta missing in v0", START, delta=lambda c: 1.0)
changed("p0 missing in v0", START, lam=lambda c: 0.0)
changed("delta instead of 1/delta in v0", START, delta=lambda c: 1 / c["delta"])
