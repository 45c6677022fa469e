"""Bad input to every public name of Section 4.3: a value, or an error that names the argument."""

import numpy as np
import pytest
from fuzzing import COUNTS, Call, fuzz

from refimpl import sparsity
from refimpl.setting import Dense, Network, ReLU
from refimpl.sparsity import (
    L1,
    L2,
    AdaBreg,
    Blocks,
    Box,
    ElasticNet,
    Entropy,
    GradientDescent,
    GroupL2,
    IterativePruning,
    LassoSubgradient,
    LinBreg,
    Nonnegative,
    Plateau,
    ProximalGradient,
    Quadratic,
    SkipNetwork,
    SparseGroup,
    SquaredL2,
    TargetSparsity,
    TotalVariation,
    Zero,
)

RNG = np.random.default_rng(0)
V = RNG.normal(size=(4, 3))
POSITIVE = np.abs(V)
INSIDE = np.clip(V, -0.9, 0.9)
LABELS = np.array([[0, 0, 1], [1, 2, 2], [0, 3, 3], [3, 3, 3]])  # groups that are spread and overlap in memory
NETWORK = Network([Dense(3, 4), ReLU(), Dense(4, 2)])
THETA = NETWORK.init(0)
A, F = RNG.normal(size=(3, 4)), RNG.normal(size=3)
IMAGE = RNG.normal(size=(4, 5))
KERNELS = RNG.normal(size=(2, 3, 2, 2))
POINTS = {
    "Zero": (Zero(), V),
    "L1": (L1(0.3), V),
    "L2": (L2(0.3), V),
    "SquaredL2": (SquaredL2(0.3), V),
    "GroupL2": (GroupL2(0.3, "columns"), V),
    "GroupL2 kernels": (GroupL2(0.3, "kernels"), KERNELS),
    "GroupL2 labels": (GroupL2(0.3, LABELS, "unit"), V),
    "SparseGroup": (SparseGroup(0.1, 0.3), V),
    "Nonnegative": (Nonnegative(0.3), POSITIVE),
    "Box": (Box(-1.0, 1.0), INSIDE),
    "ElasticNet": (ElasticNet(L1(0.3), 2.0), V),
    "Blocks": (Blocks([((0, 5), L1(0.3)), ((6, 9), L2(0.1))]), V.reshape(-1)),
    "TotalVariation": (TotalVariation(0.3, 1e-6), IMAGE),
}
METHODS = {
    f"{name}.{method}": Call(getattr(J, method), arguments)
    for name, (J, theta) in POINTS.items()
    for method, arguments in {
        "value": {"theta": theta},
        "prox": {"v": theta, "tau": 0.5},
        "subgradient": {"theta": theta},
        "subdifferential_distance": {"p": theta, "theta": theta},
        "dual_norm": {"p": theta},
        "conjugate": {"p": theta},
        "gradient_conjugate": {"p": theta},
    }.items()
    if hasattr(J, method)
}
for call in METHODS.values():
    call.names = {"theta": "p v", "p": "theta v"}
    call.refusals = (MemoryError, RuntimeError)  # a gap of total variation that huge numbers cannot reach
MAKERS = {
    "L1(...)": Call(L1, {"lam": 0.3}),
    "L2(...)": Call(L2, {"lam": 0.3}),
    "SquaredL2(...)": Call(SquaredL2, {"lam": 0.3}),
    "GroupL2(...)": Call(
        lambda v, **rest: GroupL2(**rest).prox(v),
        {"lam": 0.3, "groups": LABELS, "weights": "unit", "v": V},
        {"groups": "v"},
    ),
    "SparseGroup(...)": Call(
        lambda v, **rest: SparseGroup(**rest).prox(v),
        {"lam1": 0.3, "lam2": 0.1, "groups": LABELS, "weights": "unit", "v": V},
        {"groups": "v", "lam2": "lam"},
    ),
    "Nonnegative(...)": Call(Nonnegative, {"lam": 0.3}),
    "Box(...)": Call(Box, {"low": -1.0, "high": 1.0}, {"high": "low"}),
    "ElasticNet(...)": Call(ElasticNet, {"J": L1(), "delta": 1.0}),
    "TotalVariation(...)": Call(TotalVariation, {"lam": 0.3, "gap": 1e-6}),
    "Blocks(...)": Call(
        lambda theta, **rest: Blocks(**rest).prox(theta),
        {"parts": {"0.weight": L1(0.1), "2.weight": GroupL2(0.1)}, "network": NETWORK, "theta": THETA},
        {"network": "parts", "theta": "v", "parts": "v"},
    ),
}


def stepped(make):
    def run(theta, gradient, step, **hyper):
        optimizer = make(**hyper)
        return optimizer.step(optimizer.init(theta), gradient, step)

    return run


def optimizer(make, **hyper):
    arguments = hyper | {"theta": V, "gradient": V[::-1].copy(), "step": 0.1}
    return Call(stepped(make), arguments, {"theta": "gradient v p"})


OPTIMIZERS = {
    "GradientDescent": optimizer(lambda tau: GradientDescent(tau), tau=0.1),
    "ProximalGradient": optimizer(lambda J, tau: ProximalGradient(J, tau), J=L1(0.1), tau=0.1),
    "LassoSubgradient": optimizer(lambda J, tau: LassoSubgradient(J, tau), J=L1(0.1), tau=0.1),
    "LinBreg": optimizer(
        lambda J, tau, delta, momentum: LinBreg(J, tau, delta, momentum), J=L1(0.1), tau=0.1, delta=2.0, momentum=0.5
    ),
    "LinBreg groups": optimizer(lambda J: LinBreg(J, 0.1), J=GroupL2(0.1)),
    "AdaBreg": optimizer(
        lambda J, tau, **rest: AdaBreg(J, tau, **rest),
        J=L1(0.1), tau=0.1, delta=2.0, betas=(0.9, 0.99), eps=1e-8, bias_correction=True,
    ),
    "IterativePruning": optimizer(lambda tau: IterativePruning(tau), tau=0.1),
}  # fmt: skip
for call in OPTIMIZERS.values():
    call.names |= {"tau": "step"}


def pruned(density, where):
    optimizer = IterativePruning(0.1)
    return optimizer.prune(optimizer.init(THETA), density, where)


STATE = LinBreg(L1(0.1), 0.1).init(V)
TABLE = {
    **METHODS,
    **MAKERS,
    **OPTIMIZERS,
    "IterativePruning.prune": Call(pruned, {"density": 0.5, "where": slice(0, 9)}),
    "Entropy": Call(Entropy().value, {"theta": POSITIVE[0]}),
    "Entropy.gradient": Call(Entropy().gradient, {"theta": POSITIVE[0]}),
    "Entropy.gradient_conjugate": Call(Entropy().gradient_conjugate, {"p": V[0]}),
    "Quadratic": Call(Quadratic, {"Q": 2 * np.eye(3)}),
    "Quadratic.value": Call(Quadratic(2 * np.eye(3)).value, {"theta": V[0]}),
    "Quadratic.gradient": Call(Quadratic(2 * np.eye(3)).gradient, {"theta": V[0]}),
    "Quadratic.gradient_conjugate": Call(Quadratic(2 * np.eye(3)).gradient_conjugate, {"p": V[0]}),
    "Plateau": Call(
        lambda loss, **rest: Plateau(**rest).update(Plateau(**rest).init(), loss),
        {"step": 0.1, "factor": 0.5, "patience": 1, "threshold": 0.1, "minimum": 0.0, "loss": 1.0},
    ),
    "TargetSparsity": Call(
        lambda density, **rest: TargetSparsity(**rest).update(TargetSparsity(**rest).init(), density),
        {"target": 0.1, "lam": 0.5, "increment": 0.1, "warmup": 0, "cooldown": 0, "density": 0.2},
    ),
    "restart": Call(sparsity.restart, {"state": STATE, "J": L1(0.2), "delta": 1.0}),
    "SkipNetwork": Call(
        lambda theta, x, **rest: Network([SkipNetwork(**rest)]).vjp(theta, x)[0],
        {"width": 3, "depth": 2, "bias": True, "theta": Network([SkipNetwork(3, 2)]).init(0), "x": V},
        {"width": "theta n_in n_out", "depth": "theta", "bias": "theta"},
        ("width", "depth"),
    ),
    "active_kernels": Call(sparsity.active_kernels, {"W": KERNELS}),
    "active_rows": Call(sparsity.active_rows, {"W": V}),
    "bernoulli_mask": Call(sparsity.bernoulli_mask, {"shape": (3, 4), "density": 0.5, "groups": "rows", "rng": 0}),
    "bregman_distance": Call(
        sparsity.bregman_distance, {"J": L1(), "a": V, "b": V + 1, "p": np.sign(V + 1)}, {"b": "a p"}
    ),
    "symmetric_bregman_distance": Call(
        sparsity.symmetric_bregman_distance,
        {"J": L1(), "a": V, "b": V + 1, "pa": np.sign(V), "pb": np.sign(V + 1)},
        {"b": "a pa pb p", "a": "b pa pb p"},
    ),
    "bregman_iteration": Call(
        sparsity.bregman_iteration,
        {"A": A, "f": F, "lam": 0.5, "step": 1.0, "p": np.zeros(4)},
        {"A": "f p", "lam": "p"},
        refusals=(RuntimeError,),
    ),
    "lasso": Call(
        sparsity.lasso,
        {"A": A, "f": F, "lam": 0.5, "tau": 1.0, "p": np.zeros(4), "theta": np.zeros(4)},
        {"A": "f p theta"},
    ),
    "inverse_scale_space": Call(
        sparsity.inverse_scale_space, {"A": A, "f": F, "lam": 0.5}, {"A": "f"}, refusals=(RuntimeError,)
    ),
    "count": Call(sparsity.count, {"W": V, "groups": "rows"}),
    "density": Call(sparsity.density, {"network": NETWORK, "theta": THETA, "groups": "rows"}),
    "effective_widths": Call(sparsity.effective_widths, {"network": NETWORK, "theta": THETA}),
    "linearized_bregman": Call(
        sparsity.linearized_bregman,
        {"J": L1(), "gradient": lambda t: t, "p": V, "step": 0.1, "delta": 1.0},
        fixed=("gradient",),
    ),
    "mirror_descent": Call(
        sparsity.mirror_descent,
        {"h": Entropy(), "gradient": lambda t: t, "theta": POSITIVE[0], "step": 0.1},
        fixed=("gradient",),
    ),
    "sparsify": Call(
        sparsity.sparsify,
        {"network": NETWORK, "theta": THETA, "density": 0.5, "rng": 0, "groups": {"0.weight": "rows"}, "rescale": True},
    ),
    "threshold": Call(sparsity.threshold, {"theta": V, "level": 0.1}),
    "tv": Call(sparsity.tv, {"u": IMAGE}),
    "tv_bregman": Call(
        sparsity.tv_bregman,
        {"f": IMAGE, "step": 1.0, "gap": 1e-4, "max_iterations": 5000},
        counts=("max_iterations",),
        refusals=(RuntimeError,),
    ),
    "tv_denoise": Call(
        sparsity.tv_denoise,
        {"f": IMAGE, "alpha": 0.3, "gap": 1e-4, "z": np.zeros((2, 4, 5)), "max_iterations": 5000, "progress": None},
        {"f": "z"},
        ("max_iterations",),
        ("progress",),
        (RuntimeError,),
    ),
}
ABSTRACT = {"Regularizer"}


def test_every_public_name_has_an_entry():
    names = {name.split(".")[0].split("(")[0].split()[0] for name in TABLE}
    assert names == set(sparsity.__all__) - ABSTRACT


@pytest.mark.parametrize("name", TABLE)
def test_bad_input_is_refused_by_name(name):
    assert fuzz(name, TABLE[name]) == []


@pytest.mark.parametrize(
    "parts",
    [
        [(slice(0, 5), L1()), (slice(4, 7), L1())],
        [((0, 3), L1()), ((0, 3), L2())],
        [((3, 1), L1())],
        [((0, 4, 2), L1())],
        [(slice(0, 9, 2), L1())],
        [("w", L1())],
    ],
)
def test_overlapping_or_impossible_blocks_are_refused(parts):
    with pytest.raises((ValueError, TypeError), match="parts"):
        Blocks(parts)


def test_the_table_was_tried():
    print(dict(COUNTS))
