"""Pointwise kernels against mpmath and against the NumPy formulas that define them, special values included."""

import numpy as np
import pytest
from parts import ways

from refimpl.numerics.compare import eps_error
from refimpl.numerics.jit import ENABLED
from refimpl.numerics.kernels import pointwise
from refimpl.setting import GELU, CrossEntropy, ReLU
from refimpl.setting.losses import log_softmax

TABLES = {np.float32: pointwise.SINGLE, np.float64: pointwise.DOUBLE}
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 1e-30, -1e-30]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def ulps(actual, exact, dtype):
    """|actual - exact| in units in the last place of exact."""
    mpmath = pytest.importorskip("mpmath")
    unit = np.spacing(np.maximum(np.abs(np.array(exact, dtype=dtype)), np.finfo(dtype).tiny))
    return np.array([float(abs(mpmath.mpf(float(a)) - e) / float(u)) for a, e, u in zip(actual, exact, unit)])


def points(low, dtype):
    rng = np.random.default_rng(3)
    return np.concatenate([np.linspace(low, -low, 401), rng.uniform(-3, 3, 300), rng.normal(size=100)]).astype(dtype)


def test_exp_within_two_ulp(dtype):
    mpmath = pytest.importorskip("mpmath")
    c = TABLES[dtype]
    x = -np.abs(points(float(c.least), dtype))
    y = np.array([pointwise._exp(v, dtype(0), c) for v in x]).astype(dtype)
    with mpmath.workdps(40):
        assert ulps(y, [mpmath.exp(mpmath.mpf(float(v))) for v in x], dtype).max() <= 2


def test_gelu_and_its_slope_to_the_stated_error(dtype):
    mpmath = pytest.importorskip("mpmath")
    x = points(-float(TABLES[dtype].far), dtype)
    y, slope = np.empty_like(x), np.empty_like(x)
    pointwise.gelu(x, y, slope)
    with mpmath.workdps(40):
        exact = [mpmath.mpf(float(v)) for v in x]
        values = [v * mpmath.ncdf(v) for v in exact]
        slopes = [mpmath.ncdf(v) + v * mpmath.npdf(v) for v in exact]
        normal = np.array([abs(v) > 40 * np.finfo(dtype).tiny for v in values])
        assert normal.mean() > 0.8
        assert ulps(y, values, dtype)[normal].max() <= 8
        tail = np.abs(x[~normal]) * np.finfo(dtype).smallest_subnormal
        assert (np.abs(y[~normal] - np.array(values, dtype)[~normal]) <= 2 * tail).all()
        assert max(abs(mpmath.mpf(float(a)) - e) for a, e in zip(slope, slopes)) <= 4 * float(np.finfo(dtype).eps)


@pytest.mark.parametrize("layer", [ReLU(), GELU()], ids=repr)
def test_layers_agree_with_their_formulas(layer, dtype):
    rng = np.random.default_rng(0)
    x = np.concatenate([SPECIAL, 3 * rng.normal(size=500)]).astype(dtype)
    dy = rng.normal(size=x.size).astype(dtype)
    dy[[3, 20]] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        y, cache = layer.forward({}, x)
        dx = layer.backward({}, cache, dy)[0]
        value = layer.value(x)
        assert eps_error(y, value, 4) <= 4
        assert eps_error(dx, dy * layer.slope(x, value), 4) <= 4
    assert y.dtype == dx.dtype == dtype


def test_relu_gradient_bit_for_bit(dtype):
    """dy times the slope at x, from max(x, 0): also the signs of zeros, NaN in dy, and 0 inf = NaN."""
    x, dy = (a.ravel().astype(dtype) for a in np.meshgrid(SPECIAL, [*SPECIAL, -2.0]))
    for kernel in ways(pointwise, "relu_backward"):
        dx = np.empty_like(x)
        with np.errstate(invalid="ignore"):
            kernel(x.size, np.maximum(x, 0) + dtype(0), dy, dx)
            expected = dy * np.heaviside(x, 0)
        assert np.array_equal(dx, expected, equal_nan=True)
        numbers = ~np.isnan(expected)
        assert np.array_equal(np.signbit(dx[numbers]), np.signbit(expected[numbers]))


def test_relu_bit_for_bit(dtype):
    """Of every length up to some vectors, with special values at every place; -0 becomes 0, NaN stays."""
    x = np.concatenate([SPECIAL, np.random.default_rng(0).normal(size=200)]).astype(dtype)
    for kernel in ways(pointwise, "relu"):
        for start in range(x.size):
            y = np.full(x.size - start, -1, dtype)
            kernel(y.size, x[start:], y)
            assert np.array_equal(y, np.maximum(x[start:], 0), equal_nan=True) and not np.signbit(y[y == 0]).any()


@pytest.mark.parametrize("label", [-1, 3, -(2**63), 2**63 - 1])
def test_a_label_out_of_range_makes_the_sum_nan(label, dtype):
    z = np.ones((4, 3), dtype)
    assert np.isnan(pointwise.cross_entropy(z, np.array([0, 1, 2, label]), np.empty_like(z)))
    assert pointwise.cross_entropy(z, np.array([0, 1, 2, 0]), np.empty_like(z)) > 0


@pytest.mark.parametrize("classes", [1, 2, 10, 300])
@pytest.mark.parametrize("scale", [1, 100])
def test_cross_entropy_against_longdouble(classes, scale, dtype):
    rng = np.random.default_rng(classes)
    z = (scale * rng.normal(size=(700, classes))).astype(dtype)
    labels = rng.integers(0, classes, 700)
    value, gradient = CrossEntropy().value_and_gradient(z, labels)
    exact, slope = CrossEntropy().value_and_gradient(z.astype(np.longdouble), labels)
    assert abs(value - float(exact)) <= 4 * np.finfo(dtype).eps * max(1, np.abs(z).max())
    assert eps_error(gradient, slope.astype(dtype), 1 / 700) <= 8 * scale  # the row maximum is subtracted in dtype


def test_cross_entropy_with_special_rows(dtype):
    """A NaN or infinite row is NaN and stays alone, -inf has probability 0."""
    z = np.zeros((4, 3), dtype)
    z[0, 1], z[1, 2], z[2, 0] = np.nan, np.inf, -np.inf
    labels, gradient = np.array([0, 1, 2, 0]), np.empty_like(z)
    with np.errstate(invalid="ignore"):
        value = pointwise.cross_entropy(z, labels, gradient)
    assert np.isnan(value)
    assert np.isnan(gradient[:2]).all()
    assert eps_error(gradient[2], np.array([0, 0.5, -0.5], dtype) / 4) <= 2
    assert eps_error(gradient[3], np.array([-2, 1, 1], dtype) / 12) <= 2
    assert eps_error(pointwise.cross_entropy(z[2:], labels[2:], gradient[2:]), np.log(6), 1) <= 2


@pytest.mark.skipif(not ENABLED, reason="the kernels are already plain Python")
def test_the_plain_bodies_compute_the_same(dtype):
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=30).astype(dtype), np.array([1, 0, 2])
    z = rng.normal(size=(3, 3)).astype(dtype)
    fast, plain = np.empty_like(z), np.empty_like(z)
    value = pointwise.cross_entropy(z, labels, fast)
    sums = np.empty(1)
    pointwise._cross_entropy.py_func(0, 1, z, labels, TABLES[dtype], plain, sums)
    assert eps_error(dtype(sums[0]), value, 8) <= 4
    assert eps_error(fast, plain, 1) <= 4
    assert eps_error(np.exp(log_softmax(z)) / 3 - np.eye(3)[labels] / 3, plain, 1) <= 4
    results = np.empty((2, 2, 30), dtype)
    pointwise.gelu(x, *results[0])
    pointwise._gelu.py_func(0, x.size, x, TABLES[dtype], *results[1])
    assert eps_error(results[0], results[1]) <= 4


def test_layers_take_strided_and_read_only_arrays(dtype):
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(dtype)
    x.setflags(write=False)
    for layer in (ReLU(), GELU()):
        whole, cache = layer.forward({}, x)
        part, part_cache = layer.forward({}, x[:, ::2])
        assert np.array_equal(whole[:, ::2], part)
        dx = layer.backward({}, part_cache, x[:, 1::2])[0]
        assert np.array_equal(layer.backward({}, cache, np.repeat(x[:, 1::2], 2, axis=1))[0][:, ::2], dx)
    labels = np.array([0, 1, 2, 0])
    a, b = (CrossEntropy().value_and_gradient(z, labels) for z in (x[:, ::2], x[:, ::2].copy()))
    assert a[0] == b[0] and np.array_equal(a[1], b[1])
