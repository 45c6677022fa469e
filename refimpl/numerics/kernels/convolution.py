"""Two-dimensional cross-correlation and its two adjoints: gather the windows into columns, then one matmul.

With the windows of the padded input as columns, cols[(c, u, v), (b, i, j)] = x_pad[b, c, s i + u, t j + v],

    y  = W cols,      dW = dy cols^T,      dx_pad = gather^T (W^T dy),

where W is the kernel as a matrix (c_out, c_in kh kw). A few samples at a time, so that the columns stay in
the cache. Plain NumPy: every dtype of NumPy works, and the copies of whole rows are already at its speed.
"""

from collections.abc import Iterator
from math import prod

import numpy as np

Array = np.ndarray
Pair = tuple[int, int]
Pads = tuple[int, int, int, int]  # rows above, rows below, columns left, columns right

COLUMN_ENTRIES = 2**17  # of one gathered block: 0.5 MB in float32, 1 MB in float64


def output_size(size: Pair, kernel: Pair, stride: Pair, pads: Pads) -> Pair:
    """floor((N + pads - k) / s) + 1 along each axis; below 1 when the kernel does not fit."""
    rows = (size[0] + pads[0] + pads[1] - kernel[0]) // stride[0] + 1
    return rows, (size[1] + pads[2] + pads[3] - kernel[1]) // stride[1] + 1


def forward(x: Array, w: Array, stride: Pair, pads: Pads, mode: str) -> Array:
    """y[b, o, i, j] = sum_{c, u, v} w[o, c, u, v] x_pad[b, c, s i + u, t j + v].

    Parameters
    ----------
    x : (batch, c_in, rows, columns).
    w : (c_out, c_in, kh, kw).
    mode : "circular" pads by periodic continuation, anything else by zeros.
    """
    size = output_size(x.shape[2:], w.shape[2:], stride, pads)
    y = np.empty((len(x), len(w), *size), np.result_type(x, w))
    matrix = w.reshape(len(w), -1)
    product = _Buffer(y.dtype)
    for part, cols in _blocks(x, w.shape, stride, pads, mode):
        flat = np.matmul(matrix, cols, out=product(len(w), cols.shape[1]))
        y[part] = flat.reshape(len(w), -1, *size).transpose(1, 0, 2, 3)
    return y


def kernel_gradient(x: Array, dy: Array, kernel: Pair, stride: Pair, pads: Pads, mode: str) -> Array:
    """dw[o, c, u, v] = sum_{b, i, j} dy[b, o, i, j] x_pad[b, c, s i + u, t j + v]: the adjoint of w -> y."""
    shape = (dy.shape[1], x.shape[1], *kernel)
    dw = np.zeros((shape[0], x.shape[1] * kernel[0] * kernel[1]), np.result_type(x, dy))
    for part, cols in _blocks(x, shape, stride, pads, mode):
        dw += _as_matrix(dy[part]) @ cols.T
    return dw.reshape(shape)


def input_gradient(dy: Array, w: Array, size: Pair, stride: Pair, pads: Pads, mode: str) -> Array:
    """dx_pad[b, c, s i + u, t j + v] += sum_o w[o, c, u, v] dy[b, o, i, j], folded back: the adjoint of x -> y.

    ``size`` is the number of rows and columns of x.
    """
    (kh, kw), (rows, columns) = w.shape[2:], dy.shape[2:]
    matrix = w.reshape(len(w), -1).T
    dx = np.empty((len(dy), w.shape[1], *size), np.result_type(dy, w))
    product = _Buffer(dx.dtype)
    for part in _parts(len(dy), len(matrix) * rows * columns):
        dy_part = _as_matrix(dy[part])
        cols = np.matmul(matrix, dy_part, out=product(len(matrix), dy_part.shape[1]))
        padded = _scatter(cols.reshape(w.shape[1], kh, kw, -1, rows, columns), size, stride, pads)
        dx[part] = unpad(padded, size, pads, mode)
    return dx


class _Buffer:
    """One piece of memory for the products of all blocks: fresh pages would cost more than the arithmetic."""

    def __init__(self, dtype: np.dtype):
        self.memory = np.empty(0, dtype)

    def __call__(self, *shape: int) -> Array:
        n = prod(shape)
        if self.memory.size < n:
            self.memory = np.empty(n, self.memory.dtype)
        return self.memory[:n].reshape(shape)


def _parts(batch: int, entries_per_sample: int) -> Iterator[slice]:
    step = max(1, COLUMN_ENTRIES // max(1, entries_per_sample))
    return (slice(start, min(start + step, batch)) for start in range(0, batch, step))


def _as_matrix(dy: Array) -> Array:
    """(b, o, i, j) as the matrix (o, b i j) that multiplies the columns."""
    return dy.transpose(1, 0, 2, 3).reshape(dy.shape[1], -1)


def _blocks(x: Array, w_shape: tuple[int, ...], stride: Pair, pads: Pads, mode: str) -> Iterator[tuple[slice, Array]]:
    """(part of the batch, its columns); all parts share one buffer."""
    c, (kh, kw) = w_shape[1], w_shape[2:]
    rows, columns = output_size(x.shape[2:], (kh, kw), stride, pads)
    buffer = _Buffer(x.dtype)
    for part in _parts(len(x), c * kh * kw * rows * columns):
        cols = buffer(c, kh, kw, part.stop - part.start, rows, columns)
        _gather(_pad(x[part], pads, mode), cols, stride)
        yield part, cols.reshape(c * kh * kw, -1)


def _gather(padded: Array, cols: Array, stride: Pair) -> None:
    """cols[c, u, v, b, i, j] = padded[b, c, s i + u, t j + v]."""
    by_channel = padded.transpose(1, 0, 2, 3)
    for u, v, window in _offsets(cols.shape, stride):
        cols[:, u, v] = by_channel[window]


def _scatter(cols: Array, size: Pair, stride: Pair, pads: Pads) -> Array:
    """The adjoint of `_gather`: padded[b, c, s i + u, t j + v] += cols[c, u, v, b, i, j]."""
    shape = (cols.shape[3], cols.shape[0], size[0] + pads[0] + pads[1], size[1] + pads[2] + pads[3])
    padded = np.zeros(shape, cols.dtype)
    by_channel = padded.transpose(1, 0, 2, 3)
    for u, v, window in _offsets(cols.shape, stride):
        by_channel[window] += cols[:, u, v]
    return padded


def _offsets(shape: tuple[int, ...], stride: Pair) -> Iterator[tuple[int, int, tuple]]:
    """(u, v, index of all x_pad[..., s i + u, t j + v])."""
    kh, kw, rows, columns = shape[1], shape[2], shape[4], shape[5]
    for u in range(kh):
        for v in range(kw):
            down = slice(u, u + stride[0] * rows, stride[0])
            yield u, v, (..., down, slice(v, v + stride[1] * columns, stride[1]))


def runs(n: int, before: int, after: int, mode: str) -> list[tuple[int, int, int]]:
    """Triples (p, r, length): a padded line has the entries r, r + 1, ... of the line of n from p on, zeros elsewhere.

    Negative padding drops entries (not in mode "circular").
    """
    if mode != "circular":
        return [(max(before, 0), max(-before, 0), n + min(before, 0) + min(after, 0))]
    starts = sorted({0, *range(before % n, n + before + after, n)})
    ends = [*starts[1:], n + before + after]
    return [(p, (p - before) % n, end - p) for p, end in zip(starts, ends)]


def layout(size: Pair, pads: Pads, mode: str) -> tuple[Array, Array, int, int]:
    """How an image lies in its padded one: `runs` down and across as arrays, and the padded size."""
    (rows, columns), (top, bottom, left, right) = size, pads
    down, across = (np.array(runs(*line, mode)) for line in ((rows, top, bottom), (columns, left, right)))
    return down, across, rows + top + bottom, columns + left + right


def _pad(x: Array, pads: Pads, mode: str) -> Array:
    """x_pad: zeros around x, or its periodic continuation."""
    if not any(pads):
        return x
    padded = np.zeros((*x.shape[:2], x.shape[2] + pads[0] + pads[1], x.shape[3] + pads[2] + pads[3]), x.dtype)
    for outside, inside in _pieces(x.shape[2:], pads, mode):
        padded[outside] = x[inside]
    return padded


def unpad(padded: Array, size: Pair, pads: Pads, mode: str) -> Array:
    """The adjoint of padding: drop the frame, or fold it back onto the period."""
    x = np.zeros((*padded.shape[:2], *size), padded.dtype)
    for outside, inside in _pieces(size, pads, mode):
        x[inside] += padded[outside]
    return x


def _pieces(size: Pair, pads: Pads, mode: str) -> Iterator[tuple[tuple, tuple]]:
    """Pairs of indices, into padded images and into the images, of equal rectangles."""
    for p, r, m in runs(size[0], *pads[:2], mode):
        for q, s, n in runs(size[1], *pads[2:], mode):
            yield np.s_[..., p : p + m, q : q + n], np.s_[..., r : r + m, s : s + n]
