"""Section 4.1: the empirical risk (4.1) and the losses of Examples 4.2 and 4.3."""

from math import log
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, all_of, at_most, claim, equal, identity
from refimpl.numerics import compare
from refimpl.setting import (
    CrossEntropy,
    Dense,
    Network,
    SquaredError,
    Tanh,
    cross_entropy,
    empirical_risk,
    mlp,
    risk_and_gradient,
    softmax,
)
from refimpl.setting.risk import with_replacement

Array = np.ndarray
Sides = tuple[Any, Any, float]


def pairing(gradients: list[Array], directions: list[Array], derivative: Array) -> Sides:
    """sum of <gradient, direction> against the derivative, and the sum of the moduli."""
    products = [g * v for g, v in zip(gradients, directions, strict=True)]
    scale = sum(float(np.abs(p).sum()) for p in products) + float(np.abs(derivative).sum())
    return sum(p.sum() for p in products), np.sum(derivative), scale or 1.0


MODEL = mlp([2, 2, 1], Tanh())
DATA = {"theta": draw.arrays(MODEL.size, -1, 1), "x": draw.arrays((3, 2), -2, 2), "y": draw.arrays((3, 1), -2, 2)}


def sample_losses(theta: Array, x: Array, y: Array) -> list[float]:
    """ell(f_theta(x), y) of the samples one by one, from the formulas of both layers."""
    p = MODEL.views(theta)
    hidden = [np.tanh(p["0.weight"] @ row + p["0.bias"]) for row in x]
    return [float((p["2.weight"] @ h + p["2.bias"] - t)[0] ** 2) for h, t in zip(hidden, y)]


@claim("(4.1)", given=DATA, code=(empirical_risk, risk_and_gradient), examples=60)
def risk_is_the_mean_loss(theta: Array, x: Array, y: Array) -> Evidence:
    """L(theta) is the mean of ell(f_theta(x), y) over the training set, and its gradient the mean of the gradients."""
    return all_of(*_risk_is(theta, x, y, lambda values: sum(values) / len(values)))


@risk_is_the_mean_loss.twin("one sample dropped from the mean")
def risk_drops_a_sample(theta: Array, x: Array, y: Array) -> Evidence:
    return all_of(*_risk_is(theta, x, y, lambda values: sum(values[1:]) / (len(values) - 1)))


@risk_is_the_mean_loss.twin("the sum in place of the mean")
def risk_is_a_sum(theta: Array, x: Array, y: Array) -> Evidence:
    return all_of(*_risk_is(theta, x, y, sum))


def _risk_is(theta: Array, x: Array, y: Array, average: Any) -> list[Evidence]:
    loss = SquaredError()
    value, gradient = risk_and_gradient(MODEL, loss, theta, x, y)
    single = [risk_and_gradient(MODEL, loss, theta, x[i : i + 1], y[i : i + 1])[1] for i in range(len(x))]
    values = sample_losses(theta, x, y)
    scale = 4 + sum(values)  # terms of size 1 to 4 are subtracted inside the square
    return [
        equal(empirical_risk(MODEL, loss, theta, x, y), average(values), scale),
        equal(value, average(values), scale),
        equal(gradient, average(single), 16 + compare.magnitude(*single)),
    ]


LINE = Network([Dense(1, 1)])
POPULATION = {
    "theta": draw.arrays(2, -2, 2),
    "x": draw.arrays((3, 1), -2, 2),
    "y": draw.arrays((3, 1), -2, 2),
    "n": st.integers(1, 4),
}
SPREAD = {"theta": np.ones(2), "x": np.array([[0.0], [1], [2]]), "y": np.zeros((3, 1)), "n": 2}


@claim("Remark 4.1", given=POPULATION, cases=[SPREAD], code=(empirical_risk,), examples=30)
def risk_estimates_the_population_risk(theta: Array, x: Array, y: Array, n: int) -> Evidence:
    """For an i.i.d. sample T of pi, E L_T(theta) = integral of ell dpi and E |L_T - integral|^2 = Var(ell) / |T|.

    Exact: pi is uniform on three points and all 3^n samples are enumerated.
    """
    return _monte_carlo(theta, x, y, n, lambda batch: batch)


@risk_estimates_the_population_risk.twin("samples that are copies of the first one")
def dependent_samples(theta: Array, x: Array, y: Array, n: int) -> Evidence:
    return _monte_carlo(theta, x, y, n, lambda batch: batch[:1] * n)


@risk_estimates_the_population_risk.twin("a sample space without its last point")
def incomplete_samples(theta: Array, x: Array, y: Array, n: int) -> Evidence:
    return _monte_carlo(theta, x, y, n, lambda batch: tuple(min(i, 1) for i in batch))


def _monte_carlo(theta: Array, x: Array, y: Array, n: int, sampled: Any) -> Evidence:
    losses = (x[:, 0] * theta[0] + theta[1] - y[:, 0]) ** 2
    outcomes = [(p, list(sampled(batch))) for p, batch in with_replacement(3, n)]
    risks = [(p, empirical_risk(LINE, SquaredError(), theta, x[b], y[b])) for p, b in outcomes]
    scale = max(1.0, losses.max())
    return all_of(
        equal(sum(p * risk for p, risk in risks), losses.mean(), scale),
        equal(sum(p * (risk - losses.mean()) ** 2 for p, risk in risks), losses.var() / n, scale**2),
    )


IMAGES = {name: draw.arrays((2, 2, 3)) for name in ("prediction", "y", "direction")}


@claim("Example 4.2", given=IMAGES, code=(SquaredError,), examples=40)
def squared_error(prediction: Array, y: Array, direction: Array) -> Evidence:
    """ell(ybar, y) = |ybar - y|^2 / (N M), with gradient 2 (ybar - y) / (N M); the loss is their mean over the batch.

    (The text abbreviates it as MLE; it is the mean squared error, MSE.)
    """
    return _squared_error(prediction, y, direction, factor=1.0, entries=6)


@squared_error.twin("the factor 2 dropped from the gradient")
def squared_error_half_gradient(prediction: Array, y: Array, direction: Array) -> Evidence:
    return _squared_error(prediction, y, direction, factor=0.5, entries=6)


@squared_error.twin("the sum over the pixels in place of their mean")
def squared_error_sum(prediction: Array, y: Array, direction: Array) -> Evidence:
    return _squared_error(prediction, y, direction, factor=1.0, entries=1)


def _squared_error(prediction: Array, y: Array, direction: Array, factor: float, entries: int) -> Evidence:
    loss = SquaredError()

    def definition(a: Array) -> Array:
        return np.array([sum(d * d for d in (a - y.astype(a.dtype))[b].ravel()) / entries for b in range(len(a))])

    def value(dtype: Any) -> Sides:
        a = prediction.astype(dtype)
        exact = definition(a)
        return loss.values(a, y.astype(dtype)), exact, float(exact.max()) or 1.0

    def gradient(dtype: Any) -> Sides:
        a, v = prediction.astype(dtype), direction.astype(dtype)
        derivative = compare.central_difference(lambda t: definition(t) / len(a), a, v)  # exact: quadratic
        left, right, _ = pairing([factor * loss.gradient(a, y.astype(dtype))], [v], derivative)
        return left, right, float(((np.abs(a) + np.abs(y) + np.abs(v)) ** 2).max()) or 1.0

    return all_of(identity(value), identity(gradient))


def distributions(least: int) -> st.SearchStrategy[Array]:
    """Distributions on three classes: sixteenths, each entry at least ``least`` of them."""
    spare = 16 - 3 * least
    cuts = st.tuples(st.integers(0, spare), st.integers(0, spare)).map(sorted)
    return cuts.map(lambda c: (np.diff([0, *c, spare]) + least) / 16)


UNEQUAL = {"p": np.array([0.5, 0.25, 0.25]), "q": np.array([0.75, 0.125, 0.125])}
SAME = {"p": UNEQUAL["p"], "q": UNEQUAL["p"]}


@claim(
    "Example 4.3", given={"p": distributions(0), "q": distributions(1)}, cases=[UNEQUAL, SAME], code=(cross_entropy,)
)
def cross_entropy_is_least_at_p(p: Array, q: Array) -> Evidence:
    """H(p, q) = -sum_c p_c log q_c, with 0 log 0 = 0, is at least H(p, p) + |p - q|_1^2 / 2: for fixed p it is least
    at q = p and nowhere else."""
    h = float(cross_entropy(p, q))
    return all_of(equal(h, -sum(a * log(b) for a, b in zip(p, q) if a > 0), 1 + abs(h)), _gibbs(p, h, q))


@cross_entropy_is_least_at_p.twin("the arguments of H swapped")
def cross_entropy_swapped(p: Array, q: Array) -> Evidence:
    return _gibbs(p, float(cross_entropy(q, np.maximum(p, 2.0**-20) / np.maximum(p, 2.0**-20).sum())), q)


@cross_entropy_is_least_at_p.twin("q not normalised: 2 q in place of q")
def cross_entropy_unnormalised(p: Array, q: Array) -> Evidence:
    return _gibbs(p, float(-np.sum(p * np.log(2 * q))), q)


def _gibbs(p: Array, h: float, q: Array) -> Evidence:
    return at_most(float(cross_entropy(p, p)) + 0.5 * float(np.abs(p - q).sum()) ** 2, h, scale=1 + abs(h))


LOGITS = {
    "z": draw.arrays((2, 3), -8, 8),
    "labels": st.lists(st.integers(0, 2), min_size=2, max_size=2).map(np.array),
    "target": st.lists(distributions(0), min_size=2, max_size=2).map(np.array),
    "direction": draw.arrays((2, 3)),
}
PEAK = {
    "z": np.eye(2, 3),
    "labels": np.arange(2),
    "target": np.full((2, 3), 0.25) + np.eye(2, 3) / 4,
    "direction": np.eye(2, 3),
}


def soft_targets(z: Array, target: Array) -> Array:
    """H(y, Q(z)) of every sample, from the formulas as they stand."""
    e = np.exp(z)
    return -np.sum(target * np.log(e / e.sum(axis=1, keepdims=True)), axis=1)


@claim("Example 4.3", given=LOGITS, cases=[PEAK], code=(CrossEntropy, softmax), examples=60)
def gradient_is_softmax_minus_target(z: Array, labels: Array, target: Array, direction: Array) -> Evidence:
    """The gradient of H(y, Q(z)) in the logits z is Q(z) - y, for distributions y and for labels."""
    return all_of(*_softmax_gradient(z, labels, target, direction, lambda gradient: gradient))


@gradient_is_softmax_minus_target.twin("the gradient summed over the batch instead of averaged")
def softmax_gradient_sum(z: Array, labels: Array, target: Array, direction: Array) -> Evidence:
    return all_of(*_softmax_gradient(z, labels, target, direction, lambda gradient: gradient * 2))


def _softmax_gradient(z: Array, labels: Array, target: Array, direction: Array, change: Any) -> list[Evidence]:
    def sides(dtype: Any, given: Array, y: Array) -> Sides:
        a, v = z.astype(dtype), direction.astype(dtype)
        gradient = change(CrossEntropy().gradient(a, given))
        derivative = compare.complex_step(lambda t: soft_targets(t, y.astype(dtype)) / len(t), a, v)
        return (*pairing([gradient], [v], derivative)[:2], float(np.abs(v).sum()) or 1.0)

    onehot = np.eye(3)[labels]
    return [identity(lambda d: sides(d, target, target)), identity(lambda d: sides(d, labels, onehot))]


SHIFTED = {"z": draw.arrays(4, -1, 1), "shift": st.integers(-(2**14), 2**14), "scale": st.sampled_from([1, 1e4])}
LARGE = {"z": np.array([1.0, -1, 0, 0.5]), "shift": 0, "scale": 1e4}


@claim("Example 4.3", given=SHIFTED, cases=[LARGE], code=(softmax, CrossEntropy))
def softmax_ignores_shifts(z: Array, shift: int, scale: float) -> Evidence:
    """Q(z + c) = Q(z), and the loss is finite and exact for logits of size 1e4."""
    return _shift(z * scale, shift, softmax)


@softmax_ignores_shifts.twin("exp without subtracting the maximum")
def naive_softmax(z: Array, shift: int, scale: float) -> Evidence:
    return _shift(z * scale, shift, lambda t: np.exp(t) / np.exp(t).sum())


def _shift(z: Array, shift: int, normalise: Any) -> Evidence:
    loss = CrossEntropy().values((z + shift)[None], np.zeros(1, int))
    gaps = z - z.max()
    exact = np.log(np.exp(gaps).sum()) - gaps[0]
    return all_of(
        equal(normalise(z + shift), normalise(z), 1.0 + np.abs(z + shift).max()),
        equal(normalise(z), softmax(z), 1.0),
        equal(loss[0], exact, 1.0 + np.abs(z + shift).max()),
    )


MISSING_INDEX = Erratum(
    "l(ybar, y) = H(y_oh, Q(ybar)) = -log(Q(ybar)), a vector of C numbers",
    "l(ybar, y) = H(y_oh, Q(ybar)) = -log(Q(ybar)_y)",
    "typo",
)
LABELLED = {name: LOGITS[name] for name in ("z", "labels")}
LABELLED_CASE = {name: PEAK[name] for name in ("z", "labels")}


@claim("Example 4.3", given=LABELLED, cases=[LABELLED_CASE], code=(CrossEntropy,), erratum=MISSING_INDEX)
def label_loss_without_index(z: Array, labels: Array) -> Evidence:
    """H(y_oh, Q(z)) = -log(Q(z)), read entry by entry since the right side has C entries."""
    losses = CrossEntropy().values(z, np.eye(3)[labels])
    return equal(np.repeat(losses[:, None], 3, axis=1), -np.log(softmax(z)), scale=1 + np.abs(z).max())


@claim("Example 4.3", reading="corrected", given=LABELLED, cases=[LABELLED_CASE], code=(CrossEntropy,))
def label_loss_with_index(z: Array, labels: Array) -> Evidence:
    """H(y_oh, Q(z)) = -log(Q(z)_y) for a label y: labels and their one-hot vectors give the same loss."""
    return _label_loss(z, labels, labels)


@label_loss_with_index.twin("the entry of another label")
def label_loss_of_the_next_label(z: Array, labels: Array) -> Evidence:
    return _label_loss(z, labels, (labels + 1) % 3)


def _label_loss(z: Array, labels: Array, entry: Array) -> Evidence:
    exact, scale = -np.log(softmax(z)[np.arange(len(z)), entry]), 1 + np.abs(z).max()
    by_label, onehot = CrossEntropy().values(z, labels), CrossEntropy().values(z, np.eye(3)[labels])
    return all_of(equal(by_label, exact, scale), equal(onehot, exact, scale))
