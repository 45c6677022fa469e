"""Total variation: taut string, closed forms, the G-norm, the certificate, Bregman iterations (Ex 4.18)."""

from itertools import islice, pairwise
from math import hypot, inf

import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.sparsity import TotalVariation, bregman_distance, tv, tv_bregman, tv_denoise
from refimpl.sparsity.total_variation import differences, differences_transposed


def taut_string(f, alpha):
    """The exact 1-D minimiser: the shortest path through the tube |s - cumsum(f)| <= alpha with fixed ends.

    From a corner the string goes straight as far as the tube allows: the steepest line below all upper and the
    flattest above all lower ends; where they cross, it bends at the one that binds.
    """
    n = len(f)
    center = np.concatenate([[0.0], np.cumsum(f)])
    low, high = center - alpha, center + alpha
    low[[0, n]] = high[[0, n]] = center[[0, n]]
    u, start, height = np.empty(n), 0, 0.0
    while start < n:
        slope_high, slope_low, at_high, at_low = inf, -inf, start, start
        for k in range(start + 1, n + 1):
            up, down = (high[k] - height) / (k - start), (low[k] - height) / (k - start)
            if down > slope_high:
                bend, slope = at_high, slope_high
                break
            if up < slope_low:
                bend, slope = at_low, slope_low
                break
            if up <= slope_high:
                slope_high, at_high = up, k
            if down >= slope_low:
                slope_low, at_low = down, k
        else:
            bend, slope = n, (center[n] - height) / (n - start)
        u[start:bend] = slope
        height += slope * (bend - start)
        start = bend
    return u


def dual_string(f, alpha):
    """The same minimiser from its optimality conditions, by bounded least squares on the cumulative dual."""
    from scipy.optimize import lsq_linear

    n = len(f)
    D = np.diff(np.eye(n), axis=0)
    z = lsq_linear(alpha * D.T, f, bounds=(-1, 1), method="bvls", tol=1e-15).x
    return f - alpha * D.T @ z


@pytest.mark.parametrize("seed", range(4))
def test_the_taut_string_oracle_agrees_with_bounded_least_squares(seed):
    f = np.random.default_rng(seed).normal(size=12)
    for alpha in (0.1, 0.5, 2.0):
        assert taut_string(f, alpha) == pytest.approx(dual_string(f, alpha), abs=1e-10)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("alpha", [0.05, 0.3, 1.0])
def test_signals_are_the_taut_string(seed, alpha):
    f = np.random.default_rng(seed).normal(size=17)
    expected = taut_string(f, alpha)
    for image, read in [
        (f[:, None], lambda u: u[:, 0]),
        (f[None, :], lambda u: u[0]),
        (np.tile(f, (4, 1)), lambda u: u[2]),
    ]:
        result = tv_denoise(image, alpha, gap=1e-13)
        assert np.max(np.abs(read(result.u) - expected)) <= 1e-10


def test_value_by_hand():
    assert tv([[0.0, 3.0], [4.0, 0.0]]) == hypot(4, 3) + 3 + 4
    assert tv(np.full((3, 3), 7.0)) == tv([[5.0]]) == 0
    assert tv([[1.0], [3.0], [0.0]]) == 5


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 5)])
def test_differences_and_their_adjoint(shape):
    """<D u, z> = <u, D^T z>, exactly on dyadic numbers; |D|^2 <= 8."""
    rng = np.random.default_rng(0)
    u, z = rng.integers(-8, 9, shape) / 4, rng.integers(-8, 9, (2, *shape)) / 4
    assert np.sum(differences(u) * z) == np.sum(u * differences_transposed(z))
    assert np.sum(differences(u) ** 2) <= 8 * np.sum(u * u)


@pytest.mark.parametrize("axis", [0, 1])
def test_two_levels_move_towards_each_other(axis):
    """A step of height 1 between n_1 and n_2 rows: the levels move by alpha/n_i until they meet."""
    f = np.zeros((5, 6))
    f[2:] = 1.0
    f = f if axis == 0 else f.T
    for alpha in (0.25, 1.0):
        expected = np.where(f == 0, alpha / 2, 1 - alpha / 3)
        assert np.max(np.abs(tv_denoise(f, alpha, gap=1e-13).u - expected)) <= 1e-10
    assert np.max(np.abs(tv_denoise(f, 1.3, gap=1e-13).u - 0.6)) <= 1e-7


def test_extinction_at_the_g_norm():
    """u is constant iff alpha >= G = max |cumsum(f - mean)| (one dimension)."""
    f = np.random.default_rng(3).normal(size=20)
    G = np.max(np.abs(np.cumsum(f - f.mean())))
    assert np.ptp(tv_denoise(f[:, None], 1.001 * G, gap=1e-13).u) <= 1e-6
    assert np.ptp(tv_denoise(f[:, None], 0.98 * G, gap=1e-13).u) >= 1e-3
    J = TotalVariation()
    assert J.conjugate((f - f.mean())[:, None] / (1.01 * G)) == 0
    assert J.conjugate((f - f.mean())[:, None] / (0.99 * G)) == inf


@pytest.mark.parametrize("gap", [1e-2, 1e-5, 1e-10])
def test_the_certificate_is_true(gap):
    """1/2 |u - u*|^2 <= gap, p = D^T z = (f - u)/alpha, and TV(w) >= TV(u) + <p, w - u> - gap/alpha."""
    f = np.random.default_rng(4).normal(size=(12, 9))
    result, sharp = tv_denoise(f, 0.4, gap), tv_denoise(f, 0.4, 1e-13)
    assert 0 <= result.gap <= gap
    assert np.sum((result.u - sharp.u) ** 2) / 2 <= gap + 1e-13
    assert np.max(np.hypot(*result.z)) <= 1 + 1e-15
    assert np.max(np.abs(differences_transposed(result.z) - result.p)) == 0
    assert np.max(np.abs((f - result.u) / 0.4 - result.p)) <= 1e-14
    assert result.gap == pytest.approx(0.4 * (tv(result.u) - np.sum(result.p * result.u)), abs=1e-13)
    for w in np.random.default_rng(5).normal(size=(20, 12, 9)):
        assert tv(w) >= tv(result.u) + np.sum(result.p * (w - result.u)) - result.gap / 0.4 - 1e-12


def test_every_perturbation_is_worse():
    f = np.random.default_rng(6).normal(size=(6, 7))
    u = tv_denoise(f, 0.5, 1e-13).u
    energy = lambda w: np.sum((w - f) ** 2) / 2 + 0.5 * tv(w)  # noqa: E731
    for size in (1e-3, 1e-1):
        for d in np.random.default_rng(7).normal(size=(50, 6, 7)) * size:
            assert energy(u + d) >= energy(u) - 1e-12


def test_equivariances():
    f = np.random.default_rng(8).normal(size=(8, 5))
    u = tv_denoise(f, 0.3, 1e-13).u
    assert np.mean(u) == pytest.approx(np.mean(f), abs=1e-13)
    assert tv_denoise(f + 5, 0.3, 1e-13).u == pytest.approx(u + 5, abs=1e-6)
    assert tv_denoise(3 * f, 0.9, 1e-13).u == pytest.approx(3 * u, abs=1e-6)
    assert tv_denoise(f.T, 0.3, 1e-13).u == pytest.approx(u.T, abs=1e-6)
    assert np.max(np.abs(tv_denoise(np.rot90(f), 0.3, 1e-13).u - np.rot90(u))) > 1e-3  # forward differences


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (4, 4)])
def test_constants_and_single_pixels_stay(shape):
    result = tv_denoise(np.full(shape, 2.5), 0.7)
    assert np.array_equal(result.u, np.full(shape, 2.5))
    assert result.gap == 0


def test_alpha_zero_returns_the_data_and_a_subgradient():
    f = np.random.default_rng(0).normal(size=(4, 3))
    result = tv_denoise(f, 0)
    assert np.array_equal(result.u, f)
    assert (result.gap, result.iterations) == (0, 0)
    assert np.sum(result.p * f) == pytest.approx(tv(f), rel=1e-14)


def test_warm_start_and_progress():
    f = np.random.default_rng(9).normal(size=(24, 24))
    seen = []
    cold = tv_denoise(f, 0.5, 1e-9, progress=lambda steps, gap: seen.append((steps, gap)))
    assert seen[-1] == (cold.iterations, cold.gap)
    warm = tv_denoise(f + 1e-6, 0.5, 1e-9, z=cold.z)
    assert warm.iterations <= cold.iterations / 4


def test_a_gap_out_of_reach_is_an_error():
    f = np.random.default_rng(9).normal(size=(24, 24))
    with pytest.raises(RuntimeError, match=r"gap .* after 30 iterations, wanted 1.0e-10"):
        tv_denoise(f, 2.0, max_iterations=30)
    with pytest.raises(RuntimeError, match=r"after 1200 iterations"):
        tv_denoise(f, 2.0, gap=0, max_iterations=1200)


def test_inputs_are_left_alone():
    f = np.random.default_rng(9).normal(size=(6, 12)).astype(np.float32)[:, ::2]
    f.flags.writeable = False
    z = tv_denoise(f, 0.1).z
    z.flags.writeable = False
    assert tv_denoise(f, 0.1, z=z).u.dtype == np.float64
    assert tv_denoise([[1, 2], [3, 4]], 0.1).u.shape == (2, 2)


def test_subdifferential_distance_of_tv():
    """On a step the subgradient is fixed across the edge and free elsewhere; outside it the distance is known."""
    u = np.zeros((4, 1))
    u[2:] = 1.0
    J = TotalVariation(2.0)
    p = 2 * differences_transposed(differences(u))
    assert J.subdifferential_distance(p, u) <= 1e-12
    assert J.subdifferential_distance(-p, u) == pytest.approx(_by_bounded_least_squares(-p, u), abs=1e-6)
    q = np.array([[3.0], [-1.0], [0.5], [2.0]])
    assert J.subdifferential_distance(q, u) == pytest.approx(_by_bounded_least_squares(q, u), abs=1e-6)
    assert J.subdifferential_distance(q, np.ones((4, 1))) == pytest.approx(
        _by_bounded_least_squares(q, np.ones((4, 1))), abs=1e-6
    )


def _by_bounded_least_squares(p, u):
    """min |p - 2 D^T z| in one dimension, z_i = sign(u_{i+1} - u_i) or free in [-1, 1]."""
    from scipy.optimize import lsq_linear

    D = np.diff(np.eye(len(u)), axis=0)
    signs = np.sign(D @ u[:, 0])
    fixed = signs != 0
    rest = p[:, 0] - 2 * D[fixed].T @ signs[fixed]
    z = lsq_linear(2 * D[~fixed].T, rest, bounds=(-1, 1), method="bvls", tol=1e-15).x
    return np.linalg.norm(rest - 2 * D[~fixed].T @ z)


# --- Bregman iterations (Ex 4.18) -----------------------------------------------------------------


def test_bregman_iterations_of_a_step():
    """u_1 has its contrast reduced by 1/(tau n_i), u_2 is the data (closed form)."""
    f = np.zeros((5, 1))
    f[2:] = 1.0
    start, first, second = islice(tv_bregman(f, 4.0, 1e-13), 3)
    assert np.array_equal(start.u, np.full((5, 1), 0.6))
    assert first.u == pytest.approx(np.where(f == 0, 1 / 8, 1 - 1 / 12), abs=1e-8)
    assert second.u == pytest.approx(f, abs=1e-8)


def test_the_image_stays_constant_until_the_g_norm_is_reached():
    """u_k is constant while k tau G(f) <= 1."""
    f = np.random.default_rng(3).normal(size=20)[:, None]
    G = np.max(np.abs(np.cumsum(f - f.mean())))
    ranges = [np.ptp(r.u) for r in islice(tv_bregman(f, 1 / (3.5 * G), 1e-13), 6)]
    assert max(ranges[:4]) <= 1e-5
    assert ranges[4] > 1e-3


def test_bregman_iterations_denoise_then_return_the_noise():
    rng = np.random.default_rng(0)
    clean = np.zeros((16, 16))
    clean[4:12, 5:11] = 1.0
    noise = 0.2 * rng.normal(size=clean.shape)
    f, tau = clean + noise, 0.5
    iterates = list(islice(tv_bregman(f, tau, 1e-9), 25))
    losses = [np.sum((r.u - f) ** 2) / 2 for r in iterates]
    J = TotalVariation()
    distances = [bregman_distance(J, clean, r.u, r.p) for r in iterates]
    errors = [np.sum((r.u - clean) ** 2) for r in iterates]
    assert np.all(np.diff(losses) <= 1e-7)
    assert all(loss <= tv(f) / (k * tau) for k, loss in enumerate(losses) if k)
    for k in range(len(iterates) - 1):
        if losses[k + 1] >= np.sum(noise**2) / 2:
            assert distances[k + 1] <= distances[k] + 1e-4
    best = int(np.argmin(errors))
    assert 0 < best < 24 and errors[best] < 0.3 * np.sum(noise**2)
    for old, new in pairwise(iterates):
        assert new.p == pytest.approx(old.p - tau * (new.u - f), abs=1e-11)  # (4.15b)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: tv([1.0, 2.0]), "u"),
        (lambda: tv(np.zeros((0, 3))), "u"),
        (lambda: tv_denoise([[1.0, np.nan]], 1), "f"),
        (lambda: tv_denoise([[1.0, inf]], 1), "f"),
        (lambda: tv_denoise([[1.0]], -1), "alpha"),
        (lambda: tv_denoise([[1.0]], 1, gap=-1), "gap"),
        (lambda: tv_denoise([[1.0]], 1, z=np.zeros((2, 2, 2))), "z"),
        (lambda: tv_denoise([[1.0]], 1, max_iterations=0), "max_iterations"),
        (lambda: tv_bregman([[1.0]], 0), "step"),
        (lambda: TotalVariation(1, gap=0), "gap"),
    ],
)
def test_bad_arguments(make, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected "):
        make()


def test_nan_reaches_the_value_and_float32_stays():
    assert np.isnan(tv([[1.0, np.nan]]))
    J = TotalVariation(0.5)
    x = J.prox(np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32))
    assert x.dtype == np.float32
    assert compare.eps_error(J.prox(x.astype(float), 0), x.astype(float)) == 0
