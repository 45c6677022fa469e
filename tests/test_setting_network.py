"""Networks on one vector theta, their builders and initialisation; risk, estimators and descent."""

from collections.abc import Callable
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.setting import (
    BatchNorm2d,
    Conv2d,
    CrossEntropy,
    Dense,
    Flatten,
    GradientEstimator,
    Network,
    ReLU,
    Residual,
    SquaredError,
    Tanh,
    batch_gradient,
    convnet,
    empirical_risk,
    glorot,
    gradient_descent,
    he,
    initialize,
    minibatches,
    mlp,
    residual_block,
    resnet18,
    risk_and_gradient,
    sgd,
)
from refimpl.setting.risk import proportional, reshuffled, subsets, uniform, with_replacement


def small() -> Network:
    return Network([Conv2d(1, 2, 3), ReLU(), Residual([Conv2d(2, 2, 3)], learn=True), Flatten(), Dense(18, 2)])


def test_views_are_views_in_the_order_of_theta() -> None:
    f = small()
    theta = np.arange(f.size, dtype=float)
    views = f.views(theta)
    assert list(views) == list(f.shapes) == list(f.slices)
    assert {name: v.shape for name, v in views.items()} == f.shapes
    np.testing.assert_array_equal(np.concatenate([v.ravel() for v in views.values()]), theta)
    views["2.w"][...] = -1.0
    assert theta[f.slices["2.w"]] == [-1]
    np.testing.assert_array_equal(f.flatten(views), theta)


def test_a_network_is_a_value() -> None:
    assert small() == small() and hash(small()) == hash(small()) and small() != mlp([1, 2])
    with pytest.raises(AttributeError):
        small().layers = ()  # type: ignore[misc]
    f = small()
    theta, x = f.init(0), np.random.default_rng(1).normal(size=(2, 1, 3, 3))
    before = theta.copy(), x.copy()
    y, pullback = f.vjp(theta, x)
    first, second = pullback(y), pullback(y)
    for a, b in zip((*first, theta, x), (*second, *before)):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(f(theta, x), y)


def test_init_repeats_and_takes_a_dtype() -> None:
    f = small()
    np.testing.assert_array_equal(f.init(3), f.init(np.random.default_rng(3)))
    assert f.init(0, np.float32).dtype == np.float32
    assert np.any(f.init(0) != f.init(1))


def test_lists_and_read_only_vectors_are_accepted() -> None:
    f = mlp([2, 2, 1])
    theta, x = f.init(0), np.ones((3, 2))
    theta.flags.writeable = False
    expected = f(theta, x)
    np.testing.assert_array_equal(f(theta.tolist(), [[1, 1], [1, 1], [1, 1]]), expected)
    y, pullback = f.vjp(theta.tolist(), x.tolist())
    dx, dtheta = pullback(y.tolist())
    assert dx.shape == x.shape and dtheta.shape == theta.shape
    spread = np.repeat(theta, 2)[::2]
    np.testing.assert_array_equal(f(spread, x), expected)


def test_halves_of_the_gradient_and_the_dtype() -> None:
    f = small()
    for dtype in compare.rungs():
        theta, x = f.init(0, dtype), np.random.default_rng(0).normal(size=(2, 1, 3, 3)).astype(dtype)
        y, pullback = f.vjp(theta, x)
        dx, dtheta = pullback(y)
        assert {a.dtype for a in (y, dx, dtheta)} == {np.dtype(dtype)}
        for need, expected in (("input", (dx, None)), ("parameters", (None, dtheta))):
            for got, want in zip(pullback(y, need=need), expected):
                assert (got is None) == (want is None)
                np.testing.assert_array_equal(got, want)


def test_the_gradient_lives_where_theta_lives() -> None:
    f = mlp([2, 2, 1])
    y, pullback = f.vjp(f.init(0, np.float32), np.ones((1, 2)))
    assert pullback(y)[1].dtype == np.float32


def test_networks_nest() -> None:
    inner = mlp([2, 3, 2], Tanh())
    f = Network([inner, Residual(inner, shortcut=Network([Dense(2, 2)])), Dense(2, 1)])
    assert f.size == 2 * inner.size + 6 + 3
    theta, x = f.init(0), np.random.default_rng(1).normal(size=(4, 2))
    y, views = f(theta, x), f.views(theta)
    blocks = {name: f.slices[name] for name in views}
    first, branch = (
        np.concatenate([theta[s] for name, s in blocks.items() if name.startswith(start)]) for start in ("0.", "1.b")
    )
    z = inner(first, x)
    z = inner(branch, z) + z @ views["1.shortcut.0.weight"].T + views["1.shortcut.0.bias"]
    np.testing.assert_allclose(y, z @ views["2.weight"].T + views["2.bias"], rtol=1e-14)


def test_no_input_gradient_is_computed_below_the_first_parameter() -> None:
    class Counting(Tanh):
        calls = 0

        def backward(self, *args: Any) -> Any:
            Counting.calls += 1
            return super().backward(*args)

    f = Network([Counting(), Dense(2, 2), Counting(), Dense(2, 1)])
    y, pullback = f.vjp(f.init(0), np.ones((1, 2)))
    pullback(y, need="parameters")
    assert Counting.calls == 1
    pullback(y)
    assert Counting.calls == 3


BAD: list[tuple[Callable[[Network, np.ndarray], Any], str]] = [
    (lambda f, t: f(t[:-1], np.ones((1, 2))), r"theta: expected shape \(9,\), got an array of shape \(8,\)"),
    (lambda f, t: f(t[None], np.ones((1, 2))), r"theta: expected shape \(9,\)"),
    (lambda f, t: f(t + 1j, np.ones((1, 2))), "theta: expected real numbers"),
    (lambda f, t: f(t, np.ones(2)), "x: expected a batch: at least 2 axes"),
    (lambda f, t: f(t, [["a", "b"]]), "x: expected real numbers"),
    (lambda f, t: f(t, np.ones((1, 3))), r"x of Dense\(n_in=2"),
    (lambda f, t: f.vjp(t, np.ones((1, 2)))[1](np.ones((1, 2))), r"dy: expected shape \(1, 1\)"),
    (lambda f, t: f.vjp(t, np.ones((1, 2)))[1](np.ones((1, 1)), need="all"), "need: expected one of 'both'"),
    (lambda f, t: mlp([3]), "sizes: expected at least 2 sizes"),
    (lambda f, t: mlp([3, 0]), "n_out: expected an integer >= 1"),
    (lambda f, t: convnet(size=15), "size: expected an integer >= 16"),
    (lambda f, t: he((3,)), "shape: expected at least 2 axes"),
    (lambda f, t: glorot((3, 2), "cauchy"), "distribution: expected one of 'normal', 'uniform'"),
    (lambda f, t: minibatches(0, 1), "n: expected an integer >= 1"),
    (lambda f, t: minibatches(3, 0), "size: expected an integer >= 1"),
    (lambda f, t: subsets(3, 4), r"size: expected an integer in \[1, 3\]"),
    (lambda f, t: GradientEstimator(lambda t, b: t, [(0.5, (0,))]), "outcomes: expected probabilities that sum to 1"),
    (lambda f, t: GradientEstimator(lambda t, b: t, []), "outcomes: expected probabilities that sum to 1"),
    (lambda f, t: GradientEstimator(lambda t, b: t, [(2.0, ()), (-1.0, ())]), "probability: expected a number in"),
    (lambda f, t: uniform([]), "batches: expected at least one batch"),
    (lambda f, t: proportional([()]), "batches: expected none empty"),
    (lambda f, t: next(gradient_descent(lambda t: t, t, tau=0.0)), "tau: expected a finite number > 0"),
    (lambda f, t: next(sgd(lambda t, r: t, t, tau=np.nan)), "tau: expected a finite number > 0"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_input(call: Callable[[Network, np.ndarray], Any], message: str) -> None:
    f = mlp([2, 2, 1])
    with pytest.raises(ValueError, match=message):
        call(f, f.init(0))


def test_builders_have_the_published_sizes() -> None:
    assert mlp([784, 200, 80, 10]).size == 784 * 200 + 200 + 200 * 80 + 80 + 80 * 10 + 10
    assert mlp([3, 2], bias=False).size == 6
    assert convnet().size == 236_618
    assert resnet18().size == 11_173_962
    assert convnet(5, 3, 16)(convnet(5, 3, 16).init(0), np.ones((1, 3, 16, 16))).shape == (1, 5)
    assert [type(layer).__name__ for layer in mlp([4, 3, 2], Tanh(), ReLU()).layers] == [
        "Dense",
        "Tanh",
        "Dense",
        "ReLU",
    ]
    assert residual_block(4, 4) == Residual(
        [Conv2d(4, 4, 3, bias=False), BatchNorm2d(4), ReLU(), Conv2d(4, 4, 3, bias=False), BatchNorm2d(4)]
    )


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_variance_of_initial_weights(distribution: Any) -> None:
    shape = (60, 50, 3, 3)
    for rule, variance in ((he, 2 / (50 * 9)), (glorot, 2 / (50 * 9 + 60 * 9))):
        w = rule(shape, distribution, rng=0)
        assert w.shape == shape and abs(w.mean()) < 5 * (variance / w.size) ** 0.5
        assert abs(w.var() / variance - 1) < 5 * (2 / w.size) ** 0.5  # five standard deviations
        bound = np.inf if distribution == "normal" else (3 * variance) ** 0.5
        assert np.abs(w).max() <= bound


def test_initialize_draws_weights_and_keeps_the_rest() -> None:
    f = Network([BatchNorm2d(2), Residual([Conv2d(2, 2, 3)], w=0.5, learn=True), Flatten(), Dense(200, 100)])
    theta = initialize(f, glorot, "uniform", rng=0)
    views, own = f.views(theta), f.views(f.init(0))
    for name in ("0.weight", "0.bias", "1.w", "1.branch.0.bias", "3.bias"):
        np.testing.assert_array_equal(views[name], own[name])
    assert 0.95 * (6 / 300) ** 0.5 < np.abs(views["3.weight"]).max() <= (6 / 300) ** 0.5
    np.testing.assert_array_equal(initialize(f, glorot, "uniform", rng=0), theta)


def test_risk_and_its_gradient() -> None:
    f = mlp([2, 3, 4], Tanh())
    rng = np.random.default_rng(0)
    theta, v, x, y = f.init(0), rng.normal(size=f.size), rng.normal(size=(5, 2)), rng.integers(0, 4, 5)
    loss, h = CrossEntropy(), 1e-6
    value, gradient = risk_and_gradient(f, loss, theta, x, y)
    assert value == empirical_risk(f, loss, theta, x, y) == loss.value(f(theta, x), y)
    line = [empirical_risk(f, loss, theta + t * v, x, y) for t in (h, -h)]
    assert abs(gradient @ v - (line[0] - line[1]) / (2 * h)) <= 1e-8 * np.abs(gradient * v).sum()
    np.testing.assert_array_equal(
        batch_gradient(f, loss, x, y)(theta, (1, 3)), risk_and_gradient(f, loss, theta, x[[1, 3]], y[[1, 3]])[1]
    )


def test_row_numbers_count_from_either_end() -> None:
    f, x = mlp([1, 2, 1]), np.arange(3.0)[:, None]
    gradient, theta = batch_gradient(f, SquaredError(), x, x), f.init(0)
    np.testing.assert_array_equal(gradient(theta, [-3]), gradient(theta, [0]))
    for batch in ([3], [-4], [-4, 0], [0, 3]):
        with pytest.raises(ValueError, match="batch: expected a sequence of row numbers below 3"):
            gradient(theta, batch)


def test_probabilities_of_many_outcomes_sum_to_one_up_to_rounding() -> None:
    many = [(1e-5, (0,))] * 100_000
    assert abs(np.cumsum([p for p, _ in many])[-1] - 1) > 1e-12
    assert GradientEstimator(lambda theta, batch: theta, many)(np.ones(1), 0) == 1


def test_minibatches_partition_the_samples() -> None:
    batches = minibatches(10, 4, rng=0)
    assert [len(b) for b in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(10))
    assert len(minibatches(3, 8)) == 1
    for a, b in zip(batches, minibatches(10, 4, rng=np.random.default_rng(0))):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n, size", [(1, 1), (3, 2), (4, 2), (4, 3), (4, 4)])
def test_expectations_in_exact_rationals(n: int, size: int) -> None:
    """The minibatch mean of the values 1, 4, 9, ...: its expectation weighs every sample by 1 / n."""
    values = [Fraction((i + 1) ** 2) for i in range(n)]
    for outcomes in (subsets(n, size), with_replacement(n, size), reshuffled(n, size)):
        weights = [Fraction(1, len(outcomes))] * len(outcomes)
        means = [sum(values[i] for i in b) / len(b) for _, b in outcomes]
        assert sum(w * m for w, m in zip(weights, means)) == sum(values) / n
        assert all(p == 1 / len(outcomes) for p, _ in outcomes)


def test_a_fixed_unequal_partition_is_biased_unless_weighted() -> None:
    values = np.array([1.0, 4, 9])
    mean = lambda theta, batch: np.array([values[list(batch)].mean()])  # noqa: E731
    parts = [(0, 1), (2,)]
    assert GradientEstimator(mean, uniform(parts)).expectation(np.zeros(1)) == [5.75]
    assert abs(GradientEstimator(mean, proportional(parts)).expectation(np.zeros(1)) - 14 / 3) < 1e-15
    assert GradientEstimator(mean, uniform(parts)).variance(np.zeros(1)) == 3.25**2


def test_the_draws_follow_the_law() -> None:
    g = GradientEstimator(lambda theta, batch: theta + batch[0], [(0.25, (0,)), (0.75, (1,))])
    rng = np.random.default_rng(0)
    draws = [float(g(np.zeros(1), rng)[0]) for _ in range(4000)]
    assert abs(np.mean(draws) - 0.75) < 5 * (0.1875 / 4000) ** 0.5  # five standard deviations
    assert g(np.zeros(1), 7) == g(np.zeros(1), 7)


def test_gradient_descent_on_a_quadratic_and_sgd_without_noise() -> None:
    path = list(islice(gradient_descent(lambda t: t, [4, -8], tau=0.5), 4))
    np.testing.assert_array_equal(path, [[4, -8], [2, -4], [1, -2], [0.5, -1]])
    steps = list(islice(gradient_descent(lambda t: t, [1.0], tau=lambda k: 1 / (k + 2)), 4))
    np.testing.assert_allclose(np.ravel(steps), [1, 1 / 2, 1 / 3, 1 / 4], rtol=1e-15)
    g = GradientEstimator(lambda theta, batch: theta, [(1.0, (0,))])
    np.testing.assert_array_equal(list(islice(sgd(g, [4, -8], 0.5, rng=0), 4)), path)
    f32 = list(islice(gradient_descent(lambda t: t, np.ones(2, np.float32), 0.1), 3))
    assert f32[-1].dtype == np.float32


def test_squared_error_descends_on_a_network() -> None:
    f = mlp([1, 8, 1], Tanh())
    x = np.linspace(-1, 1, 16)[:, None]
    gradient = lambda theta: risk_and_gradient(f, SquaredError(), theta, x, x**2)[1]  # noqa: E731
    path = islice(gradient_descent(gradient, f.init(0), 0.05), 0, 200, 20)
    risks = [empirical_risk(f, SquaredError(), theta, x, x**2) for theta in path]
    assert all(b < a for a, b in pairwise(risks))
