"""Targets of Section 4.1: layers, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl import setting
from refimpl.claims.draw import arrays, dyadic
from refimpl.crosscheck import setting_definitions as definitions
from refimpl.crosscheck.draws import Draw, cases, matrix, ramp, sizes, vector
from refimpl.crosscheck.target import Array, Case, Target, add, of_moduli

SUMS = "sums of products: a rounding a term, relative to the sum of moduli"


def layer_forward(layer: Any, params: dict[str, Array], x: Array) -> Array:
    """y of a layer."""
    return layer.forward(params, x)[0]


def layer_backward(layer: Any, params: dict[str, Array], x: Array, dy: Array) -> tuple[Array, ...]:
    """(dx, one gradient a parameter)."""
    dx, grads = layer.backward(params, layer.forward(params, x)[1], dy)
    return (dx, *(grads[name] for name in layer.shapes))


def _add(
    name: str, what: str, reference: Callable[..., Any], outputs: tuple[str, ...], linear: bool = True, **fields: Any
) -> None:
    """A target; errors of an operation that is linear in each argument are relative to its sum of moduli."""
    scale = of_moduli(reference, outputs) if linear else None
    fields = {"k": 16, "why": SUMS, **fields}
    add(Target(name=f"setting.{name}", what=what, reference=reference, outputs=outputs, scale=scale, **fields))


def _with_dy(forward: Callable[..., Array], case: Case, draw: Draw | None = None) -> Case:
    """The case with an output gradient: a ramp, unless it is drawn."""
    shape = np.shape(forward(**case))
    return {**case, "dy": ramp(*shape, seed=1) if draw is None else draw(arrays(shape))}


def _both(
    name: str,
    what: str,
    make: Callable[..., Any],
    inputs: st.SearchStrategy[Case],
    edges: dict[str, Case],
    gradients: tuple[str, ...],
    *,
    finish: Callable[..., tuple[Array, ...]] = lambda gradients, case: gradients,
    definition: str = "",
    **special: Any,
) -> None:
    """The forward and the backward target of a layer; ``make(**case)`` returns (layer, parameters, input)."""

    def forward(**case: Any) -> Array:
        return layer_forward(*make(**case))

    def backward(dy: Array, **case: Any) -> tuple[Array, ...]:
        layer, params, x = make(**case)
        return finish(layer_backward(layer, params, x, dy), case)

    y = getattr(definitions, definition or name)
    pulled = getattr(definitions, f"{y.__name__}_backward")
    drawn = cases(lambda draw: _with_dy(forward, draw(inputs), draw))
    with_dy = {label: _with_dy(forward, case) for label, case in edges.items()}
    _add(f"{name}.forward", what, forward, ("y",), inputs=inputs, edges=edges, definition=y, **special)
    what = f"pull-back of: {what}"
    _add(f"{name}.backward", what, backward, gradients, inputs=drawn, edges=with_dy, definition=pulled, **special)


def _dense(x: Array, weight: Array, bias: Array) -> tuple[Any, dict[str, Array], Array]:
    return setting.Dense(weight.shape[1], weight.shape[0]), {"weight": weight, "bias": bias}, x


def _dense_inputs(draw: Draw) -> Case:
    weight = matrix(draw)
    return {"x": matrix(draw, columns=weight.shape[1]), "weight": weight, "bias": vector(draw, len(weight))}


_both(
    "dense",
    "x W^T + b, W of shape (n_out, n_in)",
    _dense,
    cases(_dense_inputs),
    {
        "base": {"x": ramp(2, 3), "weight": ramp(4, 3, seed=2), "bias": ramp(4)},
        "zeros": {"x": np.zeros((2, 2)), "weight": np.zeros((3, 2)), "bias": np.zeros(3)},
        "large": {"x": ramp(2, 2) * 2.0**40, "weight": ramp(2, 2), "bias": ramp(2)},
    },
    ("dx", "dweight", "dbias"),
)


def _residual(z: Array, w: Any, weight: Array, bias: Array) -> tuple[Any, dict[str, Array], Array]:
    n = len(bias)
    params = {"branch.0.weight": weight, "branch.0.bias": bias, "w": np.asarray(w, z.dtype)}
    return setting.Residual([setting.Dense(n, n), setting.ReLU()], learn=True), params, z


def _residual_inputs(draw: Draw) -> Case:
    n = draw(sizes)
    return {"z": matrix(draw, 2, n), "w": draw(dyadic(-2, 2)), "weight": matrix(draw, n, n), "bias": vector(draw, n)}


RESIDUAL: dict[str, Case] = {
    "base": {"z": ramp(2, 3), "w": 0.5, "weight": ramp(3, 3, seed=2), "bias": ramp(3)},
    "w = 1, kink": {
        "z": np.array([[1.0, 1.0]]),
        "w": 1.0,
        "weight": np.array([[1.0, -1.0], [1.0, 1.0]]),
        "bias": np.zeros(2),
    },
    "zero branch": {"z": ramp(2, 2), "w": -1.0, "weight": np.zeros((2, 2)), "bias": np.zeros(2)},
}
_both(
    "residual",
    "w z + max(W z + b, 0) (4.2)",
    _residual,
    cases(_residual_inputs),
    RESIDUAL,
    ("dz", "dweight", "dbias", "dw"),
)


def _conv(x: Array, weight: Array, bias: Array, stride: int, padding: Any, kind: str = "cross-correlation") -> tuple:
    c_out, c_in, *kernel = weight.shape
    flipped = weight[:, :, ::-1, ::-1] if kind == "convolution" else weight
    layer = setting.Conv2d(c_in, c_out, tuple(kernel), stride, padding)
    return layer, {"weight": np.ascontiguousarray(flipped), "bias": bias}, x


def _turned_back(gradients: tuple[Array, ...], case: Case) -> tuple[Array, ...]:
    """The kernel's gradient in the order of the kernel that was given."""
    dx, dweight, dbias = gradients
    return dx, (dweight[:, :, ::-1, ::-1] if case.get("kind") == "convolution" else dweight), dbias


def _conv_inputs(draw: Draw) -> Case:
    channels, kernel = draw(st.tuples(st.integers(1, 2), st.integers(1, 2))), draw(st.tuples(*[st.integers(1, 3)] * 2))
    size = [draw(st.integers(k, 4)) for k in kernel]
    return {
        "x": draw(arrays((1, channels[0], *size))),
        "weight": draw(arrays((channels[1], channels[0], *kernel))),
        "bias": vector(draw, channels[1]),
        "stride": draw(st.integers(1, 2)),
        "padding": draw(st.sampled_from(("zero", "circular", "valid"))),
    }


def _conv_case(n: int, kernel: int, stride: int, padding: str, channels: int = 2) -> Case:
    x, weight = ramp(2, channels, n, n + 1), ramp(2, channels, kernel, kernel, seed=3)
    return {"x": x, "weight": weight, "bias": ramp(2), "stride": stride, "padding": padding}


_both(
    "conv2d",
    "b_o + sum_c,u,v W[o,c,u,v] x[c, s i + u - p, s j + v - q], p = (kh - 1) // 2 rows above (4.1.1)",
    _conv,
    cases(_conv_inputs),
    {
        "base": _conv_case(4, 3, 1, "zero"),
        "even kernel": _conv_case(5, 2, 1, "zero"),
        "even kernel 4": _conv_case(5, 4, 1, "circular"),
        "stride 2, even size": _conv_case(4, 3, 2, "zero"),
        "stride 2, odd size": _conv_case(5, 3, 2, "circular"),
        "valid": _conv_case(4, 3, 1, "valid"),
        "pointwise": _conv_case(3, 1, 1, "zero"),
    },
    ("dx", "dweight", "dbias"),
    conventions={"kind": ("cross-correlation", "convolution")},
    finish=_turned_back,
)


def _pool_inputs(low: int, high: int) -> Callable[[Draw], Case]:
    def draw_case(draw: Draw) -> Case:
        size = draw(st.integers(1, 3))
        n, m = (draw(st.integers(max(size, low), high)) for _ in range(2))
        return {"x": draw(arrays((1, 2, n, m))), "size": size}

    return draw_case


POOL: dict[str, Case] = {
    "base": {"x": ramp(2, 2, 4, 5), "size": 2},
    "ties": {"x": np.zeros((1, 1, 4, 4)), "size": 2},
    "negative": {"x": -1 - np.abs(ramp(1, 1, 3, 3)), "size": 3},
    "odd size": {"x": ramp(1, 1, 5, 5), "size": 2},
}
_both(
    "max_pool2d",
    "maximum of every window of size x size pixels, that far apart; of equal maxima the first",
    lambda x, size: (setting.MaxPool2d(size), {}, x),
    cases(_pool_inputs(1, 4)),
    POOL,
    ("dx",),
    definition="max_pool",
)
_both(
    "average_pool2d",
    "mean of every window of size x size pixels, that far apart",
    lambda x, size: (setting.AveragePool2d(size), {}, x),
    cases(_pool_inputs(1, 4)),
    POOL,
    ("dx",),
    definition="average_pool",
)
_both(
    "adaptive_average_pool2d",
    "mean over size x size bins, bin i from floor(i N / size) to ceil((i + 1) N / size)",
    lambda x, size: (setting.AdaptiveAveragePool2d(size), {}, x),
    cases(_pool_inputs(1, 5)),
    {"base": {"x": ramp(2, 1, 5, 4), "size": 3}, "fewer pixels than bins": {"x": ramp(1, 1, 2, 2), "size": 3}},
    ("dx",),
    definition="adaptive_average_pool",
)


def _batch_norm_inputs(draw: Draw) -> Case:
    shape = (draw(st.integers(2, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2)), 2)
    eps = draw(st.sampled_from((2.0**-4, 2.0**-10)))
    return {"x": draw(arrays(shape)), "weight": vector(draw, shape[1]), "bias": vector(draw, shape[1]), "eps": eps}


def _batch_norm_case(x: Array, eps: float) -> Case:
    return {"x": x, "weight": ramp(x.shape[1], seed=2), "bias": ramp(x.shape[1]), "eps": eps}


_both(
    "batch_norm2d",
    "gamma (x - mean) / sqrt(variance + eps) + beta with batch statistics, divisor n",
    lambda x, weight, bias, eps: (setting.BatchNorm2d(x.shape[1], eps), {"weight": weight, "bias": bias}, x),
    cases(_batch_norm_inputs),
    {
        "base": _batch_norm_case(ramp(2, 2, 2, 3), 2.0**-4),
        "constant": _batch_norm_case(np.ones((2, 1, 2, 2)), 2.0**-10),
    },
    ("dx", "dweight", "dbias"),
    definition="batch_norm",
    linear=False,
    k=256,
    why="x - mean cancels and is divided by sqrt(variance + eps), at least 2^-5 here, up to three times",
)
