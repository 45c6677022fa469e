"""Sections 4.3.2 and 4.3.3: LinBreg (4.21), its redundant parameters, momentum (4.22) and AdaBreg."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Evidence, all_of, claim, equal, member
from refimpl.claims.convex_analysis import PAIRS, POINT, N, norms, regularizers
from refimpl.claims.linearized_bregman import DELTA, ELASTIC, TAU
from refimpl.sparsity import (
    L1,
    L2,
    AdaBreg,
    GradientDescent,
    GroupL2,
    LinBreg,
    Nonnegative,
    SquaredL2,
    Zero,
)

Array = np.ndarray
POWERS = st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0])
GRADIENTS = draw.arrays((4, N))
SCALED = {
    "kind": st.integers(0, 4),
    "lam": draw.positive(0.25, 2, 2),
    "delta": POWERS,
    "tau": TAU,
    "theta": draw.arrays(N, 0, 4),
    "gradients": GRADIENTS,
}


def trajectory(optimizer: Any, theta: Array, gradients: Array, v: Array | None = None) -> Array:
    """theta after each of the given gradients; ``v`` replaces the start of the subgradient."""
    state = optimizer.init(theta)
    if v is not None:
        state = state._replace(v=v)
    thetas = []
    for g in gradients:
        state = optimizer.step(state, g)
        thetas.append(state.theta)
    return np.array(thetas)


def multiple(kind: int, lam: float) -> Any:
    """lam times a regularizer, homogeneous or not."""
    return (L1(lam), L2(lam), GroupL2(lam, PAIRS), SquaredL2(lam), Nonnegative(lam))[kind]


def redundant(
    optimizer: Any, J: Any, scaled: Any, tau: float, delta: float, theta: Array, gradients: Array
) -> Evidence:
    """(tau, lam, delta) and (tau delta, lam delta, 1) give the same trajectory."""
    left = trajectory(optimizer(J, tau, delta), theta, gradients)
    return equal(
        left, trajectory(optimizer(scaled, tau * delta, 1.0), theta, gradients), 64.0 * (1 + tau * delta), k=256
    )


@claim("4.3.2 redundant parameters", given=SCALED, code=(LinBreg,), examples=40)
def delta_is_redundant(kind: int, lam: float, delta: float, tau: float, theta: Array, gradients: Array) -> Evidence:
    """LinBreg with (tau, lam, delta) is LinBreg with (tau delta, lam delta, 1), for every J, homogeneous or not:
    in w = delta v the steps read w - tau delta g and prox_{delta lam J}(w)."""
    return redundant(LinBreg, multiple(kind, lam), multiple(kind, lam * delta), tau, delta, theta, gradients)


@delta_is_redundant.twin("a start without 1/delta")
def delta_is_redundant_from_another_start(
    kind: int, lam: float, delta: float, tau: float, theta: Array, gradients: Array
) -> Evidence:
    """v_0 = theta + p for theta/delta + p."""
    J, scaled = multiple(kind, lam), multiple(kind, lam * delta)
    left = trajectory(LinBreg(J, tau, delta), theta, gradients, theta + J.subgradient(theta))
    return equal(left, trajectory(LinBreg(scaled, tau * delta, 1.0), theta, gradients), 64.0 * (1 + tau * delta), k=256)


@claim("4.3.2 redundant parameters", given=SCALED, code=(AdaBreg,), examples=40)
def delta_is_redundant_for_adabreg(
    kind: int, lam: float, delta: float, tau: float, theta: Array, gradients: Array
) -> Evidence:
    """The same for AdaBreg."""
    return redundant(AdaBreg, multiple(kind, lam), multiple(kind, lam * delta), tau, delta, theta, gradients)


@delta_is_redundant_for_adabreg.twin("tau unscaled")
def delta_is_redundant_with_one_tau(
    kind: int, lam: float, delta: float, tau: float, theta: Array, gradients: Array
) -> Evidence:
    """tau scales with delta."""
    J, scaled = multiple(kind, lam), multiple(kind, lam * delta)
    left = trajectory(AdaBreg(J, tau, delta), theta, gradients)
    return equal(left, trajectory(AdaBreg(scaled, tau, 1.0), theta, gradients), 64.0 * (1 + tau * delta), k=256)


RUN = {"theta": POINT, "gradients": GRADIENTS, "tau": TAU}


@claim("(4.21)", given={**ELASTIC, **RUN}, code=(LinBreg,), examples=40)
def linbreg_keeps_its_subgradient(J: Any, delta: float, theta: Array, gradients: Array, tau: float) -> Evidence:
    """Along (4.21), for any gradients: v_k = v_0 - sum tau g, and v_k - theta_k/delta in dJ(theta_k), also at k = 0."""
    optimizer = LinBreg(J, tau, delta)
    state = optimizer.init(J.prox(theta, 0.0))
    parts, total = [equal(J.prox(delta * state.v, delta), state.theta, 1 + (1 + delta) * 16)], state.v
    for g in gradients:
        state, total = optimizer.step(state, g), total - tau * g
        distance = J.subdifferential_distance(state.v - state.theta / delta, state.theta)
        parts += [equal(state.v, total, 64.0 + 16 / delta), member(distance, 64.0 + 64 / delta, k=256)]
    return all_of(*parts)


@linbreg_keeps_its_subgradient.twin("prox_J for prox_{delta J}")
def linbreg_with_prox_of_J(J: Any, delta: float, theta: Array, gradients: Array, tau: float) -> Evidence:
    """theta = prox_J(delta v) does not have v as a subgradient of J_delta."""
    v = theta - tau * gradients[0]
    after = J.prox(delta * v)
    return member(J.subdifferential_distance(v - after / delta, after), 64.0 + 64 / delta, k=256)


def same_run(optimizer: Any, other: Any, theta: Array, gradients: Array) -> Evidence:
    """Two optimizers produce the same thetas."""
    return equal(trajectory(optimizer, theta, gradients), trajectory(other, theta, gradients), 64.0)


@claim(
    "(4.21)", given={**RUN, "J": st.just(Zero()), "delta": st.just(1.0)}, code=(LinBreg, GradientDescent), examples=40
)
def linbreg_generalises_sgd(theta: Array, gradients: Array, tau: float, J: Any, delta: float) -> Evidence:
    """J = 0 and delta = 1: LinBreg is (stochastic) gradient descent."""
    return same_run(LinBreg(J, tau, delta), GradientDescent(tau), theta, gradients)


linbreg_generalises_sgd.without("J = 0", J=st.just(L1(1.0)))
linbreg_generalises_sgd.without("delta = 1", delta=st.just(2.0))

INERTIA = {**RUN, "J": regularizers(), "delta": DELTA, "gamma": draw.positive(0.25, 4, 2)}


def inertial_residual(
    J: Any, delta: float, tau: float, beta: float, gamma: float, theta: Array, gradients: Array
) -> Evidence:
    """gamma (v+ - 2 v + v-)/tau^2 + (v+ - v)/tau = -g along (4.22), started at rest, times tau^2."""
    optimizer = LinBreg(J, tau, delta, momentum=beta)
    state = optimizer.init(J.prox(theta, 0.0))
    v, parts = [state.v, state.v], []
    for g in gradients:
        state = optimizer.step(state, g)
        v.append(state.v)
        residual = gamma * (v[-1] - 2 * v[-2] + v[-3]) + tau * (v[-1] - v[-2])
        parts.append(equal(residual, -(tau**2) * g, (1 + gamma + tau) * (64 + 16 / delta)))
    return all_of(*parts)


@claim("(4.22)", given=INERTIA, code=(LinBreg,), examples=40)
def momentum_discretises_the_inertial_flow(
    J: Any, delta: float, tau: float, gamma: float, theta: Array, gradients: Array
) -> Evidence:
    """(4.22) with beta = gamma/(gamma + tau) is the backward difference of gamma v'' + v' = -grad L, exactly."""
    return inertial_residual(J, delta, tau, gamma / (gamma + tau), gamma, theta, gradients)


@momentum_discretises_the_inertial_flow.twin("beta = gamma/(1 + gamma)")
def momentum_with_another_beta(
    J: Any, delta: float, tau: float, gamma: float, theta: Array, gradients: Array
) -> Evidence:
    """beta depends on tau."""
    return inertial_residual(J, delta, tau, gamma / (1 + gamma), gamma, theta, gradients)


FRAMEWORK = {**RUN, "beta": draw.positive(0.125, 0.875, 3)}


def heavy_ball(theta: Array, gradients: Array, rate: float, beta: float) -> Array:
    """Momentum as frameworks have it: buffer <- beta buffer + g, theta <- theta - rate buffer."""
    buffer, thetas = np.zeros_like(theta), []
    for g in gradients:
        buffer = beta * buffer + g
        theta = theta - rate * buffer
        thetas.append(theta)
    return np.array(thetas)


@claim("(4.22)", given=FRAMEWORK, code=(LinBreg,), examples=40)
def momentum_is_heavy_ball(theta: Array, gradients: Array, tau: float, beta: float) -> Evidence:
    """For J = 0, delta = 1, (4.22) is the momentum of frameworks (dampening 0) with the rate (1 - beta) tau."""
    run = trajectory(LinBreg(Zero(), tau, momentum=beta), theta, gradients)
    return equal(run, heavy_ball(theta, gradients, (1 - beta) * tau, beta), 64.0)


@momentum_is_heavy_ball.twin("the rate tau, (1 - beta) forgotten")
def momentum_is_heavy_ball_with_tau(theta: Array, gradients: Array, tau: float, beta: float) -> Evidence:
    """Equal rates are not equal steps."""
    run = trajectory(LinBreg(Zero(), tau, momentum=beta), theta, gradients)
    return equal(run, heavy_ball(theta, gradients, tau, beta), 64.0)


def adam(theta: Array, gradients: Array, tau: float, inside: bool) -> Array:
    """Adam with beta = (0.9, 0.999), eps = 2^-4 outside or inside the root; the moments written as direct sums."""
    thetas = []
    for k in range(1, len(gradients) + 1):
        weights = np.arange(k)[::-1, None]
        m = np.sum(0.9**weights * gradients[:k], axis=0) * 0.1 / (1 - 0.9**k)
        s = np.sum(0.999**weights * gradients[:k] ** 2, axis=0) * 0.001 / (1 - 0.999**k)
        theta = theta - tau * m / (np.sqrt(s + 0.0625) if inside else np.sqrt(s) + 0.0625)
        thetas.append(theta)
    return np.array(thetas)


@claim("4.3.3 AdaBreg", given={**RUN, "correct": st.just(True)}, code=(AdaBreg,), examples=40)
def adabreg_generalises_adam(theta: Array, gradients: Array, tau: float, correct: bool) -> Evidence:
    """J = 0 and delta = 1: AdaBreg is Adam with bias correction and eps outside the root."""
    run = trajectory(AdaBreg(Zero(), tau, eps=0.0625, bias_correction=correct), theta, gradients)
    return equal(run, adam(theta, gradients, tau, False), 64.0, k=4096)


adabreg_generalises_adam.without("the bias correction of the first moment", correct=st.just(False))


@adabreg_generalises_adam.twin("eps inside the root")
def adabreg_with_eps_inside(theta: Array, gradients: Array, tau: float, correct: bool) -> Evidence:
    """sqrt(s + eps) is another method."""
    run = trajectory(AdaBreg(Zero(), tau, eps=0.0625), theta, gradients)
    return equal(run, adam(theta, gradients, tau, True), 64.0, k=4096)


@claim("4.3.3 AdaBreg", given={**RUN, "J": norms(), "delta": DELTA}, code=(AdaBreg,), examples=40)
def adabreg_keeps_its_subgradient(theta: Array, gradients: Array, tau: float, J: Any, delta: float) -> Evidence:
    """v_k - theta_k/delta in dJ(theta_k) along AdaBreg too."""
    optimizer, parts = AdaBreg(J, tau, delta), []
    state = optimizer.init(theta)
    for g in gradients:
        state = optimizer.step(state, g)
        distance = J.subdifferential_distance(state.v - state.theta / delta, state.theta)
        parts.append(member(distance, 64.0 + 64 / delta, k=256))
    return all_of(*parts)


@adabreg_keeps_its_subgradient.twin("proximal Adam, without the subgradient variable")
def proximal_adam_keeps_a_subgradient(theta: Array, gradients: Array, tau: float, J: Any, delta: float) -> Evidence:
    """prox_{delta J} of theta/delta has no memory of p."""
    after = J.prox(theta, delta)
    return member(J.subdifferential_distance(theta / delta, after), 64.0, k=256)
