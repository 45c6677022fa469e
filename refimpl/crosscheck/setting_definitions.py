"""Section 4.1 from its definitions, by direct sums on arrays of Decimals (or of floats)."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.crosscheck import digits
from refimpl.crosscheck.digits import HALF, ONE, TWO, ZERO, Array, total


def squared_error_value(y: Array, target: Array) -> Any:
    """Example 4.2."""
    return total((y - target) * (y - target)) / y.size


def squared_error_gradient(y: Array, target: Array) -> Array:
    """The derivative of Example 4.2."""
    return TWO * (y - target) / y.size


def softmax(z: Array) -> Array:
    """Q(z) of Example 4.3."""
    e = digits.exp(z)
    return e / np.sum(e, axis=-1, keepdims=True)


def cross_entropy_value(logits: Array, labels: Array) -> Any:
    """Example 4.3, mean over the batch."""
    return -total(_targets(logits, labels) * digits.log(softmax(logits))) / len(logits)


def cross_entropy_gradient(logits: Array, labels: Array) -> Array:
    """(Q(z) - y) / B."""
    return (softmax(logits) - _targets(logits, labels)) / len(logits)


def _targets(logits: Array, labels: Array) -> Array:
    if labels.ndim == 2:
        return labels
    one_hot = digits.zeros(logits.shape)
    one_hot[np.arange(len(labels)), labels] = ONE
    return one_hot


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.where(x > 0, x, ZERO)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return ONE / (ONE + digits.exp(-x))


def tanh(x: Array) -> Array:
    """tanh x."""
    return digits.tanh(x)


def gelu(x: Array) -> Array:
    """x Phi(x)."""
    return x * _phi(x)


def _phi(x: Array) -> Array:
    return HALF * (ONE + digits.erf(x * HALF.sqrt()))


def relu_backward(x: Array, dy: Array) -> Array:
    """dy where x > 0."""
    return np.where(x > 0, dy, ZERO)


def sigmoid_backward(x: Array, dy: Array) -> Array:
    """sigma (1 - sigma) dy."""
    return sigmoid(x) * (ONE - sigmoid(x)) * dy


def tanh_backward(x: Array, dy: Array) -> Array:
    """(1 - tanh^2) dy."""
    return (ONE - tanh(x) * tanh(x)) * dy


def gelu_backward(x: Array, dy: Array) -> Array:
    """(Phi + x phi) dy."""
    return (_phi(x) + x * digits.exp(-x * x * HALF) / (TWO * digits.pi()).sqrt()) * dy


def dense(x: Array, weight: Array, bias: Array) -> Array:
    """x W^T + b by sums."""
    return np.array([[total(row * w) + b for w, b in zip(weight, bias)] for row in x], dtype=object)


def dense_backward(x: Array, weight: Array, bias: Array, dy: Array) -> tuple[Array, Array, Array]:
    """dx, dW, db by sums."""
    dx = np.array([[total(row * column) for column in weight.T] for row in dy], dtype=object)
    dw = np.array([[total(d * column) for column in x.T] for d in dy.T], dtype=object)
    return dx, dw, total(dy, axis=0)


def residual(z: Array, w: Any, weight: Array, bias: Array) -> Array:
    """w z + relu(W z + b) (4.2)."""
    return w * z + relu(dense(z, weight, bias))


def residual_backward(z: Array, w: Any, weight: Array, bias: Array, dy: Array) -> tuple[Any, ...]:
    """The pull-back of (4.2)."""
    inner = relu_backward(dense(z, weight, bias), dy)
    dz, dw, db = dense_backward(z, weight, bias, inner)
    return w * dy + dz, dw, db, total(z * dy)


def _margins(k: int, padding: str) -> tuple[int, int]:
    return ((k - 1) // 2, k // 2) if padding != "valid" else (0, 0)


def _sources(n: int, k: int, stride: int, padding: str) -> list[list[int | None]]:
    """For every output position of one axis the k input positions it reads; None is a zero."""
    before, after = _margins(k, padding)
    starts = range(-before, n + after - k + 1, stride)
    wrap = padding == "circular"
    return [[i % n if wrap else (i if 0 <= i < n else None) for i in range(s, s + k)] for s in starts]


def _taps(x: Array, weight: Array, stride: int, padding: str) -> list[tuple[int, int, int, int, int, int]]:
    """(output row, output column, input row, input column, kernel row, kernel column) of every product."""
    rows = _sources(x.shape[2], weight.shape[2], stride, padding)
    columns = _sources(x.shape[3], weight.shape[3], stride, padding)
    return [
        (i, j, r, c, a, b)
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
        for a, r in enumerate(row)
        for b, c in enumerate(column)
        if r is not None and c is not None
    ]


def conv2d(x: Array, weight: Array, bias: Array, stride: int, padding: str) -> Array:
    """sum over channels and kernel of w x, cross-correlation, by direct sums."""
    rows = _sources(x.shape[2], weight.shape[2], stride, padding)
    columns = _sources(x.shape[3], weight.shape[3], stride, padding)
    y = digits.zeros((len(x), len(weight), len(rows), len(columns))) + bias[:, None, None]
    for i, j, r, c, a, b in _taps(x, weight, stride, padding):
        y[:, :, i, j] += x[:, :, r, c] @ weight[:, :, a, b].T
    return y


def conv2d_backward(
    x: Array, weight: Array, bias: Array, dy: Array, stride: int, padding: str
) -> tuple[Array, Array, Array]:
    """The adjoint of every product of `conv2d`."""
    dx, dw = digits.zeros(x.shape), digits.zeros(weight.shape)
    for i, j, r, c, a, b in _taps(x, weight, stride, padding):
        dx[:, :, r, c] += dy[:, :, i, j] @ weight[:, :, a, b]
        dw[:, :, a, b] += dy[:, :, i, j].T @ x[:, :, r, c]
    return dx, dw, total(dy, axis=(0, 2, 3))


def windows(n: int, size: int) -> list[slice]:
    """Disjoint windows of a pooling layer; a last, incomplete one is dropped."""
    return [slice(size * i, size * (i + 1)) for i in range(n // size)]


def bins(n: int, size: int) -> list[slice]:
    """Adaptive bins: from floor(i n / size) to ceil((i + 1) n / size)."""
    return [slice(i * n // size, -((-(i + 1) * n) // size)) for i in range(size)]


def max_pool(x: Array, size: int) -> Array:
    """The maximum of every window."""
    return _pooled(x, windows(x.shape[2], size), windows(x.shape[3], size), lambda block: block.max(axis=(2, 3)))


def average_pool(x: Array, size: int) -> Array:
    """The mean of every window."""
    return _pooled(x, windows(x.shape[2], size), windows(x.shape[3], size), _mean)


def adaptive_average_pool(x: Array, size: int) -> Array:
    """The mean of every adaptive bin."""
    return _pooled(x, bins(x.shape[2], size), bins(x.shape[3], size), _mean)


def _mean(block: Array) -> Array:
    return total(block, axis=(2, 3)) / (block.shape[2] * block.shape[3])


def _pooled(x: Array, rows: list[slice], columns: list[slice], reduce: Any) -> Array:
    y = digits.zeros((*x.shape[:2], len(rows), len(columns)))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            y[:, :, i, j] = reduce(x[:, :, row, column])
    return y


def max_pool_backward(x: Array, dy: Array, size: int) -> Array:
    """dy at the first maximum of every window."""
    dx = digits.zeros(x.shape)
    for b, c, i, j in np.ndindex(*dy.shape):
        block = x[b, c, size * i : size * (i + 1), size * j : size * (j + 1)]
        row, column = np.unravel_index(int(np.argmax(block)), block.shape)
        dx[b, c, size * i + row, size * j + column] += dy[b, c, i, j]
    return dx


def average_pool_backward(x: Array, dy: Array, size: int) -> Array:
    """dy spread evenly over every window."""
    return _spread(x, dy, windows(x.shape[2], size), windows(x.shape[3], size))


def adaptive_average_pool_backward(x: Array, dy: Array, size: int) -> Array:
    """dy spread evenly over every bin."""
    return _spread(x, dy, bins(x.shape[2], size), bins(x.shape[3], size))


def _spread(x: Array, dy: Array, rows: list[slice], columns: list[slice]) -> Array:
    dx = digits.zeros(x.shape)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            block = dx[:, :, row, column]
            block += (dy[:, :, i, j] / (block.shape[2] * block.shape[3]))[:, :, None, None]
    return dx


def batch_norm(x: Array, weight: Array, bias: Array, eps: Any) -> Array:
    """weight (x - mean) / sqrt(var + eps) + bias over batch and grid, biased variance."""
    normal, _ = _normalised(x, eps)
    return weight[:, None, None] * normal + bias[:, None, None]


def _normalised(x: Array, eps: Any) -> tuple[Array, Array]:
    n = x.size // x.shape[1]
    centred = x - (total(x, axis=(0, 2, 3)) / n)[:, None, None]
    deviation = digits.sqrt(total(centred * centred, axis=(0, 2, 3)) / n + eps)[:, None, None]
    return centred / deviation, deviation


def batch_norm_backward(x: Array, weight: Array, bias: Array, dy: Array, eps: Any) -> tuple[Array, Array, Array]:
    """dx = weight / dev (dy - mean dy - xhat mean(dy xhat)), dweight = sum dy xhat, dbias = sum dy."""
    normal, deviation = _normalised(x, eps)
    n, axes = x.size // x.shape[1], (0, 2, 3)
    dbias, dweight = total(dy, axis=axes), total(dy * normal, axis=axes)
    inner = dy - (dbias / n)[:, None, None] - normal * (dweight / n)[:, None, None]
    return weight[:, None, None] * inner / deviation, dweight, dbias
