"""3 x 3 cross-correlation at stride 1 and its kernel gradient with a quarter of the multiplications (Winograd).

The maps between pixels and points are those of `kernels.winograd`. A few samples at a time, whose tiles fit the second
cache: pixels to points, one matrix product a point over all tiles (by the register tile of `kernels.microkernel`),
points to pixels. Sums of numbers up to 100 times as large as the result cost accuracy: see `Conv2d`.
"""

from math import prod

import numpy as np

from refimpl.numerics import memory
from refimpl.numerics.kernels import channels, tiled, vectors, winograd
from refimpl.numerics.kernels.convolution import Array, Pads, Pair, layout, output_size
from refimpl.numerics.threads import in_order, parts_of, team

CACHED = 2**20  # bytes of the points of a few samples


def forward(x: Array, w: Array, pads: Pads, mode: str, bias: Array | None) -> Array:
    """A M A^T of every tile of 4 x 4 pixels, M = sum_c (G w G^T) . (B d B^T) (see `numerics.convolution.forward`)."""
    size, C, O = output_size(x.shape[2:], (3, 3), (1, 1), pads), x.shape[1], len(w)
    P = _whole(O, x)
    kernels, U = (vectors.empty(shape, x.dtype) for shape in ((1, 3, 3, C, P), (36, C, P)))
    start = np.zeros((36, P), x.dtype)
    tiled.panels(team(w.size // channels.GRAIN), w.transpose(2, 3, 1, 0), kernels)
    winograd.kernel_points(kernels[0], U)
    U /= winograd.SCALE**2
    if bias is not None:
        start[winograd.CONSTANT, :O] = bias
    y = memory.empty((len(x), O, *size), x.dtype)
    down, across, rows, columns = _tiles(x, size, pads, mode, 2)
    few = _few(rows * columns * (_whole(C, x) + P), x)
    winograd.forward(team(len(x)), x, U, start, down, across, rows, columns, few, y)
    return y


def kernel_gradient(x: Array, dy: Array, pads: Pads, mode: str) -> Array:
    """G^T (sum over samples and tiles of (A^T dy A) . (B d B^T)) G (see `numerics.convolution.kernel_gradient`)."""
    size, C, O = dy.shape[2:], x.shape[1], dy.shape[1]
    shape = (36, C, _whole(O, x))
    down, across, rows, columns = _tiles(x, size, pads, mode, 2)
    below, beside = _tiles(dy, size, (0, 0, 0, 0), "zero", 0)[:2]
    few = _few(rows * columns * (_whole(C, x) + shape[2]), x)

    parts = vectors.zeros((parts_of(len(x), prod(shape) * x.itemsize, 4), *shape), x.dtype)
    winograd.kernel_gradient(team(len(parts)), x, dy, down, across, below, beside, rows, columns, few, parts)
    dU = in_order(parts)
    tiles, dw = vectors.empty((1, 3, 3, *shape[1:]), x.dtype), memory.empty((O, C, 3, 3), x.dtype)
    winograd.kernel_of_points(dU, tiles[0])
    tiled.unpanel(team(dw.size // channels.GRAIN), tiles, dw.transpose(2, 3, 1, 0))
    dw /= winograd.SCALE**2
    return dw


def _tiles(x: Array, size: Pair, pads: Pads, mode: str, overlap: int) -> tuple[Array, Array, int, int]:
    """How images lie in those of whole tiles for `size` pixels (see `layout`), and the rows and columns of tiles."""
    rows, columns = -(-size[0] // 4), -(-size[1] // 4)
    below, right = 4 * rows + overlap - pads[0] - x.shape[2], 4 * columns + overlap - pads[2] - x.shape[3]
    return *layout(x.shape[2:], (pads[0], below, pads[2], right), mode)[:2], rows, columns


def _whole(channels: int, x: Array) -> int:
    """The next multiple of a vector's lanes."""
    lanes = vectors.lanes_of(x.dtype)
    return -(-channels // lanes) * lanes


def _few(numbers: int, x: Array) -> int:
    """How many samples, with so many numbers a point, lie in the second cache."""
    return max(1, CACHED // (37 * numbers * x.itemsize))
