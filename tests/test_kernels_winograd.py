"""Winograd's 3 x 3 convolutions against the direct sums, to the accuracy they state, and the maps they are made of."""

from functools import partial

import numpy as np
import pytest

from refimpl.numerics import convolution, threads
from refimpl.numerics.compare import eps_error
from refimpl.numerics.jit import ENABLED
from refimpl.numerics.kernels import convolution as plain
from refimpl.numerics.kernels import vectors, winograd
from refimpl.setting import Conv2d

CASES = [
    # batch, c_in, c_out, size, pads, mode
    (2, 3, 5, (7, 6), (1, 1, 1, 1), "zero"),
    (1, 1, 33, (9, 21), (1, 1, 1, 1), "circular"),
    (9, 17, 16, (8, 8), (0, 0, 0, 0), "valid"),
    (3, 9, 18, (5, 4), (3, 0, 2, 5), "zero"),
    (19, 40, 40, (14, 14), (1, 1, 1, 1), "zero"),  # more samples than go at once
    (2, 8, 20, (3, 5), (2, 1, 4, 1), "circular"),
    (2, 2, 3, (61, 60), (1, 1, 1, 1), "zero"),  # one sample is more than the cache holds
]
pytestmark = pytest.mark.skipif(not ENABLED, reason="without compilation everything takes the plain route")


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def drawn(case, dtype):
    batch, c_in, c_out, size, pads, mode = case
    rng = np.random.default_rng(0)
    x, w = (
        rng.standard_normal((batch, c_in, *size)).astype(dtype),
        rng.standard_normal((c_out, c_in, 3, 3)).astype(dtype),
    )
    dy = rng.standard_normal((batch, c_out, *convolution.output_size(size, (3, 3), (1, 1), pads))).astype(dtype)
    return x, w, dy, (1, 1), pads, mode


def test_the_maps_give_the_correlation_and_its_derivative_exactly():
    """In integers: sum_k A_ik (G e_m)_k (B e_l)_k = 24 where l = i + m, else 0."""
    A, B, G = (np.array(m) for m in (winograd.A, winograd.B, winograd.G))
    products = np.einsum("ik,km,kl->iml", A, G, B)
    i, m, l = np.indices((4, 3, 6))
    assert np.array_equal(products, 24 * (l == i + m))
    assert (A[:, winograd.CONSTANT // 6] == 1).all() and winograd.CONSTANT % 7 == 0


def error(actual, exact, terms):
    """In eps of the largest sum of absolute values."""
    return eps_error(actual, exact.astype(np.float64), float(terms.max()))


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]} {c[1]}-{c[2]} {c[3]} {c[5]}")
def test_errors_stay_below_those_stated(case, dtype):
    x, w, dy, *how = drawn(case, dtype)
    X, W, dY = (a.astype(np.longdouble) for a in (x, w, dy))
    size = x.shape[2:]
    y = convolution.forward(x, w, *how, winograd=True)
    dx = convolution.input_gradient(dy, w, size, *how, winograd=True)
    dw = convolution.kernel_gradient(x, dy, (3, 3), *how, winograd=True)
    assert y.dtype == dx.dtype == dw.dtype == dtype
    assert error(y, plain.forward(X, W, *how), plain.forward(abs(X), abs(W), *how)) <= 32
    terms = plain.input_gradient(abs(dY), abs(W), size, *how)
    assert error(dx, plain.input_gradient(dY, W, size, *how), terms) <= 32
    terms = plain.kernel_gradient(abs(X), abs(dY), (3, 3), *how)
    assert error(dw, plain.kernel_gradient(X, dY, (3, 3), *how), terms) <= 32
    assert not np.array_equal(y, convolution.forward(x, w, *how))  # the flag is heard
    assert not np.array_equal(dw, convolution.kernel_gradient(x, dy, (3, 3), *how))


def test_the_bias_is_added_to_every_pixel(dtype):
    x, w, _, *how = drawn(CASES[0], dtype)
    bias = np.array([3, -2, 0, 0.5, 7], dtype)
    exact = plain.forward(x.astype(np.longdouble), w.astype(np.longdouble), *how) + bias[:, None, None]
    assert eps_error(convolution.forward(x, w, *how, bias, True), exact.astype(np.float64), 50) <= 32


def test_results_do_not_depend_on_the_threads(dtype, monkeypatch):
    x, w, dy, *how = drawn(CASES[4], dtype)
    results = []
    for n in ("1", "2", "5"):
        monkeypatch.setattr(threads, "threads", partial(int, n))
        y = convolution.forward(x, w, *how, winograd=True)
        dx = convolution.input_gradient(dy, w, x.shape[2:], *how, winograd=True)
        results.append([a.tobytes() for a in (y, dx, convolution.kernel_gradient(x, dy, (3, 3), *how, winograd=True))])
    assert results[0] == results[1] == results[2]


def test_a_sample_does_not_depend_on_the_others(dtype):
    x, w, _, *how = drawn(CASES[4], dtype)
    y = convolution.forward(x, w, *how, winograd=True)
    x[5, 3, 2, 2] = np.nan
    spoilt = convolution.forward(x, w, *how, winograd=True)
    others = np.arange(len(x)) != 5
    assert np.array_equal(y[others], spoilt[others])
    assert np.isnan(spoilt[5, :, 1:4, 1:4]).all()
    assert np.array_equal(y[5, :, 8:, :], spoilt[5, :, 8:, :])


def test_strided_inputs_empty_batches_and_other_kernels(dtype):
    x, w, dy, *how = drawn(CASES[0], dtype)
    assert np.array_equal(
        convolution.forward(np.asfortranarray(x), w, *how, winograd=True),
        convolution.forward(x, w, *how, winograd=True),
    )
    assert convolution.forward(x[:0], w, *how, winograd=True).shape == (0, 5, 7, 6)
    assert not convolution.kernel_gradient(x[:0], dy[:0], (3, 3), *how, winograd=True).any()
    pads, mode = how[1:]
    for kernel, stride in (((3, 3), (2, 1)), ((2, 3), (1, 1))):  # direct, bit for bit
        v = w[:, :, : kernel[0]]
        both = [convolution.forward(x, v, stride, pads, mode, None, flag) for flag in (False, True)]
        assert np.array_equal(*both)


def test_the_plain_map_is_the_sum(dtype):
    rng, lanes = np.random.default_rng(2), vectors.lanes_of(dtype)
    src, dst = rng.standard_normal((6, 6, lanes)).astype(dtype), np.zeros((4, 4, lanes), dtype)
    winograd._plain(np.array(winograd.A), dst, 0, 4 * lanes, lanes, src, 0, 6 * lanes, lanes)
    expected = np.zeros((4, 4, lanes))
    for i, j, k, l in np.ndindex(4, 4, 6, 6):
        expected[i, j] += winograd.A[i][k] * winograd.A[j][l] * src[k, l].astype(float)
    assert eps_error(dst, expected, 64) <= 4


def test_the_layer_in_both_directions(dtype):
    layer = Conv2d(5, 6, 3, padding="circular", winograd=True)
    rng = np.random.default_rng(0)
    params = {name: rng.standard_normal(shape).astype(dtype) for name, shape in layer.shapes.items()}
    x, dy = rng.standard_normal((2, 5, 6, 7)).astype(dtype), rng.standard_normal((2, 6, 6, 7)).astype(dtype)
    y, cache = layer.forward(params, x)
    dx, grads = layer.backward(params, cache, dy)
    direct = Conv2d(5, 6, 3, padding="circular")
    exact, cache = direct.forward(params, x)
    expected_dx, expected = direct.backward(params, cache, dy)
    assert eps_error(y, exact, 60) <= 32
    assert eps_error(dx, expected_dx, 60) <= 32
    assert eps_error(grads["weight"], expected["weight"], 100) <= 32
    assert np.array_equal(grads["bias"], expected["bias"])


@pytest.mark.parametrize("how", [{"kernel": 5}, {"kernel": (3, 1)}, {"kernel": 3, "stride": 2}])
def test_other_kernels_and_strides_are_refused(how):
    with pytest.raises(ValueError, match="winograd: expected a kernel of 3 x 3 at stride 1"):
        Conv2d(2, 3, **how, winograd=True)
