"""3 x 3 cross-correlation at stride 1 and its kernel gradient with a quarter of the multiplications (Winograd).

The maps between pixels and points are those of `kernels.winograd`. A few samples at a time, whose tiles fit the second
cache: pixels to points, one matrix product a point over all tiles (by the register tile of `kernels.microkernel`),
points to pixels. Sums of numbers up to 100 times as large as the result cost accuracy: see `Conv2d`.
"""

import numpy as np

from refimpl.numerics import memory
from refimpl.numerics.kernels import channels, microkernel, vectors, winograd
from refimpl.numerics.kernels.convolution import Array, Pads, Pair, layout, output_size
from refimpl.numerics.threads import over_batch, results

KERNEL = np.kron(winograd.G, winograd.G) / 24**2  # (36, 9): from the kernel to its points
CACHED = 2**20  # bytes of the points of a few samples


def forward(x: Array, w: Array, pads: Pads, mode: str, bias: Array | None) -> Array:
    """A M A^T of every tile of 4 x 4 pixels, M = sum_c (G w G^T) . (B d B^T) (see `numerics.convolution.forward`)."""
    high, wide = output_size(x.shape[2:], (3, 3), (1, 1), pads)
    rows, columns = -(-high // 4), -(-wide // 4)
    C, D, O, P = x.shape[1], _whole(x.shape[1], x), len(w), _whole(len(w), x)
    U, start = vectors.zeros((36, C, P), x.dtype), np.zeros((36, P), x.dtype)
    U[..., :O] = (KERNEL @ w.transpose(2, 3, 1, 0).reshape(9, -1)).reshape(36, C, O)
    if bias is not None:
        start[winograd.CONSTANT, :O] = bias
    y = memory.empty((len(x), O, high, wide), x.dtype)
    step = _step(37 * rows * columns * (D + P) * x.itemsize)

    def part(batch: slice) -> None:
        points = _Points(x[batch], pads, mode, (high, wide), 2, step)
        M = vectors.empty((len(points.memory), 37, P), x.dtype)
        pixels = vectors.empty((((step * high + 4) * wide + 4) * P,), x.dtype)
        for first in range(batch.start, batch.stop, step):
            few = slice(first, min(first + step, batch.stop))
            V = points(x[few])
            microkernel.products(start, M, P, 37 * P, V, D, 37 * D, 1, U, C * P, P, C, len(V), P)
            winograd.to_pixels(M[: len(V)], rows, columns, high, wide, pixels)
            channels.first(pixels, P, y[few])

    over_batch(part, len(x))
    return y


def kernel_gradient(x: Array, dy: Array, pads: Pads, mode: str) -> Array:
    """G^T (sum over samples and tiles of (A^T dy A) . (B d B^T)) G (see `numerics.convolution.kernel_gradient`)."""
    size = dy.shape[2:]
    C, D, O, P = x.shape[1], _whole(x.shape[1], x), dy.shape[1], _whole(dy.shape[1], x)
    step = _step(37 * -(-size[0] // 4) * -(-size[1] // 4) * (D + P) * x.itemsize)

    def part(batch: slice) -> Array:
        dU = vectors.zeros((36, C, P), x.dtype)
        inner = _Points(x[batch], pads, mode, size, 2, step)
        outer = _Points(dy[batch], (0, 0, 0, 0), "zero", size, 0, step)
        for first in range(batch.start, batch.stop, step):
            few = slice(first, min(first + step, batch.stop))
            V, W = inner(x[few]), outer(dy[few])
            microkernel.products(dU[:, 0, :0], dU, C * P, P, V, D, 1, 37 * D, W, P, 37 * P, len(V), C, P)
        return dU

    dU = np.zeros((36, C, P), x.dtype)
    for one in results(part, len(x)):
        dU += one
    dw = (KERNEL.T @ dU[..., :O].reshape(36, -1)).reshape(3, 3, C, O)
    return np.ascontiguousarray(dw.transpose(3, 2, 0, 1), x.dtype)


class _Points:
    """x -> (tiles, 37, D), the points of all tiles that `size` pixels need, in memory for `step` samples."""

    def __init__(self, x: Array, pads: Pads, mode: str, size: Pair, overlap: int, step: int):
        self.rows, self.columns, self.overlap = -(-size[0] // 4), -(-size[1] // 4), overlap
        high, wide, D = 4 * self.rows + overlap, 4 * self.columns + overlap, _whole(x.shape[1], x)
        filled = pads[0], high - pads[0] - x.shape[2], pads[2], wide - pads[2] - x.shape[3]
        self.layout = layout(x.shape[2:], filled, mode)[:2]
        self.images = vectors.zeros((min(step, len(x)), high, wide, D), x.dtype)
        self.memory = vectors.empty((len(self.images) * self.rows * self.columns, 37, D), x.dtype)

    def __call__(self, x: Array) -> Array:
        points = self.memory[: len(x) * self.rows * self.columns]
        channels.last(x, *self.layout, self.images)
        winograd.to_points(self.images, self.rows, self.columns, self.overlap, points)
        return points


def _whole(channels: int, x: Array) -> int:
    """The next multiple of a vector's lanes."""
    lanes = vectors.lanes_of(x.dtype)
    return -(-channels // lanes) * lanes


def _step(size: int) -> int:
    """How many samples, `size` bytes of points each, lie in the second cache."""
    return max(1, CACHED // size)
