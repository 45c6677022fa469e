"""Known mistakes in Section 4.1: losses, activations, layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.crosscheck.layers_targets import layer_backward, layer_forward
from refimpl.crosscheck.mistakes import after, changed, mistake, one_hot
from refimpl.crosscheck.target import TARGETS, Array
from refimpl.setting import Conv2d, Dense, softmax

LOSSES = [f"setting.{n}" for n in ("squared_error", "cross_entropy", "cross_entropy_distributions")]
VALUES, GRADIENTS = [f"{n}.value" for n in LOSSES], [f"{n}.gradient" for n in LOSSES]
CROSS = [f"{n}.{part}" for n in LOSSES[1:] for part in ("value", "gradient")]


@after("mean and sum over the batch confused (mean for sum, or sum for mean)", *VALUES, *GRADIENTS)
def _batch(outputs: Any, case: dict[str, Any]) -> Any:
    size = len(next(iter(case.values())))
    return outputs * size if case["reduction"] == "mean" else outputs / size


@after("factor 2 of the square missing in the gradient (1/2 in the loss)", "setting.squared_error.gradient")
def _half(outputs: Any, case: Any) -> Any:
    return outputs / 2


@after("summed over the entries of a sample (1/(NM) missing)", VALUES[0], GRADIENTS[0])
def _entries(outputs: Any, case: Any) -> Any:
    return outputs * case["y"][0].size


changed("softmax applied twice", *CROSS, logits=lambda c: softmax(c["logits"]))


@mistake("gradient of the soft-max itself is added: (Q - y) through dQ", *CROSS[1::2])
def _through_softmax(logits: Array, labels: Array, reduction: str) -> Array:
    q = softmax(logits)
    g = q - one_hot(labels, logits.shape[1])
    return q * (g - np.sum(q * g, axis=1, keepdims=True)) / (len(q) if reduction == "mean" else 1)


@mistake("log without the shift by the maximum: overflows", CROSS[0])
def _unshifted(logits: Array, labels: Array, reduction: str) -> float:
    terms = np.log(np.sum(np.exp(logits), axis=1)) - logits[np.arange(len(labels)), labels]
    return float(np.mean(terms) if reduction == "mean" else np.sum(terms))


@mistake("ReLU that swallows NaN", "setting.relu")
def _relu(x: Array) -> Array:
    return np.where(x > 0, x, 0)


@mistake("logistic approximation x / (1 + exp(-1.702 x))", "setting.gelu")
def _logistic_gelu(x: Array, approximate: str) -> Array:
    return x / (1 + np.exp(-1.702 * x))


@mistake("slope taken at the input as if it were the output: x (1 - x)", "setting.sigmoid.backward")
def _sigmoid_slope(x: Array, dy: Array) -> Array:
    return dy * x * (1 - x)


@mistake("slope taken at the input as if it were the output: 1 - x^2", "setting.tanh.backward")
def _tanh_slope(x: Array, dy: Array) -> Array:
    return dy * (1 - x * x)


@mistake("Phi(x) alone, x phi(x) missing", "setting.gelu.backward")
def _gelu_slope(x: Array, dy: Array) -> Array:
    return TARGETS["setting.gelu.backward"].reference(x=x, dy=dy) - dy * x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


# Layers


@after("bias gradient averaged over the batch", "setting.dense.backward")
def _mean_bias(outputs: Any, case: Any) -> Any:
    dx, dw, db = outputs
    return dx, dw, db / len(case["dy"])


@after("weight gradient averaged over the batch", "setting.dense.backward")
def _mean_weight(outputs: Any, case: Any) -> Any:
    dx, dw, db = outputs
    return dx, dw / len(case["dy"]), db


@mistake("bias forgotten", "setting.dense.forward")
def _no_bias(x: Array, weight: Array, bias: Array) -> Array:
    return x @ weight.T


@mistake("activation outside the sum: max(w z + W z + b, 0)", "setting.residual.forward")
def _outside(z: Array, w: float, weight: Array, bias: Array) -> Array:
    return np.maximum(w * z + z @ weight.T + bias, 0)


changed(
    "residual weight w ignored (taken as 1)", "setting.residual.forward", "setting.residual.backward", w=lambda c: 1.0
)


@mistake("derivative of the activation missing", "setting.residual.backward")
def _no_mask(z: Array, w: float, weight: Array, bias: Array, dy: Array) -> tuple[Any, ...]:
    dz, dw, db = layer_backward(Dense(len(bias), len(bias)), {"weight": weight, "bias": bias}, z, dy)
    return w * dy + dz, dw, db, np.sum(z * dy)


CONV = ("setting.conv2d.forward", "setting.conv2d.backward")
OTHER_KIND = {"cross-correlation": "convolution", "convolution": "cross-correlation"}


def _flip(case: dict[str, Any]) -> str:
    return OTHER_KIND[case["kind"]]


changed("correlation for convolution (or the reverse): kernel turned by 180 degrees", *CONV, kind=_flip)


def _shifted(x: Array, weight: Array, stride: int, padding: str, kind: str) -> tuple[Any, Array, Array]:
    """The image padded with the larger half first, the kernel, as a layer without padding of its own."""
    kh, kw = weight.shape[2:]
    margins = ((0, 0), (0, 0), (kh // 2, (kh - 1) // 2), (kw // 2, (kw - 1) // 2))
    mode: Any = "wrap" if padding == "circular" else "constant"
    wide = x if padding == "valid" else np.pad(x, margins, mode=mode)
    layer = Conv2d(weight.shape[1], weight.shape[0], (kh, kw), stride, "valid")
    return layer, np.ascontiguousarray(weight if kind == "cross-correlation" else weight[:, :, ::-1, ::-1]), wide


@mistake("wrong 'same' offset for even kernels: the extra row above and left", CONV[0])
def _offset(x: Array, weight: Array, bias: Array, stride: int, padding: str, kind: str) -> Array:
    layer, kernel, wide = _shifted(x, weight, stride, padding, kind)
    return layer_forward(layer, {"weight": kernel, "bias": bias}, wide)


@mistake("zeros where the image continues periodically", CONV[0])
def _zero_padding(x: Array, weight: Array, bias: Array, stride: int, padding: str, kind: str) -> Array:
    other = "zero" if padding == "circular" else padding
    return TARGETS[CONV[0]].reference(x=x, weight=weight, bias=bias, stride=stride, padding=other, kind=kind)


@mistake("input gradient with the kernel not turned by 180 degrees", CONV[1])
def _unflipped(**case: Any) -> tuple[Array, ...]:
    _, dw, db = TARGETS[CONV[1]].reference(**case)
    dx = TARGETS[CONV[1]].reference(**{**case, "kind": _flip(case)})[0]
    return dx, dw, db


@mistake("gradient shared among equal maxima", "setting.max_pool2d.backward")
def _shared(x: Array, size: int, dy: Array) -> Array:
    dx = np.zeros_like(x)
    for b, c, i, j in np.ndindex(*dy.shape):
        window = (b, c, slice(size * i, size * i + size), slice(size * j, size * j + size))
        ties = x[window] == x[window].max()
        dx[window] += ties * dy[b, c, i, j] / ties.sum()
    return dx


@mistake("maximum against 0: padding or a start value of 0 takes part", "setting.max_pool2d.forward")
def _against_zero(x: Array, size: int) -> Array:
    return np.maximum(TARGETS["setting.max_pool2d.forward"].reference(x=x, size=size), 0)


@after("sum instead of mean over the window", "setting.average_pool2d.forward", "setting.average_pool2d.backward")
def _window_sum(outputs: Any, case: Any) -> Any:
    return (outputs[0] if isinstance(outputs, tuple) else outputs) * case["size"] ** 2


@mistake("bins of equal size floor(N / size), the rest dropped", "setting.adaptive_average_pool2d.forward")
def _equal_bins(x: Array, size: int) -> Array:
    n, m = (k // size for k in x.shape[2:])
    if not n or not m:
        raise ValueError("fewer pixels than bins")
    rows = x[:, :, : size * n, : size * m].reshape(*x.shape[:2], size, n, size, m)
    return rows.mean((3, 5))


def _normalised(x: Array, variance: Array, eps: float, inside: bool) -> Array:
    centred = x - x.mean((0, 2, 3), keepdims=True)
    return centred / (np.sqrt(variance + eps) if inside else np.sqrt(variance) + eps)


def _affine(normal: Array, weight: Array, bias: Array) -> Array:
    return weight[:, None, None] * normal + bias[:, None, None]


@mistake("unbiased variance, divisor n - 1", "setting.batch_norm2d.forward")
def _unbiased(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    return _affine(_normalised(x, x.var((0, 2, 3), keepdims=True, ddof=1), eps, True), weight, bias)


@mistake("eps outside the root", "setting.batch_norm2d.forward")
def _eps_outside(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    return _affine(_normalised(x, x.var((0, 2, 3), keepdims=True), eps, False), weight, bias)


@mistake("batch statistics treated as constants in the derivative", "setting.batch_norm2d.backward")
def _constant_statistics(x: Array, weight: Array, bias: Array, eps: float, dy: Array) -> tuple[Array, ...]:
    _, dweight, dbias = TARGETS["setting.batch_norm2d.backward"].reference(
        x=x, weight=weight, bias=bias, eps=eps, dy=dy
    )
    return weight[:, None, None] * dy / np.sqrt(x.var((0, 2, 3), keepdims=True) + eps), dweight, dbias
