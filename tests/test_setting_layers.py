"""The contract of every layer: adjoint, differences, halves of the gradient, dtypes, NaN, bad input."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.numerics.jit import ENABLED
from refimpl.setting import (
    GELU,
    AdaptiveAveragePool2d,
    AveragePool2d,
    BatchNorm2d,
    Chain,
    Conv2d,
    Dense,
    Flatten,
    GlobalAveragePool,
    Identity,
    Layer,
    MaxPool2d,
    Network,
    ReLU,
    Residual,
    Sigmoid,
    Tanh,
    residual_block,
    softmax,
)
from refimpl.setting.activations import normal_cdf
from refimpl.setting.normalization import running_statistics


@dataclass(frozen=True)
class Case:
    """A layer, the shape of its input, how its derivative is found: "central" (exact on maps of degree <= 2 and
    on piecewise linear ones with a step that crosses no kink) or "complex" (analytic maps)."""

    layer: Layer
    shape: tuple[int, ...]
    derivative: str = "central"

    def __str__(self) -> str:
        return f"{self.layer!r}-{'x'.join(map(str, self.shape))}"


CONVOLUTIONS = [
    Case(Conv2d(2, 3, kernel, stride, padding), (2, 2, 6, 7))
    for padding in ("zero", "circular", "valid")
    for kernel, stride in ((1, 1), (2, 1), (3, 1), ((3, 2), 1), (3, 2), ((4, 3), (3, 1)), (5, 3), (2, 5))
]
POOLS = [
    Case(pool(size, stride, padding), (2, 3, 6, 7))
    for pool in (MaxPool2d, AveragePool2d)
    for size, stride, padding in ((2, None, 0), (3, 2, 1), ((2, 3), (1, 2), (1, 0)), (1, 4, 0), (4, 1, 2))
]
FIXED = BatchNorm2d(3, mean=np.array([0.5, -1.0, 0.0]), variance=np.array([1.0, 0.25, 2.0]))
CASES = [
    Case(Dense(4, 3), (5, 4)),
    Case(Dense(1, 2, bias=False), (1, 1)),
    *CONVOLUTIONS,
    Case(Conv2d(1, 1, 5, padding="circular", bias=False), (1, 1, 2, 3)),
    Case(Conv2d(2, 3, 3, winograd=True), (2, 2, 6, 7)),
    *POOLS,
    *[Case(AdaptiveAveragePool2d(n), (2, 2, 5, 7)) for n in (1, 2, 3, (5, 7), (8, 1))],
    Case(GlobalAveragePool(), (2, 2, 3, 1)),
    Case(Flatten(), (3, 2, 2, 1)),
    Case(Identity(), (2, 3)),
    Case(ReLU(), (3, 4)),
    Case(Sigmoid(), (3, 4), "complex"),
    Case(Tanh(), (3, 4), "complex"),
    Case(GELU(), (3, 4), "complex"),
    Case(BatchNorm2d(3), (4, 3, 2, 3), "complex"),
    Case(FIXED, (2, 3, 2, 3), "complex"),
    Case(Residual([Dense(3, 3), Tanh()]), (2, 3), "complex"),
    Case(Residual([Dense(3, 3), GELU()], w=0.5, learn=True), (2, 3), "complex"),
    Case(Residual([Dense(3, 2)], w=-2.0, learn=True, shortcut=[Dense(3, 2, bias=False)]), (2, 3), "complex"),
    Case(Chain([Dense(3, 4), Tanh(), Dense(4, 2)]), (2, 3), "complex"),
]
every_layer = pytest.mark.parametrize("case", CASES, ids=str)


def instance(
    case: Case, dtype: Any = np.float64, seed: int = 0
) -> tuple[dict, np.ndarray, dict, np.ndarray, np.ndarray]:
    """(params, x, directions of params, direction of x, dy), dyadic; max pooling gets distinct pixels."""
    rng = np.random.default_rng(seed)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        return np.asarray(rng.integers(-32, 32, shape) / 16).astype(dtype)

    params = {name: draw(shape) for name, shape in case.layer.shapes.items()}
    x = draw(case.shape)
    if isinstance(case.layer, (MaxPool2d, ReLU)):
        x = np.asarray(rng.permutation(x.size) - x.size // 2 + 0.5).reshape(x.shape).astype(dtype)
    directions = {name: draw(shape) for name, shape in case.layer.shapes.items()}
    dy = draw(case.layer.forward(params, x)[0].shape)
    return params, x, directions, draw(case.shape), dy


def derivative(
    case: Case, params: dict, x: np.ndarray, v: dict, dx: np.ndarray, how: str, h: float = 1.0
) -> np.ndarray:
    """D Phi(params, x)[v, dx] along the line params + t v, x + t dx."""

    def along(t: np.ndarray) -> np.ndarray:
        moved = {name: p + t[0] * v[name] for name, p in params.items()}
        return case.layer.forward(moved, x + t[0] * dx)[0]

    start, one = np.zeros(1, x.dtype), np.ones(1, x.dtype)
    if how == "complex":
        return compare.complex_step(along, start, one)
    return compare.central_difference(along, start, one, h)


@every_layer
def test_adjoint_is_flat_in_eps(case: Case) -> None:
    # k = 16: sums of at most 400 products of a scale that counts every term; batch normalisation divides by
    # sqrt(variance), hence 64 for the analytic ones.
    errors = {}
    for dtype in compare.rungs():
        params, x, v, dx, dy = instance(case, dtype)
        pulled_x, pulled = case.layer.backward(params, case.layer.forward(params, x)[1], dy)
        change = derivative(case, params, x, v, dx, case.derivative, h=2.0**-4)
        names = list(params)
        gradients, directions = [pulled_x, *(pulled[n] for n in names)], [dx, *(v[n] for n in names)]
        errors[np.dtype(dtype).name] = compare.adjoint_error(gradients, directions, dy, change)
    assert max(errors.values()) <= (16 if case.derivative == "central" else 64), errors


@every_layer
def test_central_differences_in_float64(case: Case) -> None:
    # Error of the difference quotient: h^2 times third derivatives, about 1e-9 here, plus eps / h, 1e-11.
    params, x, v, dx, dy = instance(case)
    pulled_x, pulled = case.layer.backward(params, case.layer.forward(params, x)[1], dy)
    change = np.sum(dy * derivative(case, params, x, v, dx, "central", h=1e-5))
    parts = [np.sum(pulled_x * dx), *(np.sum(pulled[n] * v[n]) for n in params)]
    assert abs(sum(parts) - change) <= 1e-7 * sum(map(abs, parts))


@every_layer
def test_inside_a_network(case: Case) -> None:
    tail = [Flatten(), Tanh(), Dense(int(np.prod(out_shape(case)[1:])), 2)]
    network = Network([case.layer, *tail])
    rng = np.random.default_rng(1)
    theta, v = rng.normal(size=(2, network.size))
    x, dx = instance(case)[1] / 4, rng.normal(size=case.shape)
    y, pullback = network.vjp(theta, x)
    dy = rng.normal(size=y.shape)
    pulled_x, pulled = pullback(dy)
    h = 1e-6
    change = np.sum(dy * (network(theta + h * v, x + h * dx) - network(theta - h * v, x - h * dx))) / (2 * h)
    scale = np.sum(np.abs(pulled_x * dx)) + np.sum(np.abs(pulled * v))
    assert abs(np.sum(pulled_x * dx) + pulled @ v - change) <= 1e-7 * scale


def out_shape(case: Case) -> tuple[int, ...]:
    params, x, *_ = instance(case)
    return case.layer.forward(params, x)[0].shape


@every_layer
def test_halves_of_the_gradient_agree(case: Case) -> None:
    params, x, _, _, dy = instance(case)
    cache = case.layer.forward(params, x)[1]
    dx, dparams = case.layer.backward(params, cache, dy)
    np.testing.assert_array_equal(case.layer.backward(params, cache, dy, "input")[0], dx)
    alone = case.layer.backward(params, cache, dy, "parameters")[1]
    assert {n: g.shape for n, g in alone.items()} == case.layer.shapes
    for name in alone:
        np.testing.assert_array_equal(alone[name], dparams[name])


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_keeps_dtype_and_inputs(case: Case, dtype: Any) -> None:
    params, x, _, _, dy = instance(case, dtype)
    for array in (x, dy, *params.values()):
        array.flags.writeable = False
    y, cache = case.layer.forward(params, x)
    dx, dparams = case.layer.backward(params, cache, dy)
    assert {a.dtype for a in (y, dx, *dparams.values())} == {np.dtype(dtype)}
    assert dx.shape == x.shape


@every_layer
def test_memory_layout_does_not_matter(case: Case) -> None:
    params, x, _, _, dy = instance(case)
    y, cache = case.layer.forward(params, x)
    dx, _ = case.layer.backward(params, cache, dy)
    spread_x, spread_dy = np.repeat(x, 2, axis=-1)[..., ::2], np.asfortranarray(dy)
    z, cache = case.layer.forward(params, spread_x)
    scale = max(1.0, np.abs(y).max())
    np.testing.assert_allclose(z, y, rtol=0, atol=64 * np.finfo(float).eps * scale)
    again = case.layer.backward(params, cache, spread_dy)[0]
    np.testing.assert_allclose(again, dx, rtol=0, atol=64 * np.finfo(float).eps * max(1.0, np.abs(dx).max()))


@every_layer
def test_nan_reaches_the_output_and_the_gradient(case: Case) -> None:
    params, x, _, _, dy = instance(case)
    x = x.copy()
    x[(0,) * x.ndim] = np.nan
    y, cache = case.layer.forward(params, x)
    assert np.isnan(y).any()
    dy = dy.copy()
    dy[(0,) * dy.ndim] = np.nan
    assert np.isnan(case.layer.backward(params, cache, dy)[0]).any()


@every_layer
def test_empty_batch(case: Case) -> None:
    params = instance(case)[0]
    x = np.zeros((0, *case.shape[1:]))
    if type(case.layer) is BatchNorm2d and case.layer.mean is None:
        with pytest.raises(ValueError, match="at least 2 values a channel"):
            case.layer.forward(params, x)
        return
    y, cache = case.layer.forward(params, x)
    dx, dparams = case.layer.backward(params, cache, np.zeros(y.shape))
    assert len(y) == 0 and dx.shape == x.shape
    assert all(not g.any() and g.shape == case.layer.shapes[n] for n, g in dparams.items())


BAD_LAYERS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Dense(0, 3), "n_in: expected an integer >= 1"),
    (lambda: Dense(3, 2.0), "n_out: expected an integer >= 1"),
    (lambda: Conv2d(1, 1, 0), "kernel: expected an integer >= 1"),
    (lambda: Conv2d(1, 1, (3, 3, 3)), "kernel: expected an integer >= 1 or a pair"),
    (lambda: Conv2d(1, 1, 3, stride=0), "stride: expected an integer >= 1"),
    (lambda: Conv2d(1, 1, 3, padding="same"), "padding: expected one of 'zero', 'circular', 'valid'"),
    (lambda: Conv2d(True, 1, 3), "c_in: expected an integer"),
    (lambda: MaxPool2d(0), "size: expected an integer >= 1"),
    (lambda: MaxPool2d(2, padding=2), "padding: expected at most half the size"),
    (lambda: AveragePool2d(2, stride=-1), "stride: expected an integer >= 1"),
    (lambda: AdaptiveAveragePool2d(0), "output: expected an integer >= 1"),
    (lambda: BatchNorm2d(0), "channels: expected an integer >= 1"),
    (lambda: BatchNorm2d(2, eps=0), "eps: expected a finite number > 0"),
    (lambda: BatchNorm2d(2, mean=np.zeros(2)), "mean and variance: expected both or none"),
    (lambda: BatchNorm2d(2, mean=np.zeros(2), variance=np.ones(3)), r"variance: expected shape \(2,\)"),
    (lambda: BatchNorm2d(1, mean=np.zeros(1), variance=-np.ones(1)), "variance: expected numbers >= 0"),
    (lambda: Residual([Dense(2, 2)], w=np.nan), "w: expected a finite real number"),
    (lambda: Residual(Dense(2, 2)), "layers: expected a sequence of layers"),
    (lambda: Network([Dense(2, 2), "relu"]), r"layers\[1\]: expected a Layer, got 'relu'"),
]


@pytest.mark.parametrize("make, message", BAD_LAYERS)
def test_bad_hyper_parameters(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


BAD_INPUTS = [
    (Dense(3, 2), (4, 2), r"x of Dense\(n_in=3.*expected shape \(any, 3\), got shape \(4, 2\)"),
    (Dense(3, 2), (4, 3, 1), "expected shape"),
    (Conv2d(2, 1, 3), (1, 3, 5, 5), r"expected shape \(any, 2, any, any\)"),
    (Conv2d(1, 1, 3, padding="valid"), (1, 1, 2, 5), "at least 3 x 3 pixels"),
    (Conv2d(1, 1, 3, padding="circular"), (1, 1, 0, 5), "at least 1 x 1 pixels"),
    (MaxPool2d(3), (1, 1, 2, 5), "at least one window"),
    (AveragePool2d(3), (1, 4), "expected shape"),
    (AdaptiveAveragePool2d(1), (1, 1, 0, 2), "at least one pixel"),
    (BatchNorm2d(2), (1, 2, 1, 1), "at least 2 values a channel"),
    (Residual([Dense(3, 2)]), (4, 3), r"expected the output shape \(4, 3\) of the shortcut, got shape \(4, 2\)"),
]


@pytest.mark.parametrize("layer, shape, message", BAD_INPUTS)
def test_bad_inputs_name_the_layer(layer: Layer, shape: tuple[int, ...], message: str) -> None:
    network = Network([layer])
    with pytest.raises(ValueError, match=message):
        network(network.init(0), np.zeros(shape))


def test_smallest_inputs() -> None:
    """Two values a channel can be normalised, and an image as large as the kernel has one valid window."""
    two = np.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    y, _ = BatchNorm2d(1).forward({"weight": np.ones(1), "bias": np.zeros(1)}, two)
    np.testing.assert_allclose(y.ravel(), [-1, 1], rtol=1e-5)
    y, _ = Conv2d(1, 1, 3, padding="valid", bias=False).forward(
        {"weight": np.ones((1, 1, 3, 3))}, np.ones((1, 1, 3, 3))
    )
    np.testing.assert_array_equal(y, [[[[9]]]])


def test_normal_cdf_is_zero_or_one_far_out_in_longdouble() -> None:
    x = np.linspace(10.01, 10.9, 100).astype(np.longdouble)
    np.testing.assert_array_equal(normal_cdf(-x), np.zeros(100))
    np.testing.assert_array_equal(normal_cdf(x), np.ones(100))


def test_residual_layer_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    W, b, z, w = rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=(4, 3)), 0.7
    params = {"branch.0.weight": W, "branch.0.bias": b, "w": np.array(w)}
    expected = np.array([w * zi + np.tanh(W @ zi + b) for zi in z])  # (4.2)
    actual = Residual([Dense(3, 3), Tanh()], learn=True).forward(params, z)[0]
    assert compare.eps_error(actual, expected) <= 8
    assert Residual([Dense(3, 3), Tanh()], w=w, learn=True).init(np.random.default_rng(0))["w"] == w


@pytest.mark.parametrize(
    "window, size, served",
    [
        ((2, 2, 0), (4, 8), True),
        ((2, 2, 0), (4, 10), True),
        ((2, 2, 0), (5, 8), False),
        ((2, 2, 0), (4, 9), False),
        ((2, 2, 0), (4, 6), False),
        ((3, 2, 1), (4, 8), False),
        ((2, 1, 0), (4, 8), False),
        ((2, 2, 1), (4, 8), False),
        ((1, 2, 0), (4, 8), False),
    ],
)
def test_max_pool_is_one_function_whichever_kernel_serves(window: Any, size: Any, served: bool) -> None:
    layer = MaxPool2d(*window)
    x = np.random.default_rng(0).integers(-3, 4, (2, 3, *size)).astype(np.float32)
    assert layer._halves(x) == (served and ENABLED)
    y, cache = layer.forward({}, x[:, ::2])
    dx = layer.backward({}, cache, np.arange(y.size, dtype=np.float32).reshape(y.shape)[..., ::-1])[0]
    exact, cache = layer.forward({}, x[:, ::2].astype(np.longdouble))
    assert np.array_equal(y, exact)
    dy = np.arange(y.size, dtype=np.longdouble).reshape(y.shape)[..., ::-1]
    assert np.array_equal(dx, layer.backward({}, cache, dy)[0])


def test_max_pool_ties_and_nan() -> None:
    layer = MaxPool2d(2)
    for window, winner in (
        ([1.0, 1, 0, 1], 0),
        ([0, np.nan, 9, np.nan], 1),
        ([-np.inf] * 4, 0),
        ([-1, -0.0, 0, -2], 1),
    ):
        y, cache = layer.forward({}, np.array(window).reshape(1, 1, 2, 2))
        assert np.array_equal(y.ravel(), [window[winner]], equal_nan=True)
        dx = layer.backward({}, cache, np.ones((1, 1, 1, 1)))[0]
        assert np.flatnonzero(dx) == [winner]


def test_average_pool_counts_padding() -> None:
    y = AveragePool2d(2, 1, 1).forward({}, np.full((1, 1, 1, 1), 8.0))[0]
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), 2.0))


def test_adaptive_bins_of_seven_pixels_by_three() -> None:
    y = AdaptiveAveragePool2d((1, 3)).forward({}, np.arange(7.0).reshape(1, 1, 1, 7))[0]
    np.testing.assert_array_equal(y.ravel(), [1, 3, 5])  # pixels 0-2, 2-4, 4-6


def test_batch_norm_whitens_then_follows_fixed_statistics() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (8, 2, 4, 4))
    layer = BatchNorm2d(2, eps=1e-12)
    network = Network([layer])
    theta = network.init(0)
    y, pullback = network.vjp(theta, x)
    assert np.abs(y.mean(axis=(0, 2, 3))).max() < 1e-14 and np.abs(y.var(axis=(0, 2, 3)) - 1).max() < 1e-11
    statistics = pullback.statistics
    np.testing.assert_allclose(statistics["0.variance"], x.var(axis=(0, 2, 3), ddof=1), rtol=1e-14)
    frozen = network.evaluation(statistics)
    np.testing.assert_allclose(frozen(theta, x[:1]), frozen(theta, x)[:1], rtol=1e-15)
    assert frozen.vjp(theta, x)[1].statistics == {}
    with pytest.raises(ValueError, match="mean and variance of every batch normalisation"):
        network.evaluation({})


def test_batch_norm_of_a_constant_channel() -> None:
    """A variance of 0 is one: xhat = (x - mean) / sqrt(eps)."""
    layer = BatchNorm2d(1, eps=0.25, mean=np.array([1.0]), variance=np.zeros(1))
    y, _ = layer.forward({"weight": np.ones(1), "bias": np.zeros(1)}, np.full((1, 1, 1, 2), 3.0))
    np.testing.assert_array_equal(y.ravel(), [4, 4])


def test_running_statistics_are_pure_and_geometric() -> None:
    batch = {"0.mean": np.array([2.0]), "0.variance": np.array([3.0])}
    running = None
    for _ in range(5):
        running = running_statistics(running, batch, momentum=0.5)
    assert running["0.mean"] == 2 * (1 - 0.5**5) and running["0.variance"] == 3 - 2 * 0.5**5
    assert batch["0.mean"] == 2.0
    with pytest.raises(ValueError, match="running: expected the names"):
        running_statistics({}, batch)


def test_statistics_reach_into_residual_blocks() -> None:
    network = Network([residual_block(2, 3, 2)])
    x = np.random.default_rng(0).normal(size=(4, 2, 6, 6))
    theta = network.init(0)
    y, pullback = network.vjp(theta, x)
    names = {name.rsplit(".", 1)[0] for name in pullback.statistics}
    assert names == {"0.branch.1", "0.branch.4", "0.shortcut.1"}
    biased = {n: s * (35 / 36 if n.endswith("variance") else 1) for n, s in pullback.statistics.items()}
    np.testing.assert_allclose(network.evaluation(biased)(theta, x), y, rtol=0, atol=1e-13)


@pytest.mark.parametrize("sigma", [ReLU(), Sigmoid(), Tanh(), GELU(), Identity()], ids=repr)
def test_lipschitz_constants_are_attained_and_never_exceeded(sigma: Any) -> None:
    x = np.linspace(-8, 8, 160_001)
    slopes = np.abs(sigma.slope(x, sigma.value(x)))
    assert slopes.max() <= sigma.lipschitz * (1 + 4e-16)
    assert slopes.max() >= sigma.lipschitz - 1e-8


@pytest.mark.parametrize("dtype", compare.rungs())
@pytest.mark.parametrize("sigma", [ReLU(), Sigmoid(), Tanh(), GELU()], ids=repr)
def test_activations_at_the_ends_of_the_line(sigma: Any, dtype: Any) -> None:
    low, high = {"ReLU": (0, np.inf), "Sigmoid": (0, 1), "Tanh": (-1, 1), "GELU": (0, np.inf)}[type(sigma).__name__]
    top = np.finfo(dtype).max
    x = np.array([-np.inf, -top, -1e4, 1e4, top, np.inf, np.nan], dtype)
    y = sigma.value(x)
    grows = high == np.inf
    np.testing.assert_array_equal(y, np.array([low, low, low, *(x[3:6] if grows else [high] * 3), np.nan], dtype))
    assert not sigma.slope(x, y)[:3].any()
    np.testing.assert_array_equal(sigma.slope(x, y)[3:], np.array([float(grows)] * 3 + [np.nan], dtype))


def test_gelu_against_mpmath() -> None:
    mpmath = pytest.importorskip("mpmath")
    points = [-12, -9.5, -3, -0.75, -(2.0**-20), 0, 0.5, 1.5, 4, 9.75, 11]
    with mpmath.workdps(30):
        values = [x * mpmath.ncdf(x) for x in points]
        slopes = [mpmath.ncdf(x) + x * mpmath.npdf(x) for x in points]
        for dtype in compare.rungs():
            x = np.array(points, dtype)
            for actual, exact in ((GELU().value(x), values), (GELU().slope(x, x), slopes)):
                errors = [abs(mpmath.mpf(str(a)) - e) / max(1, abs(e)) for a, e in zip(actual, exact)]
                assert max(errors) <= 8 * float(np.finfo(dtype).eps)


def test_softmax_shift_and_sum() -> None:
    z = np.array([[1e4, -1e4, 0.0], [3.0, 1.0, 2.0]])
    np.testing.assert_array_equal(softmax(z[:1]), [[1, 0, 0]])
    np.testing.assert_array_equal(softmax(z + 1024), softmax(z))
    assert abs(softmax(z).sum() - 2) <= 4e-16
