"""Spectra: direct sums as oracle, symmetry, padding and its adjoint, half storage; every size, three precisions."""

from itertools import product
from math import prod

import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.resolution import fourier

SIZES = [(1,), (2,), (5,), (8,), (3, 4), (4, 4), (5, 2), (1, 6), (2, 3, 4), (4, 2, 2), (3, 3, 3)]
PADDINGS = [(n, l) for n in range(1, 9) for l in range(1, 9)]


def dyadic(shape, dtype=np.float64, seed=0):
    return (np.random.default_rng(seed).integers(-512, 512, shape) / 256).astype(dtype)


def spectrum(shape, dtype=np.float64, seed=0):
    return dyadic(shape, dtype, seed) + 1j * dyadic(shape, dtype, seed + 1)


def basis(n, dtype=np.float64):
    """exp(-2 pi i k j / n) for k in I_n in FFT order, by definition."""
    k = [k if k < (n + 1) // 2 else k - n for k in range(n)]
    pi = np.arctan(dtype(1)) * 4
    return np.exp(-2j * pi * np.outer(k, np.arange(n)).astype(dtype) / dtype(n))


def direct_dft(v):
    for axis, n in enumerate(v.shape):
        v = np.moveaxis(np.tensordot(basis(n, v.real.dtype.type), v, ([1], [axis])), 0, axis)
    return v


def test_index_sets_as_printed():
    assert fourier.spectral_indices(5).tolist() == [-2, -1, 0, 1, 2]
    assert fourier.spectral_indices(4).tolist() == [-2, -1, 0, 1]
    assert fourier.spectral_indices(1).tolist() == [0]
    assert fourier.frequencies(5).tolist() == [0, 1, 2, -2, -1]
    assert fourier.frequencies(4).tolist() == [0, 1, -2, -1]
    for n in range(1, 12):
        low, high = -(n // 2), (n - 1) // 2  # -ceil((n-1)/2), floor((n-1)/2)
        assert fourier.spectral_indices(n).tolist() == list(range(low, high + 1))
        assert fourier.spatial_indices(n).tolist() == list(range(n))
    assert fourier.grid(4).tolist() == [0, 0.25, 0.5, 0.75]
    assert fourier.grid(3, np.float32).dtype == np.float32


@pytest.mark.parametrize("dtype", compare.rungs())
@pytest.mark.parametrize("shape", SIZES)
def test_dft_is_the_sum_it_stands_for(shape, dtype):
    v = dyadic((2, *shape), dtype)
    direct = np.stack([direct_dft(sample) for sample in v])
    n = prod(shape)
    for norm, lam in (("1", dtype(1)), ("sqrt", np.sqrt(dtype(n))), ("n", dtype(n)), (2.5, dtype(2.5))):
        actual = fourier.dft(v, norm, len(shape))
        assert actual.dtype == np.result_type(dtype, np.complex64)
        assert compare.eps_error(actual, direct / lam) <= 16
        back = fourier.inverse_dft(actual, norm, len(shape))
        assert compare.eps_error(back.real, v) <= 16
        assert compare.eps_error(back.imag, np.zeros_like(v), 2) <= 16
    assert compare.eps_error(fourier.transform(v, len(shape)), direct) <= 16
    assert compare.eps_error(fourier.inverse_transform(direct, len(shape)), v) <= 16


def test_unitary_norm_keeps_the_l2_norm():
    v = dyadic((4, 6))
    assert np.isclose(np.linalg.norm(fourier.dft(v, "sqrt")), np.linalg.norm(v), rtol=1e-14)


@pytest.mark.parametrize("shape", SIZES)
def test_hermitian_part_is_the_projection_onto_spectra_of_real_arrays(shape):
    w = spectrum(shape)
    part = fourier.hermitian_part(w)
    assert fourier.hermitian_defect(part) == 0
    assert compare.eps_error(part, fourier.dft(fourier.inverse_dft(w).real)) <= 32
    assert np.array_equal(fourier.hermitian_part(part), part)
    symmetric = fourier.dft(dyadic(shape, seed=5))
    assert abs(np.vdot(symmetric, w - part).real) <= 1e-12 * np.linalg.norm(symmetric) * np.linalg.norm(w)
    for k in np.ndindex(shape):
        assert fourier.reflect(w)[k] == w[tuple(-i % n for i, n in zip(k, shape))]
    assert fourier.hermitian_defect(w) == np.max(np.abs(w - np.conj(fourier.reflect(w))))


@pytest.mark.parametrize("n,l", PADDINGS)
def test_padding_moves_every_frequency_where_it_belongs(n, l):
    m = min(n, l)
    w = spectrum(n)
    value = {k: w[k % n] for k in range(-(n // 2), (n - 1) // 2 + 1)}
    literal = {k: x for k, x in value.items() if -(l // 2) <= k <= (l - 1) // 2}
    split = {k: value[k] for k in value if 2 * abs(k) < m} if n != l else dict(value)
    if m % 2 == 0 and n < l:
        split |= {m // 2: value[-m // 2] / 2, -m // 2: value[-m // 2] / 2}
    if m % 2 == 0 and n > l:
        split[-m // 2] = w[m // 2] + w[-m // 2]
    for rule, expected in (("literal", literal), ("split", split)):
        y = np.zeros(l, complex)
        for k, x in expected.items():
            y[k % l] = x
        assert np.array_equal(fourier.pad_spectrum(w, l, rule), y), rule


@pytest.mark.parametrize("rule", ["split", "literal"])
@pytest.mark.parametrize("n,l", PADDINGS)
def test_padding_adjoint(n, l, rule):
    a, b = spectrum((2, n, 3)), spectrum((2, l, 4), seed=3)
    lhs = np.vdot(b, fourier.pad_spectrum(a, (l, 4), rule))
    rhs = np.vdot(fourier.pad_spectrum_adjoint(b, (n, 3), rule), a)
    assert abs(lhs - rhs) <= 64 * np.finfo(float).eps * np.linalg.norm(a) * np.linalg.norm(b)


def test_split_padding_keeps_symmetry_and_the_literal_one_loses_it_on_98_of_196_pairs():
    lost = 0
    for n, l in product(range(2, 16), repeat=2):
        w = fourier.dft(dyadic(n, seed=n))
        assert fourier.hermitian_defect(fourier.pad_spectrum(w, l)) <= 64 * np.finfo(float).eps * np.max(np.abs(w))
        broken = fourier.hermitian_defect(fourier.pad_spectrum(w, l, "literal")) > 1e-6
        assert broken == (min(n, l) % 2 == 0 and n != l), (n, l)
        lost += broken
    assert lost == 98


@pytest.mark.parametrize("shape", SIZES)
def test_half_spectrum_stores_everything(shape):
    w = fourier.dft(dyadic(shape))
    half = fourier.half_spectrum(w)
    assert half.shape[-1] == shape[-1] // 2 + 1
    full = fourier.full_spectrum(half, shape[-1])
    assert compare.eps_error(full, w) <= 16
    weights = fourier.half_spectrum_weights(shape[-1])
    assert np.isclose(np.sum(weights * np.abs(half) ** 2), np.sum(np.abs(w) ** 2), rtol=1e-13)
    free = spectrum(half.shape, seed=7)  # not the half of anything: the real inverse FFT decides
    expected = np.fft.rfftn(np.fft.irfftn(free, shape, range(len(shape))))
    assert compare.eps_error(fourier.half_spectrum(fourier.full_spectrum(free, shape[-1])), expected) <= 32
    assert fourier.hermitian_defect(fourier.full_spectrum(free, shape[-1])) == 0


def test_half_spectrum_weights():
    assert fourier.half_spectrum_weights(9).tolist() == [1, 2, 2, 2, 2]
    assert fourier.half_spectrum_weights(8).tolist() == [1, 2, 2, 2, 1]
    assert fourier.half_spectrum_weights(1).tolist() == [1]
    assert fourier.half_spectrum_weights(2, np.float32).dtype == np.float32


def test_nyquist_scaling_is_per_even_axis():
    scaled = fourier.scale_nyquist(np.ones((4, 3, 2)), 2)
    assert scaled[2, 0, 1] == 4 and scaled[2, 0, 0] == 2 and scaled[0, 0, 1] == 2 and scaled[1, 2, 0] == 1


def test_inputs_are_kept_and_results_are_new():
    w = spectrum((4, 4))
    w.setflags(write=False)
    v = np.asfortranarray(dyadic((4, 6)))[:, ::2]
    v.setflags(write=False)
    same = fourier.pad_spectrum(w, (4, 4))
    same[0, 0] = 7
    assert w[0, 0] != 7
    assert compare.eps_error(fourier.dft(v), direct_dft(v)) <= 16
    fourier.scale_nyquist(w, 2)
    fourier.hermitian_part(w)
    assert fourier.dft([1, 2, 3]).dtype == np.complex128
    assert fourier.pad_spectrum([1, 2, 3], 5).tolist() == [1, 2, 0, 0, 3]


def test_nan_stays():
    v = np.zeros(5)
    v[1] = np.nan
    assert np.isnan(fourier.dft(v)).all()


@pytest.mark.parametrize(
    "call,name",
    [
        (lambda: fourier.dft(np.zeros((0, 3))), "v"),
        (lambda: fourier.dft(np.zeros(3), "2"), "norm"),
        (lambda: fourier.dft(np.zeros(3), -1.0), "norm"),
        (lambda: fourier.dft(np.zeros(3), "1", 2), "v"),
        (lambda: fourier.dft(np.zeros(3), "1", 0), "ndim"),
        (lambda: fourier.dft(["a"]), "v"),
        (lambda: fourier.dft(3.0), "v"),
        (lambda: fourier.pad_spectrum(np.zeros(3), (2, 2)), "v_hat"),
        (lambda: fourier.pad_spectrum(np.zeros(3), 0), "size"),
        (lambda: fourier.pad_spectrum(np.zeros(3), ()), "size"),
        (lambda: fourier.pad_spectrum(np.zeros(3), 2.5), "size"),
        (lambda: fourier.sizes("size", (2**24, 2**24)), "size"),
        (lambda: fourier.pad_spectrum(np.zeros(3), 4, "drop"), "nyquist"),
        (lambda: fourier.full_spectrum(np.zeros(3), 7), "half"),
        (lambda: fourier.spectral_indices(0), "n"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        call()


def test_the_message_says_how_many_columns():
    with pytest.raises(ValueError, match=r"expected 4 columns for n = 7, got an array of shape \(3,\)"):
        fourier.full_spectrum(np.zeros(3), 7)
