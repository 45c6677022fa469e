"""Gradients of convolutions that skip zeros: the bits of the tile's, which take every number."""

import numpy as np
import pytest

from refimpl.numerics import convolution
from refimpl.numerics.jit import ENABLED, kernel
from refimpl.numerics.kernels import convolution as plain
from refimpl.numerics.kernels import scattered, vectors

CASES = [
    # batch, c_in, c_out, size, stride, pads, mode
    (5, 16, 32, (14, 14), (1, 1), (1, 1, 1, 1), "zero"),
    (2, 32, 7, (6, 9), (1, 1), (1, 1, 1, 1), "circular"),
    (3, 16, 17, (7, 5), (1, 1), (0, 0, 0, 0), "valid"),
    (2, 48, 3, (8, 9), (2, 3), (1, 1, 1, 1), "zero"),
    (19, 16, 1, (3, 4), (1, 2), (0, 2, 3, 1), "zero"),
    (1, 16, 2, (1, 1), (1, 1), (1, 1, 1, 1), "circular"),
]
ids = [f"{c[1]}-{c[2]} {c[4]} {c[6]}" for c in CASES]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def drawn(case, dtype, share=0.2):
    """x, w and a dy of which about this share is not 0, the first sample certainly at most a quarter."""
    batch, c_in, c_out, size, stride, pads, mode = case
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, c_in, *size)).astype(dtype)
    w = rng.standard_normal((c_out, c_in, 3, 3)).astype(dtype)
    dy = rng.standard_normal((batch, c_out, *convolution.output_size(size, (3, 3), stride, pads))).astype(dtype)
    dy *= rng.random(dy.shape) < share
    dy[0] *= rng.permutation(dy[0].size).reshape(dy[0].shape) < dy[0].size // 4
    return x, w, dy, stride, pads, mode


def gradients(x, w, dy, *how):
    """Both."""
    return convolution.input_gradient(dy, w, x.shape[2:], *how), convolution.kernel_gradient(x, dy, (3, 3), *how)


def by_tile(monkeypatch, *args):
    """Both by the register tile."""
    with monkeypatch.context() as patch:
        patch.setattr(convolution, "FEW", -1)
        return gradients(*args)


@pytest.fixture
def calls(monkeypatch):
    """The names of the kernels of `scattered` that ran."""
    if not ENABLED:
        pytest.skip("convolutions take the plain route")
    names = []
    for name in ("input_gradient", "kernel_gradient"):
        run = getattr(scattered, name)
        monkeypatch.setattr(scattered, name, lambda *args, run=run, name=name: names.append(name) or run(*args))
    return names


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_the_bits_are_those_of_the_tile(case, dtype, calls, monkeypatch):
    args = drawn(case, dtype)
    found = gradients(*args)
    assert calls == ["input_gradient", "kernel_gradient"]
    for a, b in zip(found, by_tile(monkeypatch, *args)):
        assert np.array_equal(a, b)
    assert len(calls) == 2


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_exact_sums(case, dtype):
    """Dyadic numbers, whose sums are exact, against the plain definition."""
    x, w, dy, *how = drawn(case, dtype)
    x, w, dy = (np.rint(8 * array) / 8 for array in (x, w, dy))
    dx, dw = gradients(x, w, dy, *how)
    assert np.array_equal(dx, plain.input_gradient(dy, w, x.shape[2:], *how))
    assert np.array_equal(dw, plain.kernel_gradient(x, dy, (3, 3), *how))


def test_later_samples_may_be_full(dtype, calls, monkeypatch):
    args = drawn(CASES[0], dtype)
    args[2][1:] = np.random.default_rng(1).standard_normal(args[2][1:].shape)
    assert all(np.array_equal(a, b) for a, b in zip(gradients(*args), by_tile(monkeypatch, *args)))
    assert len(calls) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1, 2], ids=["x", "w", "dy"])
def test_nan_and_infinity_go_wherever_the_sums_send_them(value, which, dtype, calls, monkeypatch):
    """Times zeros, too: where x or w has them, the tile does it; those of dy meet the zeros around x."""
    args = drawn(CASES[0], dtype)
    args[which][1, 0, 0, 1] = value
    found, expected = gradients(*args), by_tile(monkeypatch, *args)
    if which == 2:
        with np.errstate(invalid="ignore"):
            expected = expected[0], plain.kernel_gradient(args[0], args[2], (3, 3), *args[3:])
    for a, b in zip(found, expected):
        assert np.array_equal(np.isnan(a), np.isnan(b)) and np.array_equal(np.isinf(a), np.isinf(b))
    assert calls == [["input_gradient"], ["kernel_gradient"], ["input_gradient", "kernel_gradient"]][which]
    assert not all(np.isfinite(a).all() for a in found)


@pytest.mark.parametrize("halves", [1, 3])
def test_parts_of_vectors_take_the_tile(halves, calls):
    channels = halves * vectors.lanes_of(np.float32) // 2
    x, w, dy, *how = drawn((2, channels, 4, (6, 6), (1, 1), (1, 1, 1, 1), "zero"), np.float32)
    gradients(x, w, dy, *how)
    assert not calls


def test_full_and_empty_gradients_take_the_tile(dtype, calls):
    x, w, dy, *how = drawn(CASES[0], dtype, share=1.0)
    dy[0] = 1
    gradients(x, w, dy, *how)
    gradients(x[:0], w, dy[:0], *how)
    assert not calls


def test_inputs_stay_and_may_lie_anywhere(dtype):
    x, w, dy, *how = drawn(CASES[0], dtype)
    turned = [np.asfortranarray(array) for array in (x, w, dy)]
    for array in turned:
        array.setflags(write=False)
    assert all(np.array_equal(a, b) for a, b in zip(gradients(*turned, *how), gradients(x, w, dy, *how)))


@kernel
def _lists(a, a0, vectors, where):
    return scattered._listed(a, a0, vectors, scattered.BITS, where)


@kernel
def _rows(y, yr, x, xr, places, a, where, count):
    scattered._3x3(y, 1, yr, x, 2, xr, places, a, 3, where, count)


@pytest.mark.parametrize("share", [0, 0.1, 0.6, 1])
def test_the_plain_twins(share, dtype):
    """The list and the rows, at places that are no multiples of anything."""
    rng, lanes = np.random.default_rng(3), vectors.lanes_of(dtype)
    a = np.where(rng.random(5 * lanes + 3) < share, rng.standard_normal(5 * lanes + 3), 0).astype(dtype)
    a[5] = np.nan if share else -0.0
    found, expected = np.empty((2, 4 * lanes + 8), np.uint32)
    count = _lists(a, 3, 4, found)
    assert count == scattered._plain_listed(a, 3, 4, scattered.BITS, expected) == np.count_nonzero(a[3 : 4 * lanes + 3])
    assert np.array_equal(found[:count], expected[:count])
    a, places = np.nan_to_num(a), rng.integers(0, 50, 4 * lanes)
    start, x = rng.integers(-9, 9, 12 * lanes).astype(dtype), rng.integers(-9, 9, 12 * lanes + 60).astype(dtype)
    y, twin = start.copy(), start.copy()
    a = np.rint(8 * a) / 8
    _rows(y, 3 * lanes + 2, x, 4 * lanes, places, a, found, count)
    scattered._plain_3x3(twin, 1, 3 * lanes + 2, x, 2, 4 * lanes, places, a, 3, found, count)
    assert np.array_equal(y, twin)
    assert np.array_equal(y == start, np.ones(len(y), bool)) == (share == 0)
