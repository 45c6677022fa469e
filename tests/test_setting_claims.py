"""Breaking the code of Section 4.1 breaks its claims."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from refimpl.claims import setting, setting_descent, setting_layers
from refimpl.claims.claim import REGISTRY
from refimpl.setting import Conv2d, CrossEntropy, Dense, Residual, SquaredError, losses, risk

ROOMS = {room.__name__ for room in (setting, setting_layers, setting_descent)}
CLAIMS = {c.name: c for c in REGISTRY if c.body.__module__ in ROOMS}


def scaled(method: Callable, position: int | str | None, factor: float = 2.0) -> Callable:
    """The method with one of its results multiplied: a forgotten or doubled factor."""

    def wrong(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        if position is None:
            return factor * result
        if isinstance(position, str):
            return result[0], result[1] and {**result[1], position: factor * result[1][position]}
        return tuple(factor * r if i == position and r is not None else r for i, r in enumerate(result))

    return wrong


MUTANTS = [
    (SquaredError, "gradient", None, "squared_error"),
    (SquaredError, "values", None, "squared_error"),
    (CrossEntropy, "gradient", None, "gradient_is_softmax_minus_target"),
    (losses, "log_softmax", None, "softmax_ignores_shifts"),
    (losses, "_times_log", None, "cross_entropy_is_least_at_p"),
    (Dense, "backward", 0, "residual_layer"),
    (Dense, "backward", "weight", "residual_layer"),
    (Dense, "backward", "bias", "residual_layer"),
    (Residual, "backward", 0, "residual_layer"),
    (Residual, "forward", 0, "residual_layer"),
    (Conv2d, "backward", 0, "layer_is_a_sum_of_convolutions"),
    (Conv2d, "backward", "weight", "layer_is_a_sum_of_convolutions"),
    (Conv2d, "forward", 0, "layer_is_a_sum_of_convolutions"),
    (risk.GradientEstimator, "expectation", None, "minibatch_gradient_is_unbiased"),
    (risk.GradientEstimator, "__call__", None, "sgd_steps_along_the_drawn_gradients"),
]


@pytest.mark.parametrize("owner, name, position, check", MUTANTS, ids=lambda m: getattr(m, "__name__", str(m)))
def test_a_wrong_factor_is_found(monkeypatch: Any, owner: Any, name: str, position: Any, check: str) -> None:
    monkeypatch.setattr(owner, name, scaled(getattr(owner, name), position))
    assert CLAIMS[check].verify(examples=20, seed=0).outcome.verdict != "holds"


def test_convolution_for_correlation_is_found(monkeypatch: Any) -> None:
    forward = Conv2d.forward

    def turned(self: Conv2d, params: dict, x: np.ndarray) -> Any:
        return forward(self, {**params, "weight": params["weight"][..., ::-1, ::-1]}, x)

    monkeypatch.setattr(Conv2d, "forward", turned)
    assert CLAIMS["layer_is_a_sum_of_convolutions"].verify(examples=20).outcome.verdict == "refuted"


def test_a_wrong_offset_of_even_kernels_is_found(monkeypatch: Any) -> None:
    monkeypatch.setattr(Conv2d, "pads", property(lambda self: (self.kernel[0] // 2, (self.kernel[0] - 1) // 2, 0, 0)))
    assert CLAIMS["layer_is_a_sum_of_convolutions"].verify(examples=20).outcome.verdict != "holds"
