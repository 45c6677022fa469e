"""Sections 4.4.2 and 4.4.3: what commutes with changes of resolution, and what does not."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Evidence, claim, equal, exactly, identity
from refimpl.claims.images import odd, parts, problem, problems, size_of
from refimpl.numerics import compare
from refimpl.resolution import (
    Resize,
    SpectralConv,
    TrigonometricStride,
    spatial_convolution,
    spectral_convolution,
    transform,
    trigonometric_interpolation,
)
from refimpl.setting.pooling import AdaptiveAveragePool2d, MaxPool2d

Array = np.ndarray
Problem = dict[str, Any]


# Corollary 4.31


def equivariance(convolve: Callable[[Array, Array], Array], theta: Array, v: Array, size: Any) -> tuple[Any, ...]:
    """(convolve(theta)(v^{N-tri->L}), convolve(theta)(v)^{N-tri->L}, scale)."""
    before = convolve(theta, trigonometric_interpolation(v, size))
    after = trigonometric_interpolation(convolve(theta, v), size)
    return before, after, float(np.sum(np.abs(theta)) * np.sum(np.abs(v))) or 1.0


def spectral(theta: Array, v: Array) -> Array:
    """K(T theta)(v)."""
    return spectral_convolution(transform(theta), v)


@claim(
    "Corollary 4.31",
    given={"problem": problems(lambda m, n, l: odd(m, n, l) and m <= min(n, l))},
    examples=60,
    cases=[{"problem": problem((3,), (5,), (9,))}],
    code=(spectral_convolution, trigonometric_interpolation),
)
def spectral_layers_commute_with_interpolation(problem: Problem) -> Evidence:
    """K(theta_hat)(v^{N-tri->L}) = (K(theta_hat)(v))^{N-tri->L} for odd M <= N and L >= M."""
    return identity(lambda dtype: equivariance(spectral, *parts(problem, dtype)))


@spectral_layers_commute_with_interpolation.twin("spatial zero-padding", cases=[{"problem": problem((3,), (5,), (9,))}])
def _spatial_padding(problem: Problem) -> Evidence:
    return equal(*equivariance(spatial_convolution, *parts(problem, np.float64)))


@spectral_layers_commute_with_interpolation.twin("ReLU after the layer", cases=[{"problem": problem((3,), (5,), (9,))}])
def _with_relu(problem: Problem) -> Evidence:
    return equal(*equivariance(lambda t, v: np.maximum(spectral(t, v), 0), *parts(problem, np.float64)))


def lonely_nyquist(m: int, n: int, l: int) -> bool:
    """Where equivariance fails: min(N, L) is even and < M, and N != L."""
    return min(n, l) % 2 == 0 and min(n, l) < m and n != l


@claim(
    "Corollary 4.31",
    reading="stronger",
    given={"problem": problems(lambda m, n, l: not lonely_nyquist(m, n, l))},
    cases=[{"problem": problem((4, 2), (4, 3), (6, 2))}],
    examples=80,
    code=(spectral_convolution,),
)
def spectral_layers_commute_for_every_size(problem: Problem) -> Evidence:
    """The same for all M, N, L, with M > N or M > L as well, unless min(N, L) is even, < M, and N != L."""
    return identity(lambda dtype: equivariance(spectral, *parts(problem, dtype)))


spectral_layers_commute_for_every_size.without(
    "min(N, L) odd or >= M",
    problem=problems(lonely_nyquist),
    cases=[{"problem": problem((5,), (4,), (7,))}, {"problem": problem((5, 5), (7, 7), (4, 4))}],
)


@claim(
    "Corollary 4.31",
    reading="stronger",
    given={"m": st.integers(2, 14), "n": st.integers(2, 14), "l": st.integers(2, 14)},
    code=(spectral_convolution,),
    examples=300,
)
def equivariance_fails_exactly_at_a_lonely_nyquist_entry(m: int, n: int, l: int) -> Evidence:
    """For a generic kernel and image, equivariance fails if and only if min(N, L) is even and < M, and N != L."""
    return exactly(generic_defect(m, n, l) == lonely_nyquist(m, n, l))


def generic_defect(m: int, n: int, l: int) -> bool:
    """Whether equivariance fails for one seeded kernel and image."""
    return compare.eps_error(*equivariance(spectral, draw.uniform(m, m), draw.uniform(n, n), l)) > 64


@equivariance_fails_exactly_at_a_lonely_nyquist_entry.twin("fails iff min(N, L) < M")
def _every_small_size(m: int, n: int, l: int) -> Evidence:
    return exactly(generic_defect(m, n, l) == (min(n, l) < m and n != l))


# Section 4.4.3: dimension changes


def invariant(change: Any, v: Array, size: tuple[int, ...]) -> tuple[Array, Array]:
    """(change(v^{N-tri->L}), change(v)) for a layer with a fixed output size."""
    batch = v[None, None]
    return change.forward({}, trigonometric_interpolation(batch, size))[0], change.forward({}, batch)[0]


RESIZED = problems(lambda m, n, l: 2 <= n <= l, dimensions=(2,))
RESIZED_CASES = [{"problem": problem((4, 4), (4, 5), (5, 5))}]


@claim(
    "4.4.3 dimension changes",
    given={"problem": RESIZED},
    cases=RESIZED_CASES,
    examples=50,
    code=(Resize, TrigonometricStride),
)
def trigonometric_pooling_is_invariant(problem: Problem) -> Evidence:
    """Trigonometric resizing to a fixed size k x k gives the same for v and for v^{N-tri->L}, L >= N, every parity;
    so does trigonometric striding by s compared with striding v^{N -> sN} by s^2."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, size = parts(problem, dtype)
        doubled = trigonometric_interpolation(v[None, None], [2 * n for n in v.shape])
        strided = [TrigonometricStride(2 * s).forward({}, x)[0] for s, x in ((2, doubled), (1, v[None, None]))]
        lhs, rhs = invariant(Resize(theta.shape), v, size)
        left, right = (np.concatenate([x.ravel(), y.ravel()]) for x, y in zip((lhs, rhs), strided))
        return left, right, float(np.abs(v).max()) or 1.0

    return identity(sides)


trigonometric_pooling_is_invariant.without(
    "L >= N",
    problem=problems(lambda m, n, l: m >= 3 and n >= 4 and l == 2, dimensions=(2,)),
    cases=[{"problem": problem((4, 4), (5, 5), (3, 3))}],
)


@trigonometric_pooling_is_invariant.twin("adaptive average pooling")
def _adaptive_pooling(problem: Problem) -> Evidence:
    theta, v, size = parts(problem, np.float64)
    return equal(*invariant(AdaptiveAveragePool2d(theta.shape), v, size))


def twice_as_fine(shrink: Callable[[Array], Array], v: Array) -> tuple[Array, Array]:
    """(shrink(v^{N-tri->2N}), shrink(v)^{-tri->}) on the grid of the former."""
    fine = shrink(trigonometric_interpolation(v, [2 * n for n in v.shape]))
    return fine, trigonometric_interpolation(shrink(v), fine.shape)


@trigonometric_pooling_is_invariant.twin("plain striding by 2")
def _plain_striding(problem: Problem) -> Evidence:
    return equal(*twice_as_fine(lambda x: x[::2, ::2], problem["v"]))


@trigonometric_pooling_is_invariant.twin("max pooling")
def _max_pooling(problem: Problem) -> Evidence:
    return equal(*twice_as_fine(lambda x: MaxPool2d(2).forward({}, x[None, None])[0][0, 0], problem["v"]))


@claim(
    "4.4.3 dimension changes",
    reading="stronger",
    given={"problem": problems(lambda m, n, l: odd(n) and m <= n <= l)},
    cases=[{"problem": problem((3,), (5,), (8,))}],
    examples=40,
    code=(SpectralConv, Resize),
)
def spectral_layers_and_trigonometric_pooling_ignore_resolution(problem: Problem) -> Evidence:
    """K(theta_hat) followed by trigonometric resizing to M is the same map on every L >= N, odd N >= M."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, size = parts(problem, dtype)
        fine = all_resized(theta, trigonometric_interpolation(v, size))
        return fine, all_resized(theta, v), float(np.sum(np.abs(theta)) * np.sum(np.abs(v))) or 1.0

    return identity(sides)


def all_resized(theta: Array, v: Array) -> Array:
    """Resize(M)(K(T theta)(v))."""
    return trigonometric_interpolation(spectral(theta, v), theta.shape)


@spectral_layers_and_trigonometric_pooling_ignore_resolution.twin(
    "spatial layers", cases=[{"problem": problem((3,), (5,), (8,))}]
)
def _spatial_layers(problem: Problem) -> Evidence:
    theta, v, size = parts(problem, np.float64)
    fine = spatial_convolution(theta, trigonometric_interpolation(v, size))
    lhs, rhs = (trigonometric_interpolation(y, theta.shape) for y in (fine, spatial_convolution(theta, v)))
    return equal(lhs, rhs, size_of(theta, v))
