"""Every shrinkage kernel against its plain twin, bit for bit where entries are separate, and as plain Python."""

from fractions import Fraction

import numpy as np
import pytest
from parts import ways

from refimpl.numerics import compare
from refimpl.numerics.jit import ENABLED
from refimpl.numerics.kernels import lanes, shrinkage
from refimpl.numerics.threads import team

DTYPES = [np.float32, np.float64]
SPECIAL = [0.0, -0.0, 0.25, -0.25, np.inf, -np.inf, np.nan, 1e-30, 3.0]


def vectors(dtype, count, n=501):
    rng = np.random.default_rng(7)
    return [np.concatenate([SPECIAL, rng.normal(size=n)]).astype(dtype)] + [
        rng.normal(size=n + len(SPECIAL)).astype(dtype) for _ in range(count - 1)
    ]


def soft(x, t):
    """v minus its projection onto [-t, t]."""
    return x - np.clip(x, -t, t)


def both(kernel):
    """The compiled kernel and its plain Python body."""
    return {kernel, getattr(kernel, "py_func", kernel)}


def same_bits(a, b):
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_linbreg_soft(dtype):
    tau, delta, t = map(dtype, (0.3, 0.7, 0.25))
    for kernel in ways(shrinkage, "linbreg_soft"):
        v, g = vectors(dtype, 2)
        theta, expected = np.empty_like(v), v - tau * g
        kernel(v.size, v, g, tau, delta, t, theta)
        assert same_bits(v, expected)
        assert same_bits(theta, soft(delta * expected, t))
        assert np.isnan(theta[SPECIAL.index(3.0) - 2])


@pytest.mark.parametrize("dtype", DTYPES)
def test_momentum_soft(dtype):
    beta, rate, delta, t = map(dtype, (0.9, 0.03, 0.7, 0.25))
    for kernel in ways(shrinkage, "momentum_soft"):
        v, m, g = vectors(dtype, 3)
        theta, moved = np.empty_like(v), beta * m + rate * g
        expected = v - moved
        kernel(v.size, v, m, g, beta, rate, delta, t, theta)
        assert same_bits(m, moved) and same_bits(v, expected)
        assert same_bits(theta, soft(delta * expected, t))


@pytest.mark.parametrize("dtype", DTYPES)
def test_adabreg_soft(dtype):
    b1, c1, b2, c2, rate, root, eps, delta, t = map(dtype, (0.9, 0.1, 0.999, 0.001, 0.01, 0.2, 1e-8, 0.7, 0.25))
    for kernel in ways(shrinkage, "adabreg_soft"):
        v, m, g, s = vectors(dtype, 4)
        s = np.abs(s)
        theta, first, second = np.empty_like(v), b1 * m + c1 * g, b2 * s + c2 * (g * g)
        expected = v - rate * (first / (np.sqrt(second) / root + eps))
        kernel(v.size, v, m, s, g, rate, root, b1, c1, b2, c2, eps, delta, t, theta)
        assert same_bits(m, first) and same_bits(s, second) and same_bits(v, expected)
        assert same_bits(theta, soft(delta * expected, t))


def compiled(function):
    """The function, compiled; without the cache of kernels."""
    return pytest.importorskip("numba").njit(error_model="numpy")(function) if ENABLED else function


def quotients(x, b):
    """x / b as AdaBreg computes it, for many x."""

    def loop(x, b, r, out):
        for i in range(x.size):
            out[i] = shrinkage._quotient(x[i], b, r)

    out = np.empty_like(x)
    compiled(loop)(x, b, x.dtype.type(1) / b, out)
    return out


def divisors(dtype):
    """Roots of 1 - beta^k, the ends of (0, 1] and of a binade, and random mantissas."""
    rng, one = np.random.default_rng(11), dtype(1)
    decays = [(0.9, 1), (0.99, 3), (0.999, 1), (0.999, 70), (0.9999, 2), (0.999, 10**5), (1 - 2.0**-53, 1)]
    ends = [one, np.nextafter(one, 0), dtype(0.5), np.nextafter(dtype(0.5), one), dtype(0.75)]
    return ends + [dtype(np.sqrt(1 - b**k)) for b, k in decays] + list(rng.uniform(0, 1, 8).astype(dtype))


@pytest.mark.skipif(not ENABLED, reason="without compilation it is a division")
def test_quotients_of_all_float32_mantissas_are_those_of_division():
    x = (0x3F800000 + np.arange(1 << 23, dtype=np.uint32)).view(np.float32)
    for b in divisors(np.float32):
        assert np.array_equal(quotients(x, b).view(np.uint32), (x / b).view(np.uint32))


@pytest.mark.parametrize("dtype", DTYPES)
def test_quotients_near_ties_and_at_the_ends_of_the_range_are_those_of_division(dtype):
    """x near (y + half an ulp) b for random y, where the quotient almost lies between two numbers; and roots of all."""
    n, info = (200_000, np.finfo(dtype)) if ENABLED else (500, np.finfo(dtype))
    rng = np.random.default_rng(5)
    y = rng.uniform(1, 2, n).astype(dtype)
    middle = y.astype(np.longdouble) + np.spacing(y).astype(np.longdouble) / 2
    ends = np.sqrt(np.array([0, np.inf, np.nan, info.smallest_subnormal, info.tiny, info.max], dtype))
    sizes = np.exp(rng.uniform(np.log(float(ends[3])), np.log(float(ends[5])), n)).astype(dtype)
    for b in divisors(dtype):
        x = np.concatenate([(middle * b).astype(dtype), np.sqrt(y), sizes, ends])
        assert quotients(x, b).tobytes() == (x / b).tobytes()


def ragged(rng, n):
    cuts = np.unique(rng.integers(1, n, n // 12))
    return np.append(cuts, n)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(3))
def test_groups(dtype, seed):
    """Norms and shrinkage of ragged groups, some of them zero, against longdouble; the fused step equals two steps."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=3000).astype(dtype)
    ends = ragged(rng, x.size)
    starts = np.append(0, ends[:-1])
    x[starts[3] : ends[3]] = 0
    wide = x.astype(np.longdouble)
    exact = np.sqrt(np.add.reduceat(wide * wide, starts))
    t = exact.astype(float) * rng.choice([0.0, 0.3, 0.9, 0.99, 1.5], ends.size) + (exact == 0)
    factors = np.maximum(1 - t / np.where(exact == 0, 1, exact), 0)
    for kernel in both(shrinkage.group_norms):
        out = np.empty(ends.size, dtype)
        kernel(x, ends, out)
        assert compare.ulp_error(out, exact) <= 1
    for kernel in ways(shrinkage, "shrink_groups"):
        out = np.empty_like(x)
        kernel(ends.size, x, ends, t, out)
        assert compare.ulp_error(out, wide * np.repeat(factors, ends - starts)) <= 4
    for kernel in ways(shrinkage, "linbreg_groups"):
        v, g = x.copy(), rng.normal(size=x.size).astype(dtype)
        theta, expected, tau, delta = np.empty_like(v), v - dtype(0.3) * g, dtype(0.3), dtype(0.7)
        kernel(ends.size, v, g, tau, delta, ends, t, theta)
        shrunk = np.empty_like(v)
        shrinkage.shrink_groups(team(1), delta * expected, ends, t, shrunk)
        assert same_bits(v, expected) and same_bits(theta, shrunk)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 2, 9, 25, 31, 32, 33, 784, 5000])
def test_factors_are_exact_near_and_far_from_the_threshold(dtype, size):
    """(n^2 - t^2) / (n (n + t)) in longdouble, for n/t from 1.01 to 100."""
    rng, count = np.random.default_rng(size), max(20, 20_000 // size)
    x = rng.normal(size=(count, size)).astype(dtype)
    wide = x.astype(np.longdouble)
    n = np.sqrt(np.sum(wide * wide, axis=1))
    t = (n / np.exp(rng.uniform(np.log(1.01), np.log(100), count))).astype(float)
    out = np.empty_like(x)
    shrinkage.shrink_groups(team(1), x.reshape(-1), size * np.arange(1, count + 1), t, out.reshape(-1))
    far, factors = n >= 1.4 * t, (n * n - t.astype(np.longdouble) ** 2) / (n * (n + t))
    exact = wide * factors[:, None]
    assert compare.ulp_error(out, exact) <= 5
    assert compare.ulp_error(out[far], exact[far]) <= 4


@pytest.mark.parametrize("delta", [None, 0.7])
@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors_and_their_plain_twins_do_what_they_say(dtype, delta):
    """Sums of squares in rationals and products entry by entry, of runs of every length up to two blocks and more."""

    def run(x, delta, a, b, limit, scale, factor, out):
        high, low = lanes.exact_squares(x, delta, a, b, limit, scale)
        lanes.scaled(x, delta, a, b, limit, factor, out)
        return lanes.squares(x, delta, a, b, limit), high, low

    def plain(x, delta, a, b, limit, scale, factor, out):
        high, low = lanes._plain_exact_squares(x, delta, a, b, limit, scale)
        lanes._plain_scaled(x, delta, a, b, limit, factor, out)
        return lanes._plain_squares(x, delta, a, b, limit), high, low

    delta, x = delta and dtype(delta), np.random.default_rng(3).normal(size=200).astype(dtype)
    for function in (compiled(run), plain):
        for length in range(71):
            a, b, limit, out = 5, 5 + length, 5 + length + (length % 3) * 16, np.full(200, -9, dtype)
            y = x if delta is None else x * delta
            square, high, low = function(x, delta, a, b, limit, 2.0**-3, dtype(0.3), out)
            exact = sum((Fraction(float(z)) ** 2 for z in y[a:b]), Fraction(0))
            assert abs(Fraction(square) - exact) <= exact * 2**-50
            assert abs(64 * (Fraction(high) + Fraction(low)) - exact) <= exact * 2**-98
            assert np.array_equal(out[a:b], y[a:b] * dtype(0.3)) and (out[:a] == -9).all() and (out[limit:] == -9).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_with_special_entries(dtype):
    """NaN spreads over its group, an infinite group passes, zeros stay, and the range ends where the dtype's does."""
    huge, tiny = np.finfo(dtype).max, np.finfo(dtype).tiny / 8  # tiny / 8 is subnormal
    x = np.array([np.nan, 1, np.inf, -2, 0, 0, huge, -huge / 2, tiny, tiny, np.nan, np.inf, 3, -4], dtype)
    ends = np.arange(2, 15, 2)
    t = np.array([0.5, 0.5, 0.5, float(huge) / 4, float(tiny), 1.0, 5.0])
    for kernel in ways(shrinkage, "shrink_groups"):
        out = np.empty_like(x)
        with np.errstate(all="ignore"):
            kernel(ends.size, x, ends, t, out)
        assert np.all(np.isnan(out[[0, 1, 10, 11]]))
        assert out[2:6].tolist() == [np.inf, -2, 0, 0]
        assert out[6:8] == pytest.approx(x[6:8] * (1 - 0.25 / np.sqrt(1.25)), rel=1e-6)
        assert out[8:10] == pytest.approx(x[8:10] * (1 - 1 / np.sqrt(2)), rel=1e-6 if dtype is np.float64 else 1e-5)
        assert out[12:].tolist() == [0, 0]
    for kernel in both(shrinkage.group_norms):
        norms = np.empty(7, dtype)
        with np.errstate(all="ignore"):
            kernel(x, ends, norms)
        assert np.isnan(norms[[0, 5]]).all()
        assert norms[[1, 2, 6]].tolist() == [np.inf, 0, 5]
        assert norms[4] == pytest.approx(float(tiny) * np.sqrt(2), rel=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_near_the_threshold_nothing_cancels(dtype):
    """|x| = 5 (1 + 2^-40) against t = 5, in integers: n^2 - t^2 is known exactly."""
    x = np.array([3, 4], dtype)
    for k in (10, 20, 40):
        t = 5 * (1 - 2.0**-k)
        out = np.empty(2, dtype)
        shrinkage.shrink_groups(team(1), x, np.array([2]), np.array([t]), out)
        assert compare.ulp_error(out, x.astype(np.longdouble) * np.longdouble(2.0**-k)) <= 4
        shrinkage.shrink_groups(team(1), x, np.array([2]), np.array([5 / (1 - 2.0**-k)]), out)
        assert np.all(out == 0)


def test_no_entries():
    empty = np.empty(0)
    shrinkage.linbreg_soft(team(1), empty, empty, 0.1, 1.0, 0.1, empty)
    shrinkage.shrink_groups(team(1), empty, np.empty(0, np.int64), empty, empty)
    out = np.full(2, np.nan)
    shrinkage.group_norms(empty, np.zeros(2, np.int64), out)
    assert out.tolist() == [0, 0]


def test_fused_group_steps_of_many_tiles():
    """Groups with thresholds of their own, over several tiles of some thousand entries."""
    v, g = np.random.default_rng(5).normal(size=(2, 15_000))
    ends, t, theta = np.arange(1000, 15_001, 1000), np.linspace(0, 28, 15), np.empty(15_000)
    x = (v - 0.5 * g).reshape(15, 1000)
    expected = x * np.maximum(1 - t / np.linalg.norm(x, axis=1), 0)[:, None]
    shrinkage.linbreg_groups(team(1), v, g, 0.5, 1.0, ends, t, theta)
    np.testing.assert_allclose(theta, expected.ravel(), rtol=0, atol=1e-14)
