"""Section 4.4.1: zero-padding of spectra, Nyquist splitting, and the kernel that a padded spectrum means."""

from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, claim, equal, exactly, identity
from refimpl.claims.images import NORMS, direct_convolution, odd, parts, problem, problems, size_of
from refimpl.resolution import (
    dft,
    hermitian_defect,
    inverse_dft,
    pad_spectrum,
    pad_spectrum_adjoint,
    spectral_convolution,
    to_spectral,
    transform,
    trigonometric_interpolation,
)

Array = np.ndarray
Problem = dict[str, Any]


def stays_symmetric(m: tuple[int, ...], n: tuple[int, ...], rule: str) -> bool:
    """Whether padding the spectrum of an impulse beside the origin, all moduli 1, keeps Hermitian symmetry."""
    impulse = np.zeros(m)
    impulse[(1,) * len(m)] = 1
    return hermitian_defect(pad_spectrum(transform(impulse), n, rule)) < 1e-9


SHAPES = st.integers(1, 3).flatmap(lambda d: st.tuples(*[st.tuples(*[st.integers(2, 15 if d == 1 else 6)] * d)] * 2))


@claim(
    "4.4.1 spectral zero-padding",
    given={"sizes": SHAPES},
    erratum=Erratum(
        "zero-padding of spectra keeps Hermitian symmetry only if M and N are odd",
        "it loses symmetry exactly if min(M, N) is even and M != N on some axis",
        "false",
    ),
)
def padding_is_symmetric_only_for_odd_sizes(sizes: tuple) -> Evidence:
    """theta_hat^{M -> N}, with the index sets as printed, is Hermitian iff M and N are odd."""
    m, n = sizes
    return exactly(stays_symmetric(m, n, "literal") == odd(*m, *n))


@claim("4.4.1 spectral zero-padding", reading="corrected", given={"sizes": SHAPES}, code=(pad_spectrum,))
def padding_loses_symmetry_at_a_lonely_nyquist_entry(sizes: tuple) -> Evidence:
    """theta_hat^{M -> N}, index sets as printed, is Hermitian unless min(M, N) is even and M != N on some axis."""
    m, n = sizes
    return exactly(stays_symmetric(m, n, "literal") != any(min(a, b) % 2 == 0 and a != b for a, b in zip(m, n)))


@padding_loses_symmetry_at_a_lonely_nyquist_entry.twin("the rule of the text", cases=[{"sizes": ((3,), (4,))}])
def _rule_of_the_text(sizes: tuple) -> Evidence:
    return padding_is_symmetric_only_for_odd_sizes.body(sizes=sizes)


@claim(
    "4.4.1 Nyquist splitting",
    reading="stronger",
    given={"problem": problems(), "seed": draw.seeds()},
    examples=80,
    code=(pad_spectrum, pad_spectrum_adjoint),
)
def splitting_keeps_symmetry_and_has_an_adjoint(problem: Problem, seed: int) -> Evidence:
    """With Nyquist splitting padded spectra stay Hermitian for all M, N, and <P a, b> = <a, P* b>."""
    return splitting_evidence(problem, seed, "split")


def splitting_evidence(problem: Problem, seed: int, rule: str) -> Evidence:
    """The symmetry defect and the adjoint identity of a padding rule."""

    def sides(dtype: type) -> tuple[Any, ...]:
        _, v, size = parts(problem, dtype)
        padded = pad_spectrum(transform(v), size, rule)
        b = (draw.uniform(seed, size) + 1j * draw.uniform(seed + 1, size)).astype(padded.dtype)
        lhs, rhs = np.vdot(b, padded), np.vdot(pad_spectrum_adjoint(b, v.shape, rule), transform(v))
        scale = float(np.sum(np.abs(padded)) + np.sum(np.abs(transform(v))))
        zero = np.zeros((), padded.dtype)
        return np.stack([lhs, zero + hermitian_defect(padded)]), np.stack([rhs, zero]), 2 * scale or 1.0

    return identity(sides)


@splitting_keeps_symmetry_and_has_an_adjoint.twin(
    "the index sets as printed", cases=[{"problem": problem((1,), (2,), (3,)), "seed": 0}]
)
def _index_sets_as_printed(problem: Problem, seed: int) -> Evidence:
    return splitting_evidence(problem, seed, "literal")


EVEN = problems(lambda m, n, l: m == n and n % 2 == 0 and l == 1)


@claim(
    "4.4.1 Nyquist splitting",
    given={"problem": EVEN},
    cases=[{"problem": problem((4,), (4,))}],
    erratum=Erratum(
        "Nyquist splitting lets all results of the odd case apply to the even case",
        "Lemma 4.29 needs theta_hat with doubled Nyquist entries: the product of two halves is half the product",
        "missing hypothesis",
    ),
    examples=20,
)
def splitting_carries_the_lemma_to_even_sizes(problem: Problem) -> Evidence:
    """K with Nyquist splitting satisfies K(T theta) = C(theta) for even N."""
    theta, v, _ = parts(problem, np.float64)
    return equal(spectral_convolution(transform(theta), v), direct_convolution(theta, v), size_of(theta, v))


@claim(
    "4.4.1 Nyquist splitting",
    reading="corrected",
    given={"problem": EVEN},
    code=(to_spectral,),
    examples=20,
    cases=[{"problem": problem((4, 2), (4, 2))}],
)
def doubled_nyquist_entries_carry_the_lemma_to_even_sizes(problem: Problem) -> Evidence:
    """K with Nyquist splitting satisfies K(theta_hat) = C(theta) for even N if T theta gets its Nyquist doubled."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, _ = parts(problem, dtype)
        return spectral_convolution(to_spectral(theta, v.shape), v), direct_convolution(theta, v), size_of(theta, v)

    return identity(sides)


@doubled_nyquist_entries_carry_the_lemma_to_even_sizes.twin(
    "without doubling", cases=[{"problem": problem((4,), (4,))}]
)
def _without_doubling(problem: Problem) -> Evidence:
    theta, v, _ = parts(problem, np.float64)
    return equal(spectral_convolution(transform(theta), v), direct_convolution(theta, v), size_of(theta, v))


UP = problems(lambda m, n, l: l == 1 and (m < n or (m == n and odd(n))))


def kernel_chain(problem: Problem, norm: str, weight: bool) -> Evidence:
    """K(T theta)(v) against convolution with F^-1((F theta)^{M -> N}), or with the weighted interpolated kernel."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, _ = parts(problem, dtype)
        kernel = inverse_dft(pad_spectrum(dft(theta, norm), v.shape), norm).real
        if weight:
            kernel = trigonometric_interpolation(theta, v.shape) * dtype(theta.size) / dtype(v.size)
        return spectral_convolution(transform(theta), v), direct_convolution(kernel, v), size_of(kernel, v)

    return identity(sides)


@claim(
    "4.4.1 kernel interpolation",
    given={"problem": UP, "norm": st.sampled_from(NORMS)},
    cases=[{"problem": problem((3,), (5,)), "norm": "sqrt"}],
    erratum=Erratum(
        "K(theta_hat)(v_N) = C(theta^{M-tri->N})(v_N) with theta_hat = lambda F(theta)",
        "= (|J_M| / |J_N|) C(theta^{M-tri->N})(v_N); as printed a factor lambda_M / lambda_N is missing",
        "wrong constant",
    ),
    examples=30,
)
def kernel_interpolation_as_printed(problem: Problem, norm: str) -> Evidence:
    """K(lambda F theta)(v) = C(F^-1((F theta)^{M -> N}))(v) for each lambda of the text."""
    return kernel_chain(problem, norm, weight=False)


@claim(
    "4.4.1 kernel interpolation", reading="corrected", given={"problem": UP}, code=(spectral_convolution,), examples=80
)
def spectral_padding_interpolates_the_kernel(problem: Problem) -> Evidence:
    """K(T theta)(v) = (|J_M| / |J_N|) C(theta^{M-tri->N})(v) for M < N of every parity, and for odd M = N."""
    return kernel_chain(problem, "1", weight=True)


spectral_padding_interpolates_the_kernel.without(
    "M < N where N is even", problem=EVEN, cases=[{"problem": problem((4,), (4,))}]
)


@spectral_padding_interpolates_the_kernel.twin(
    "the weight |J_M| / |J_N| forgotten", cases=[{"problem": problem((3,), (5,))}]
)
def _weight_forgotten(problem: Problem) -> Evidence:
    theta, v, _ = parts(problem, np.float64)
    kernel = trigonometric_interpolation(theta, v.shape)
    return equal(
        spectral_convolution(transform(theta), v), direct_convolution(kernel, v), size_of(kernel, v) * prod(v.shape)
    )
