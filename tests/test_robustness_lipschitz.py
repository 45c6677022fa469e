"""Lipschitz constants: quotients by differences, exact constants by four routes, bounds above, certificates."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from refimpl.robustness import (
    Bound,
    ascend,
    certified_radius,
    convolution_norm,
    exact_lipschitz,
    exact_lipschitz_rational,
    lipschitz_estimate,
    lipschitz_report,
    margin,
    milp_lipschitz,
    operator_norm,
    perturbed_pairs,
    pgd,
    pieces,
    power_iteration,
    product_bound,
    product_bound_gradient,
    quotient,
    quotient_gradient,
    regions,
)
from refimpl.robustness.norms import norm
from refimpl.setting import (
    AdaptiveAveragePool2d,
    AveragePool2d,
    BatchNorm2d,
    Conv2d,
    Dense,
    Flatten,
    MaxPool2d,
    Network,
    ReLU,
    Residual,
    Sigmoid,
    Tanh,
)

NORMS = (1, 2, np.inf)
IDENTITY = Network([Dense(1, 2, bias=False), ReLU(), Dense(2, 1, bias=False)])  # relu(x) - relu(-x) = x
TRAP = np.array([1.0, -1.0, 1.0, -1.0])


def net_with(sizes, seed, noise=0.3):
    """A ReLU network whose biases are not zero."""
    layers = [layer for a, b in itertools.pairwise(sizes) for layer in (Dense(a, b), ReLU())][:-1]
    network = Network(layers)
    return network, network.init(seed) + np.random.default_rng(seed).normal(0, noise, network.size)


class TestQuotient:
    net = Network([Dense(3, 7), Tanh(), Residual([Dense(7, 7), Tanh()], learn=True), Dense(7, 4)])
    theta = net.init(0) + np.random.default_rng(3).normal(0, 0.2, net.size)
    x, xbar = np.random.default_rng(0).normal(size=(2, 6, 3))

    @pytest.mark.parametrize("p", NORMS)
    @pytest.mark.parametrize("q", NORMS)
    def test_is_the_definition(self, p, q):
        expected = [
            np.linalg.norm(np.ravel(self.net(self.theta, a[None]) - self.net(self.theta, b[None])), q)
            / np.linalg.norm(a - b, p)
            for a, b in zip(self.x, self.xbar)
        ]
        assert np.allclose(quotient(self.net, self.theta, self.x, self.xbar, p, q), expected, rtol=1e-13)

    @pytest.mark.parametrize("p", NORMS)
    @pytest.mark.parametrize("q", NORMS)
    @pytest.mark.parametrize("power", [1, 2])
    def test_gradients_by_central_differences(self, p, q, power):
        rng = np.random.default_rng(5)
        weights = rng.uniform(size=6)

        def value(h, dx, dxbar, dtheta):
            at = self.net, self.theta + h * dtheta, self.x + h * dx, self.xbar + h * dxbar
            return np.sum(weights * quotient(*at, p, q) ** power)

        g = quotient_gradient(self.net, self.theta, self.x, self.xbar, p, q, power, weights)
        for _ in range(3):
            directions = rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), rng.normal(size=self.net.size)
            slope = (value(1e-6, *directions) - value(-1e-6, *directions)) / 2e-6
            inner = sum(np.sum(a * d) for a, d in zip((g.x, g.xbar, g.theta), directions))
            assert inner == pytest.approx(slope, rel=1e-7)

    def test_halves_are_the_whole(self):
        whole = quotient_gradient(self.net, self.theta, self.x, self.xbar)
        inputs = quotient_gradient(self.net, self.theta, self.x, self.xbar, need="input")
        parameters = quotient_gradient(self.net, self.theta, self.x, self.xbar, need="parameters")
        assert inputs.theta is None and parameters.x is None and parameters.xbar is None
        assert np.array_equal(inputs.x, whole.x) and np.array_equal(inputs.xbar, whole.xbar)
        assert np.array_equal(parameters.theta, whole.theta)

    def test_agrees_with_automatic_differentiation(self):
        torch = pytest.importorskip("torch")
        net, theta = net_with([3, 5, 2], 0)
        x, xbar = (torch.tensor(v, requires_grad=True) for v in (self.x, self.xbar))
        leaf = torch.tensor(theta, requires_grad=True)
        w1, b1, w2, b2 = (leaf[s] for s in net.slices.values())

        def f(z):
            return torch.relu(z @ w1.reshape(5, 3).T + b1) @ w2.reshape(2, 5).T + b2

        value = ((f(x) - f(xbar)).norm(dim=1) / (x - xbar).norm(dim=1)).sum()
        value.backward()
        g = quotient_gradient(net, theta, self.x, self.xbar)
        for ours, theirs in ((g.x, x.grad), (g.xbar, xbar.grad), (g.theta, leaf.grad)):
            assert np.allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-14)

    @pytest.mark.parametrize("power", [1, 2])
    def test_coincident_pairs_give_zero_and_never_nan(self, power):
        x = self.x.copy()
        xbar = self.xbar.copy()
        xbar[0] = x[0]
        xbar[1] = x[1] * (1 + np.finfo(float).eps)
        g = quotient_gradient(self.net, self.theta, x, xbar, power=power)
        assert np.array_equal(g.values[:2], [0, 0]) and np.all(g.values[2:] > 0)
        assert not g.x[:2].any() and not g.xbar[:2].any() and np.isfinite(g.theta).all()
        alone = quotient_gradient(self.net, self.theta, x[:2], xbar[:2], power=power)
        assert not alone.theta.any()

    def test_equal_outputs_give_gradient_zero(self):
        absolute = np.array([1.0, -1.0, 1.0, 1.0])
        g = quotient_gradient(IDENTITY, absolute, [[1.0]], [[-1.0]])
        assert g.values == 0 and g.x == 0 and g.xbar == 0 and not g.theta.any()

    def test_nan_propagates(self):
        x = self.x.copy()
        x[2, 0] = np.nan
        values = quotient(self.net, self.theta, x, self.xbar)
        assert np.isnan(values[2]) and np.isfinite(np.delete(values, 2)).all()
        assert np.isnan(lipschitz_estimate(self.net, self.theta, x, self.xbar))

    def test_reductions(self):
        values = quotient(self.net, self.theta, self.x, self.xbar)
        assert lipschitz_estimate(self.net, self.theta, self.x, self.xbar) == values.max()
        assert lipschitz_estimate(self.net, self.theta, self.x, self.xbar, reduce="mean") == values.mean()

    def test_float32_stays(self):
        g = quotient_gradient(
            self.net, self.theta.astype(np.float32), self.x.astype(np.float32), self.xbar.astype(np.float32)
        )
        assert {a.dtype for a in g} == {np.dtype(np.float32)}

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"xbar": np.ones((5, 3))}, "xbar"),
            ({"p": 3}, "p"),
            ({"power": 3}, "power"),
            ({"weights": [1.0]}, "weights"),
        ],
    )
    def test_bad_input(self, change, name):
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            quotient_gradient(self.net, self.theta, **({"x": self.x, "xbar": self.xbar} | change))


class TestAscent:
    def test_one_printed_step_is_the_formula(self):
        net, theta = net_with([2, 6, 3], 0)
        x, xbar = np.random.default_rng(0).normal(size=(2, 5, 2))
        g = quotient_gradient(net, theta, x, xbar)
        moved = ascend(net, theta, x, xbar, 0.01)
        step = 0.01 * g.values[:, None]
        assert np.allclose(moved.x, x + step * g.x, rtol=1e-13)
        assert np.allclose(moved.xbar, xbar + step * g.xbar, rtol=1e-13)
        assert np.array_equal(moved.values, quotient(net, theta, moved.x, moved.xbar))

    def test_accepted_steps_never_lower_the_quotient(self):
        net, theta = net_with([2, 8, 3], 1)
        x, xbar = perturbed_pairs(np.random.default_rng(0).uniform(size=(20, 2)), rng=0)
        old, tau = quotient(net, theta, x, xbar), np.full(20, 0.5)
        for _ in range(30):
            x, xbar, new, tau = ascend(net, theta, x, xbar, tau, 1, "accept")
            assert np.all(new >= old)
            old = new
        assert np.array_equal(old, quotient(net, theta, x, xbar))
        assert old.max() <= exact_lipschitz(net, theta) * (1 + 1e-12)

    def test_box_is_kept(self):
        net, theta = net_with([2, 8, 3], 2)
        x, xbar = perturbed_pairs(np.random.default_rng(0).uniform(size=(20, 2)), 0.1, 0, (0.0, 1.0))
        for rule in ("printed", "accept"):
            moved = ascend(net, theta, x, xbar, 1.0, 20, rule, (0.0, 1.0))
            assert np.all((moved.x >= 0) & (moved.x <= 1) & (moved.xbar >= 0) & (moved.xbar <= 1))

    def test_linear_maps_reach_the_spectral_norm_and_separate(self):
        net = Network([Dense(4, 3, bias=False)])
        theta = np.random.default_rng(0).normal(size=12)
        x, xbar = np.random.default_rng(1).normal(size=(2, 6, 4))
        moved = ascend(net, theta, x, xbar, 0.05, 2000)
        assert np.allclose(moved.values, np.linalg.norm(theta.reshape(3, 4), 2), rtol=1e-9)
        assert np.all(norm(moved.x - moved.xbar) > norm(x - xbar))

    def test_zero_steps(self):
        net, theta = net_with([2, 6, 3], 0)
        x, xbar = np.random.default_rng(0).normal(size=(2, 5, 2))
        for rule in ("printed", "accept"):
            still = ascend(net, theta, x, xbar, 0.1, 0, rule)
            assert np.array_equal(still.x, x) and np.array_equal(still.values, quotient(net, theta, x, xbar))


class TestExact:
    @pytest.mark.parametrize("theta", [TRAP, np.abs(TRAP) * [1, -1, 1, 1]], ids=["identity", "absolute value"])
    def test_the_trap_gives_one(self, theta):
        assert exact_lipschitz(IDENTITY, theta) == 1
        assert exact_lipschitz_rational(IDENTITY, theta) == 1
        assert [operator_norm(r.jacobian) for r in regions(IDENTITY, theta)] == [1, 1]
        assert milp_lipschitz(IDENTITY, theta, (-1, 1)) == pytest.approx(1, abs=1e-9)
        assert product_bound(IDENTITY, theta) == pytest.approx(2, rel=1e-15)

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("domain", [None, (-1.5, 2.0)])
    def test_line_four_ways(self, seed, domain):
        net, theta = net_with([1, 5, 4, 1], seed)
        breakpoints = exact_lipschitz(net, theta, domain)
        assert exact_lipschitz_rational(net, theta, domain) == pytest.approx(breakpoints, rel=1e-12)
        cells = max(operator_norm(r.jacobian) for r in regions(net, theta, domain))
        assert cells == pytest.approx(breakpoints, rel=1e-10)
        if domain is not None:
            assert milp_lipschitz(net, theta, domain) == pytest.approx(breakpoints, rel=1e-8)
            t = np.linspace(*domain, 20001)[:, None]
            secants = np.abs(np.diff(net(theta, t), axis=0)).max() / (t[1, 0] - t[0, 0])
            assert secants <= breakpoints * (1 + 1e-9)
            assert secants >= 0.95 * breakpoints or len(pieces(net, theta, domain).slopes) > 8

    def test_rationals_are_exact(self):
        theta = np.array([0.5, -0.75, 2.0, 0.25, 1.5, -1.0, 3.0])
        net = Network([Dense(1, 2), ReLU(), Dense(2, 1)])
        value = exact_lipschitz_rational(net, theta)  # slopes -0.75 * -1, .5 * 1.5 - 0, and both where they overlap
        assert isinstance(value, Fraction)
        assert value == Fraction(3, 2)

    def test_many_outputs_and_norms_on_the_line(self):
        net, theta = net_with([1, 6, 3], 0)
        knots, slopes = pieces(net, theta, (-2, 2))
        for q in NORMS:
            assert exact_lipschitz(net, theta, (-2, 2), 2, q) == np.linalg.norm(slopes, q, axis=1).max()
        for a, b, slope in zip(knots, knots[1:], slopes):
            ends = net(theta, np.array([[a], [b]]))
            assert np.allclose((ends[1] - ends[0]) / (b - a), slope, rtol=1e-6)
        for q in (1, np.inf):
            exact = float(exact_lipschitz_rational(net, theta, (-2, 2), q))
            assert exact == pytest.approx(exact_lipschitz(net, theta, (-2, 2), 2, q), rel=1e-13)

    def test_nearly_coincident_knots_do_not_spoil_the_slopes(self):
        net = Network([Dense(1, 2), ReLU(), Dense(2, 1)])
        theta = np.array([1.0, 1.0, 0.0, 1e-17, 2.0, 1.0, 0.0])
        assert exact_lipschitz(net, theta) == 3

    def test_knots_next_to_the_ends_are_merged_in_relation_to_their_size(self):
        """relu(x - t) on [-1000, 1000] with t 5e-10 from an end: no interval of that length; at 5e-8 there is one."""
        net = Network([Dense(1, 1), ReLU(), Dense(1, 1)])
        for end in (-1000.0, 1000.0):
            for apart, count in ((5e-10, 2), (5e-8, 3)):
                found = pieces(net, np.array([1.0, -end * (1 - apart / 1000), 1.0, 0.0]), (-1000.0, 1000.0))
                assert len(found.knots) == count

    def test_integer_program_with_small_weights(self):
        """Regions are measured in the inputs: the constant is proportional to the first layer."""
        net, theta = net_with([2, 4, 1], 1)
        small = theta.copy()
        small[:12] *= 2.0**-15
        large = milp_lipschitz(net, theta, (-1.0, 1.0))
        assert milp_lipschitz(net, small, (-1.0, 1.0)) == pytest.approx(large * 2.0**-15, rel=1e-9)

    def test_integer_program_with_neurons_that_never_change(self):
        """Zero rows: a neuron that is always on, one that is always off, and one that is always at its kink."""
        net = Network([Dense(2, 4), ReLU(), Dense(4, 1)])
        theta = np.array([0, 0, 0, 0, 0, 0, 1, -2, 1.0, -1, 0, 0.5, 5, 7, 9, 3, 0])
        for p, value in ((1, 6), (np.inf, 9)):
            assert milp_lipschitz(net, theta, (-1.0, 1.0), p) == pytest.approx(value, rel=1e-9)

    @pytest.mark.parametrize("seed", range(4))
    def test_plane_regions_tile_the_box(self, seed):
        net, theta = net_with([2, 6, 5, 2], seed)
        cells = regions(net, theta, (-1, 1))
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, (4000, 2))
        h = 1e-7
        columns = [(net(theta, x + h * e) - net(theta, x - h * e)) / (2 * h) for e in np.eye(2)]
        sampled = np.stack(columns, axis=-1)
        known = np.array([r.jacobian for r in cells])
        gaps = np.abs(sampled[:, None] - known[None]).max(axis=(2, 3)).min(axis=1)
        assert np.mean(gaps < 1e-5) > 0.999  # all but the points whose difference straddles a kink
        assert np.linalg.norm(sampled, 2, axis=(1, 2)).max() <= exact_lipschitz(net, theta, (-1, 1)) + 1e-5
        for r in cells:  # every region is real: the Jacobian at its centre is the one reported
            at = [(net(theta, (r.center + 1e-9 * e)[None]) - net(theta, r.center[None])) / 1e-9 for e in np.eye(2)]
            assert np.allclose(np.concatenate(at).T, r.jacobian, atol=1e-5)

    @pytest.mark.parametrize(("sizes", "seed"), [([2, 6, 1], 0), ([2, 5, 5, 1], 1), ([3, 5, 4, 1], 2)])
    @pytest.mark.parametrize("p", [1, np.inf])
    def test_integer_programs_agree_with_regions(self, sizes, seed, p):
        net, theta = net_with(sizes, seed)
        cells = exact_lipschitz(net, theta, (-1, 1), p)
        assert milp_lipschitz(net, theta, (-1, 1), p) == pytest.approx(cells, rel=1e-8)

    def test_residual_networks(self):
        net = Network([Dense(2, 4), Residual([Dense(4, 4), ReLU()], learn=True), Dense(4, 2)])
        theta = net.init(0) + np.random.default_rng(0).normal(0, 0.3, net.size)
        x = np.random.default_rng(1).uniform(-2, 2, (20000, 2))
        h = 1e-7
        jacobians = np.stack([(net(theta, x + h * e) - net(theta, x - h * e)) / (2 * h) for e in np.eye(2)], -1)
        sampled = np.linalg.norm(jacobians, 2, axis=(1, 2)).max()
        assert exact_lipschitz(net, theta) == pytest.approx(sampled, rel=1e-6)

    def test_norm_pairs(self):
        rng = np.random.default_rng(0)
        matrix = rng.normal(size=(3, 4))
        v = rng.normal(size=(200_000, 4))
        for p in NORMS:
            for q in NORMS:
                sampled = (norm(v @ matrix.T, q) / norm(v, p)).max()
                assert 0.9 * operator_norm(matrix, p, q) < sampled <= operator_norm(matrix, p, q) * (1 + 1e-12)

    def test_row_and_column_from_euclidean_to_absolute(self):
        """||(3, 4)||_{2->1} = 5 by Cauchy-Schwarz; as a column the entries add up to 7."""
        assert operator_norm([[3.0, 4.0]], 2, 1) == 5
        assert operator_norm([[3.0], [4.0]], 2, 1) == 7

    def test_sign_enumeration_stops_at_sixteen(self):
        assert operator_norm(np.ones((1, 16)), np.inf, 2) == 16
        with pytest.raises(ValueError, match=r"^matrix: expected"):
            operator_norm(np.ones((2, 17)), np.inf, 2)

    def test_domain_matters_and_forms_agree(self):
        net, theta = net_with([2, 6, 2], 0)
        assert exact_lipschitz(net, theta, (-0.1, 0.1)) <= exact_lipschitz(net, theta)
        assert exact_lipschitz(net, theta, (-1, 1)) == exact_lipschitz(net, theta, [(-1, 1), (-1, 1)])

    @pytest.mark.parametrize(
        ("network", "options", "name"),
        [
            (Network([Dense(1, 2), Tanh(), Dense(2, 1)]), {}, "network"),
            (Network([ReLU()]), {}, "network"),
            (Network([Dense(1, 2), ReLU()]), {"domain": (1, 0)}, "domain"),
            (Network([Dense(2, 2), ReLU()]), {"domain": [(0, 1)] * 3}, "domain"),
            (Network([Dense(2, 2), ReLU()]), {"limit": 1}, "network"),
            (Network([Dense(2, 2), ReLU()]), {"p": 3}, "p"),
        ],
    )
    def test_bad_input(self, network, options, name):
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            exact_lipschitz(network, network.init(0), **options)

    def test_rational_refuses_what_it_cannot_do(self):
        net, theta = net_with([2, 3, 1], 0)
        with pytest.raises(ValueError, match="one input"):
            exact_lipschitz_rational(net, theta)
        with pytest.raises(ValueError, match=r"^q: expected"):
            exact_lipschitz_rational(IDENTITY, TRAP, q=2)

    def test_integer_program_refuses_what_it_cannot_do(self):
        net, theta = net_with([2, 3, 2], 0)
        with pytest.raises(ValueError, match="one output"):
            milp_lipschitz(net, theta, (-1, 1))
        with pytest.raises(ValueError, match=r"^p: expected"):
            milp_lipschitz(IDENTITY, TRAP, (-1, 1), 2)
        with pytest.raises(ValueError, match=r"^domain: expected"):
            milp_lipschitz(IDENTITY, TRAP, None)


class TestProductBound:
    @pytest.mark.parametrize("p", NORMS)
    @pytest.mark.parametrize("seed", range(4))
    def test_is_at_least_the_exact_constant(self, p, seed):
        net, theta = net_with([2, 5, 4, 2], seed)
        assert product_bound(net, theta, p) >= exact_lipschitz(net, theta, None, p) * (1 - 1e-12)

    def test_is_the_product(self):
        net = Network([Dense(3, 4), Sigmoid(), Dense(4, 2)])
        theta = net.init(0)
        w1, _, w2, _ = net.views(theta).values()
        for p in NORMS:
            expected = np.linalg.norm(w1, p) * np.linalg.norm(w2, p) / 4
            assert product_bound(net, theta, p) == pytest.approx(expected, rel=1e-14)

    @pytest.mark.parametrize("p", NORMS)
    def test_residual_layers_need_their_weight(self, p):
        net = Network([Residual([Dense(2, 2), ReLU()], w=-1.5)])
        theta = np.zeros(net.size)
        assert product_bound(net, theta, p) == 1.5 == exact_lipschitz(net, theta, None, p)
        theta = np.random.default_rng(0).normal(size=net.size)
        weight = net.views(theta)["0.branch.0.weight"]
        assert product_bound(net, theta, p) == pytest.approx(1.5 + np.linalg.norm(weight, p), rel=1e-14)
        assert product_bound(net, theta, p) >= exact_lipschitz(net, theta, None, p)

    @pytest.mark.parametrize("p", NORMS)
    def test_gradient_by_differences(self, p):
        net = Network([Dense(3, 4), Tanh(), Residual([Dense(4, 4), Tanh()], w=0.5, learn=True), Dense(4, 2)])
        rng = np.random.default_rng(0)
        theta = rng.normal(size=net.size)
        value, gradient = product_bound_gradient(net, theta, p)
        assert value == product_bound(net, theta, p)
        for _ in range(4):
            d = rng.normal(size=net.size)
            slope = (product_bound(net, theta + 1e-6 * d, p) - product_bound(net, theta - 1e-6 * d, p)) / 2e-6
            assert gradient @ d == pytest.approx(slope, rel=1e-7)

    def test_gradient_at_a_zero_layer(self):
        net = Network([Dense(2, 2, bias=False), Dense(2, 2, bias=False)])
        theta = np.concatenate([np.zeros(4), np.eye(2).ravel()])
        value, gradient = product_bound_gradient(net, theta)
        assert value == 0 and np.isfinite(gradient).all() and np.linalg.norm(gradient[:4]) == 1

    @pytest.mark.parametrize("p", NORMS)
    @pytest.mark.parametrize("padding", ["circular", "zero", "valid"])
    @pytest.mark.parametrize(("kernel", "stride"), [((3, 3), 1), ((2, 3), 1), ((3, 3), 2)])
    def test_convolutions_against_their_matrix(self, p, padding, kernel, stride):
        layer = Conv2d(2, 3, kernel, stride, padding, bias=False)
        params = layer.init(np.random.default_rng(0))
        basis = np.eye(2 * 6 * 5).reshape(-1, 2, 6, 5)
        matrix = layer.forward(params, basis)[0].reshape(len(basis), -1).T
        bound = product_bound(Network([layer]), params["weight"].ravel(), p, (2, 6, 5))
        dense = np.linalg.norm(matrix, p)
        assert bound >= dense * (1 - 1e-12)
        if stride == 1 and (padding == "circular" or p != 2):
            assert bound == pytest.approx(dense, rel=1e-12)
        assert bound <= 2.5 * dense
        if p == 2:
            lower = power_iteration(layer, params, (2, 6, 5), steps=2000)
            assert lower.kind == "lower" and lower.value == pytest.approx(dense, rel=1e-6)

    def test_power_iteration_ignores_the_bias(self):
        params = {"weight": np.diag([3.0, 1.0]), "bias": np.array([5.0, 7.0])}
        assert power_iteration(Dense(2, 2), params, (2,)).value == pytest.approx(3, rel=1e-14)
        assert power_iteration(Dense(2, 2), {k: 0 * v for k, v in params.items()}, (2,)).value == 0

    def test_one_power_step_by_hand(self):
        """||A v|| / ||v|| at v = A^T A v_0 for the drawn v_0."""
        A = np.array([[3.0, 1.0], [0.0, 1.0], [2.0, -1.0]])
        v = A.T @ A @ np.random.default_rng(5).normal(size=2)
        found = power_iteration(Dense(2, 3, bias=False), {"weight": A}, (2,), 2, rng=5)
        assert found.value == pytest.approx(np.linalg.norm(A @ v) / np.linalg.norm(v), rel=1e-14)

    def test_blocks_hand_their_grid_on(self):
        """A convolution after a residual block sees the grid of the block's output."""
        weights = np.random.default_rng(0).normal(size=(2, 1, 1, 3, 3))
        net = Network([Residual([Conv2d(1, 1, 3, bias=False)], w=0.5), Conv2d(1, 1, 3, bias=False)])
        one, two = (convolution_norm(w, 2, "zero", (5, 4)) for w in weights)
        assert product_bound(net, weights.ravel(), 2, (1, 5, 4)) == pytest.approx((0.5 + one) * two, rel=1e-12)

    def test_batch_normalisation_needs_its_statistics(self):
        layer = BatchNorm2d(2, mean=np.zeros(2), variance=np.array([4.0, 0.25]))
        theta = np.array([6.0, -1.0, 0.0, 0.0])
        assert product_bound(Network([layer]), theta) == pytest.approx(3, rel=1e-5)
        with pytest.raises(ValueError, match=r"^network: expected"):
            product_bound(Network([BatchNorm2d(2)]), theta)

    def test_kernels_wider_than_the_grid_wrap_around(self):
        weight = np.random.default_rng(0).normal(size=(1, 1, 5, 3))
        layer = Conv2d(1, 1, (5, 3), 1, "circular", bias=False)
        matrix = layer.forward({"weight": weight}, np.eye(6).reshape(6, 1, 3, 2))[0].reshape(6, 6)
        assert convolution_norm(weight, 2, "circular", (3, 2)) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-12)

    @pytest.mark.parametrize("p", NORMS)
    @pytest.mark.parametrize("layer", [AveragePool2d(2), AveragePool2d(3, 2, 1), AdaptiveAveragePool2d((2, 3))])
    def test_mean_pooling_against_its_matrix(self, p, layer):
        basis = np.eye(2 * 35).reshape(-1, 2, 7, 5)
        matrix = layer.forward({}, basis)[0].reshape(len(basis), -1).T
        assert product_bound(Network([layer]), np.zeros(0), p, (2, 7, 5)) == pytest.approx(
            np.linalg.norm(matrix, p), rel=1e-12
        )

    @pytest.mark.parametrize("p", NORMS)
    @pytest.mark.parametrize("layer", [MaxPool2d(2), MaxPool2d(3, 2), MaxPool2d(3, 1)])
    def test_maximum_pooling_against_pairs(self, p, layer):
        rng = np.random.default_rng(0)
        net = Network([layer])
        bound = product_bound(net, np.zeros(0), p)
        x = rng.normal(size=(500, 1, 6, 6))
        assert quotient(net, np.zeros(0), x, x + rng.normal(size=x.shape), p, p).max() <= bound
        spike = np.zeros((1, 1, 6, 6))
        spike[0, 0, 2, 2] = 1  # seen by as many windows as any pixel
        attained = quotient(Network([layer, Flatten()]), np.zeros(0), spike, np.zeros_like(spike), p, p)
        assert attained <= bound * (1 + 1e-15) and (layer.size != (2, 2) or attained == 1)

    def test_bad_input(self):
        net = Network([Conv2d(1, 1, 3)])
        with pytest.raises(ValueError, match=r"^input_shape: expected"):
            product_bound(net, net.init(0))
        with pytest.raises(ValueError, match=r"^network: expected"):
            product_bound_gradient(net, net.init(0), 1)
        with pytest.raises(ValueError, match=r"^p: expected"):
            product_bound(net, net.init(0), 3)


class TestCertificates:
    net, theta = net_with([2, 7, 3], 5)
    x = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    labels = np.argmax(net(theta, x), axis=1)

    def test_margin_is_the_definition(self):
        logits = self.net(self.theta, self.x)
        labels = (self.labels + 1) % 3
        expected = [row[c] - np.delete(row, c).max() for row, c in zip(logits, labels)]
        assert np.array_equal(margin(logits, labels), expected)

    @pytest.mark.parametrize("p", NORMS)
    def test_no_adversary_inside_the_radius(self, p):
        exact = Bound(exact_lipschitz(self.net, self.theta, None, p), "exact")
        radii = certified_radius(margin(self.net(self.theta, self.x), self.labels), exact, p)
        assert np.median(radii) > 1e-3
        for x, radius, label in zip(self.x, radii, self.labels):
            if radius > 0:
                attack = pgd(
                    self.net, self.theta, x[None], [label], radius * (1 - 1e-9), p, restarts=2, box=None, rng=0
                )
                assert not attack.success.any()

    def test_the_factor_is_attained(self):
        net = Network([Dense(1, 2, bias=False)])
        theta = np.array([1.0, -1.0])  # Lip sqrt 2 in l_2, margin 2 x
        radius = certified_radius(np.array([2.0]), Bound(exact_lipschitz(net, theta), "exact"))
        assert radius == pytest.approx(1, rel=1e-15)

    def test_the_factor_is_attained_in_the_other_norms(self):
        """(x, 0) has l_1 constant 1 and flips its label after 2; (x, -x) has l_inf constant 1, margin 4, and too."""
        assert certified_radius([2.0], Bound(1.0, "exact"), 1) == 2
        assert certified_radius([4.0], Bound(1.0, "exact"), np.inf) == 2

    def test_lower_estimates_are_refused(self):
        with pytest.raises(ValueError, match="lower estimate certifies nothing"):
            certified_radius(np.ones(2), Bound(1.0, "lower"))
        with pytest.raises(ValueError, match=r"^bound: expected"):
            certified_radius(np.ones(2), 1.0)

    def test_edges(self):
        assert np.array_equal(certified_radius([-1.0, 0.0, 2.0], Bound(0.0, "exact")), [0, 0, np.inf])
        assert np.isnan(certified_radius(np.array([np.nan]), Bound(1.0, "upper")))
        with pytest.raises(ValueError, match=r"^kind: expected"):
            Bound(1.0, "estimate")
        with pytest.raises(ValueError, match=r"^value: expected"):
            Bound(-1.0, "upper")


class TestReport:
    def test_sandwich(self):
        net, theta = net_with([2, 6, 3], 0)
        report = lipschitz_report(net, theta, np.random.default_rng(0).uniform(size=(30, 2)))
        assert [b.kind for b in report.bounds] == ["lower", "exact", "upper"]
        values = [b.value for b in report.bounds]
        assert values == sorted(values) and values[0] > 0.3 * values[1]
        assert report.certificate == report.exact
        assert report.lip_over_margin == report.exact.value / report.margin
        text = str(report)
        assert all(word in text for word in ("lower", "exact", "upper", "Lip/margin"))

    def test_scaling_the_network_leaves_lip_over_margin(self):
        net, theta = net_with([2, 6, 3], 0)
        x = np.random.default_rng(0).uniform(size=(30, 2))
        small = theta.copy()
        for name in ("2.weight", "2.bias"):
            small[net.slices[name]] /= 8
        a, b = lipschitz_report(net, theta, x), lipschitz_report(net, small, x)
        assert b.exact.value == pytest.approx(a.exact.value / 8) and b.lip_over_margin == pytest.approx(
            a.lip_over_margin
        )

    @pytest.mark.parametrize("sizes", [[5, 2, 1], [2, 20, 10, 1]])
    def test_exactness_is_tried_on_small_networks_only(self, sizes):
        net, theta = net_with(sizes, 0)
        assert lipschitz_report(net, theta, np.random.default_rng(0).uniform(size=(6, sizes[0]))).exact is None

    def test_one_sample_is_enough(self):
        net, theta = net_with([2, 3, 1], 0)
        assert lipschitz_report(net, theta, [[0.25, 0.5]]).exact is not None

    def test_networks_beyond_exactness(self):
        net = Network([Conv2d(1, 2, 3), Tanh(), Flatten(), Dense(32, 1)])
        report = lipschitz_report(net, net.init(0), np.random.default_rng(0).uniform(size=(4, 1, 4, 4)), domain=(0, 1))
        assert report.exact is None and report.margin is None and report.certificate.kind == "upper"
        assert report.lower.value <= report.upper.value
        with pytest.raises(ValueError, match=r"^data: expected"):
            lipschitz_report(net, net.init(0), 2 * np.ones((4, 1, 4, 4)), domain=(0, 1))
