"""Max and average pooling over windows of a grid, and their adjoints: plain loops over the images.

Images are (n, rows, columns), n counting samples times channels. The window (i, j) has the rows
s i - p ... s i - p + k - 1, and columns likewise; what lies outside the image is padding. Every window
meets the image (p < k).
"""

from math import inf

import numpy as np

from refimpl.numerics.jit import kernel

Array = np.ndarray
Pair = tuple[int, int]


@kernel
def _inside(i: int, size: int, stride: int, padding: int, length: int) -> Pair:
    """First and last-plus-one index of window i within 0 ... length - 1."""
    first = i * stride - padding
    return max(first, 0), min(first + size, length)


@kernel
def max_forward(x: Array, size: Pair, stride: Pair, padding: Pair, y: Array, where: Array) -> None:
    """y = the maximum of each window, where = its flat index; ties: the first, NaN beats every number.

    Padding never wins. All windows of an image together, one of their places (r, c) after the other: what is compared
    lies in contiguous arrays, so that vectors do it.
    """
    H, W = x.shape[1:]
    values, corner = np.empty(y[0].size, x.dtype), np.empty(y[0].size, where.dtype)
    for m in range(corner.size):
        corner[m] = (m // y.shape[2] * stride[0] - padding[0]) * W + m % y.shape[2] * stride[1] - padding[1]
    for n in range(x.shape[0]):
        best, index = y[n].reshape(-1), where[n].reshape(-1)
        best[:], index[:] = -inf, -1
        for r in range(size[0]):
            for c in range(size[1]):
                for i in range(y.shape[1]):
                    row, line = r + i * stride[0] - padding[0], values[i * y.shape[2] : (i + 1) * y.shape[2]]
                    for j in range(line.size):
                        column = c + j * stride[1] - padding[1]
                        line[j] = x[n, row, column] if 0 <= row < H and 0 <= column < W else -inf
                for m in range(values.size):
                    v, b = values[m], best[m]
                    wins = (v > b) | ((v != v) & (b == b))  # no branch to guess
                    best[m] = v if wins else b
                    index[m] = corner[m] + r * W + c if wins else index[m]
        for m in range(index.size):
            if index[m] < 0:  # nothing was larger than -inf
                i, j = m // y.shape[2], m % y.shape[2]
                index[m] = max(i * stride[0] - padding[0], 0) * W + max(j * stride[1] - padding[1], 0)


@kernel
def max_backward(dy: Array, where: Array, dx: Array) -> None:
    """dx (n, rows columns) += dy at the maximum of each window."""
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                dx[n, where[n, i, j]] += dy[n, i, j]


@kernel
def sum_forward(x: Array, size: Pair, stride: Pair, padding: Pair, y: Array) -> None:
    """y += the sum of each window; padding counts as zeros."""
    for n in range(x.shape[0]):
        for i in range(y.shape[1]):
            top, bottom = _inside(i, size[0], stride[0], padding[0], x.shape[1])
            for j in range(y.shape[2]):
                left, right = _inside(j, size[1], stride[1], padding[1], x.shape[2])
                for r in range(top, bottom):
                    for c in range(left, right):
                        y[n, i, j] += x[n, r, c]


@kernel
def sum_backward(dy: Array, size: Pair, stride: Pair, padding: Pair, dx: Array) -> None:
    """dx += dy on every pixel of each window: the adjoint of `sum_forward`."""
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            top, bottom = _inside(i, size[0], stride[0], padding[0], dx.shape[1])
            for j in range(dy.shape[2]):
                left, right = _inside(j, size[1], stride[1], padding[1], dx.shape[2])
                for r in range(top, bottom):
                    for c in range(left, right):
                        dx[n, r, c] += dy[n, i, j]
