"""Sections 4.4 and 4.4.1: the grid, convolution, the Fourier transform, interpolation and zero-padding of spectra."""

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims.claim import Erratum, Evidence, all_of, claim, equal, exactly, identity
from refimpl.claims.images import NORMS, direct_convolution, odd, parts, problem, problems, size_of
from refimpl.numerics import compare
from refimpl.resolution import (
    conversion,
    convolution,
    dft,
    fourier,
    grid,
    hermitian_defect,
    interpolation,
    inverse_dft,
    inverse_transform,
    pad_spectrum,
    spatial_convolution,
    spectral_convolution,
    transform,
    trigonometric_interpolation,
)

Array = np.ndarray
Problem = dict[str, Any]


def on_the_torus(n: int, intervals: int) -> Evidence:
    """Whether the n points j / intervals are distinct modulo 1 and closed under addition."""
    points = {Fraction(j, intervals) % 1 for j in range(n)}
    closed = all((a + b) % 1 in points for a in points for b in points)
    return exactly(len(points) == n and closed, f"{len(points)} distinct points")


@claim(
    "4.4 grid",
    given={"n": st.integers(2, 16)},
    erratum=Erratum("x_j = j/(N-1), j = 0, ..., N-1", "x_j = j/N: j/(N-1) puts 0 and 1 on one point", "typo"),
)
def grid_as_printed(n: int) -> Evidence:
    """The N grid points j/(N-1) are distinct points of R/Z and translations permute them."""
    return on_the_torus(n, n - 1)


@claim("4.4 grid", reading="corrected", given={"n": st.integers(2, 16)}, code=(grid,), examples=20)
def grid_of_the_torus(n: int) -> Evidence:
    """The N grid points j/N are distinct points of R/Z and translations permute them."""
    computed = equal(grid(n), np.array([float(Fraction(j, n)) for j in range(n)]), k=1)
    return all_of(on_the_torus(n, n), computed)


@grid_of_the_torus.twin("spacing 1/(N-1)")
def _spacing(n: int) -> Evidence:
    return on_the_torus(n, n - 1)


def same_grid(m: int, n: int, l: int) -> bool:
    """M = N, whatever L."""
    return m == n and l == 1


@claim("4.4 convolution", given={"problem": problems(same_grid)}, code=(spatial_convolution,), examples=80)
def convolution_is_commutative_and_equivariant(problem: Problem) -> Evidence:
    """u * v = v * u is the sum over k of u_k v_{j-k}, and translating v translates it."""

    def sides(dtype: type) -> tuple[Any, ...]:
        u, v, _ = parts(problem, dtype)
        shift, axes = tuple(range(1, u.ndim + 1)), tuple(range(u.ndim))
        back = np.roll(spatial_convolution(u, np.roll(v, shift, axes)), tuple(-s for s in shift), axes)
        lhs = [spatial_convolution(u, v), spatial_convolution(v, u), back]
        return np.stack(lhs), np.stack([direct_convolution(u, v)] * 3), size_of(u, v)

    return identity(sides)


@convolution_is_commutative_and_equivariant.twin(
    "correlation for convolution", cases=[{"problem": problem((3,), (3,))}]
)
def _correlation(problem: Problem) -> Evidence:
    u, v, _ = parts(problem, np.float64)
    return equal(inverse_transform(np.conj(transform(u)) * transform(v)), direct_convolution(u, v), size_of(u, v))


@claim(
    "4.4.1 Fourier transform",
    given={"problem": problems(), "norm": st.sampled_from(NORMS)},
    code=(dft, inverse_dft),
    examples=80,
)
def transform_inverts_and_maps_real_arrays_onto_symmetric_spectra(problem: Problem, norm: str) -> Evidence:
    """F^-1 F = 1 for every lambda, and F v is Hermitian for real v."""

    def sides(dtype: type) -> tuple[Any, ...]:
        _, v, _ = parts(problem, dtype)
        w = dft(v, norm)
        symmetric = hermitian_defect(w) * np.ones_like(v) * np.max(np.abs(v)) / max(float(np.sum(np.abs(w))), 1.0)
        return np.stack([inverse_dft(w, norm).real, symmetric]), np.stack([v, np.zeros_like(v)])

    return identity(sides)


@transform_inverts_and_maps_real_arrays_onto_symmetric_spectra.twin(
    "another lambda in the inverse", cases=[{"problem": problem((2,), (3,)), "norm": "n"}]
)
def _other_norm(problem: Problem, norm: str) -> Evidence:
    return equal(inverse_dft(dft(problem["v"], norm), "1").real, problem["v"])


@claim(
    "(4.38)",
    given={"problem": problems(same_grid), "norm": st.sampled_from(NORMS)},
    code=(spectral_convolution, convolution.spectral_convolution_as_printed),
    examples=80,
)
def convolution_theorem(problem: Problem, norm: str) -> Evidence:
    """K(lambda F theta)(v) = F^-1(lambda F theta . F v) = theta * v, for every lambda and parity."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, _ = parts(problem, dtype)
        theta_hat = dft(theta, norm) * fourier.norm_constant(norm, v.size, dtype)
        y = convolution.spectral_convolution_as_printed(theta_hat, v, norm)
        return y, direct_convolution(theta, v).astype(y.dtype), size_of(theta, v)

    return identity(sides)


@convolution_theorem.twin(
    "theta_hat = F theta without lambda", cases=[{"problem": problem((3,), (3,)), "norm": "sqrt"}]
)
def _lambda_forgotten(problem: Problem, norm: str) -> Evidence:
    theta, v, _ = parts(problem, np.float64)
    y = convolution.spectral_convolution_as_printed(dft(theta, norm), v, norm)
    return equal(y.real, direct_convolution(theta, v), size_of(theta, v))


PLANE = problems(lambda m, n, l: m <= n and l == 1, dimensions=(2,))


def correlation(theta: Array, v: Array) -> Array:
    """What a circular convolution layer of a deep-learning library computes."""
    layer = conversion.Conv2d(1, 1, (theta.shape[0], theta.shape[1]), padding="circular", bias=False)
    return layer.forward({"weight": theta[None, None]}, v[None, None])[0][0, 0]


@claim(
    "4.4 spatial zero-padding",
    given={"problem": PLANE},
    cases=[{"problem": problem((3, 3), (5, 5))}],
    erratum=Erratum(
        "C(theta), up to the boundary, is the standard implementation of libraries",
        "it is after turning the kernel by 180 degrees and centring it: theta_{(p-u) mod N} = W_u, p = (M-1)//2",
        "missing hypothesis",
    ),
    examples=20,
)
def spatial_implementation_is_that_of_libraries(problem: Problem) -> Evidence:
    """C(theta)(u) is what a circular convolution layer with the weight theta computes."""
    theta, v, _ = parts(problem, np.float64)
    return equal(correlation(theta, v), spatial_convolution(theta, v), size_of(theta, v))


@claim(
    "4.4 spatial zero-padding",
    reading="corrected",
    given={"problem": PLANE},
    examples=20,
    cases=[{"problem": problem((4, 3), (5, 6))}],
    code=(convolution.pad_kernel, conversion.kernel_of_correlation),
)
def libraries_turn_and_centre_the_kernel(problem: Problem) -> Evidence:
    """A circular convolution layer with weight W is C(theta) with W turned and centred."""
    weight, v, _ = parts(problem, np.float64)
    theta = conversion.kernel_of_correlation(weight[None, None], v.shape)[0, 0]
    return equal(correlation(weight, v), direct_convolution(theta, v), size_of(weight, v))


@libraries_turn_and_centre_the_kernel.twin("turned, but not centred", cases=[{"problem": problem((4, 3), (5, 6))}])
def _not_centred(problem: Problem) -> Evidence:
    weight, v, _ = parts(problem, np.float64)
    return equal(correlation(weight, v), spatial_convolution(weight[::-1, ::-1], v), size_of(weight, v))


@claim(
    "4.4 spatial zero-padding",
    reading="stronger",
    given={"problem": problems(lambda m, n, l: m <= n and l == 1)},
    code=(convolution.pad_kernel, spatial_convolution),
    examples=80,
)
def spatial_implementation_of_any_size(problem: Problem) -> Evidence:
    """C(theta)(u) = theta^{M -> N} * u with zeros appended in space, for every M <= N."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, _ = parts(problem, dtype)
        padded = np.zeros_like(v)
        padded[tuple(slice(m) for m in theta.shape)] = theta
        return spatial_convolution(theta, v), direct_convolution(padded, v), size_of(theta, v)

    return identity(sides)


@spatial_implementation_of_any_size.twin("kernel repeated instead of padded", cases=[{"problem": problem((2,), (4,))}])
def _repeated(problem: Problem) -> Evidence:
    theta, v, _ = parts(problem, np.float64)
    repeated = np.resize(theta, v.shape)
    return equal(spatial_convolution(theta, v), direct_convolution(repeated, v), size_of(repeated, v))


def at_old_nodes(v: Array, factor: int, fine: Array) -> tuple[Array, Array, float]:
    """(fine values at the old nodes, v, scale)."""
    return fine[tuple(slice(None, None, factor) for _ in v.shape)], v.astype(fine.dtype), compare.magnitude(v)


ODD = problems(lambda m, n, l: m == l == 1 and odd(n))


@claim(
    "4.4 trigonometric interpolation",
    given={"problem": ODD, "norm": st.sampled_from(NORMS)},
    cases=[{"problem": problem((1,), (3,)), "norm": "1"}],
    erratum=Erratum(
        "v^{M-tri->N} = F^-1((F v)^{M -> N})",
        "times (|J_N| / |J_M|) (lambda_M / lambda_N), which is 1 only for lambda = |J|",
        "wrong constant",
    ),
)
def interpolation_as_printed(problem: Problem, norm: str) -> Evidence:
    """F^-1((F v)^{N -> 3N}) takes the values of v at the old nodes, for odd N and lambda as in the text."""

    def sides(dtype: type) -> tuple[Any, ...]:
        v = problem["v"].astype(dtype)
        fine = inverse_dft(pad_spectrum(dft(v, norm), [3 * n for n in v.shape]), norm)
        return at_old_nodes(v, 3, fine)

    return identity(sides)


def dirichlet(v: Array, size: tuple[int, ...]) -> Array:
    """The trigonometric polynomial through v at the points j/L, by sums of cosines; cos(pi N x) at an even Nyquist."""
    for axis, (n, l) in enumerate(zip(v.shape, size)):
        real = v.dtype.type
        x = np.arange(l)[:, None] / real(l) - np.arange(n) / real(n)
        pi = np.arctan(real(1)) * 4
        kernel = 1 + 2 * sum((np.cos(2 * pi * k * x) for k in range(1, (n + 1) // 2)), np.zeros_like(x))
        if n % 2 == 0:
            kernel = kernel + np.cos(pi * n * np.arange(l)[:, None] / real(l)) * np.cos(pi * np.arange(n).astype(real))
        v = np.moveaxis(np.tensordot(kernel / real(n), v, ([1], [axis])), 0, axis)
    return v


@claim(
    "4.4 trigonometric interpolation",
    reading="corrected",
    given={"problem": problems(lambda m, n, l: m == 1 and n <= l)},
    code=(trigonometric_interpolation, interpolation.interpolation_matrix),
    examples=80,
)
def interpolation_is_the_polynomial_through_the_points(problem: Problem) -> Evidence:
    """For N <= L of every parity v^{N-tri->L} is real and the trigonometric polynomial through v, and going back to N
    returns v."""

    def sides(dtype: type) -> tuple[Any, ...]:
        _, v, size = parts(problem, dtype)
        fine = trigonometric_interpolation(v, size)
        lhs = [fine.ravel(), trigonometric_interpolation(fine, v.shape).ravel()]
        return np.concatenate(lhs), np.concatenate([dirichlet(v, size).ravel(), v.ravel()])

    return identity(sides)


@interpolation_is_the_polynomial_through_the_points.twin(
    "no Nyquist splitting", cases=[{"problem": problem((1,), (2,), (3,))}, {"problem": problem((1, 1), (4, 2), (5, 3))}]
)
def _not_split(problem: Problem) -> Evidence:
    _, v, size = parts(problem, np.float64)
    fine = inverse_dft(pad_spectrum(dft(v, "n"), size, "literal"), "n")
    return equal(fine, dirichlet(v, size).astype(complex))


interpolation_is_the_polynomial_through_the_points.without(
    "N <= L", problem=problems(lambda m, n, l: m == 1 and n > l), cases=[{"problem": problem((1,), (5,), (3,))}]
)


@claim(
    "4.4 trigonometric interpolation",
    reading="stronger",
    code=(trigonometric_interpolation,),
    examples=80,
    given={"problem": problems(lambda m, n, l: m == 1 and n <= l and odd(n))},
)
def interpolation_of_odd_sizes_is_an_isometry(problem: Problem) -> Evidence:
    """For odd N <= L the mean of |v|^2 is kept."""

    def sides(dtype: type) -> tuple[Any, ...]:
        _, v, size = parts(problem, dtype)
        return np.mean(trigonometric_interpolation(v, size) ** 2), np.mean(v**2), compare.magnitude(v) ** 2

    return identity(sides)


interpolation_of_odd_sizes_is_an_isometry.without(
    "odd N",
    problem=problems(lambda m, n, l: m == 1 and n < l and n % 2 == 0),
    cases=[{"problem": {"theta": np.ones(1), "v": np.array([1.0, -1.0]), "size": (4,)}}],
)
