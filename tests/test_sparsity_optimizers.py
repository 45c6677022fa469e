"""Optimizers against plain transcriptions of their formulas, PyTorch, and the identities between them."""

from itertools import pairwise

import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.setting import CrossEntropy, Dense, Network, ReLU
from refimpl.sparsity import (
    L1,
    L2,
    AdaBreg,
    Blocks,
    ElasticNet,
    GradientDescent,
    GroupL2,
    IterativePruning,
    LassoSubgradient,
    LinBreg,
    Nonnegative,
    Plateau,
    ProximalGradient,
    TargetSparsity,
    Zero,
    restart,
    sparsify,
    threshold,
)

NETWORK = Network([Dense(12, 9), ReLU(), Dense(9, 7), ReLU(), Dense(7, 4)])
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.normal(size=(32, 12)), RNG.integers(0, 4, 32)


def loss_gradient(theta: np.ndarray) -> np.ndarray:
    logits, pullback = NETWORK.vjp(theta, IMAGES)
    return pullback(CrossEntropy().gradient(logits, LABELS), "parameters")[1]


def train(opt, steps: int = 200):
    state = opt.init(sparsify(NETWORK, NETWORK.init(0), 0.3, rng=1))
    for _ in range(steps):
        state = opt.step(state, loss_gradient(state.theta))
    return state


def soft(x, t):
    return np.sign(x) * np.maximum(np.abs(x) - t, 0)


def transcription(method: str, lam: float, tau: float, delta: float, beta: float = 0.9, correct: bool = True):
    """The printed formulas with explicit loops over steps."""
    theta = sparsify(NETWORK, NETWORK.init(0), 0.3, rng=1)
    v, m, s = theta / delta + lam * np.sign(theta), 0.0, 0.0
    for k in range(1, 201):
        g = loss_gradient(theta)
        if method == "proximal":
            theta = soft(theta - tau * g, tau * lam)
            continue
        if method == "linbreg":
            v = v - tau * g
        elif method == "momentum":
            m = beta * m + (1 - beta) * tau * g
            v = v - m
        else:
            m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g**2
            unbiased = m / (1 - 0.9**k) if correct else m
            v = v - tau * unbiased / (np.sqrt(s / (1 - 0.999**k)) + 1e-8)
        theta = soft(delta * v, delta * lam)
    return theta


@pytest.mark.parametrize(
    ("opt", "expected"),
    [
        (LinBreg(L1(0.05), 0.2), ("linbreg", 0.05, 0.2, 1.0)),
        (LinBreg(L1(0.05), 0.2, delta=0.7), ("linbreg", 0.05, 0.2, 0.7)),
        (LinBreg(L1(0.05), 0.2, delta=2.0, momentum=0.9), ("momentum", 0.05, 0.2, 2.0)),
        (AdaBreg(L1(0.05), 0.002), ("adabreg", 0.05, 0.002, 1.0)),
        (AdaBreg(L1(0.05), 0.002, delta=0.5), ("adabreg", 0.05, 0.002, 0.5)),
        (AdaBreg(L1(0.05), 0.002, bias_correction=False), ("adabreg", 0.05, 0.002, 1.0, 0.9, False)),
        (ProximalGradient(L1(0.01), 0.1), ("proximal", 0.01, 0.1, 1.0)),
    ],
    ids=repr,
)
def test_two_hundred_steps_equal_the_formulas(opt, expected):
    theta, plain = train(opt).theta, transcription(*expected)
    assert np.max(np.abs(theta - plain)) <= 1e-11 * np.max(np.abs(plain))
    assert np.array_equal(theta == 0, plain == 0)
    assert 0.02 < np.mean(theta != 0) < 0.98


def gradients(n: int = 50, steps: int = 30, dtype=np.float64):
    rng = np.random.default_rng(5)
    return [rng.normal(size=n).astype(dtype) for _ in range(steps)]


def run(opt, theta, gs, **options):
    state = opt.init(theta)
    for g in gs:
        state = opt.step(state, g, **options)
    return state


START = np.random.default_rng(6).normal(size=50)


@pytest.mark.parametrize("method", ["sgd", "momentum", "adam"])
def test_without_regularizer_they_are_pytorchs(method):
    """J = 0, delta = 1: SGD; SGD with momentum beta and lr (1 - beta) tau; Adam."""
    torch = pytest.importorskip("torch")
    parameter = torch.tensor(START.copy(), requires_grad=True)
    foreign, ours = {
        "sgd": (torch.optim.SGD([parameter], lr=0.1), LinBreg(Zero(), 0.1)),
        "momentum": (
            torch.optim.SGD([parameter], lr=0.1 * (1 - 0.8), momentum=0.8),
            LinBreg(Zero(), 0.1, momentum=0.8),
        ),
        "adam": (torch.optim.Adam([parameter], lr=0.01), AdaBreg(Zero(), 0.01)),
    }[method]
    for g in gradients():
        parameter.grad = torch.tensor(g)
        foreign.step()
    assert compare.eps_error(run(ours, START, gradients()).theta, parameter.detach().numpy()) <= 64


def test_linbreg_without_regularizer_is_gradient_descent():
    plain = START.copy()
    for g in gradients():
        plain = plain - 0.1 * g
    assert compare.eps_error(run(LinBreg(Zero(), 0.1), START, gradients()).theta, plain) <= 4
    assert np.array_equal(run(GradientDescent(0.1), START, gradients()).theta, plain)


@pytest.mark.parametrize(
    "make", [LinBreg, lambda J, t, d: LinBreg(J, t, d, 0.9), AdaBreg], ids=["plain", "momentum", "ada"]
)
@pytest.mark.parametrize("delta", [0.25, 3.0])
def test_delta_is_redundant(make, delta):
    """(tau, lam, delta) and (tau delta, lam delta, 1) give the same theta, for J = lam |.|_1 and group norms."""
    for J, scaled in [
        (L1(0.5), L1(0.5 * delta)),
        (GroupL2(0.5, (START > 0).astype(int)), GroupL2(0.5 * delta, (START > 0).astype(int))),
    ]:
        a = run(make(J, 0.1, delta), START, gradients()).theta
        b = run(make(scaled, 0.1 * delta, 1.0), START, gradients()).theta
        assert compare.eps_error(a, b) <= 256
        assert np.array_equal(a == 0, b == 0)


@pytest.mark.parametrize(
    "make", [lambda J: LinBreg(J, 0.1, 0.7), lambda J: LinBreg(J, 0.1, 0.7, 0.9), lambda J: AdaBreg(J, 0.05, 0.7)]
)
@pytest.mark.parametrize(
    "J", [L1(0.3), L2(0.3), GroupL2(0.3, "all"), Nonnegative(0.3), Blocks([((3, 20), L1(0.2))])], ids=repr
)
def test_v_stays_a_subgradient(make, J):
    """v - theta/delta in dJ(theta) at every step, so v in dJ_delta(theta) (4.19)."""
    opt = make(J)
    state = opt.init(J.prox(START))
    for g in gradients():
        assert ElasticNet(J, 0.7).subdifferential_distance(state.v, state.theta) <= 64 * np.finfo(float).eps
        state = opt.step(state, g)


def layout():
    return Blocks({"0.weight": GroupL2(0.2, "rows"), "2.weight": L1(0.1), "4.weight": GroupL2(0.1, "columns")}, NETWORK)


OPTIMIZERS = [
    LinBreg(L1(0.1), 0.1, 0.7),
    LinBreg(L1(0.1), 0.1, 0.7, 0.9),
    AdaBreg(L1(0.1), 0.01, 0.7),
    LinBreg(layout(), 0.1, 0.7),
    LinBreg(layout(), 0.1, 0.7, 0.9),
    AdaBreg(layout(), 0.01, 0.7),
    LinBreg(L2(0.5), 0.1, 1.5),
    LinBreg(Zero(), 0.1),
    GradientDescent(0.1),
    ProximalGradient(layout(), 0.1),
    LassoSubgradient(L1(0.1), 0.1),
    IterativePruning(0.1),
]


@pytest.mark.parametrize("opt", OPTIMIZERS, ids=lambda opt: f"{opt}"[:40])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_place_pure_and_printed_steps_have_the_same_bits(opt, dtype):
    theta = NETWORK.init(3, dtype)
    pure, held, printed = opt.init(theta), opt.init(theta), opt.init(theta)
    rng = np.random.default_rng(1)
    for k in range(1, 30):
        g = rng.normal(size=theta.size).astype(dtype)
        before = [None if x is None else np.copy(x) for x in pure]
        following = opt.step(pure, g)
        for old, kept in zip(before, pure):
            assert old is None or np.array_equal(old, kept)
        pure, held = following, opt.step(held, g, inplace=True)
        if isinstance(opt, LinBreg):
            opt._formulas(*printed, g, opt.tau)
        elif isinstance(opt, AdaBreg):
            opt._formulas(*printed[:4], g, opt.tau / (1 - 0.9**k), (1 - 0.999**k) ** 0.5)
        others = [held, printed] if isinstance(opt, (LinBreg, AdaBreg)) else [held]
        for other in others:
            for a, b in list(zip(pure, other))[:4]:
                assert a is b is None or (a.tobytes() == b.tobytes() and a.dtype == dtype)


@pytest.mark.parametrize("opt", OPTIMIZERS, ids=lambda opt: f"{opt}"[:40])
def test_longdouble_lists_and_own_step(opt):
    theta = NETWORK.init(3)
    g = loss_gradient(theta)
    wide = opt.step(opt.init(theta.astype(np.longdouble)), g).theta
    assert wide.dtype == np.longdouble
    narrow = opt.step(opt.init(theta.tolist()), g.tolist()).theta
    assert compare.eps_error(narrow, wide) <= 64
    doubled = opt.step(opt.init(theta), 2 * g).theta
    if not isinstance(opt, (AdaBreg, ProximalGradient, LassoSubgradient)):
        assert compare.eps_error(opt.step(opt.init(theta), g, step=2 * opt.tau).theta, doubled) <= 64
    assert not np.array_equal(opt.step(opt.init(theta), g, step=2 * opt.tau).theta, narrow)


@pytest.mark.parametrize("opt", OPTIMIZERS[:7], ids=lambda opt: f"{opt}"[:40])
def test_nan_in_the_gradient_reaches_theta(opt):
    theta = NETWORK.init(3)
    g = loss_gradient(theta)
    g[5] = np.nan
    assert np.isnan(opt.step(opt.init(theta), g).theta[5])


def test_bias_correction_matters_and_so_does_the_place_of_eps():
    early = run(AdaBreg(Zero(), 0.01, bias_correction=False), START, gradients(steps=1)).theta
    full = run(AdaBreg(Zero(), 0.01), START, gradients(steps=1)).theta
    assert (START - early) / (START - full) == pytest.approx(0.1, rel=1e-9)
    tiny = run(AdaBreg(Zero(), 0.01, eps=1e-2), np.zeros(1), [np.array([1e-4])]).theta
    assert tiny[0] == pytest.approx(-0.01 * 1e-4 / (1e-4 + 1e-2), rel=1e-9)  # outside the root


def test_linbreg_grows_and_proximal_gradient_thins_out():
    opt = LinBreg(L1(0.5), 0.2)
    state, counts = opt.init(sparsify(NETWORK, NETWORK.init(0), 0.05, rng=1)), []
    for _ in range(120):
        state = opt.step(state, loss_gradient(state.theta), inplace=True)
        counts.append(np.count_nonzero(state.theta))
    assert counts[-1] > counts[0]
    dense = ProximalGradient(L1(0.01), 0.2)
    state = dense.init(NETWORK.init(0) + 0.01)
    assert np.count_nonzero(train(dense, 100).theta) < state.theta.size


def test_lasso_needs_the_threshold_and_pruning_keeps_the_largest():
    theta = train(LassoSubgradient(L1(0.01), 0.1)).theta
    assert np.mean(theta != 0) > 0.9
    assert np.mean(threshold(theta, 0.05) != 0) < np.mean(theta != 0)
    assert np.array_equal(threshold([1.0, -0.5, np.nan, 0.5, -2.0], 0.5), [1.0, 0, np.nan, 0, -2.0], equal_nan=True)
    opt = IterativePruning(0.1)
    state = opt.init(np.array([3.0, -1.0, 2.0, -4.0, 0.5]))
    state = opt.prune(state, 0.6)
    assert state.theta.tolist() == [3.0, 0, 2.0, -4.0, 0]
    state = opt.step(state, np.ones(5))
    assert state.theta.tolist() == pytest.approx([2.9, 0, 1.9, -4.1, 0])
    assert opt.prune(state, 0.5, slice(0, 4)).theta.tolist() == pytest.approx([2.9, 0, 0, -4.1, 0])
    assert opt.prune(state, 0).theta.tolist() == [0] * 5


def test_plateau_halves_after_patience():
    schedule = Plateau(0.1, patience=2, threshold=0.01, minimum=0.03)
    state, steps = schedule.init(), []
    for loss in (1.0, 0.5, 0.499, 0.498, 0.497, 0.2, 0.2, 0.2, float("nan"), 0.2, 0.2, 0.2):
        state = schedule.update(state, loss)
        steps.append(state.step)
    assert steps == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.03, 0.03, 0.03, 0.03])


def test_plateau_takes_an_equal_loss_for_no_better():
    schedule = Plateau(0.1, patience=0, threshold=0)
    state = schedule.update(schedule.init(), 1.0)
    assert schedule.update(state, 1.0).step == pytest.approx(0.05)


def test_target_sparsity_waits_moves_and_stops_at_zero():
    schedule = TargetSparsity(target=0.1, lam=0.2, increment=0.15, warmup=2, cooldown=1)
    state, lams = schedule.init(), []
    for density in (0.5, 0.5, 0.5, 0.5, 0.05, 0.05, 0.05, 0.05, 0.05, 0.1):
        state = schedule.update(state, density)
        lams.append(state.lam)
    assert lams == pytest.approx([0.2, 0.2, 0.35, 0.35, 0.2, 0.2, 0.05, 0.05, 0.0, 0.0])
    assert all(a >= 0 for a, _ in pairwise(lams))
    assert (schedule.init().epoch, state.epoch) == (0, 10)


def test_restart_makes_v_a_subgradient_of_the_new_functional():
    state = run(LinBreg(L1(0.3), 0.1, 0.7), START, gradients())
    J = L1(0.8)
    assert ElasticNet(J, 0.7).subdifferential_distance(state.v, state.theta) > 0.1
    again = restart(state, J, 0.7)
    assert ElasticNet(J, 0.7).subdifferential_distance(again.v, again.theta) <= 1e-14
    assert np.array_equal(again.theta, state.theta)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: LinBreg(L1(), 0), "step"),
        (lambda: LinBreg(L1(), 0.1, 0), "delta"),
        (lambda: LinBreg(L1(), 0.1, 1, 1), "momentum"),
        (lambda: LinBreg(L1(), 0.1, 1, -0.1), "momentum"),
        (lambda: LinBreg(0.1, 0.1), "J"),
        (lambda: AdaBreg(L1(), np.nan), "step"),
        (lambda: AdaBreg(L1(), 0.1, betas=(0.9, 1)), "betas"),
        (lambda: AdaBreg(L1(), 0.1, eps=-1), "eps"),
        (lambda: AdaBreg(L1(), 0.1, bias_correction="no"), "bias_correction"),
        (lambda: AdaBreg(L1(), 0.1, delta=0), "delta"),
        (lambda: ProximalGradient(L1(), -1), "step"),
        (lambda: GradientDescent(0), "step"),
        (lambda: LassoSubgradient(L1(), 0), "step"),
        (lambda: IterativePruning(0), "step"),
        (lambda: LinBreg(L1(), 0.1).step(LinBreg(L1(), 0.1).init([1.0]), [1.0, 2.0]), "gradient"),
        (lambda: LinBreg(L1(), 0.1).step(LinBreg(L1(), 0.1).init([1.0]), [1.0], step=0), "step"),
        (lambda: LinBreg(Nonnegative(), 0.1).init([-1.0]), "theta"),
        (lambda: threshold([1.0], -1), "level"),
        (lambda: Plateau(0.1, factor=1.0), "factor"),
        (lambda: Plateau(0.1, patience=-1), "patience"),
        (lambda: Plateau(0), "step"),
        (lambda: TargetSparsity(2, 0.1, 0.1), "target"),
        (lambda: TargetSparsity(0.1, 0.1, 0), "increment"),
        (lambda: TargetSparsity(0.1, 0.1, 0.1, warmup=-1), "warmup"),
        (lambda: restart(GradientDescent(0.1).init([1.0]), L1()), "state"),
    ],
)
def test_bad_arguments(make, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected "):
        make()


@pytest.mark.parametrize("opt", [LinBreg(L1(0.1), 0.1), LinBreg(L1(0.1), 0.1, momentum=0.9), AdaBreg(L1(0.1), 0.01)])
def test_arrays_that_no_kernel_takes_have_the_same_bits(opt):
    """A gradient of another dtype is rounded first; a state of every second row is updated where it stands."""
    rng = np.random.default_rng(0)
    theta, g = rng.normal(size=(4, 2)).astype(np.float32), rng.normal(size=(4, 2))
    expected = opt.step(opt.init(theta), g.astype(np.float32))
    for a, b in zip(opt.step(opt.init(theta), g), expected):
        assert np.array_equal(a, b)
    first, *rest = opt.init(theta)
    state = type(expected)(first, *(np.repeat(x, 2, 0)[::2] if isinstance(x, np.ndarray) else x for x in rest))
    opt.step(state, g.astype(np.float32), inplace=True)
    for a, b in zip(state, expected):
        assert not isinstance(a, np.ndarray) or np.array_equal(a, b)


@pytest.mark.parametrize("opt", [LinBreg(L1(), 0.1), LinBreg(L1(), 0.1, momentum=0.9), AdaBreg(L1(), 0.1)])
def test_states_begin_at_pages(opt):
    """Whatever they come from: kernels are slower across cache lines, and where arrays begin a few lines apart."""
    raw = np.random.default_rng(0).normal(size=1001)
    for theta in (raw[1:], raw[::2], raw[:1000].reshape(10, 100)):
        state = opt.init(theta)
        assert np.array_equal(state.theta, theta) and not np.shares_memory(state.theta, raw)
        for held in (state, opt.step(state, np.ones(theta.shape))):
            arrays = [x for x in held if isinstance(x, np.ndarray)]
            assert all(x.ctypes.data % 4096 == 0 and x.flags.c_contiguous for x in arrays)
