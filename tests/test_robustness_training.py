"""The training loop of CLIP and its baselines: gradients, recursion, schedules, and resuming bit for bit."""

import io
from itertools import pairwise

import numpy as np
import pytest

from refimpl.robustness import (
    AdversarialInputs,
    AuthorsSchedule,
    ClipPenalty,
    ExactLipschitzPenalty,
    ProductPenalty,
    State,
    TowardsAccuracy,
    WeightPenalty,
    exact_lipschitz,
    norm,
    pgd,
    product_bound,
    quotient,
    train,
    train_clip,
)
from refimpl.setting import CrossEntropy, Dense, Network, ReLU, SquaredError

RNG = np.random.default_rng(0)
NET = Network([Dense(2, 12), ReLU(), Dense(12, 3)])
THETA = NET.init(0)
X = RNG.uniform(0, 1, (90, 2))
Y = np.minimum((3 * X[:, 0]).astype(int), 2)
LINE = Network([Dense(1, 6), ReLU(), Dense(6, 2)])
PHI = LINE.init(3) + RNG.normal(0, 0.2, LINE.size)
PENALTIES = {
    "none": None,
    "weight": WeightPenalty(),
    "product": ProductPenalty(),
    "clip": ClipPenalty(pairs=20, resample=4),
    "clip in the box, mean of squares": ClipPenalty(pairs=20, power=2, reduce="mean", rule="printed", box=(0.0, 1.0)),
    "adversarial": AdversarialInputs(0.1, warmup=2, steps=2),
}


def evaluate(penalty, network, theta, memory=None):
    return penalty(network, theta, memory or {}, X, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("penalty", "network", "theta"),
    [
        (WeightPenalty(), NET, THETA),
        (ProductPenalty(), NET, THETA),
        (ProductPenalty(np.inf), NET, THETA),
        (ExactLipschitzPenalty(), LINE, PHI),
        (ExactLipschitzPenalty(-0.5, 0.5, 1), LINE, PHI),
        *((ClipPenalty(9, k, how, ascents=0), NET, THETA) for k in (1, 2) for how in ("max", "mean")),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_penalty_gradients_by_central_differences(penalty, network, theta):
    memory = penalty.start(network, theta, X, np.random.default_rng(0))
    _, gradient, _ = evaluate(penalty, network, theta, memory)
    for seed in range(4):
        d = np.random.default_rng(seed).normal(size=network.size)
        up, down = (evaluate(penalty, network, theta + h * d, memory)[0] for h in (1e-6, -1e-6))
        assert gradient @ d == pytest.approx((up - down) / 2e-6, rel=1e-6, abs=1e-9)


def test_penalty_values_are_their_definitions():
    weights = np.concatenate([v.ravel() for name, v in NET.views(THETA + 1).items() if name.endswith("weight")])
    assert evaluate(WeightPenalty(), NET, THETA + 1)[0] == pytest.approx(np.sum(weights**2) / 2, rel=1e-14)
    assert evaluate(ProductPenalty(), NET, THETA)[0] == product_bound(NET, THETA)
    for domain in ((-np.inf, np.inf), (-0.5, 0.25)):
        value, gradient, _ = evaluate(ExactLipschitzPenalty(*domain), LINE, PHI)
        assert value == pytest.approx(exact_lipschitz(LINE, PHI, domain), rel=1e-12)
        assert np.max(np.abs(gradient[LINE.slices["0.bias"]])) < 1e-12 * np.max(np.abs(gradient))


def test_clip_penalty_is_the_estimate_on_its_moved_pairs():
    penalty = ClipPenalty(pairs=15, power=2, reduce="mean")
    memory = penalty.start(NET, THETA, X, np.random.default_rng(1))
    before = quotient(NET, THETA, memory["x"], memory["xbar"])
    value, _, moved = evaluate(penalty, NET, THETA, memory)
    after = quotient(NET, THETA, moved["x"], moved["xbar"])
    assert value == pytest.approx(np.mean(after**2), rel=1e-14)
    assert np.all(after >= before) and np.any(after > before)
    best = evaluate(ClipPenalty(pairs=15), NET, THETA, memory)[0]
    assert best == pytest.approx(after.max(), rel=1e-14)
    assert best <= exact_lipschitz(NET, THETA) * (1 + 1e-12)


@pytest.mark.parametrize("start_from", ["perturbed", "different"])
def test_pairs_start_at_the_pool_and_are_redrawn(start_from):
    penalty = ClipPenalty(pairs=10, ascents=0, start_from=start_from, amplitude=0.1, resample=2)
    rng = np.random.default_rng(0)
    memory = penalty.start(NET, THETA, X, rng)
    rows = {tuple(x) for x in X}
    assert all(tuple(x) in rows for x in memory["x"])
    away = np.abs(memory["x"] - memory["xbar"]).max()
    assert away <= 0.1 if start_from == "perturbed" else all(tuple(x) in rows for x in memory["xbar"])
    seen = [memory]
    for _ in range(5):
        seen.append(penalty(NET, THETA, seen[-1], X, rng)[2])
    changes = [not np.array_equal(a["x"], b["x"]) for a, b in pairwise(seen)]
    assert changes == [False, False, True, False, True]


def test_full_batches_are_momentum_gradient_descent():
    torch = pytest.importorskip("torch")
    leaf = torch.tensor(THETA, requires_grad=True)
    optimizer = torch.optim.SGD([leaf], lr=0.1, momentum=0.8)
    x, y = torch.tensor(X), torch.tensor(Y)
    lam = 0.02
    for _ in range(15):
        w1, b1, w2, b2 = (leaf[s] for s in NET.slices.values())
        logits = torch.relu(x @ w1.reshape(12, 2).T + b1) @ w2.reshape(3, 12).T + b2
        loss = torch.nn.functional.cross_entropy(logits, y) + lam * ((w1**2).sum() + (w2**2).sum()) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ours = train(NET, THETA, X, Y, WeightPenalty(), lam=lam, epochs=15, batch=90, eta=0.1, momentum=0.8)
    assert np.max(np.abs(ours.theta - leaf.detach().numpy())) < 1e-12


def test_every_sample_is_seen_once_an_epoch():
    seen = []

    class Watched(WeightPenalty):
        def inputs(self, network, theta, x, y, epoch, rng):
            seen.append(x)
            return x

    train(NET, THETA, X, Y, Watched(), epochs=2, batch=40)
    assert [len(x) for x in seen] == [40, 40, 10] * 2
    for epoch in (seen[:3], seen[3:]):
        assert sorted(map(tuple, np.concatenate(epoch))) == sorted(map(tuple, X))
    assert not np.array_equal(seen[0], seen[3])


@pytest.mark.parametrize("name", PENALTIES)
def test_resumed_run_is_the_uninterrupted_one_bit_for_bit(name):
    options = {"lam": 0.05, "batch": 25, "schedule": TowardsAccuracy(0.8, 0.01), "rng": 5}
    whole = train(NET, THETA, X, Y, PENALTIES[name], epochs=5, **options)
    part = train(NET, THETA, X, Y, PENALTIES[name], epochs=2, **options)
    file = io.BytesIO()
    np.savez(file, **part.pack())
    file.seek(0)
    loaded = State.unpack(np.load(file))
    continued = train(NET, THETA, X, Y, PENALTIES[name], epochs=5, state=loaded, **options)
    ours, theirs = continued.pack(), whole.pack()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[k], theirs[k]) and ours[k].dtype == theirs[k].dtype for k in ours)


def test_same_seed_same_bytes():
    first, again, other = (train_clip(NET, THETA, X, Y, epochs=2, pairs=10, rng=seed) for seed in (1, 1, 2))
    assert first.theta.tobytes() == again.theta.tobytes() != other.theta.tobytes()
    generators = [train(NET, THETA, X, Y, epochs=1, rng=np.random.default_rng(4)) for _ in range(2)]
    assert np.array_equal(generators[0].theta, generators[1].theta)


def test_records_and_progress():
    states = []
    last = train(NET, THETA, X, Y, WeightPenalty(), lam=0.1, epochs=3, batch=90, callback=states.append)
    assert [s.epoch for s in states] == [1, 2, 3] and states[-1] is last
    first = last.history[0]
    assert first.loss == pytest.approx(CrossEntropy().value(NET(THETA, X), Y), rel=1e-14)
    assert first.accuracy == np.mean(np.argmax(NET(THETA, X), axis=1) == Y)
    assert first.validation == np.mean(np.argmax(NET(states[0].theta, X), axis=1) == Y)
    assert (first.epoch, first.lam) == (0, 0.1)
    assert first.penalty == pytest.approx(evaluate(WeightPenalty(), NET, THETA)[0], rel=1e-14)
    held_out = train(NET, THETA, X, Y, epochs=1, validation=(X[:5], (Y[:5] + 1) % 3))
    assert held_out.history[0].validation == np.mean(np.argmax(NET(held_out.theta, X[:5]), axis=1) == (Y[:5] + 1) % 3)
    start = train(NET, THETA, X, Y, epochs=0, callback=states.append)
    assert start.epoch == 0 and np.array_equal(start.theta, THETA) and len(states) == 3


def test_lam_zero_is_plain_training():
    plain = train(NET, THETA, X, Y, epochs=2)
    assert np.array_equal(plain.theta, train(NET, THETA, X, Y, ProductPenalty(), epochs=2).theta)


def test_clip_lowers_the_exact_constant():
    plain = train(NET, THETA, X, Y, epochs=30, batch=30)
    clip = train_clip(NET, THETA, X, Y, 0.05, epochs=30, batch=30, pairs=30)
    assert exact_lipschitz(NET, clip.theta) < 0.6 * exact_lipschitz(NET, plain.theta)
    assert clip.history[-1].accuracy > 0.8


def test_exact_lipschitz_training_on_the_line():
    x = np.linspace(-2, 2, 40)[:, None]
    y = np.abs(x)
    net = Network([Dense(1, 20), ReLU(), Dense(20, 1)])
    runs = [
        train(net, net.init(0), x, y, ExactLipschitzPenalty(-2, 2), lam=lam, loss=SquaredError(), epochs=60, batch=10)
        for lam in (0, 0.1, 0.5)
    ]
    constants = [exact_lipschitz(net, s.theta, (-2, 2)) for s in runs]
    losses = [SquaredError().value(net(s.theta, x), y) for s in runs]
    assert constants == sorted(constants, reverse=True) and losses == sorted(losses)
    assert np.isnan(runs[0].history[0].accuracy)


def test_adversarial_inputs_grow_to_the_budget():
    penalty = AdversarialInputs(0.3, warmup=2, steps=3)
    sizes = [norm(penalty.inputs(NET, THETA, X, Y, epoch, None) - X).max() for epoch in range(4)]
    assert np.allclose(sizes, [0.1, 0.2, 0.3, 0.3], rtol=1e-12)
    attacked = penalty.inputs(NET, THETA, X, Y, 9, None)
    assert np.array_equal(attacked, pgd(NET, THETA, X, Y, 0.3, steps=3).x)


class TestSchedules:
    @staticmethod
    def run(schedule, accuracies, start=0.1):
        lam = [schedule.first(start)]
        for epoch, accuracy in enumerate(accuracies, start=1):
            lam.append(schedule.next(epoch, lam[-1], start, accuracy))
        return lam

    def test_towards_the_target(self):
        assert self.run(TowardsAccuracy(0.9, 0.25), [0.95, 0.9, 0.5, 0.5], 0.375) == [0.375, 0.625, 0.625, 0.375, 0.125]
        assert self.run(TowardsAccuracy(0.9, 0.25), [0.5, 0.5, 0.99], 0.375)[1:] == [0.125, 0, 0.25]
        assert self.run(TowardsAccuracy(0.9, 2.0, "multiply"), [0.95, 0.9, 0.5], 0.5) == [0.5, 1, 1, 0.5]

    def test_published_code(self):
        lam = self.run(AuthorsSchedule(0.9, 0.01), [0.99] * 10)
        assert np.allclose(lam, [0] * 6 + [0.1, 0.1, 0.11, 0.11, 0.12], rtol=1e-14)
        falling = self.run(AuthorsSchedule(0.9, 0.08, warmup=0, cooldown=0), [0.5] * 4)
        assert np.allclose(falling, [0, 0.1, 0.02, 0, 0], atol=1e-16)

    def test_published_code_at_the_target(self):
        """lam rises above the target only."""
        schedule = AuthorsSchedule(0.75, 0.25, warmup=0, cooldown=0)
        assert schedule.next(2, 0.5, 0.5, 0.75) == 0.25
        assert schedule.next(2, 0.5, 0.5, 0.7500001) == 0.75

    def test_the_loop_counts_epochs_for_it(self):
        options = {"epochs": 4, "lam": 0.5, "eta": 1e-9, "schedule": AuthorsSchedule(0.5, 0.0, warmup=1)}
        history = train(NET, THETA, X, Y, **options).history
        assert [record.lam for record in history] == [0, 0, 0.5, 0.5]

    def test_the_accuracy_it_looks_at(self):
        wrong = (X, (np.argmax(NET(THETA, X), axis=1) + 1) % 3)
        options = {"epochs": 1, "lam": 0.5, "eta": 1e-9, "validation": wrong}
        y = np.argmax(NET(THETA, X), axis=1)
        up = train(NET, THETA, X, y, schedule=TowardsAccuracy(0.5, 0.1, accuracy="training"), **options)
        down = train(NET, THETA, X, y, schedule=TowardsAccuracy(0.5, 0.1), **options)
        assert up.lam == pytest.approx(0.6) and down.lam == pytest.approx(0.4)

    @pytest.mark.parametrize(
        ("schedule", "options", "name"),
        [
            (TowardsAccuracy, {"target": 1.5}, "target"),
            (TowardsAccuracy, {"rule": "divide"}, "rule"),
            (TowardsAccuracy, {"rule": "multiply", "change": 0.5}, "change"),
            (TowardsAccuracy, {"accuracy": "test"}, "accuracy"),
            (AuthorsSchedule, {"change": -1.0}, "change"),
            (AuthorsSchedule, {"warmup": -1}, "warmup"),
        ],
    )
    def test_bad_settings(self, schedule, options, name):
        with pytest.raises(ValueError, match=rf"^{name}: expected"):
            schedule(**options)


def test_float32_stays_float32():
    for penalty in PENALTIES.values():
        state = train(NET, THETA.astype(np.float32), X, Y, penalty, lam=0.1, epochs=1)
        assert {state.theta.dtype, state.velocity.dtype} == {np.dtype(np.float32)}


def test_inputs_are_not_modified():
    before = [a.copy() for a in (THETA, X, Y)]
    train_clip(NET, THETA, X, Y, epochs=1, pairs=10)
    assert all(np.array_equal(a, b) for a, b in zip(before, (THETA, X, Y)))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"epochs": -1}, "epochs"),
        ({"batch": 0}, "batch"),
        ({"eta": 0.0}, "eta"),
        ({"momentum": 1.5}, "momentum"),
        ({"lam": -1.0}, "lam"),
        ({"pairs": 0}, "pairs"),
        ({"power": 3}, "power"),
        ({"reduce": "sum"}, "reduce"),
        ({"rule": "always"}, "rule"),
        ({"tau": 0.0}, "tau"),
        ({"resample": 0}, "resample"),
        ({"start_from": "noise"}, "start_from"),
        ({"y": Y[:5]}, "y"),
        ({"y": X, "schedule": TowardsAccuracy()}, "y"),
        ({"theta": THETA[1:]}, "theta"),
        ({"rng": -1}, "rng"),
    ],
)
def test_bad_input(options, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        train_clip(**({"network": NET, "theta": THETA, "x": X, "y": Y} | options))


@pytest.mark.parametrize(
    ("penalty", "options", "name"),
    [
        (AdversarialInputs, {"eps": -1.0}, "eps"),
        (AdversarialInputs, {"steps": 0}, "steps"),
        (ExactLipschitzPenalty, {"low": 1.0, "high": 0.0}, "low"),
        (ProductPenalty, {"p": 3}, "p"),
    ],
)
def test_bad_penalties(penalty, options, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        penalty(**options)
