"""Examples 4.2 and 4.3 against mpmath, exact rationals and their definitions."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.setting import CrossEntropy, SquaredError, cross_entropy, log_softmax, softmax


def test_squared_error_in_exact_rationals() -> None:
    y, target = np.array([[[1.0, 2], [0, 4]], [[0.5, 0], [1, 1]]]), np.ones((2, 2, 2))
    exact = [sum(Fraction(a - 1) ** 2 for a in sample.ravel().tolist()) / 4 for sample in y]
    loss = SquaredError()
    assert [Fraction(v) for v in loss.values(y, target).tolist()] == exact
    assert Fraction(loss.value(y, target)) == sum(exact) / 2
    np.testing.assert_array_equal(loss.gradient(y, target), (y - 1) / 4)
    assert loss.value_and_gradient(y, target)[0] == loss.value(y, target)


@pytest.mark.parametrize("scale", [1, 40, 1e4, 1e300])
def test_cross_entropy_against_mpmath(scale: float) -> None:
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(0)
    z, soft = scale * rng.uniform(-1, 1, (4, 3)), rng.dirichlet(np.ones(3), 4)
    labels = rng.integers(0, 3, 4)
    onehot = np.eye(3)[labels]
    for target, p in ((labels, onehot), (soft, soft)):
        values, gradient = CrossEntropy().values(z, target), CrossEntropy().gradient(z, target)
        with mpmath.workdps(40):
            for b in range(4):
                top = max(map(mpmath.mpf, z[b]))
                powers = [mpmath.exp(mpmath.mpf(c) - top) for c in z[b]]
                total = sum(powers)
                exact = (
                    mpmath.log(total)
                    + top
                    - sum(mpmath.mpf(a) * mpmath.mpf(c) for a, c in zip(p[b], z[b])) / sum(map(mpmath.mpf, p[b]))
                )
                assert abs(float(values[b] - exact)) <= 16 * 2.0**-52 * max(1, scale)  # differences of logits
                for c in range(3):
                    slope = (powers[c] / total - mpmath.mpf(p[b, c])) / 4
                    assert abs(float(gradient[b, c] - slope)) <= 4 * 2.0**-52 * max(1, min(scale, 745))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_dtype_and_finiteness_at_huge_logits(dtype: Any) -> None:
    z = np.array([[1e4, -1e4], [-1e4, 1e4]], dtype)
    for target in ([0, 0], np.array([[1.0, 0], [1, 0]])):
        values, gradient = CrossEntropy().values(z, target), CrossEntropy().gradient(z, target)
        np.testing.assert_array_equal(values, np.array([0, 2e4], dtype))
        np.testing.assert_array_equal(gradient, np.array([[0, 0], [-0.5, 0.5]], dtype))
        assert values.dtype == gradient.dtype == dtype
        assert CrossEntropy().value_and_gradient(z, target)[0] == 1e4
    assert SquaredError().gradient(z, np.zeros((2, 2))).dtype == dtype


def test_gradients_are_derivatives() -> None:
    rng = np.random.default_rng(0)
    y, v, target = rng.normal(size=(3, 4, 5))
    for loss, t in (
        (SquaredError(), target),
        (CrossEntropy(), softmax(target)),
        (CrossEntropy(), rng.integers(0, 5, 4)),
    ):
        h = 1e-6
        change = (loss.value(y + h * v, t) - loss.value(y - h * v, t)) / (2 * h)
        scale = np.abs(loss.gradient(y, t) * v).sum()
        assert abs(np.sum(loss.gradient(y, t) * v) - change) <= 1e-8 * scale


def test_entropy_of_distributions() -> None:
    p, q = np.array([[0.5, 0.5, 0.0], [1, 0, 0]]), np.array([[0.25, 0.25, 0.5], [0, 0.5, 0.5]])
    np.testing.assert_allclose(cross_entropy(p, q), [np.log(4), np.inf], rtol=1e-15)
    np.testing.assert_allclose(cross_entropy(p, p), [np.log(2), 0], rtol=1e-15)
    assert cross_entropy([1.0, 0.0], [1.0, 0.0]) == 0


def test_log_softmax_is_the_logarithm() -> None:
    z = np.random.default_rng(0).normal(size=(5, 7))
    assert compare.eps_error(np.exp(log_softmax(z)), softmax(z)) <= 8
    np.testing.assert_array_equal(log_softmax([0.0, -np.inf]), [0, -np.inf])


def test_nan_stays_in_its_sample() -> None:
    z = np.array([[np.nan, 0], [0, 0]])
    for target in ([1, 1], [[0, 1.0], [0, 1.0]]):
        np.testing.assert_array_equal(np.isnan(CrossEntropy().values(z, target)), [True, False])
        np.testing.assert_array_equal(np.isnan(CrossEntropy().gradient(z, target)), [[True] * 2, [False] * 2])
    np.testing.assert_array_equal(np.isnan(SquaredError().values(z, np.zeros((2, 2)))), [True, False])


Z = np.zeros((2, 3))
BAD = [
    (CrossEntropy(), Z[0], [0, 1], "logits: expected 2 axes"),
    (CrossEntropy(), Z, [0, 1, 2], "labels: expected 2 integer labels"),
    (CrossEntropy(), Z, [0, 3], r"labels: expected labels in 0 ... 2, got values from 0 to 3"),
    (CrossEntropy(), Z, [0.0, 1.0], "labels: expected 2 integer labels"),
    (CrossEntropy(), Z, np.ones((2, 2)) / 2, r"labels: expected shape \(2, 3\)"),
    (CrossEntropy(), Z, np.ones((2, 3)), "labels: expected distributions"),
    (CrossEntropy(), Z, [[2.0, -1, 0]] * 2, "labels: expected distributions"),
    (CrossEntropy(), Z, [[0.5, 0.501, 0]] * 2, "labels: expected distributions"),
    (CrossEntropy(), np.zeros((0, 3)), np.zeros(0, int), "logits: expected at least one entry"),
    (SquaredError(), Z, Z.T, r"target: expected the shape \(2, 3\) of y"),
    (SquaredError(), np.zeros((0, 3)), np.zeros((0, 3)), "y: expected at least one entry"),
    (SquaredError(), 1.0, 1.0, "y: expected a batch"),
    (SquaredError(), Z, Z + 1j, "target: expected real numbers"),
]


@pytest.mark.parametrize("loss, y, target, message", BAD)
def test_bad_input(loss: Any, y: Any, target: Any, message: str) -> None:
    for call in (loss.value, loss.values, loss.gradient, loss.value_and_gradient):
        with pytest.raises(ValueError, match=message):
            call(y, target)
