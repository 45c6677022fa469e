"""Section 4.4.3: an activation behind a spectral layer makes frequencies that a coarse grid cannot hold."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Evidence, at_most, claim, decays, identity
from refimpl.claims.images import odd, parts, problem, problems
from refimpl.claims.nemytskii import Square
from refimpl.numerics import compare
from refimpl.resolution import OversampledActivation, trigonometric_interpolation
from refimpl.setting.activations import GELU, Activation, ReLU

Array = np.ndarray
Problem = dict[str, Any]
DEGREE = 4


def commuted(act: Callable[[Array], Array], u: Array, size: tuple[int, ...]) -> tuple[Array, Array]:
    """(sigma(u^{N-tri->L}), sigma(u)^{N-tri->L})."""
    return act(trigonometric_interpolation(u, size)), trigonometric_interpolation(act(u), size)


@claim(
    "4.4.3 aliasing",
    given={"problem": problems(lambda m, n, l: odd(n) and 2 * n - 1 <= m <= l)},
    code=(Square,),
    cases=[{"problem": problem((9,), (5,), (12,))}],
    examples=60,
)
def square_is_exact_on_fine_grids(problem: Problem) -> Evidence:
    """For u of degree m and sigma(x) = x^2, sigma(u)^{N-tri->L} = sigma(u^{N-tri->L}) on grids N >= 4 m + 1."""
    return square_evidence(problem)


def square_evidence(problem: Problem) -> Evidence:
    """Both sides for the polynomial through v, on the grid as large as theta."""

    def sides(dtype: type) -> tuple[Any, ...]:
        theta, v, size = parts(problem, dtype)
        u = trigonometric_interpolation(v, theta.shape)
        return *commuted(np.square, u, size), float(np.sum(np.abs(v))) ** 2 + 1

    return identity(sides)


square_is_exact_on_fine_grids.without(
    "N >= 4 m + 1",
    problem=problems(lambda m, n, l: odd(n) and n >= 3 and n <= m < 2 * n - 1 and l > m),
    cases=[{"problem": problem((7,), (5,), (9,))}],
)


@claim(
    "4.4.3 aliasing",
    reading="stronger",
    given={"problem": problems(lambda m, n, l: odd(n) and m == 1 and n <= l)},
    cases=[{"problem": problem((1,), (7,), (9,))}],
    examples=60,
    code=(OversampledActivation,),
)
def oversampled_square_is_free_of_aliasing(problem: Problem) -> Evidence:
    """sigma(x) = x^2 evaluated on a grid twice as fine gives the same on N and, cut back, on every L >= N, N odd."""
    return oversampled(problem, factor=2)


def oversampled(problem: Problem, factor: int) -> Evidence:
    """The oversampled activation on N against that on L, brought back to N."""
    layer = OversampledActivation(Square(), factor)

    def sides(dtype: type) -> tuple[Any, ...]:
        _, v, size = parts(problem, dtype)
        fine = layer.forward({}, trigonometric_interpolation(v, size)[None, None])[0][0, 0]
        coarse = layer.forward({}, v[None, None])[0][0, 0]
        return trigonometric_interpolation(fine, v.shape), coarse, float(np.sum(np.abs(v))) ** 2 + 1

    return identity(sides)


@oversampled_square_is_free_of_aliasing.twin("no oversampling", cases=[{"problem": problem((1,), (7,), (12,))}])
def _no_oversampling(problem: Problem) -> Evidence:
    return oversampled(problem, factor=1)


def defects(sigma: Activation, seed: int, sizes: Array) -> Array:
    """Root mean square of sigma(u)^{N-tri->5N} - sigma(u^{N-tri->5N}) for one u of degree 4, on several N."""
    u = trigonometric_interpolation(draw.uniform(seed, 2 * DEGREE + 1), 4096)
    u = u - u.mean()  # changes sign, so that ReLU has its kinks on the graph
    coarse = trigonometric_interpolation(u, 2 * DEGREE + 1)
    pairs = (commuted(sigma.value, trigonometric_interpolation(coarse, n), (5 * n,)) for n in sizes.tolist())
    return np.array([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs])


GRIDS = np.array([33, 47, 65, 91, 129, 183, 257, 363, 513, 725, 1025])
SEED = st.integers(0, 200)


@claim("4.4.3 aliasing", reading="stronger", given={"seed": SEED}, examples=12, code=(ReLU,))
def relu_aliases_at_order_three_halves(seed: int) -> Evidence:
    """For ReLU the defect of equivariance falls as N^(-3/2): the coefficients of a kink fall as k^-2."""
    return decays(1.0 / GRIDS, defects(ReLU(), seed, GRIDS), 1.5, 0.25)


@relu_aliases_at_order_three_halves.twin("a smooth activation")
def _smooth_activation(seed: int) -> Evidence:
    return decays(1.0 / GRIDS[:4], defects(GELU(), seed, GRIDS[:4]), 1.5, 0.25)


@claim("4.4.3 aliasing", reading="stronger", given={"seed": SEED}, examples=12, code=(GELU,))
def gelu_aliases_faster_than_any_small_power(seed: int) -> Evidence:
    """For GELU, analytic, the defect falls faster than N^-5 from 33 to 91 points."""
    return faster(GELU(), seed)


def faster(sigma: Activation, seed: int) -> Evidence:
    """5 <= fitted order."""
    return at_most(5.0, compare.order_of_decay(1.0 / GRIDS[:4], defects(sigma, seed, GRIDS[:4])))


@gelu_aliases_faster_than_any_small_power.twin("ReLU")
def _kink(seed: int) -> Evidence:
    return faster(ReLU(), seed)


@claim("4.4.3 aliasing", reading="stronger", given={"seed": SEED}, examples=12, code=(OversampledActivation,))
def oversampling_reduces_aliasing(seed: int) -> Evidence:
    """For GELU and an image of degree 4 on 17 points, an activation on a grid 4 times as fine has at most a tenth of
    the plain defect of equivariance within the frequencies of the coarse grid."""
    return reduction(seed, factor=4)


def reduction(seed: int, factor: int) -> Evidence:
    """10 times the oversampled defect against the plain one."""
    v = trigonometric_interpolation(2 * draw.uniform(seed, 2 * DEGREE + 1), 17)

    def defect(times: int) -> float:
        layer = OversampledActivation(GELU(), times)
        fine = layer.forward({}, trigonometric_interpolation(v, 85)[None, None])[0][0, 0]
        return float(np.max(np.abs(trigonometric_interpolation(fine, 17) - layer.forward({}, v[None, None])[0][0, 0])))

    return at_most(10 * defect(factor), defect(1))


@oversampling_reduces_aliasing.twin("factor 1")
def _factor_one(seed: int) -> Evidence:
    return reduction(seed, factor=1)
