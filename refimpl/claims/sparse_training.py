"""Section 4.3.5: regularizers by layer, and what training does to sparsity."""

from itertools import islice, pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy.sparse import csr_array

from refimpl.claims import draw
from refimpl.claims.claim import Evidence, claim, equal, exactly
from refimpl.claims.sparse_starts import NETWORK
from refimpl.setting import Dense, Layer, Network, ReLU, Tanh, mlp
from refimpl.sparsity import (
    L1,
    AdaBreg,
    Blocks,
    GradientDescent,
    GroupL2,
    LinBreg,
    ProximalGradient,
    bregman_iteration,
    linearized_bregman,
    sparsify,
)

Array = np.ndarray


def gradients(network: Network, theta: Array, seed: int) -> dict[str, Array]:
    """The gradient of 1/2 |f_theta(x) - y|^2 by block, for seeded data that are not fitted."""
    x, y = draw.uniform(seed, (5, 3)), draw.uniform(seed + 1, (5, 2))
    out, pullback = network.vjp(theta, x)
    return dict(network.views(np.asarray(pullback(out - y)[1])))


def weight_gradients_vanish(network: Network, theta: Array, seed: int) -> Evidence:
    """All entries of the gradient with respect to weight matrices are exactly 0."""
    blocks = [g for g in gradients(network, theta, seed).values() if g.ndim == 2]
    return exactly(not any(np.any(g) for g in blocks))


@claim(
    "4.3.5 zero initialisation",
    given={
        "seed": draw.seeds(),
        "sigma": st.sampled_from([ReLU(), Tanh()]),
        "start": st.just(0.0),
        "hidden": st.just([4]),
    },
    code=(Network.vjp,),
    examples=20,
)
def no_gradient_at_zero(seed: int, sigma: Layer, start: float, hidden: list[int]) -> Evidence:
    """At theta = 0 a network with a hidden layer has no gradient in any weight: only biases would learn."""
    network = mlp([3, *hidden, 2], sigma)
    return weight_gradients_vanish(network, start * draw.uniform(seed + 2, network.size), seed)


no_gradient_at_zero.without("a start at 0", start=st.just(1.0))
no_gradient_at_zero.without("a hidden layer", hidden=st.just([]))

LAYERS = {"seed": draw.seeds(), "lam": draw.positive(0.25, 4, 2)}


@claim("4.3.5 regularizers", given=LAYERS, code=(Blocks, GroupL2), examples=40)
def regularizer_is_a_sum_over_layers(seed: int, lam: float) -> Evidence:
    """J = sum_l J^l(W^l): here lam |.|_1 on one matrix and the sum of row norms on another; biases are free."""
    theta = draw.uniform(seed, NETWORK.size)
    J = Blocks({"0.weight": L1(lam), "2.weight": GroupL2(lam, "rows", "unit")}, NETWORK)
    W = NETWORK.views(theta)
    rows = [np.sqrt(np.sum(row**2)) for row in W["2.weight"]]
    return equal(float(J.value(theta)), lam * float(np.sum(np.abs(W["0.weight"])) + np.sum(rows)), 16 * lam)


@regularizer_is_a_sum_over_layers.twin("columns for rows")
def regularizer_with_columns(seed: int, lam: float) -> Evidence:
    """||W||_{2,1} groups what enters one neuron: rows of W in R^{n_{l+1} x n_l}."""
    W = NETWORK.views(draw.uniform(seed, NETWORK.size))["2.weight"]
    rows = [np.sqrt(np.sum(row**2)) for row in W]
    return equal(float(GroupL2(lam, "columns", "unit").value(W)), lam * float(np.sum(rows)), 16 * lam)


@claim("4.3.5 regularizers", given=LAYERS, code=(GroupL2,), examples=40)
def kernels_are_pruned_as_a_whole(seed: int, lam: float) -> Evidence:
    """sum_ij |K_ij|_2 over kernels: its prox sets exactly those kernels to 0 whose norm is at most lam."""
    K = draw.uniform(seed, (3, 2, 3, 3)) * 2
    pruned = GroupL2(lam, "kernels", "unit").prox(K)
    norms = np.sqrt(np.sum(K**2, axis=(2, 3)))
    return exactly(np.array_equal(np.any(pruned != 0, axis=(2, 3)), norms > lam))


@kernels_are_pruned_as_a_whole.twin("the l1 norm", cases=[{"seed": 0, "lam": 1.0}])
def weights_are_pruned_one_by_one(seed: int, lam: float) -> Evidence:
    """lam |.|_1 leaves kernels partly active."""
    K = draw.uniform(seed, (3, 2, 3, 3)) * 2
    active = L1(lam).prox(K) != 0
    return exactly(np.array_equal(np.any(active, axis=(2, 3)), np.all(active, axis=(2, 3))))


def hidden_unit(bias: bool, seed: int) -> tuple[Network, Array]:
    """A network 3-4-2 with ReLU whose second hidden unit has a zero row; the biases are positive."""
    network = Network([Dense(3, 4, bias=bias), ReLU(), Dense(4, 2, bias=bias)])
    theta = draw.uniform(seed, network.size)
    W = network.views(theta)
    W["0.weight"][1] = 0
    if bias:
        W["0.bias"][:] = 0.25 + np.abs(W["0.bias"])
    return network, theta


BIAS = {"seed": draw.seeds(), "bias": st.just(False)}


@claim("4.3.5 regularizers", given=BIAS, examples=20)
def zero_rows_are_inactive(seed: int, bias: bool) -> Evidence:
    """Without bias, ReLU(0) = 0: a neuron with a zero row is inactive, whatever weights lead on from it."""
    network, theta = hidden_unit(bias, seed)
    other = theta.copy()
    network.views(other)["2.weight"][:, 1] += 1
    x = draw.uniform(seed + 1, (5, 3))
    return exactly(np.array_equal(network(theta, x), network(other, x)))


zero_rows_are_inactive.without("Psi(0) = 0, with a bias", bias=st.just(True))


@claim("4.3.5 architecture search", reading="stronger", given=BIAS, code=(LinBreg,), examples=10)
def zero_rows_never_grow_without_bias(seed: int, bias: bool) -> Evidence:
    """Without bias (the condition under which zero rows are inactive) the gradient of a zero ReLU row and of the column
    behind it is exactly 0, so LinBreg with row groups never activates the neuron: the search can only prune."""
    network, theta = hidden_unit(bias, seed)
    optimizer = LinBreg(Blocks({"0.weight": GroupL2(2.0**-6, "rows")}, network), 2.0**-5)
    state = optimizer.init(theta)
    for _ in range(20):
        parts = gradients(network, state.theta, seed)
        state = optimizer.step(state, network.flatten(parts))
    grown = network.views(state.theta)["0.weight"][1]
    first = gradients(network, theta, seed)
    return exactly(not np.any(first["0.weight"][1]) and not np.any(first["2.weight"][:, 1]) and not np.any(grown))


zero_rows_never_grow_without_bias.without("no bias", bias=st.just(True))


@claim("4.3.5 architecture search", given=BIAS, examples=20)
def inactive_neurons_can_be_removed(seed: int, bias: bool) -> Evidence:
    """The smaller network without the inactive neuron is the same function: the architecture is read off theta."""
    network, theta = hidden_unit(bias, seed)
    W, keep = network.views(theta), [0, 2, 3]
    small = Network([Dense(3, 3, bias=bias), ReLU(), Dense(3, 2, bias=bias)])
    parts = {"0.weight": W["0.weight"][keep], "2.weight": W["2.weight"][:, keep]}
    if bias:
        parts |= {"0.bias": W["0.bias"][keep], "2.bias": W["2.bias"]}
    x = draw.uniform(seed + 1, (5, 3))
    return equal(small(small.flatten(parts), x), network(theta, x), 8.0)


inactive_neurons_can_be_removed.without("Psi(0) = 0, with a bias", bias=st.just(True))


def masked_network(seed: int, scale: float) -> tuple[Network, Array]:
    """A tanh network 3-4-2 whose weights are masked with density 1/2, times ``scale``."""
    network = mlp([3, 4, 2], Tanh())
    theta = scale * (1 + draw.uniform(seed, network.size) / 2)
    return network, sparsify(network, theta, 0.5, rng=seed, rescale=False)


@claim("4.3.5 efficiency", given={"seed": draw.seeds(), "scale": st.just(1.0)}, examples=30)
def zero_weights_have_gradients(seed: int, scale: float) -> Evidence:
    """W_ij = 0 does not imply dL/dW_ij = 0: a sparse network has gradients at its zeros, so dW must be dense."""
    network, theta = masked_network(seed, scale)
    parts = network.views(theta)
    zero = {name: parts[name] == 0 for name in ("0.weight", "2.weight")}
    at_zeros = [gradients(network, theta, seed)[name][mask] for name, mask in zero.items()]
    return exactly(not any(mask.any() for mask in zero.values()) or any(np.any(g) for g in at_zeros))


zero_weights_have_gradients.without("a network that is not zero altogether", scale=st.just(0.0))


@claim("4.3.5 efficiency", reading="stronger", given={"seed": draw.seeds()}, code=(Dense,), examples=30)
def input_gradients_use_the_zeros(seed: int) -> Evidence:
    """The other half of the backward pass can use them: dx = dy W needs the nonzero weights only."""
    layer = Network([Dense(6, 5)])
    theta = sparsify(layer, draw.uniform(seed, layer.size), 0.5, rng=seed)
    x, dy = draw.uniform(seed + 1, (4, 6)), draw.uniform(seed + 2, (4, 5))
    dx, _ = layer.vjp(theta, x)[1](dy)
    sparse = csr_array(layer.views(theta)["0.weight"])
    return equal(dx, (sparse.T @ dy.T).T, 16.0)


@input_gradients_use_the_zeros.twin("the weight gradient on the support alone")
def weight_gradients_use_the_zeros(seed: int) -> Evidence:
    """dW has entries where W has none."""
    layer = Network([Dense(6, 5)])
    theta = sparsify(layer, draw.uniform(seed, layer.size), 0.5, rng=seed)
    x, dy = draw.uniform(seed + 1, (4, 6)), draw.uniform(seed + 2, (4, 5))
    dW = layer.views(np.asarray(layer.vjp(theta, x)[1](dy)[1]))["0.weight"]
    return equal(dW * (layer.views(theta)["0.weight"] != 0), dW, 16.0)


SIZE = 12


def correlated_problem(seed: int) -> tuple[Array, Array, Array]:
    """Least squares with A = I + 1 1^T / 4, three large weights to find, and a start with one nonzero entry."""
    A = np.eye(SIZE) + np.ones((SIZE, SIZE)) / 4
    target = np.zeros(SIZE)
    target[np.random.default_rng(seed).permutation(SIZE)[:3]] = 2 + np.abs(draw.uniform(seed, 3))
    theta = np.zeros(SIZE)
    theta[np.argmax(target)] = 2.0**-4
    return A, A @ target, theta


def counts(optimizer: Any, seed: int, steps: int = 100) -> list[int]:
    """How many entries are nonzero at the start and after each step of training on `correlated_problem`."""
    A, f, theta = correlated_problem(seed)
    state = optimizer.init(theta)
    numbers = [int(np.count_nonzero(state.theta))]
    for _ in range(steps):
        state = optimizer.step(state, A.T @ (A @ state.theta - f))
        numbers.append(int(np.count_nonzero(state.theta)))
    return numbers


TINY = {"seed": draw.seeds()}
TAU, LAM = 2.0**-5, 4.0


@claim("4.3.5 comparison", given=TINY, code=(GradientDescent,), examples=10)
def sgd_loses_sparsity(seed: int) -> Evidence:
    """Gradient descent from a sparse start is dense after one step and stays so."""
    numbers = counts(GradientDescent(TAU), seed, 40)
    return exactly(numbers[0] == 1 and min(numbers[1:]) == SIZE)


@sgd_loses_sparsity.twin("LinBreg")
def linbreg_loses_sparsity(seed: int) -> Evidence:
    """LinBreg stays sparse."""
    return exactly(min(counts(LinBreg(L1(LAM), TAU), seed, 40)[1:]) == SIZE)


@claim("4.3.5 comparison", given=TINY, code=(ProximalGradient,), examples=10)
def proximal_gradient_thins_out(seed: int) -> Evidence:
    """Proximal gradient descent first activates everything and then only removes entries."""
    numbers = counts(ProximalGradient(L1(LAM), TAU), seed)
    falls = all(b <= a for a, b in pairwise(numbers[1:]))
    return exactly(numbers[1] == SIZE and falls and numbers[-1] <= 6)


@proximal_gradient_thins_out.twin("LinBreg")
def linbreg_thins_out(seed: int) -> Evidence:
    """LinBreg adds entries."""
    numbers = counts(LinBreg(L1(LAM), TAU), seed)
    return exactly(numbers[1] == SIZE and numbers[-1] <= 6)


@claim("4.3.5 comparison", given=TINY, code=(LinBreg,), examples=10)
def linbreg_fills_in(seed: int) -> Evidence:
    """LinBreg starts with few entries and only adds: more at the end than at the start, and never all of them."""
    numbers = counts(LinBreg(L1(3 * LAM), TAU), seed, 250)
    adds = all(b >= a for a, b in pairwise(numbers))
    return exactly(numbers[1] == 1 and adds and 2 <= numbers[-1] < SIZE)


@linbreg_fills_in.twin("proximal gradient descent")
def proximal_gradient_fills_in(seed: int) -> Evidence:
    """It starts with all entries."""
    return exactly(counts(ProximalGradient(L1(LAM), TAU), seed)[1] == 1)


SPREAD = np.array([1.0, 0.5, 0.25, 0.125])


def first_activity(optimizer: Any) -> int:
    """The number of entries when the first becomes active, from 0 on 1/2 |theta - target|^2 with spread targets."""
    state = optimizer.init(np.zeros(4))
    for _ in range(200):
        state = optimizer.step(state, state.theta - SPREAD)
        if np.any(state.theta):
            break
    return int(np.count_nonzero(state.theta))


@claim("4.3.5 comparison", given={"lam": draw.positive(0.25, 1, 3)}, code=(AdaBreg, LinBreg), examples=10)
def adabreg_adds_faster(lam: float) -> Evidence:
    """AdaBreg normalises the gradient, so that all entries pass the threshold lam at once; LinBreg adds the largest."""
    first = [first_activity(method(L1(lam), 2.0**-4)) for method in (AdaBreg, LinBreg)]
    return exactly(first == [4, 1])


@adabreg_adds_faster.twin("LinBreg with momentum for AdaBreg")
def momentum_adds_everything_at_once(lam: float) -> Evidence:
    """Momentum does not normalise."""
    return exactly(first_activity(LinBreg(L1(lam), 2.0**-4, momentum=0.5)) == 4)


LAMBDAS = {"seed": draw.seeds(), "lam": st.sampled_from([0.25, 0.5, 2.0, 4.0])}


@claim("4.3.5 comparison", reading="stronger", given=LAMBDAS, code=(bregman_iteration,), examples=15)
def lam_only_rescales_bregman_iterations(seed: int, lam: float) -> Evidence:
    """For (4.15) lam |.|_1 with step lam tau has the iterates of |.|_1 with step tau: lam is a unit of time."""
    A, f, _ = correlated_problem(seed)
    runs = [[it.theta for it in islice(bregman_iteration(A, f, lam * c, lam * c / 8), 6)] for c in (1.0, 1 / lam)]
    return equal(np.array(runs[0]), np.array(runs[1]), 8.0, k=2**16)


@lam_only_rescales_bregman_iterations.twin("linearized Bregman iterations")
def lam_only_rescales_linearized_bregman(seed: int, lam: float) -> Evidence:
    """For (4.19) lam changes the path and the limit, also for a convex loss with exact gradients."""
    A, f, _ = correlated_problem(seed)

    def run(c: float) -> Array:
        steps = linearized_bregman(L1(c), lambda x: A.T @ (A @ x - f), np.zeros(SIZE), c / 32)
        return np.array([it.theta for it in islice(steps, 60)])

    return equal(run(lam), run(1.0), 8.0, k=2**16)
