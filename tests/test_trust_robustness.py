"""Bad input to every public name of Section 4.2: a value, or an error that names the argument."""

import numpy as np
import pytest
from fuzzing import COUNTS, Call, fuzz

from refimpl import robustness
from refimpl.robustness import (
    AdversarialInputs,
    AuthorsSchedule,
    Bound,
    ClipPenalty,
    ExactLipschitzPenalty,
    ProductPenalty,
    TowardsAccuracy,
    WeightPenalty,
)
from refimpl.setting import Dense, Flatten, Network, ReLU

RNG = np.random.default_rng(0)
F = Network([Dense(3, 4), ReLU(), Dense(4, 2)])
THETA = F.init(0)
LINE = Network([Dense(1, 3), ReLU(), Dense(3, 1)])
LINE_THETA = LINE.init(1)
SCALAR = Network([Dense(2, 3), ReLU(), Dense(3, 1)])
SCALAR_THETA = SCALAR.init(2)
NARROW = Network([Dense(1, 3), ReLU(), Dense(3, 2)])
NARROW_THETA = NARROW.init(3)
PICTURE = Network([Flatten(), Dense(16, 2)])
PICTURE_THETA = PICTURE.init(3)
X = RNG.uniform(0.2, 0.8, (4, 3))
XBAR = X + RNG.uniform(-0.1, 0.1, X.shape)
Y = np.array([0, 1, 1, 0])
IMAGES = RNG.uniform(0.2, 0.8, (3, 1, 4, 4))
LOGITS = RNG.normal(size=(4, 2))
MATRIX = RNG.normal(size=(3, 4))
MODEL = {"network": F, "theta": THETA}
AS = {
    "x": "labels y xbar center theta box pool v radius",
    "labels": "y",
    "network": "theta",
    "theta": "x network",
    "y": "labels target",
    "v": "center x",
    "xbar": "x",
    "center": "v box",
    "box": "x v center",
    "eps": "center radius",
    "data": "x domain xbar labels input_shape",
    "delta": "x",
    "weight": "grid",
    "pool": "x labels",
}
ATTACK = MODEL | {"x": X, "labels": Y, "eps": 0.1, "box": (0.0, 1.0)}
CASES = {
    "steps": ("steps", "restarts", "trials", "epochs", "limit", "pairs", "ascents"),
    "user": ("loss", "callback", "transform", "schedule"),
}


def call(function, arguments, **names):
    counts = tuple(name for name in CASES["steps"] if name in arguments)
    fixed = tuple(name for name in CASES["user"] if name in arguments)
    return Call(function, arguments, AS | names, counts, fixed, (MemoryError,))


def trained(penalty):
    """A penalty as the training loop calls it."""

    def run(**hyper):
        return robustness.train(F, THETA, X, Y, penalty(**hyper), epochs=1, batch=4, lam=0.1).theta

    return run


TRAINING = MODEL | {"x": X, "y": Y, "epochs": 1, "batch": 2, "eta": 0.1, "momentum": 0.5, "lam": 0.1, "rng": 0}
PAIRS = MODEL | {"x": X, "xbar": XBAR, "p": 2, "q": 2}
TABLE = {
    "project": call(robustness.project, {"v": X, "center": X[::-1].copy(), "eps": 0.1, "p": 2, "box": (0.0, 1.0)}),
    "project_box": call(robustness.project_box, {"v": X, "box": (0.3, 0.6)}),
    "pgd": call(
        robustness.pgd,
        ATTACK | {"p": 2, "steps": 2, "step": 0.1, "gradient": "sign", "restarts": 2, "rng": 0, "targeted": 1},
        x="labels targeted",
    ),
    "fgsm": call(robustness.fgsm, ATTACK | {"p": np.inf, "gradient": "sign"}),
    "attack_2021": call(robustness.attack_2021, ATTACK | {"step": 0.1, "steps": 2, "rng": 0}),
    "noise": call(robustness.noise, ATTACK | {"p": 1, "trials": 2, "rng": 0}),
    "gaussian_noise": call(robustness.gaussian_noise, {"x": X, "scale": 0.1, "box": (0.0, 1.0), "rng": 0}),
    "Attack": call(
        lambda x: robustness.pgd(F, THETA, x, Y, 0.1, steps=1).robust_accuracy,
        {"x": X},
    ),
    "grid_attack": call(
        robustness.grid_attack,
        {"network": PICTURE, "theta": PICTURE_THETA, "x": IMAGES, "labels": Y[:3], "transform": robustness.translation,
         "deltas": [(0, 1), (1, 0)], "box": (0.0, 1.0)},
        deltas="shift x",
    ),
    "cosine_attack": call(
        robustness.cosine_attack,
        {"network": PICTURE, "theta": PICTURE_THETA, "x": IMAGES, "labels": Y[:3], "eps": 0.1,
         "mask": np.eye(4, dtype=int), "box": (0.0, 1.0), "steps": 2},
        x="labels mask",
    ),
    "addition": call(robustness.addition, {"x": X, "delta": XBAR}, x="delta"),
    "translation": call(robustness.translation, {"x": IMAGES, "shift": (1, 2), "boundary": "zero"}),
    "rotation": call(robustness.rotation, {"x": IMAGES, "angle": 0.3}),
    "change_of_basis": call(
        robustness.change_of_basis, {"x": IMAGES, "coefficients": IMAGES}, x="coefficients", coefficients="x"
    ),
    "to_cosines": call(robustness.to_cosines, {"x": IMAGES}),
    "to_pixels": call(robustness.to_pixels, {"coefficients": IMAGES}),
    "norm": call(robustness.norm, {"v": X, "p": 2}),
    "operator_norm": call(robustness.operator_norm, {"matrix": MATRIX, "p": 2, "q": 1}),
    "convolution_norm": call(
        robustness.convolution_norm,
        {"weight": RNG.normal(size=(2, 1, 3, 3)), "p": 2, "padding": "zero", "grid": (4, 5)},
    ),
    "power_iteration": call(
        robustness.power_iteration,
        {"layer": Dense(3, 4), "params": F.views(THETA) and {"weight": MATRIX.T.copy(), "bias": np.zeros(4)},
         "shape": (3,), "steps": 3, "rng": 0},
        shape="x", params="weight bias",
    ),
    "product_bound": call(robustness.product_bound, MODEL | {"p": 2, "input_shape": (3,)}, input_shape="x"),
    "product_bound_gradient": call(robustness.product_bound_gradient, MODEL | {"p": 2}),
    "Bound": call(Bound, {"value": 1.0, "kind": "upper"}),
    "margin": call(robustness.margin, {"logits": LOGITS, "labels": Y}, logits="labels"),
    "certified_radius": call(
        robustness.certified_radius, {"margins": LOGITS[:, 0], "bound": Bound(2.0, "upper"), "q": 2}
    ),
    "quotient": call(robustness.quotient, PAIRS),
    "quotient_gradient": call(
        robustness.quotient_gradient, PAIRS | {"power": 2, "weights": np.ones(4), "need": "both"}, x="xbar weights"
    ),
    "QuotientGradient": call(lambda x: robustness.quotient_gradient(F, THETA, x, XBAR).values, {"x": X}),
    "lipschitz_estimate": call(robustness.lipschitz_estimate, PAIRS | {"reduce": "mean"}),
    "ascend": call(
        robustness.ascend,
        PAIRS | {"tau": np.full(4, 0.1), "steps": 2, "rule": "accept", "box": (0.0, 1.0), "factor": 1.3},
        x="xbar tau",
    ),
    "Pairs": call(lambda x: robustness.ascend(F, THETA, x, XBAR, steps=1).values, {"x": X}),
    "perturbed_pairs": call(
        robustness.perturbed_pairs, {"x": X, "amplitude": 0.1, "rng": 0, "box": (0.0, 1.0)}
    ),
    "pieces": call(
        robustness.pieces, {"network": LINE, "theta": LINE_THETA, "domain": (-1.0, 1.0)}
    ),
    "regions": call(
        robustness.regions, {"network": SCALAR, "theta": SCALAR_THETA, "domain": [(-1.0, 1.0), (0.0, 1.0)], "limit": 50}
    ),
    "exact_lipschitz": call(
        robustness.exact_lipschitz,
        {"network": SCALAR, "theta": SCALAR_THETA, "domain": (-1.0, 1.0), "p": 2, "q": 1, "limit": 50},
        limit="network",
    ),
    "exact_lipschitz_rational": call(
        robustness.exact_lipschitz_rational, {"network": LINE, "theta": LINE_THETA, "domain": (-1.0, 1.0), "q": np.inf}
    ),
    "milp_lipschitz": call(
        robustness.milp_lipschitz,
        {"network": SCALAR, "theta": SCALAR_THETA, "domain": (-1.0, 1.0), "p": np.inf, "limit": 50},
        limit="network",
    ),
    "lipschitz_report": call(
        robustness.lipschitz_report,
        {"network": NARROW, "theta": NARROW_THETA, "data": X[:, :1], "labels": Y, "domain": (0.0, 1.0), "p": 2,
         "steps": 2, "input_shape": (1,), "rng": 0},
        input_shape="x", labels="data",
    ),
    "LipschitzReport": call(
        lambda data: str(robustness.lipschitz_report(NARROW, NARROW_THETA, data, Y, steps=1)), {"data": X[:, :1]}
    ),
    "train": call(
        robustness.train,
        TRAINING | {"penalty": WeightPenalty(), "validation": (X, Y), "pool": X, "state": None},
        validation="x y", x="y labels pool validation", batch="x", y="validation labels",
    ),
    "train_clip": call(robustness.train_clip, TRAINING | {"power": 1, "reduce": "max", "tau": 1.0}),
    "Penalty": call(trained(lambda: robustness.Penalty()), {}),
    "WeightPenalty": call(trained(WeightPenalty), {}),
    "ProductPenalty": call(trained(ProductPenalty), {"p": 2}),
    "ExactLipschitzPenalty": call(ExactLipschitzPenalty, {"low": -1.0, "high": 1.0, "q": 2}, high="low"),
    "AdversarialInputs": call(
        trained(AdversarialInputs), {"eps": 0.1, "warmup": 0, "steps": 1, "p": 2, "box": (0.0, 1.0)}
    ),
    "ClipPenalty": call(
        trained(ClipPenalty),
        {"pairs": 3, "power": 2, "reduce": "mean", "tau": 1.0, "rule": "accept", "ascents": 1, "box": (0.0, 1.0),
         "start_from": "different", "amplitude": 0.1, "resample": 1, "p": 2, "q": 2},
    ),
    "State": call(
        lambda theta: robustness.State.unpack(robustness.train(F, theta, X, Y, epochs=1).pack()).theta, {"theta": THETA}
    ),
    "Record": call(lambda rng: robustness.train(F, THETA, X, Y, epochs=1, rng=rng).history[0], {"rng": 0}),
    "Schedule": call(robustness.Schedule().first, {"lam": 0.1}),
    "TowardsAccuracy": call(
        TowardsAccuracy, {"target": 0.9, "change": 1.5, "rule": "multiply", "accuracy": "training"}
    ),
    "AuthorsSchedule": call(
        AuthorsSchedule, {"target": 0.9, "change": 0.1, "warmup": 1, "cooldown": 1, "accuracy": "training"}
    ),
}  # fmt: skip


def test_every_public_name_has_an_entry():
    assert set(TABLE) == set(robustness.__all__)


@pytest.mark.parametrize("name", TABLE)
def test_bad_input_is_refused_by_name(name):
    assert fuzz(name, TABLE[name]) == []


def test_the_table_was_tried():
    print(dict(COUNTS))
