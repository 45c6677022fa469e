"""Bad input to every public name of Section 4.1: a value, or an error that names the argument."""

import numpy as np
import pytest
from fuzzing import COUNTS, Call, fuzz

from refimpl import setting
from refimpl.setting import (
    GELU,
    AdaptiveAveragePool2d,
    AveragePool2d,
    BatchNorm2d,
    Chain,
    Conv2d,
    CrossEntropy,
    Dense,
    Flatten,
    GlobalAveragePool,
    Identity,
    MaxPool2d,
    Network,
    ReLU,
    Residual,
    Sigmoid,
    SquaredError,
    Tanh,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))
IMAGES = RNG.normal(size=(2, 2, 5, 6))
LABELS = np.array([0, 1, 1, 0])
LOGITS = RNG.normal(size=(4, 2))
P = np.array([[0.25, 0.75], [0.5, 0.5]])
MLP = Network([Dense(3, 4), ReLU(), Dense(4, 2)])
THETA = MLP.init(0)
LAYERS = {
    "Dense": (Dense(3, 2), X),
    "Conv2d": (Conv2d(2, 3, 3), IMAGES),
    "MaxPool2d": (MaxPool2d(2), IMAGES),
    "AveragePool2d": (AveragePool2d(2), IMAGES),
    "AdaptiveAveragePool2d": (AdaptiveAveragePool2d((2, 3)), IMAGES),
    "GlobalAveragePool": (GlobalAveragePool(), IMAGES),
    "BatchNorm2d": (BatchNorm2d(2), IMAGES),
    "Residual": (Residual([Dense(3, 3), Tanh()], learn=True), X),
    "Chain": (Chain([Dense(3, 2), ReLU()]), X),
    "Flatten": (Flatten(), IMAGES),
    **{sigma.__name__: (sigma(), X) for sigma in (GELU, Identity, ReLU, Sigmoid, Tanh)},
}


def applied(layer):
    """A layer as the network users call it: theta and x in, outputs and both gradients out."""
    network = Network([layer])

    def run(theta, x):
        y, pullback = network.vjp(theta, x)
        return y, *pullback(np.ones_like(y))

    return run


def called(name):
    layer, x = LAYERS[name]
    return Call(applied(layer), {"theta": Network([layer]).init(0), "x": x})


def pulled(dy, need):
    return MLP.vjp(THETA, X)[1](dy, need)


LOSS = {"y": X, "target": X + 1}
ENTROPY = {"logits": LOGITS, "labels": LABELS}
AS = {"logits": "labels", "x": "labels y target logits", "y": "labels target"}
SOFT = {"logits": LOGITS, "labels": np.abs(LOGITS) / np.abs(LOGITS).sum(axis=1, keepdims=True)}
RISK = {"network": MLP, "loss": CrossEntropy(), "theta": THETA, "x": X, "y": LABELS}
QUADRATIC = Call(setting.gradient_descent, {"gradient": lambda t: t, "theta": X[0], "tau": 0.1}, fixed=("gradient",))
BATCHES = [(0.5, (0, 1)), (0.5, (2, 3))]


def estimate(gradient, outcomes):
    return setting.GradientEstimator(gradient, outcomes).expectation(THETA)


SIZES = {"size": "n_in", "classes": "n_out", "in_channels": "c_in"}
POOL = {"size": 2, "stride": 1, "padding": 1}
TABLE = {
    **{name: called(name) for name in LAYERS},
    "Dense(...)": Call(Dense, {"n_in": 3, "n_out": 2, "bias": True}),
    "Conv2d(...)": Call(
        Conv2d, {"c_in": 2, "c_out": 3, "kernel": (3, 3), "stride": 1, "padding": "zero", "bias": True}
    ),
    "MaxPool2d(...)": Call(MaxPool2d, POOL),
    "AveragePool2d(...)": Call(AveragePool2d, POOL),
    "AdaptiveAveragePool2d(...)": Call(AdaptiveAveragePool2d, {"output": (2, 2)}),
    "BatchNorm2d(...)": Call(
        BatchNorm2d, {"channels": 2, "eps": 1e-5, "mean": np.zeros(2), "variance": np.ones(2)}, {"channels": "mean"}
    ),
    "Residual(...)": Call(
        Residual,
        {"branch": [Dense(3, 3)], "w": 1.0, "learn": False, "shortcut": [Dense(3, 3)]},
        {"branch": "layers", "shortcut": "layers"},
    ),
    "Chain(...)": Call(Chain, {"layers": [Dense(3, 3), ReLU()]}),
    "Network": Call(Network, {"layers": [Dense(3, 3), ReLU()]}),
    "Network.__call__": Call(MLP, {"theta": THETA, "x": X}),
    "Network.init": Call(MLP.init, {"rng": 0, "dtype": np.float64}),
    "Network.views": Call(MLP.views, {"theta": THETA}),
    "Network.flatten": Call(MLP.flatten, {"params": MLP.views(THETA), "dtype": np.float64}),
    "Network.evaluation": Call(MLP.evaluation, {"statistics": {}}),
    "Pullback": Call(pulled, {"dy": LOGITS, "need": "both"}),
    "CrossEntropy": Call(
        CrossEntropy().value, {"y": LOGITS, "target": LABELS}, {"y": "logits labels", "target": "labels"}
    ),
    "CrossEntropy.values": Call(CrossEntropy().values, SOFT, AS),
    "CrossEntropy.gradient": Call(CrossEntropy().gradient, SOFT, AS),
    "CrossEntropy.value_and_gradient": Call(CrossEntropy().value_and_gradient, ENTROPY, AS),
    "SquaredError": Call(SquaredError().value, LOSS, AS),
    "SquaredError.values": Call(SquaredError().values, LOSS, AS),
    "SquaredError.gradient": Call(SquaredError().gradient, LOSS, AS),
    "GradientEstimator": Call(
        estimate,
        {"gradient": lambda t, b: t * len(b), "outcomes": BATCHES},
        {"outcomes": "probability"},
        (),
        ("gradient",),
    ),
    "batch_gradient": Call(
        lambda batch, **rest: setting.batch_gradient(**rest)(THETA, batch),
        {"network": MLP, "loss": CrossEntropy(), "x": X, "y": LABELS, "batch": [0, 2]},
        AS,
    ),
    "empirical_risk": Call(setting.empirical_risk, RISK, AS),
    "risk_and_gradient": Call(setting.risk_and_gradient, RISK, AS),
    "minibatches": Call(setting.minibatches, {"n": 7, "size": 3, "rng": 0}, counts=("n",)),
    "gradient_descent": QUADRATIC,
    "sgd": Call(
        setting.sgd, {"estimator": lambda t, rng: t, "theta": X[0], "tau": 0.1, "rng": 0}, fixed=("estimator",)
    ),
    "he": Call(setting.he, {"shape": (3, 4), "distribution": "normal", "rng": 0}),
    "glorot": Call(setting.glorot, {"shape": (3, 4), "distribution": "uniform", "rng": 0}),
    "initialize": Call(
        setting.initialize, {"network": MLP, "rule": setting.he, "distribution": "normal", "rng": 0}, fixed=("rule",)
    ),
    "mlp": Call(
        setting.mlp,
        {"sizes": [3, 4, 2], "activation": ReLU(), "final_activation": Tanh(), "bias": True},
        {"sizes": "n_in n_out"},
        ("sizes",),
    ),
    "convnet": Call(
        setting.convnet,
        {"classes": 10, "in_channels": 1, "size": 28},
        {"size": "n_in", "classes": "n_out", "in_channels": "c_in"},
    ),
    "resnet18": Call(setting.resnet18, {"classes": 10, "in_channels": 3}, SIZES),
    "residual_block": Call(setting.residual_block, {"c_in": 2, "c_out": 3, "stride": 2}, {"c_out": "channels"}),
    "running_statistics": Call(
        setting.running_statistics, {"running": {"mean": X[0]}, "batch": {"mean": X[1]}, "momentum": 0.1}
    ),
    "softmax": Call(setting.softmax, {"z": LOGITS}),
    "log_softmax": Call(setting.log_softmax, {"z": LOGITS}),
    "cross_entropy": Call(setting.cross_entropy, {"p": P, "q": P}),
}
ABSTRACT = {"Activation", "Layer", "Loss"}


def test_every_public_name_has_an_entry():
    assert {name.split(".")[0].split("(")[0] for name in TABLE} == set(setting.__all__) - ABSTRACT


@pytest.mark.parametrize("name", TABLE)
def test_bad_input_is_refused_by_name(name):
    assert fuzz(name, TABLE[name]) == []


def test_the_table_was_tried():
    print(dict(COUNTS))
