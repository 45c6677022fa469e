"""The quotient L(x, xbar), its gradients, and ascent on a set of pairs X_Lip (Section 4.2.1, Algorithm 1)."""

from typing import Literal, NamedTuple

import numpy as np

from refimpl.numerics import validate
from refimpl.robustness.norms import along, check_norm, norm, norming
from refimpl.robustness.projections import Box, project_box
from refimpl.setting.layer import Need
from refimpl.setting.network import Network

Array = np.ndarray


class QuotientGradient(NamedTuple):
    """L of every pair, and the gradients of sum_i weights_i L_i^power in x, xbar and theta (Section 4.2.1)."""

    values: Array
    x: Array | None
    xbar: Array | None
    theta: Array | None


def quotient(network: Network, theta: Array, x: Array, xbar: Array, p: float = 2, q: float = 2) -> Array:
    """L(x, xbar) = ||f(x) - f(xbar)||_q / ||x - xbar||_p of every pair, shape (P,).

    x and xbar are (P, ...). A lower bound of Lip(f) (Section 4.2.1) at every pair. Pairs that coincide up to rounding
    give 0; NaN gives NaN.

    Raises
    ------
    ValueError : x and xbar differ in shape, or a norm is none of 1, 2, inf.
    """
    x, xbar = _pairs(x, xbar)
    validate.provides("network", network, "__call__")
    y = network(theta, np.concatenate([x, xbar]))
    return _ratio(y[: len(x)] - y[len(x) :], *_distance(x, xbar, check_norm("p", p)), check_norm("q", q))


def _pairs(x: Array, xbar: Array) -> tuple[Array, Array]:
    x, xbar = validate.real_array("x", x), validate.real_array("xbar", xbar)
    validate.same_shape("xbar", xbar, "x", x)
    if x.ndim < 2 or x.size == 0:
        validate.fail("x", "a non-empty batch (P, ...)", validate.describe(x))
    return x, xbar


def _distance(x: Array, xbar: Array, p: float) -> tuple[Array, Array]:
    """||x - xbar||_p, and whether it is more than rounding of the two points (True for NaN)."""
    size = norm(x - xbar, p)
    apart = ~(size <= 4 * np.finfo(size.dtype).eps * np.maximum(norm(x, p), norm(xbar, p)))
    return np.where(apart, size, 1), apart


def _ratio(f: Array, size: Array, apart: Array, q: float) -> Array:
    return np.where(apart, norm(f, q) / size, 0)  # 4.2.1 Lipschitz quotient


def quotient_gradient(
    network: Network,
    theta: Array,
    x: Array,
    xbar: Array,
    p: float = 2,
    q: float = 2,
    power: int = 1,
    weights: Array | None = None,
    need: Need = "both",
) -> QuotientGradient:
    """Gradients of sum_i weights_i L(x_i, xbar_i)^power by one pass over 2P rows (Section 4.2.1).

    With F = f(x) - f(xbar), D = x - xbar and norming vectors u = d||F||_q, v = d||D||_p:
    dL = <u, dF> / ||D|| - L <v, dD> / ||D||, so the outputs at x and xbar get the cotangents +G and -G,
    G = u / ||D||, and the inputs -L v / ||D|| and +L v / ||D|| on top; L^2 multiplies all by 2 L.
    Where f(x) = f(xbar), L is not differentiable and 0 is returned, an element of its subdifferential.

    Parameters
    ----------
    x, xbar : (P, ...) pairs.
    power : 1 or 2.
    weights : (P,), ones by default.
    need : "input" leaves theta None, "parameters" leaves x and xbar None.

    Raises
    ------
    ValueError : as `quotient`; power not 1 or 2; weights not (P,).
    """
    p, q = check_norm("p", p), check_norm("q", q)
    validate.choice("power", power, (1, 2))
    x, xbar = _pairs(x, xbar)
    pairs = len(x)
    validate.provides("network", network, "vjp")
    y, pullback = network.vjp(theta, np.concatenate([x, xbar]))
    size, apart = _distance(x, xbar, p)
    f = y[:pairs] - y[pairs:]
    values = _ratio(f, size, apart, q)
    scale = apart / size * (values if power == 2 else 1) * power
    scale = scale if weights is None else scale * validate.real_array("weights", weights, shape=(pairs,))
    g = norming(f, q) * along(scale, f).astype(f.dtype)
    dx, dtheta = pullback(np.concatenate([g, -g]), need=need)
    if dx is None:
        return QuotientGradient(values, None, None, dtheta)
    dx = dx.reshape(2 * pairs, *x.shape[1:])
    pull = norming(x - xbar, p) * along(scale * values, x).astype(x.dtype)
    return QuotientGradient(values, dx[:pairs] - pull, dx[pairs:] + pull, dtheta)


def lipschitz_estimate(
    network: Network,
    theta: Array,
    x: Array,
    xbar: Array,
    p: float = 2,
    q: float = 2,
    reduce: Literal["max", "mean"] = "max",
) -> float:
    """Lip(f; X_Lip), the largest (or mean) quotient of a set of pairs: a lower bound of Lip(f) (Section 4.2.1).

    x and xbar are (P, ...). Raises ValueError as `quotient` does, for another ``reduce``, and without pairs.
    """
    validate.choice("reduce", reduce, ("max", "mean"))
    values = quotient(network, theta, x, xbar, p, q)
    validate.nonempty("x", values)
    return float(np.max(values) if reduce == "max" else np.mean(values))  # 4.2.1 Lipschitz quotient


class Pairs(NamedTuple):
    """X_Lip (Section 4.2.1) with the quotient L and the ascent step tau of every pair.

    x and xbar are (P, ...), the rest (P,).
    """

    x: Array
    xbar: Array
    values: Array
    tau: Array


def ascend(
    network: Network,
    theta: Array,
    x: Array,
    xbar: Array,
    tau: float | Array = 1.0,
    steps: int = 1,
    rule: Literal["printed", "accept"] = "printed",
    box: Box = None,
    p: float = 2,
    q: float = 2,
    factor: float = 1.3,
) -> Pairs:
    """Algorithm 1: x <- x + tau L grad_x L, xbar <- xbar + tau L grad_xbar L for every pair, at the same time.

    L grad L = grad(L^2) / 2, so it is ascent on L^2 / 2.

    Parameters
    ----------
    x, xbar : (P, ...) pairs.
    tau : one step for all pairs, or (P,).
    rule : "printed" takes every step, also where L falls. "accept" keeps a step only where L rises, then
        multiplies the pair's tau by ``factor``, and divides it where the step was refused: L never decreases.
    box : keep the points in it (projected); None lets them leave the data range.

    Raises
    ------
    ValueError : as `quotient`; an unknown rule, steps < 0, factor < 1.
    """
    validate.choice("rule", rule, ("printed", "accept"))
    x, xbar = _pairs(x, xbar)
    tau = validate.real_array("tau", tau)
    if tau.shape not in ((), (len(x),)):
        validate.fail("tau", f"a step or {len(x)} of them", validate.describe(tau))
    tau = np.broadcast_to(tau, (len(x),)).astype(x.dtype)
    factor = validate.within("factor", factor, 1.0, 1e6)
    state = Pairs(x, xbar, np.full(len(x), np.nan, x.dtype), tau)
    steps = validate.integer("steps", steps, 0)
    for _ in range(steps):
        state = _step(network, theta, state, rule, box, p, q, factor)
    if rule == "accept" and steps:
        return state
    return state._replace(values=quotient(network, theta, state.x, state.xbar, p, q))


def _step(network: Network, theta: Array, at: Pairs, rule: str, box: Box, p: float, q: float, factor: float) -> Pairs:
    g = quotient_gradient(network, theta, at.x, at.xbar, p, q, power=2, need="input")
    assert g.x is not None and g.xbar is not None
    half = along(at.tau / 2, at.x)
    x, xbar = project_box(at.x + half * g.x, box), project_box(at.xbar + half * g.xbar, box)  # 4.2.1 Algorithm 1
    if rule == "printed":
        return at._replace(x=x, xbar=xbar)
    values = quotient(network, theta, x, xbar, p, q)
    better = values > g.values
    chosen = along(better, x)
    tau = (at.tau * np.where(better, factor, 1 / factor)).astype(at.tau.dtype)
    return Pairs(np.where(chosen, x, at.x), np.where(chosen, xbar, at.xbar), np.where(better, values, g.values), tau)


def perturbed_pairs(
    x: Array, amplitude: float = 0.1, rng: np.random.Generator | int | None = None, box: Box = None
) -> tuple[Array, Array]:
    """The start of X_Lip, "a random perturbation of a subset of the data": (x, x + U[-a, a]) (Section 4.2.1).

    x is (P, ...); the perturbed points are clipped to the box. Raises ValueError for an amplitude <= 0.
    """
    x = validate.real_array("x", x)
    a = validate.positive("amplitude", amplitude)
    if 2 * a == np.inf:
        validate.fail("amplitude", "a number whose double is finite", a)
    shift = validate.generator("rng", rng).uniform(-a, a, x.shape).astype(x.dtype)
    return x, project_box(x + shift, box)
