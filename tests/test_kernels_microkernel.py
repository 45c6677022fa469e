"""The register tile and the three convolutions built on it, held to sums written out and to the plain route."""

from functools import partial

import numpy as np
import pytest

from refimpl.numerics import convolution, threads
from refimpl.numerics.compare import eps_error
from refimpl.numerics.kernels import channels, microkernel, tiled, vectors
from refimpl.numerics.kernels import convolution as plain
from refimpl.numerics.threads import team

CASES = [
    # batch, c_in, c_out, size, kernel, stride, pads, mode
    (2, 3, 5, (7, 6), (3, 3), (1, 1), (1, 1, 1, 1), "zero"),
    (1, 1, 33, (9, 20), (5, 5), (1, 1), (2, 2, 2, 2), "circular"),
    (3, 4, 16, (8, 8), (2, 4), (2, 1), (0, 1, 1, 2), "zero"),
    (9, 2, 40, (5, 31), (1, 1), (3, 2), (0, 0, 0, 0), "valid"),
    (2, 9, 18, (5, 6), (3, 2), (1, 1), (3, 0, 1, 2), "zero"),  # more padding than the kernel reaches
    (2, 9, 18, (5, 6), (3, 2), (1, 1), (1, 2, 0, 0), "circular"),  # more rows come out than went in, fewer columns
    (2, 17, 70, (6, 6), (4, 2), (2, 2), (1, 2, 0, 1), "circular"),
]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["", "as routed"])
def routed(request, monkeypatch):
    """Once with the tile for any number of channels, once as the router chooses."""
    if not request.param:
        monkeypatch.setattr(convolution, "_narrow", lambda channels, dtype: False)


def drawn(case, dtype):
    """Dyadic numbers: every product and sum below is exact in both precisions, so results must be equal."""
    batch, c_in, c_out, size, kernel, stride, pads, mode = case
    rng = np.random.default_rng(0)
    x = (rng.integers(-8, 9, (batch, c_in, *size)) / 8).astype(dtype)
    w = (rng.integers(-8, 9, (c_out, c_in, *kernel)) / 8).astype(dtype)
    y_size = convolution.output_size(size, kernel, stride, pads)
    dy = (rng.integers(-8, 9, (batch, c_out, *y_size)) / 8).astype(dtype)
    return x, w, dy, stride, pads, mode


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[1]}-{c[2]} {c[4]} {c[5]} {c[7]}")
class TestAgainstThePlainRoute:
    def test_forward(self, case, dtype):
        x, w, _, *how = drawn(case, dtype)
        y = convolution.forward(x, w, *how)
        assert y.dtype == dtype
        assert np.array_equal(y, plain.forward(x, w, *how))

    def test_input_gradient(self, case, dtype, routed):
        x, w, dy, *how = drawn(case, dtype)
        assert np.array_equal(
            convolution.input_gradient(dy, w, x.shape[2:], *how), plain.input_gradient(dy, w, x.shape[2:], *how)
        )

    def test_kernel_gradient(self, case, dtype):
        x, w, dy, *how = drawn(case, dtype)
        assert np.array_equal(
            convolution.kernel_gradient(x, dy, w.shape[2:], *how), plain.kernel_gradient(x, dy, w.shape[2:], *how)
        )


def test_rounding_is_that_of_one_sum(dtype):
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((2, 16, 8, 8)).astype(dtype), rng.standard_normal((32, 16, 3, 3)).astype(dtype)
    how = ((1, 1), (1, 1, 1, 1), "zero")
    exact = plain.forward(x.astype(np.longdouble), w.astype(np.longdouble), *how)
    scale = float(plain.forward(abs(x), abs(w), *how).max())
    assert eps_error(convolution.forward(x, w, *how), exact.astype(np.float64), scale) <= 16


def test_results_do_not_depend_on_the_threads(dtype, monkeypatch, routed):
    x, w, dy, *how = drawn((11, 3, 20, (9, 9), (3, 3), (1, 1), (1, 1, 1, 1), "zero"), dtype)
    x, dy = x * dtype(1 / 3), dy * dtype(1 / 7)
    results = []
    for n in ("1", "2", "5"):
        monkeypatch.setattr(threads, "threads", partial(int, n))
        results.append(
            (
                convolution.forward(x, w, *how).tobytes(),
                convolution.input_gradient(dy, w, x.shape[2:], *how).tobytes(),
                convolution.kernel_gradient(x, dy, w.shape[2:], *how).tobytes(),
            )
        )
    assert results[0] == results[1] == results[2]


def test_nan_and_infinity_propagate(dtype):
    x, w, _, *how = drawn(CASES[0], dtype)
    x[1, 2, 3, 3] = np.nan
    y = convolution.forward(x, w, *how)
    assert np.isnan(y[1, :, 2:5, 2:5]).all()
    assert np.isfinite(y[0]).all()


def test_strided_and_read_only_inputs(dtype, routed):
    x, w, dy, *how = drawn(CASES[0], dtype)
    turned = np.asfortranarray(x)
    turned.setflags(write=False)
    assert np.array_equal(convolution.forward(turned, w, *how), convolution.forward(x, w, *how))
    big = np.zeros((2, 10, 7, 12), dtype)
    big[:, ::2, :, ::2] = dy
    assert np.array_equal(
        convolution.input_gradient(big[:, ::2, :, ::2], w, x.shape[2:], *how),
        convolution.input_gradient(dy, w, x.shape[2:], *how),
    )


@pytest.mark.parametrize("size", [1, 8, 16, 17, 33, 64])
def test_panels_round_trip(size, dtype):
    """From any order in memory to any other; what is beyond the last column is 0."""
    w = np.arange(6.0 * size, dtype=dtype).reshape(size, 3, 1, 2).transpose(2, 3, 1, 0)
    tiles, back = vectors.empty(tiled.shape_of_panels(w.shape, dtype), dtype), np.empty_like(w[::-1])
    tiles[:] = np.nan
    tiled.panels(team(2), w, tiles)
    tiled.unpanel(team(2), tiles, back)
    assert np.array_equal(back, w) and tiles.sum() == w.sum()
    assert np.array_equal(tiles[0, 0, 1, 2, :3], w[0, 1, 2, :3] if size > 2 else [w[0, 1, 2, 0], 0, 0])


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 3), (2, 4), (5, 5)])
@pytest.mark.parametrize(("c_in", "c_out"), [(1, 1), (3, 8), (16, 17), (33, 48), (5, 100)])
def test_panels_of_kernels_and_of_turned_ones(kernel, c_in, c_out, dtype):
    """As convolutions and their gradients have them: exactly these numbers, zeros after them, and back."""
    w = np.random.default_rng(0).standard_normal((c_out, c_in, *kernel)).astype(dtype)
    for view in (
        w.transpose(2, 3, 1, 0),
        w[:, :, ::-1, ::-1].transpose(2, 3, 0, 1),
        w[:, :, ::2, ::2].transpose(2, 3, 1, 0),
    ):
        tiles = vectors.empty(tiled.shape_of_panels(view.shape, dtype), dtype)
        tiles[:] = np.nan
        tiled.panels(team(99), view, tiles)
        joined = np.concatenate(list(tiles), axis=-1)
        assert np.array_equal(joined[..., : view.shape[3]], view) and not joined[..., view.shape[3] :].any()
        back = np.full(view.shape[::-1], np.nan, dtype).transpose(3, 2, 1, 0)
        contiguous = np.full((view.shape[3], view.shape[2], *view.shape[:2]), np.nan, dtype).transpose(2, 3, 1, 0)
        for into in (back, contiguous):
            tiled.unpanel(team(99), tiles, into)
            assert np.array_equal(into, view)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (3, 8), (4, 4)])
def test_the_plain_part_of_a_square_is_a_transpose(m, n, dtype):
    lanes = vectors.lanes_of(dtype)
    src, dst = np.arange(200, dtype=dtype), np.full(400, np.nan, dtype)
    channels._plain_part(dst, 5, lanes + 2, src, 7, 9, m, n)
    for j in range(n):
        assert np.array_equal(dst[5 + j * (lanes + 2) :][:m], src[7 + j :: 9][:m])
    assert np.isfinite(dst).sum() == n * lanes


@pytest.mark.parametrize(("P", "V"), [(1, 1), (4, 2), (14, 2)])
def test_the_plain_tile_is_the_sum(P, V, dtype):
    rng = np.random.default_rng(2)
    width = V * vectors.lanes_of(dtype)
    a, b = rng.standard_normal((P, 5)).astype(dtype), rng.standard_normal((5, width)).astype(dtype)
    c, s = np.full((P, width), np.nan, dtype), rng.standard_normal(width).astype(dtype)
    microkernel._plain(P, V, c, 0, width, s, 0, 0, a, 0, 0, 5, 1, b, 0, 0, width, 1, 5)
    assert eps_error(c, s + a @ b, 10) <= 8


def test_empty_batch(dtype):
    x = np.zeros((0, 3, 7, 6), dtype)
    w = np.ones((5, 3, 3, 3), dtype)
    how = ((1, 1), (1, 1, 1, 1), "zero")
    assert convolution.forward(x, w, *how).shape == (0, 5, 7, 6)
    assert not convolution.kernel_gradient(x, np.zeros((0, 5, 7, 6), dtype), (3, 3), *how).any()
