"""Bernoulli masks, the variance (4.33), counts; architectures read off theta, and learnt skips."""

from math import sqrt

import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.setting import Conv2d, Dense, Flatten, Network, ReLU
from refimpl.sparsity import (
    L1,
    Blocks,
    LinBreg,
    SkipNetwork,
    active_kernels,
    active_rows,
    bernoulli_mask,
    count,
    density,
    effective_widths,
    sparsify,
)

NETWORK = Network([Conv2d(3, 8, 3), ReLU(), Flatten(), Dense(8 * 16, 40), ReLU(), Dense(40, 5)])
THETA = NETWORK.init(0)


@pytest.mark.parametrize("r", [0.0, 0.01, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("groups", ["weights", "rows", "columns", "kernels"])
def test_every_group_is_kept_with_probability_r(r, groups):
    """The number of kept groups is binomial: within 5 standard deviations, exact at r = 0 and 1."""
    shape, axes = {
        "weights": ((100, 20), (0, 1)),
        "rows": ((2000, 3), (0,)),
        "columns": ((3, 2000), (1,)),
        "kernels": ((40, 50, 2, 2), (0, 1)),
    }[groups]
    M = bernoulli_mask(shape, r, groups, rng=0)
    assert M.shape == shape
    assert set(np.unique(M)) <= {0.0, 1.0}
    others = tuple(i for i in range(M.ndim) if i not in axes)
    assert np.array_equal(M.min(axis=others, initial=1.0), M.max(axis=others, initial=0.0))
    kept = count(M, groups)
    assert kept.total == 2000
    assert abs(kept.nonzero - 2000 * r) <= 5 * sqrt(2000 * r * (1 - r))


def test_a_group_is_kept_where_the_uniform_number_is_below_r():
    """U < r has probability r on the grid k 2^-53 of the generator, U <= r has more."""

    class Half(np.random.Generator):
        def random(self, size):
            return np.full(size, 0.5)

    half = Half(np.random.PCG64(0))
    assert bernoulli_mask((3,), 0.5, rng=half).tolist() == [0, 0, 0]
    assert bernoulli_mask((3,), 0.5 + 2**-53, rng=half).tolist() == [1, 1, 1]


def test_entries_are_independent():
    """Neighbours in a row, in a column and in two draws are uncorrelated within 5 standard deviations."""
    M = bernoulli_mask((300, 300), 0.3, rng=1) - 0.3
    other = bernoulli_mask((300, 300), 0.3, rng=2) - 0.3
    for a, b in [(M[:, 1:], M[:, :-1]), (M[1:], M[:-1]), (M, other)]:
        assert abs(np.mean(a * b)) <= 5 * 0.3 * 0.7 / 299
    assert np.array_equal(bernoulli_mask((5, 5), 0.5, rng=3), bernoulli_mask((5, 5), 0.5, rng=3))


@pytest.mark.parametrize("r", [0.05, 0.25, 1.0])
def test_the_variance_survives(r):
    """Var[W . M / sqrt(r)] = Var[W] for centred W (4.33): within 6 standard deviations of the estimate."""
    f = Network([Dense(400, 400)])
    theta = f.init(0)
    W = f.views(sparsify(f, theta, r, rng=1))["0.weight"]
    n, variance = W.size, 2 / 400
    spread = sqrt((3 / r - 1) / n)  # of W^2 M / r relative to its mean, W normal
    assert abs(np.mean(W**2) / variance - 1) <= 6 * spread
    kept = W != 0
    assert compare.eps_error(W[kept] * sqrt(r), f.views(theta)["0.weight"][kept]) <= 4
    unscaled = sparsify(f, theta, r, rng=1, rescale=False)
    assert np.array_equal(f.views(unscaled)["0.weight"][kept], f.views(theta)["0.weight"][kept])


def test_sparsify_leaves_biases_and_its_input_alone():
    theta = THETA + 1
    before = theta.copy()
    sparse = sparsify(NETWORK, theta, 0.1, rng=0)
    assert np.array_equal(theta, before)
    for name, view in NETWORK.views(sparse).items():
        if view.ndim == 1:
            assert np.array_equal(view, NETWORK.views(theta)[name])
        else:
            assert 0 < np.count_nonzero(view) < view.size
    assert sparsify(NETWORK, theta.astype(np.float32), 0.1, rng=0).dtype == np.float32
    assert np.array_equal(sparsify(NETWORK, theta, 1.0), theta)
    zero = sparsify(NETWORK, theta, 0.0)
    assert density(NETWORK, zero)["total"].nonzero == 0


def test_sparsify_by_block():
    sparse = sparsify(NETWORK, THETA + 1, 0.4, rng=0, groups={"0.weight": "kernels", "3.weight": "rows"})
    views = NETWORK.views(sparse)
    kernels = np.count_nonzero(views["0.weight"], axis=(2, 3))
    assert set(np.unique(kernels)) == {0, 9}
    assert set(np.unique(np.count_nonzero(views["3.weight"], axis=1))) == {0, 128}
    assert np.array_equal(views["5.weight"], NETWORK.views(THETA + 1)["5.weight"])


def test_counts_by_hand():
    W = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, np.nan]])
    assert count(W) == (2, 6)
    assert count(W).density == 1 / 3
    assert count(W).sparsity == 1 - 1 / 3
    assert count(W, "rows") == (1, 2)
    assert count(W, "columns") == (2, 3)
    K = np.zeros((2, 3, 2, 2))
    K[0, 1, 1, 0] = K[0, 2] = 1
    assert count(K, "kernels") == (2, 6)
    assert count(K, "rows") == (1, 2)
    assert count(np.zeros((0, 3))).density == 0
    assert count(np.ones((4, 5))).density == 1


def test_density_of_a_network():
    counts = density(NETWORK, THETA)
    assert set(counts) == {"0.weight", "3.weight", "5.weight", "total"}
    assert counts["total"] == (3 * 8 * 9 + 128 * 40 + 200,) * 2
    assert density(NETWORK, THETA, "kernels") == {"0.weight": (24, 24), "total": (24, 24)}
    assert density(NETWORK, THETA, "rows")["total"] == (8 + 40 + 5,) * 2


def test_architecture_read_off_theta():
    theta = THETA.copy()
    views = NETWORK.views(theta)
    views["0.weight"][2:, :] = 0
    views["0.weight"][0, 1] = 0
    views["3.weight"][5:] = 0
    assert effective_widths(NETWORK, theta) == {"0.weight": 2, "3.weight": 5, "5.weight": 5}
    assert active_rows(views["3.weight"]).tolist() == [True] * 5 + [False] * 35
    assert active_kernels(views["0.weight"])[0].tolist() == [True, False, True]
    assert active_kernels(views["0.weight"]).sum() == 5


# --- learnt skips (BREG-II) -----------------------------------------------------------------------


def by_definition(layer, params, x):
    states = [x]
    index = 0
    for l in range(layer.depth):
        a = states[l] @ params[f"{l}.weight"].T + params.get(f"{l}.bias", 0)
        y = np.where(a > 0, a, 0)
        for i in range(l + 1):
            y = y + params["skips"][index] * states[i]
            index += 1
        states.append(y)
    return states[-1]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_skip_network_forward_and_backward(depth, bias):
    layer = SkipNetwork(5, depth, bias)
    rng = np.random.default_rng(depth)
    params = {name: rng.normal(size=shape) for name, shape in layer.shapes.items()}
    x, dy = rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    y, cache = layer.forward(params, x)
    assert compare.eps_error(y, by_definition(layer, params, x)) <= 32
    dx, gradients = layer.backward(params, cache, dy)
    for name, w in [("x", x), *params.items()]:
        d, h = rng.normal(size=w.shape), 1e-6
        sides = []
        for sign in (1, -1):
            moved = params | ({name: w + sign * h * d} if name != "x" else {})
            sides.append(by_definition(layer, moved, x + sign * h * d if name == "x" else x))
        numeric = np.sum(dy * (sides[0] - sides[1])) / (2 * h)
        assert np.sum((dx if name == "x" else gradients[name]) * d) == pytest.approx(numeric, rel=1e-6, abs=1e-7)
    only_input, nothing = layer.backward(params, cache, dy, "input")
    assert nothing is None and np.array_equal(only_input, dx)
    nothing, only_parameters = layer.backward(params, cache, dy, "parameters")
    assert nothing is None and all(np.array_equal(only_parameters[name], gradients[name]) for name in layer.shapes)


def test_skips_are_a_penalised_block_of_a_network():
    """A target that is a multiple of the input is learnt by skips alone; the l1 norm keeps the others at 0."""
    f = Network([SkipNetwork(4, 2, bias=False)])
    x = np.random.default_rng(0).normal(size=(20, 4))
    J = Blocks({"0.skips": L1(0.2), "0.0.weight": L1(50.0), "0.1.weight": L1(50.0)}, f)
    opt = LinBreg(J, 0.05)
    state = opt.init(np.zeros(f.size))
    for _ in range(400):
        y, pullback = f.vjp(state.theta, x)
        state = opt.step(state, pullback((y - 0.5 * x) / len(x), "parameters")[1], inplace=True)
    skips = f.views(state.theta)["0.skips"]
    assert skips.tolist() == [0, pytest.approx(0.5, abs=1e-3), 0]
    assert np.all(f.views(state.theta)["0.0.weight"] == 0)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: bernoulli_mask((2, 2), 1.5), "density"),
        (lambda: bernoulli_mask((2, 2), np.nan), "density"),
        (lambda: bernoulli_mask((2, 2), 0.5, "kernels"), "shape"),
        (lambda: bernoulli_mask((2, 2), 0.5, "all"), "groups"),
        (lambda: bernoulli_mask((2**24, 2**24), 0.5), "shape"),
        (lambda: sparsify(NETWORK, THETA, -1), "density"),
        (lambda: sparsify(NETWORK, THETA, 0.5, groups={"0.bias": "weights"}), "groups"),
        (lambda: sparsify(NETWORK, THETA.reshape(1, -1), 0.5), "theta"),
        (lambda: count([1.0], "rows"), "W"),
        (lambda: count([1.0], "diagonals"), "groups"),
        (lambda: active_rows([1.0]), "W"),
        (lambda: active_kernels([[1.0]]), "W"),
        (lambda: SkipNetwork(0, 1), "width"),
        (lambda: SkipNetwork(1, 0), "depth"),
    ],
)
def test_bad_arguments(make, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected "):
        make()
