"""The checks of Section 4.3: complete, in pairs of readings, and their helpers held to definitions."""

from fractions import Fraction

import numpy as np
import pytest

from refimpl import chapter
from refimpl.claims import sound_claims
from refimpl.claims.bregman_limits import smallest_norm
from refimpl.claims.convergence import amplification, slack
from refimpl.claims.convergence_bregman import one_point_modulus
from refimpl.claims.inverse_scale_space import FALLING, exact_step, exact_values, solved
from refimpl.claims.noise import (
    Cosine,
    Noise,
    Quadratic,
    Ramp,
    expect,
    moved,
    noise_tree,
    square,
    started,
    symmetric_distance,
    two_point_law,
)
from refimpl.claims.prox_of_norms import DUAL, attaining, project
from refimpl.claims.sparse_starts import variance
from refimpl.sparsity import L1, ElasticNet, LinBreg, SquaredL2, Zero, bregman_distance

CLAIMS = [c for c in sound_claims() if chapter.get(c.id).section.startswith("4.3")]


def test_every_item_of_the_section_is_checked():
    items = {item.id for item in chapter.ITEMS if item.section.startswith("4.3")}
    assert items - set(chapter.NOT_CHECKED) <= {c.id for c in CLAIMS}


def test_errata_and_corrections_come_in_pairs():
    for claim in CLAIMS:
        if claim.erratum is not None:
            assert any(c.id == claim.id and c.reading == "corrected" for c in CLAIMS), claim.key


@pytest.mark.parametrize(
    "loss", [Quadratic(np.diag([1.0, 3.0]), np.ones(2)), Cosine(np.ones(2), 2.0), Ramp(np.ones(2), 0.5)]
)
def test_losses_have_their_gradients(loss):
    theta, direction, h = np.array([0.25, 3.0]), np.array([0.6, -0.8]), 1e-5
    difference = (loss.value(theta + h * direction) - loss.value(theta - h * direction)) / (2 * h)
    assert abs(difference - loss.gradient(theta) @ direction) < 1e-9
    assert loss.value(loss.minimizer) == 0
    assert not np.any(loss.gradient(loss.minimizer))


def test_noise_has_mean_zero_and_its_variance():
    noise = Noise(np.array([1.0, -2.0]), 3)
    assert sum(p for p, _ in noise.outcomes) == 1
    np.testing.assert_array_equal(sum(p * xi for p, xi in noise.outcomes), np.zeros(2))
    assert noise.variance == 3 * 5


def test_noise_tree_has_the_closed_form_moments():
    loss, noise = Quadratic(np.eye(1) * 2, np.zeros(1)), Noise(np.ones(1))
    levels = noise_tree(loss, Zero(), 1.0, [0.25] * 4, noise, np.ones(1))
    assert [len(level) for level in levels] == [2, 4, 8, 16]
    second = 1.0
    for level in levels:
        assert expect(level, lambda t: square(t.now.theta)) == second
        assert expect(level, moved) == 0.25 * second + 0.0625
        second = 0.25 * second + 0.0625


def test_slack_is_that_of_the_noise_tree():
    h, c, C, sigma = 0.5, 0.25, 0.5, 2.0
    loss, noise = Quadratic(np.eye(1), np.zeros(1)), Noise(np.full(1, sigma))
    levels = noise_tree(loss, Zero(), 1.0, [h] * 3, noise, np.full(1, 3.0))
    for k, level in enumerate(levels):
        fall = expect(level, lambda t: loss.value(t.now.theta) - loss.value(t.next.theta))
        direct = fall + h * sigma**2 / (2 * c) - C / (2 * h) * expect(level, moved)
        exact = slack(k, *map(Fraction, (h, 3.0, sigma, c, C)))
        assert abs(direct - float(exact)) < 1e-12


def test_published_witnesses_at_the_bound():
    """E x_k^2 = 4k for tau = 2/(delta L): the first k at which (c, C) fails."""
    for c, C, k in [(1, 1, 0), (0.1, 0.1, 20), (0.01, 0.01, 2450), (1e-3, 1e-4, 2_495_000)]:
        arguments = [Fraction(2), Fraction(0), Fraction(1), Fraction(str(c)), Fraction(str(C))]
        assert slack(k + 25, *arguments) < 0
        if k:
            assert slack(k - 25 if k > 25 else 0, *arguments) >= 0


def test_amplification_is_continuous_and_below_the_printed_constant():
    assert amplification(1.0) == 0.5 == 1 - 1.0 / 2
    assert all(amplification(c) <= 1 / (2 * c) for c in (0.1, 0.5, 1.0, 1.5, 2.0))


def test_symmetric_distance_of_a_start_off_the_subdifferential_uses_a_subgradient():
    J = L1(1.0)
    level = noise_tree(Quadratic(np.eye(1), np.zeros(1)), J, 1.0, [0.5], Noise(np.zeros(1)), np.zeros(1), kick=4.0)[0]
    assert level[0].now.theta == 0
    assert level[0].next.theta == 3
    assert symmetric_distance(J, 1.0)(level[0]) == (1 - 0) * (3 - 0)


def test_two_point_law_has_the_moments_of_the_full_tree():
    J, taus, a = L1(0.5), [0.5, 0.25, 0.125, 0.25], 8.0
    loss, wide = Quadratic(np.eye(1), np.full(1, a)), Quadratic(np.eye(4), np.full(4, a))
    levels = noise_tree(loss, J, 1.0, taus, Noise(np.ones(1)), np.full(1, 10.0))
    direct = [expect(level, lambda t: square(t.next.theta - a)) for level in levels]
    np.testing.assert_allclose(two_point_law(wide, J, 1.0, taus, 1.0, 10.0)[1:], direct, rtol=1e-13)


def test_start_belongs_to_its_subgradient():
    J, v0 = L1(1.0), np.array([0.5, -3.0])
    state = started(LinBreg(J, 1.0, 2.0), J, v0)
    np.testing.assert_array_equal(state.theta, [0.0, -4.0])
    np.testing.assert_array_equal(state.v, v0)


def test_one_point_modulus_is_the_worst_ratio_on_a_grid():
    loss, J, delta = Quadratic(np.eye(1), np.ones(1)), L1(1.0), 1.0
    ratios = []
    for v in np.linspace(-6, 6, 4801):
        theta = J.prox(np.full(1, delta * v), delta)
        distance = bregman_distance(ElasticNet(J, delta), loss.minimizer, theta, np.full(1, v))
        if distance > 1e-9:
            ratios.append(-(loss.value(theta) + loss.gradient(theta) @ (loss.minimizer - theta)) / distance)
    assert abs(min(ratios) - one_point_modulus(loss, J, delta)) < 1e-12
    assert one_point_modulus(loss, SquaredL2(3.0), 1.0) == 0.25


@pytest.mark.parametrize("p", [1.0, 2.0, np.inf])
def test_projections_are_nearest_points(p):
    rng = np.random.default_rng(0)
    for _ in range(20):
        v = rng.normal(size=4) * 2
        nearest = project(v, p)
        assert np.linalg.norm(nearest, p) <= 1 + 1e-14
        others = rng.normal(size=(200, 4))
        others /= np.maximum(1, np.linalg.norm(others, p, axis=1))[:, None]
        assert np.all((others - nearest) @ (v - nearest) <= 1e-13)
        assert abs(attaining(v, p) @ v - np.linalg.norm(v, DUAL[p])) < 1e-13


def test_exact_elimination():
    F = Fraction
    assert solved([[F(0), F(2)], [F(3), F(1)]], [F(4), F(5)]) == [F(1), F(2)]
    assert solved([[F(1), F(2)], [F(2), F(4)]], [F(1), F(2)]) is None


def test_exact_step_refuses_wrong_signs():
    A, f, p = [[Fraction(1)]], [Fraction(3)], [Fraction(0)]
    theta, after = exact_step(A, f, Fraction(1), p, [1])
    assert (theta, after) == ([Fraction(2)], [Fraction(1)])
    assert exact_step(A, f, Fraction(1), p, [-1]) is None
    assert exact_step(A, f, Fraction(1), p, [0]) is None


def test_the_certified_fall_of_J():
    values = exact_values(FALLING["A"], FALLING["f"], FALLING["tau"], 5)
    assert values[3] == Fraction(80, 23)
    assert values[4] == Fraction(3327452, 963125)
    assert values[4] < values[3]


def test_smallest_norm_by_enumerating_supports():
    A, f = np.array([[1.0, 2, 0], [0, 1, 1]]), np.array([2.0, 1])
    supports = [np.linalg.solve(A[:, S], f) for S in ([0, 1], [0, 2], [1, 2])]
    assert abs(smallest_norm(A, f) - min(np.abs(x).sum() for x in supports)) < 1e-12
    assert np.isnan(smallest_norm(np.zeros((1, 2)), np.ones(1)))


def test_variance_of_a_coin():
    assert variance([(Fraction(1, 2), Fraction(0)), (Fraction(1, 2), Fraction(2))]) == 1
