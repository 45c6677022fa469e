"""Attacks: exact optima of linear models, brute force on small networks, invariants of the results."""

import itertools

import numpy as np
import pytest

from refimpl.robustness import (
    addition,
    attack_2021,
    change_of_basis,
    cosine_attack,
    fgsm,
    gaussian_noise,
    grid_attack,
    noise,
    norm,
    pgd,
    project,
    rotation,
    to_cosines,
    to_pixels,
    translation,
)
from refimpl.robustness.attacks import random_start
from refimpl.setting import CrossEntropy, Dense, Flatten, Network, ReLU

RNG = np.random.default_rng(0)
NET = Network([Dense(2, 8), ReLU(), Dense(8, 8), ReLU(), Dense(8, 3)])
THETA = NET.init(0) + RNG.normal(0, 0.3, NET.size)
X = RNG.uniform(0, 1, (40, 2))
THETA[-3:] -= NET(THETA, X).mean(axis=0)  # so that all three labels occur
LABELS = np.argmax(NET(THETA, X), axis=1)
IMAGES = Network([Flatten(), Dense(64, 12), ReLU(), Dense(12, 3)])
PHI = IMAGES.init(1)
PIXELS = RNG.uniform(0, 1, (12, 8, 8))
OWN = np.argmax(IMAGES(PHI, PIXELS), axis=1)


def test_the_instances_are_not_trivial():
    assert len(np.unique(LABELS)) == 3 and len(np.unique(OWN)) >= 2
    assert 0.2 < np.mean(pgd(NET, THETA, X, LABELS, 0.2).success) < 0.9


def loss_at(x, labels=LABELS):
    return CrossEntropy().values(NET(THETA, x), labels)


class TestLinearModels:
    """Logits (0, w . x + b): the loss at label 0 grows with w . x alone, so the optimum is known."""

    net = Network([Dense(5, 2)])
    w = np.array([0.5, -1.0, 2.0, 0.25, -0.75])
    theta = np.concatenate([np.zeros(5), w, [0.0, 0.1]])
    x = np.random.default_rng(1).normal(size=(4, 5))
    labels = np.zeros(4, int)

    @pytest.mark.parametrize(("p", "dual"), [(np.inf, 1), (2, 2), (1, np.inf)])
    @pytest.mark.parametrize("attack", [fgsm, pgd])
    def test_reaches_eps_times_the_dual_norm(self, p, dual, attack):
        result = attack(self.net, self.theta, self.x, self.labels, 0.3, p, box=None)
        gain = (result.x - self.x) @ self.w
        assert np.allclose(gain, 0.3 * np.linalg.norm(self.w, dual), rtol=1e-14)

    def test_given_steps_have_their_length_along_the_gradient(self):
        result = pgd(self.net, self.theta, self.x, self.labels, 9.0, 2, 3, 0.25, box=None)
        expected = self.x + 0.75 * self.w / np.linalg.norm(self.w)
        assert np.allclose(result.x, expected, rtol=1e-13, atol=1e-13)

    def test_sign_steps_on_the_sphere_lose_a_known_factor(self):
        result = fgsm(self.net, self.theta, self.x, self.labels, 0.3, 2, "sign", box=None)
        gain = (result.x - self.x) @ self.w
        assert np.allclose(gain, 0.3 * np.abs(self.w).sum() / np.sqrt(5), rtol=1e-14)

    def test_fgsm_is_the_sign_step(self):
        result = fgsm(self.net, self.theta, self.x, self.labels, 0.3, box=None)
        assert np.allclose(result.x, self.x + 0.3 * np.sign(self.w), rtol=0, atol=1e-15)


def brute_force(x, eps, p, labels):
    """The largest loss over a fine grid of the feasible set."""
    line = np.linspace(-eps, eps, 161)
    offsets = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    rim = np.stack([np.cos(np.linspace(0, 2 * np.pi, 721)), np.sin(np.linspace(0, 2 * np.pi, 721))], -1) * eps
    offsets = np.vstack([offsets[norm(offsets, p) <= eps], rim if p == 2 else rim[:0]])
    return [loss_at(np.clip(z + offsets, 0, 1), np.full(len(offsets), c)).max() for z, c in zip(x, labels)]


@pytest.mark.parametrize("p", [2, np.inf])
def test_never_exceeds_brute_force_and_attains_it_in_most(p):
    best = np.array(brute_force(X, 0.3, p, LABELS))
    result = pgd(NET, THETA, X, LABELS, 0.3, p, restarts=8, rng=0)
    found = loss_at(result.x)
    spacing = 0.3 / 80 * 40  # a grid point is that near to the optimum, times a generous slope
    assert np.all(found <= best + 0.02 * spacing)
    largest = result.losses.max(axis=(0, 1))
    assert np.mean(largest >= best - 0.01) >= 0.75


@pytest.mark.parametrize("p", [1, 2, np.inf])
@pytest.mark.parametrize("gradient", ["normalised", "sign"])
def test_results_are_feasible_and_consistent(p, gradient):
    result = pgd(NET, THETA, X, LABELS, 0.2, p, 10, gradient=gradient, restarts=3, rng=1)
    assert np.all(norm(result.x - X, p) <= 0.2 + 1e-15) and np.all((result.x >= 0) & (result.x <= 1))
    assert np.array_equal(result.norms, norm(result.x - X, p))
    assert np.array_equal(result.success, np.argmax(NET(THETA, result.x), axis=1) != LABELS)
    assert result.losses.shape == (3, 11, 40)
    assert np.array_equal(result.losses[0, 0], loss_at(X))
    assert result.robust_accuracy == 1 - np.mean(result.success)


def test_best_iterate_is_kept_for_every_sample():
    result = pgd(NET, THETA, X, LABELS, 0.2, restarts=4, rng=2)
    kept = loss_at(result.x)
    unbroken = ~result.success
    assert np.array_equal(kept[unbroken], result.losses[:, :, unbroken].max(axis=(0, 1)))


def test_more_restarts_never_hurt():
    few = pgd(NET, THETA, X, LABELS, 0.25, restarts=1, rng=3)
    many = pgd(NET, THETA, X, LABELS, 0.25, restarts=5, rng=3)
    assert np.all(many.success >= few.success)
    assert np.array_equal(many.losses[0], few.losses[0])


def test_curve_over_budgets_is_monotone_and_in_the_order_asked():
    budgets = [0.3, 0.0, 0.1, 0.2]
    results = pgd(NET, THETA, X, LABELS, budgets, rng=0)
    by_size = [results[i] for i in np.argsort(budgets)]
    for small, large in itertools.pairwise(by_size):
        assert np.all(large.success >= small.success)
    assert all(np.all(r.norms <= eps + 1e-15) for r, eps in zip(results, budgets))
    assert np.array_equal(results[1].x, X) and not results[1].success.any()


def test_zero_budget_is_the_identity():
    wrong = (LABELS + 1) % 3
    for attack in (pgd, fgsm, noise, attack_2021):
        result = attack(NET, THETA, X, wrong, 0)
        assert np.array_equal(result.x, X) and result.success.all() and not result.norms.any()


def test_same_seed_same_result():
    first, second = (pgd(NET, THETA, X, LABELS, 0.2, restarts=3, rng=7) for _ in range(2))
    assert np.array_equal(first.x, second.x)


def test_targeted_reaches_the_target():
    result = pgd(NET, THETA, X, LABELS, 0.8, targeted=1, restarts=3, rng=0)
    assert np.array_equal(result.success, np.argmax(NET(THETA, result.x), axis=1) == 1)
    assert np.mean(result.success) > np.mean(LABELS == 1) + 0.2
    one_each = pgd(NET, THETA, X, LABELS, 0.8, targeted=np.ones(40, int), restarts=3, rng=0)
    assert np.array_equal(result.x, one_each.x)


def test_own_output_as_label_never_moves():
    """The printed target y = f(x): the loss is stationary at xbar = x (up to the rounding of soft-max)."""
    logits = NET(THETA, X)
    soft = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    dy = CrossEntropy().gradient(logits, soft)
    assert np.max(np.abs(dy)) <= 4 * np.finfo(float).eps


def test_noise_finds_less_than_the_gradient():
    blind = noise(NET, THETA, X, LABELS, 0.2, trials=5, rng=0)
    seeing = pgd(NET, THETA, X, LABELS, 0.2, restarts=5, rng=0)
    assert np.mean(blind.success) <= np.mean(seeing.success)
    assert np.all(blind.norms <= 0.2 + 1e-15)


def test_2021_attack_is_weaker_and_ends_on_the_sphere_before_the_clip():
    old = attack_2021(NET, THETA, X, LABELS, 0.2, 0.25, 50, rng=0)
    new = pgd(NET, THETA, X, LABELS, 0.2, restarts=5, rng=0)
    assert np.mean(old.success) <= np.mean(new.success)
    assert np.all(old.norms <= 0.2 + 1e-14) and np.all((old.x >= 0) & (old.x <= 1))
    free = attack_2021(NET, THETA, X, LABELS, 0.2, 0.25, 5, box=None, rng=0)
    assert np.allclose(free.norms, 0.2, rtol=1e-14)


def test_2021_attack_starts_where_its_noise_is_and_follows_the_gradient_there():
    x, labels = X[:8], LABELS[:8]
    found = attack_2021(NET, THETA, x, labels, 0.2, 0.05, 1, rng=3)
    delta = np.clip(x + np.random.default_rng(3).uniform(-0.2, 0.2, x.shape), 0, 1) - x
    at = x + 0.2 * delta / np.linalg.norm(delta, axis=1, keepdims=True)
    assert np.allclose(found.losses[0, 0], loss_at(at, labels), rtol=1e-13)
    slopes = [loss_at(at + 1e-6 * e, labels) - loss_at(at - 1e-6 * e, labels) for e in np.eye(2)]
    moved = np.clip(at + 0.05 * np.sign(np.stack(slopes, axis=1)), 0, 1) - x
    end = np.clip(x + 0.2 * moved / np.linalg.norm(moved, axis=1, keepdims=True), 0, 1)
    going = np.argmax(NET(THETA, at), axis=1) == labels
    assert going.any() and np.allclose(found.x[going], end[going], rtol=0, atol=1e-13)


def test_only_the_input_gradient_is_computed():
    class Watched(Network):
        def vjp(self, theta, x):
            y, pullback = super().vjp(theta, x)

            def watched(dy, need="both"):
                assert need == "input"
                return pullback(dy, need=need)

            return y, watched

    pgd(Watched(NET.layers), THETA, X, LABELS, 0.1, steps=3)


def test_gaussian_noise_has_the_scale():
    x = np.zeros((100, 100))
    assert np.std(gaussian_noise(x, 0.5, box=None, rng=0)) == pytest.approx(0.5, rel=0.02)
    assert gaussian_noise(x, 0.5, rng=0).min() == 0


def test_float32_stays_float32():
    result = pgd(NET, THETA.astype(np.float32), X.astype(np.float32), LABELS, 0.1, restarts=2, rng=0)
    assert result.x.dtype == np.float32 and result.losses.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"labels": LABELS[:3]}, "labels"),
        ({"labels": LABELS + 3}, "labels"),
        ({"x": X + 1}, "x"),
        ({"x": X[0]}, "x"),
        ({"eps": -0.1}, "eps"),
        ({"eps": [0.1, np.nan]}, "eps"),
        ({"eps": []}, "eps"),
        ({"p": 3}, "p"),
        ({"steps": 0}, "steps"),
        ({"restarts": 0}, "restarts"),
        ({"step": 0.0}, "step"),
        ({"gradient": "random"}, "gradient"),
        ({"targeted": 5}, "targeted"),
    ],
)
def test_bad_input(change, name):
    good = {"x": X, "labels": LABELS, "eps": 0.1}
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        pgd(NET, THETA, **(good | change))


class TestTransforms:
    def test_zero_is_the_identity(self):
        assert np.array_equal(translation(PIXELS, (0, 0)), PIXELS)
        assert np.array_equal(rotation(PIXELS, 0), PIXELS)
        assert np.array_equal(addition(PIXELS, np.zeros((8, 8))), PIXELS)
        assert np.allclose(change_of_basis(PIXELS, np.zeros((8, 8))), PIXELS, rtol=0, atol=1e-14)

    def test_addition_adds(self):
        assert addition([1.0, 2.0], [0.5, -1.0]).tolist() == [1.5, 1.0]

    def test_translation_moves_rows_and_columns(self):
        x = np.arange(12.0).reshape(1, 3, 4)
        assert np.array_equal(translation(x, (1, 0))[0, 1:], x[0, :-1])
        assert np.array_equal(translation(x, (1, 0))[0, 0], x[0, -1])
        assert np.array_equal(translation(x, (0, -2), "zero")[0], [[2, 3, 0, 0], [6, 7, 0, 0], [10, 11, 0, 0]])
        assert not translation(x, (3, 0), "zero").any()

    def test_quarter_turns_permute_pixels(self):
        assert np.allclose(rotation(PIXELS, np.pi / 2), np.rot90(PIXELS, axes=(1, 2)), rtol=0, atol=1e-14)
        assert np.allclose(rotation(PIXELS, np.pi), PIXELS[:, ::-1, ::-1], rtol=0, atol=1e-14)

    def test_rotation_interpolates_linearly_along_a_ramp(self):
        i, j = np.mgrid[-3:4, -3:4].astype(float)
        turned = rotation(i[None], 0.1)[0]  # a linear function is interpolated exactly, away from the edge
        expected = np.cos(0.1) * i + np.sin(0.1) * j
        assert np.allclose(turned[1:-1, 1:-1], expected[1:-1, 1:-1], rtol=0, atol=1e-14)

    def test_channels_are_turned_alike(self):
        x = RNG.uniform(size=(2, 3, 5, 5))
        assert np.array_equal(rotation(x, 0.3)[1, 2], rotation(x[1, 2][None], 0.3)[0])

    def test_cosines_are_orthonormal(self):
        c = to_cosines(PIXELS)
        assert np.allclose(norm(c), norm(PIXELS), rtol=1e-14)
        assert np.allclose(to_pixels(c), PIXELS, rtol=0, atol=1e-14)
        basis = to_pixels(np.eye(64).reshape(64, 8, 8)).reshape(64, 64)
        i, u = np.mgrid[:8, :8]
        one = np.sqrt(np.where(u == 0, 1, 2) / 8) * np.cos(np.pi * (i + 0.5) * u / 8)  # the DCT-II by its formula
        assert np.allclose(basis, np.kron(one, one).T, rtol=0, atol=1e-14)

    def test_attack_on_chosen_cosines_stays_there(self):
        mask = np.zeros((8, 8))
        mask[:3, :3] = 1
        result = cosine_attack(IMAGES, PHI, PIXELS, OWN, 0.4, mask, box=None)
        delta = to_cosines(result.x - PIXELS)
        assert np.max(np.abs(delta * (1 - mask))) < 1e-14
        assert np.all(result.norms <= 0.4 + 1e-14)
        assert result.success.any()
        clipped = cosine_attack(IMAGES, PHI, PIXELS, OWN, 0.4, mask)
        assert np.all((clipped.x >= 0) & (clipped.x <= 1)) and np.all(clipped.norms <= 0.4 + 1e-14)
        sizes = np.linalg.norm((clipped.x - PIXELS).reshape(12, -1), axis=1)
        assert np.allclose(clipped.norms, sizes, rtol=1e-14)
        assert np.array_equal(clipped.success, np.argmax(IMAGES(PHI, clipped.x), axis=1) != OWN)

    def test_all_cosines_are_all_pixels(self):
        full = cosine_attack(IMAGES, PHI, PIXELS, OWN, 0.3, np.ones((8, 8)), box=None)
        direct = pgd(IMAGES, PHI, PIXELS, OWN, 0.3, box=None)
        assert np.allclose(full.x, direct.x, rtol=0, atol=1e-9)

    def test_grid_attack_is_the_worst_of_the_list(self):
        angles = np.linspace(-0.5, 0.5, 5)
        result = grid_attack(IMAGES, PHI, PIXELS, OWN, rotation, angles)
        clipped = [np.clip(rotation(PIXELS, a), 0, 1) for a in angles]
        labels = np.array([np.argmax(IMAGES(PHI, x), axis=1) for x in clipped])
        assert np.array_equal(result.success, (labels != OWN).any(axis=0))
        assert result.losses.shape == (5, 1, 12)

    @pytest.mark.parametrize("mask", [np.ones((3, 3)), 2 * np.ones((8, 8))])
    def test_bad_mask(self, mask):
        with pytest.raises(ValueError, match=r"^mask: expected"):
            cosine_attack(IMAGES, PHI, PIXELS, OWN, 0.1, mask)

    def test_bad_images(self):
        with pytest.raises(ValueError, match=r"^x: expected"):
            rotation(X, 0.1)
        with pytest.raises(ValueError, match=r"^shift: expected"):
            translation(PIXELS, (0.5, 0))
        with pytest.raises(ValueError, match=r"^boundary: expected"):
            translation(PIXELS, (1, 0), "mirror")


def test_iterates_of_the_sign_form_are_the_printed_recursion():
    """xbar <- Proj(xbar + tau sign(grad)), recomputed with central differences for the gradient."""
    x, labels = X[:5], LABELS[:5]
    result = pgd(NET, THETA, x, labels, 0.2, np.inf, 6, 0.05, "sign")
    at = x
    for k in range(6):
        assert np.allclose(result.losses[0, k], loss_at(at, labels), rtol=0, atol=1e-12)
        slopes = [(loss_at(at + 1e-6 * e, labels) - loss_at(at - 1e-6 * e, labels)) for e in np.eye(2)]
        at = project(at + 0.05 * np.sign(np.stack(slopes, axis=1)), x, 0.2, np.inf)


@pytest.mark.parametrize(("p", "mean"), [(np.inf, 2 / 3), (2, 2 / 3), (1, 2 / 3)])
def test_random_starts_fill_the_ball(p, mean):
    """||delta|| = eps U^(1/n) has mean eps n / (n + 1)."""
    start = random_start(np.zeros((20_000, 2)), 0.3, p, None, np.random.default_rng(0))
    sizes = norm(start, p)
    assert sizes.max() <= 0.3 * (1 + 1e-15) and np.mean(sizes) == pytest.approx(0.3 * mean, rel=0.01)
    assert np.max(np.abs(start.mean(axis=0))) < 0.01
