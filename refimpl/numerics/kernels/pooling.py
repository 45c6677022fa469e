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

    Padding never wins. All windows of a padded image together, one of their places (r, c) after the other: what is
    compared lies in contiguous arrays, so that vectors do it. Unsigned indices spare the look for negative ones.
    """
    (H, W), columns, wide = x.shape[1:], y.shape[2], x.shape[2] + 2 * padding[1]
    image, values = np.full((H + 2 * padding[0]) * wide, x.dtype.type(-inf)), np.empty(y.shape[1] * columns, x.dtype)
    corner = np.empty(values.size, np.uint64)  # in the padded image
    start, first = np.empty(values.size, where.dtype), np.empty(values.size, where.dtype)  # in x; of what lies in x
    for m in range(values.size):
        i, j = m // columns * stride[0], m % columns * stride[1]
        corner[m], start[m] = i * wide + j, (i - padding[0]) * W + j - padding[1]
        first[m] = max(i - padding[0], 0) * W + max(j - padding[1], 0)
    for n in range(x.shape[0]):
        for i in range(H):
            row, line = x[n, i], image[(i + padding[0]) * wide + padding[1] :]
            for j in range(W):
                line[j] = row[j]
        best, index = y[n].reshape(-1), where[n].reshape(-1)
        best[:], index[:] = -inf, -1
        for r in range(size[0]):
            for c in range(size[1]):
                place, here = np.uint64(r * wide + c), where.dtype.type(r * W + c)
                for m in range(values.size):
                    values[m] = image[corner[m] + place]
                for m in range(values.size):
                    v, b = values[m], best[m]
                    wins = ((v > b) | (v != v)) & (b == b)  # no branch to guess
                    best[m] = v if wins else b
                    index[m] = here if wins else index[m]
        for m in range(index.size):  # below 0: nothing was larger than -inf
            index[m] = start[m] + index[m] if index[m] >= 0 else first[m]


@kernel
def max_backward(dy: Array, where: Array, dx: Array) -> None:
    """dx (n, rows columns) = dy summed at the maximum of each window, 0 elsewhere."""
    for n in range(dy.shape[0]):
        image, index, slopes = dx[n], where[n].reshape(-1), dy[n].reshape(-1)
        image[:] = 0
        for m in range(index.size):
            image[index[m]] += slopes[m]


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
