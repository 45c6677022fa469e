"""Section 4.2.2: what Lipschitz regularisation selects, decided in exact arithmetic on a finite parameter set.

Theta: networks f(x) = c + a_1 relu(w_1 x + b_1) + a_2 relu(w_2 x + b_2) on [-1, 1] whose parameters are multiples of
1/2 (1/4 for c), with kinks at multiples of 1/4. Their slopes, losses on dyadic data and objectives for dyadic lambda
are exact in float64, so that argmin *sets* are compared without any tolerance.
"""

from fractions import Fraction
from functools import cache
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import Erratum, Evidence, claim, exactly

Array = np.ndarray

GRID = np.arange(-4, 5) / 4  # where the networks may bend, and where data lie


class Family(NamedTuple):
    """Theta: the values of every network on GRID, its Lipschitz constant, its product bound (4.5), |theta|^2."""

    values: Array
    lip: Array
    product: Array
    size: Array


@cache
def family() -> Family:
    """All networks of the finite Theta (7,569 functions with repetitions)."""
    w, b, a = (g.ravel() for g in np.meshgrid([-1.0, 1, 2], [-0.5, 0, 0.5], np.arange(-4, 5) / 2))
    units = a[:, None] * np.maximum(w[:, None] * GRID + b[:, None], 0)
    i, j = np.triu_indices(len(a))
    keep = (i + j) % 4 == 0  # a quarter of the pairs is enough
    i, j = i[keep], j[keep]
    hidden = units[i] + units[j]
    shifts = np.arange(-4, 5) / 4
    values = (shifts[:, None, None] + hidden).reshape(-1, len(GRID))
    lip = np.abs(np.diff(values) * 4).max(axis=1)
    first, last = np.hypot(w[i], w[j]), np.hypot(a[i], a[j])
    square = w[i] ** 2 + w[j] ** 2 + a[i] ** 2 + a[j] ** 2 + b[i] ** 2 + b[j] ** 2
    return Family(values, lip, np.tile(first * last, 9), np.tile(square, 9) + np.repeat(shifts**2, len(i)))


def losses(at: Array, y: Array) -> Array:
    """L of every network for the squared loss on the points GRID[at] with targets y: exact for dyadic y."""
    return np.sum((family().values[:, at] - y) ** 2, axis=1) / len(y)


def minimisers(L: Array, lip: Array, lam: float) -> Array:
    """The set argmin L + lam Lip."""
    J = L + lam * lip
    return np.flatnonzero(J.min() == J)


POINTS = st.lists(st.integers(0, 8), min_size=4, max_size=4, unique=True).map(np.array)
DATA = {"at": POINTS, "y": draw.arrays(4, -2, 2, 2)}
LAMBDA = draw.positive(2**-8, 1, 8)
ZIGZAG = {"at": np.array([0, 3, 5, 8]), "y": np.array([1.0, -1, 1, -1])}


@claim(
    "4.2.2 monotone in lambda",
    given=DATA | {"lam": LAMBDA, "more": LAMBDA},
    cases=[ZIGZAG | {"lam": 2**-8, "more": 0.5}],
    examples=60,
)
def monotone_in_lambda(at: Array, y: Array, lam: float, more: float) -> Evidence:
    """For minimisers of L + lambda Lip at lambda < lambda', every selection: L does not fall and Lip does not rise."""
    return _monotone(losses(at, y), lam, more)


ROUGH = {"at": np.arange(4), "y": np.array([-0.25, 0, 0, 0]), "lam": 2**-8, "more": 2**-8}


@monotone_in_lambda.twin("approximate minimisers: best of every 7th network, of every 8th for more", cases=[ROUGH])
def monotone_along_approximate_minimisers(at: Array, y: Array, lam: float, more: float) -> Evidence:
    return _monotone(losses(at, y), lam, more, slice(None, None, 7), slice(3, None, 8))


TRADED = {"at": np.array([7, 8, 4, 2]), "y": np.array([0.5, -2, -1.75, -0.5]), "lam": 2**-8, "more": 2**-8}


@monotone_in_lambda.twin("minimisers of L + lambda Lip + mu |theta|^2, as existence needs them", cases=[TRADED])
def monotone_with_a_norm(at: Array, y: Array, lam: float, more: float) -> Evidence:
    L = losses(at, y)
    J = L + 2**-5 * family().size
    low, high = (L[minimisers(J, family().lip, value)] for value in (lam, lam + more))
    return exactly(bool(low.max() <= high.min()))


def _monotone(L: Array, lam: float, more: float, *parts: slice) -> Evidence:
    """Minimisers at lambda and lambda' among all networks, or each among a part of them."""
    lip, every = family().lip, np.arange(len(L))
    before, after = (every[part] for part in parts) if parts else (every, every)
    first = before[minimisers(L[before], lip[before], lam)]
    second = after[minimisers(L[after], lip[after], lam + more)]
    return exactly(bool(L[first].max() <= L[second].min() and lip[first].min() >= lip[second].max()))


REALISED = {"at": POINTS, "which": st.integers(0, 10**6), "share": st.integers(1, 12)}


@claim(
    "Proposition 4.2", given=REALISED, cases=[{"at": np.array([1, 6, 3, 8]), "which": 123456, "share": 1}], examples=40
)
def smallest_constant_among_exact_fits(at: Array, which: int, share: int) -> Evidence:
    """If some theta fits the data exactly, the minimisers for small lambda are the exact fits of least Lip.

    "Small" is below the first breakpoint of the lower convex hull of {(Lip, L)}, found in rational arithmetic.
    """
    return _selected(at, which, share, family().lip)


@smallest_constant_among_exact_fits.twin("lambda = 0, which selects nothing")
def all_exact_fits(at: Array, which: int, share: int) -> Evidence:
    L = losses(at, _targets(at, which))
    return exactly(np.array_equal(minimisers(L, family().lip, 0.0), _least(L, family().lip)))


@smallest_constant_among_exact_fits.twin("the product bound (4.5) in place of Lip")
def selected_by_the_product(at: Array, which: int, share: int) -> Evidence:
    return _selected(at, which, share, family().product)


@smallest_constant_among_exact_fits.twin("the squared norm of theta in place of Lip")
def selected_by_the_norm(at: Array, which: int, share: int) -> Evidence:
    return _selected(at, which, share, family().size)


def _targets(at: Array, which: int) -> Array:
    return family().values[which % len(family().values), at]


def _least(L: Array, lip: Array) -> Array:
    """argmin {Lip : L = min L}."""
    best = np.flatnonzero(L.min() == L)
    return best[lip[best] == lip[best].min()]


def _selected(at: Array, which: int, share: int, penalty: Array) -> Evidence:
    L = losses(at, _targets(at, which))
    lam = _below(first_breakpoint(L, penalty)) / 2**share
    return exactly(np.array_equal(minimisers(L, penalty, lam), _least(L, family().lip)))


def first_breakpoint(L: Array, penalty: Array) -> Fraction:
    """The largest lambda_0 such that below it no network of smaller penalty beats the best-fitting ones."""
    goal = _least(L, penalty)[0]
    rivals = np.flatnonzero(penalty < penalty[goal])
    pairs = {(L[i], penalty[i]) for i in rivals}
    return min(
        ((Fraction(a) - Fraction(L[goal])) / (Fraction(penalty[goal]) - Fraction(b)) for a, b in pairs),
        default=Fraction(1),
    )


def _below(value: Fraction) -> float:
    """A power of two below a positive fraction."""
    power = 1.0
    while Fraction(power) >= value:
        power /= 2
    return power


@claim(
    "Proposition 4.2",
    given=DATA | {"share": st.integers(1, 12)},
    cases=[ZIGZAG | {"share": 1}],
    reading="stronger",
    examples=40,
)
def smallest_constant_among_best_fits(at: Array, y: Array, share: int) -> Evidence:
    """Realisability is not needed: the minimisers for small lambda are those of least Lip in argmin L."""
    return _best_fit(at, y, share, 1.0)


@smallest_constant_among_best_fits.twin("lambda far above the first breakpoint", cases=[ZIGZAG | {"share": 1}])
def best_fit_for_large_lambda(at: Array, y: Array, share: int) -> Evidence:
    return _best_fit(at, y, share, 2.0**24)


def _best_fit(at: Array, y: Array, share: int, factor: float) -> Evidence:
    L, lip = losses(at, y), family().lip
    lam = factor * _below(first_breakpoint(L, lip)) / 2**share
    return exactly(np.array_equal(minimisers(L, lip, lam), _least(L, lip)))


REPEATED = {"at": np.array([0, 3, 5, 8]), "y": np.array([0.0, 0, 0, 1])}
LARGE = 2.0**20  # beyond the last breakpoint: Lip >= 1/2 or 0, and L <= 16 for |y| <= 2 and c = 0


@claim("Proposition 4.3", given=DATA, cases=[REPEATED], reading="corrected", examples=40)
def large_lambda_gives_the_best_constant(at: Array, y: Array) -> Evidence:
    """For large lambda every minimiser is constant on X, with the value in argmin over M of the mean loss.

    M holds the values that constant networks attain; the mean runs over all samples, equal targets counted as often as
    they occur; some constant must have finite mean loss (squared loss here).
    """
    return _constant(at, y, y, LARGE)


@large_lambda_gives_the_best_constant.twin("a small lambda", cases=[ZIGZAG])
def small_lambda_gives_no_constant(at: Array, y: Array) -> Evidence:
    return _constant(at, y, y, 2.0**-10)


@claim(
    "Proposition 4.3",
    given=DATA,
    cases=[REPEATED],
    erratum=Erratum(
        "yhat minimises the sum of l(y', y) over y in the set T_Y of targets",
        "over all samples (x, y) in T: equal targets count as often as they occur",
        "wrong constant",
    ),
    examples=40,
)
def targets_as_a_set(at: Array, y: Array) -> Evidence:
    """The constant is the best one for the set of targets."""
    return _constant(at, y, np.unique(y), LARGE)


def _constant(at: Array, y: Array, targets: Array, lam: float) -> Evidence:
    found = minimisers(losses(at, y), family().lip, lam)
    constants = np.arange(-4, 5) / 4
    means = ((constants[:, None] - targets) ** 2).sum(axis=1)
    best = constants[means == means.min()]
    values = family().values[found]
    return exactly(bool(np.all(values == values[:, :1]) and set(values[:, 0]) == set(best)))


@claim(
    "Proposition 4.3",
    given={"lam": draw.positive(1, 1024, 0)},
    erratum=Erratum(
        "M, the set of constants that networks realise, is not empty",
        "some constant in M has finite mean loss: otherwise no minimiser is constant, however large lambda is",
        "missing hypothesis",
    ),
)
def constants_of_infinite_loss(lam: float) -> Evidence:
    """f_theta(x) = theta x for theta in [0, 1], l(a, y) = 0 if a = y, else infinite, T = {(0, 0), (1, 1)}:
    Assumptions 1 to 3 hold and M = {0}, so minimisers tend to constants."""
    thetas = np.arange(0, 65) / 64
    fits = thetas == 1  # l is infinite at (1, 1) for every other theta; f(0) = 0 fits (0, 0)
    J = np.where(fits, lam * thetas, np.inf)
    return exactly(bool(thetas[J.argmin()] == 0))
