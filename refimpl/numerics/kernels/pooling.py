"""Max and average pooling over windows of a grid, and their adjoints: plain loops over the images.

Images are (n, rows, columns), n counting samples times channels. The window (i, j) has the rows
s i - p ... s i - p + k - 1, and columns likewise; what lies outside the image is padding. Every window
meets the image (p < k).
"""

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

    Padding never wins.
    """
    for n in range(x.shape[0]):
        for i in range(y.shape[1]):
            top, bottom = _inside(i, size[0], stride[0], padding[0], x.shape[1])
            for j in range(y.shape[2]):
                left, right = _inside(j, size[1], stride[1], padding[1], x.shape[2])
                best, index = x[n, top, left], top * x.shape[2] + left
                for r in range(top, bottom):
                    for c in range(left, right):
                        value = x[n, r, c]
                        wins = (value > best) | ((value != value) & (best == best))  # no branch to guess
                        best = value if wins else best
                        index = r * x.shape[2] + c if wins else index
                y[n, i, j], where[n, i, j] = best, index


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
