"""Two-dimensional cross-correlation and its two adjoints by the fastest exact route.

float32 and float64 go through the register-tiled kernels of `kernels.tiled`, the batch shared among
threads; everything else (longdouble, ``REFIMPL_JIT=0``, input gradients of few channels) through the plain
definition in `kernels.convolution`. The tile needs Numba as it is defined: it is imported where a convolution runs.
Both have the same meaning and the same arguments; results differ by rounding only. With ``winograd=True`` a kernel of
3 x 3 at stride 1 takes a quarter of the multiplications, and rounding errors some ten times as large. Gradients of
3 x 3 kernels skip the zeros of dy where it is mostly zero, as behind max pooling: `kernels.scattered`, the same bits as
the tile's.
"""

from itertools import product
from math import prod

import numpy as np

from refimpl.numerics import memory, validate
from refimpl.numerics.jit import compiled
from refimpl.numerics.kernels import convolution as plain
from refimpl.numerics.threads import in_order, parts_of, team

Array = np.ndarray
Pair = plain.Pair
Pads = plain.Pads
output_size = plain.output_size

FEW = 0.25  # share of entries of dy other than 0 below which gradients skip the zeros


def forward(
    x: Array, w: Array, stride: Pair, pads: Pads, mode: str, bias: Array | None = None, winograd: bool = False
) -> Array:
    """y[b, o, i, j] = bias[o] + sum_{c, u, v} w[o, c, u, v] x_pad[b, c, s i + u, t j + v]; see `plain.forward`."""
    x, w = validate.real_array("x", x, ndim=4), validate.real_array("w", w, ndim=4)
    _fits("x", x, (len(x), w.shape[1], *x.shape[2:]))
    if bias is not None:
        _fits("bias", bias, (len(w),))
    if not compiled(x, w):
        y = plain.forward(x, w, stride, pads, mode)
        if bias is not None:
            y += bias[:, None, None]
        return y
    x = np.ascontiguousarray(x)
    if winograd and _minimal(w.shape[2:], stride):
        from refimpl.numerics import winograd as minimal

        return minimal.forward(x, w, pads, mode, bias)
    from refimpl.numerics.kernels import channels, tiled, vectors

    y = memory.empty((len(x), len(w), *output_size(x.shape[2:], w.shape[2:], stride, pads)), x.dtype)
    padded, kernels = plain.layout(x.shape[2:], pads, mode), w.transpose(2, 3, 1, 0)
    tiles = vectors.empty(tiled.shape_of_panels(kernels.shape, w.dtype), w.dtype)
    tiled.panels(team(w.size // channels.GRAIN), kernels, tiles)
    start = np.zeros((len(tiles), tiles.shape[-1]), x.dtype)
    if bias is not None:
        start.reshape(-1)[: len(w)] = bias
    tiled.forward(team(len(x)), x, tiles, start, *padded, *stride, y)
    return y


def input_gradient(
    dy: Array, w: Array, size: Pair, stride: Pair, pads: Pads, mode: str, winograd: bool = False
) -> Array:
    """The adjoint of x -> y; see `plain.input_gradient`. Pixels of one phase of the stride are a forward pass."""
    dy, w = validate.real_array("dy", dy, ndim=4), validate.real_array("w", w, ndim=4)
    _fits("dy", dy, (len(dy), len(w), *output_size(size, w.shape[2:], stride, pads)))
    if not compiled(dy, w) or _narrow(w.shape[1], dy.dtype):
        return plain.input_gradient(dy, w, size, stride, pads, mode)
    frame = size[0] + pads[0] + pads[1], size[1] + pads[2] + pads[3]
    if mode == "circular" and any(pads):
        return plain.unpad(input_gradient(dy, w, frame, stride, (0, 0, 0, 0), "valid", winograd), size, pads, mode)
    if min(pads) >= 0 and _mostly_zero(dy, w.shape[2:], w, w.shape[1]):
        from refimpl.numerics.kernels import scattered, vectors

        dx, kernels = memory.empty((len(dy), w.shape[1], *size), dy.dtype), vectors.copy(w.transpose(0, 2, 3, 1))
        top, bottom, left, right = pads
        runs = plain.layout(frame, (-top, -bottom, -left, -right), "zero")[:2]
        scattered.input_gradient(team(len(dy)), np.ascontiguousarray(dy), kernels, *stride, *frame, *runs, dx)
        return dx
    down = _phases(size[0], w.shape[2], stride[0], pads[0], dy.shape[2])
    across = _phases(size[1], w.shape[3], stride[1], pads[2], dy.shape[3])
    if stride == (1, 1):  # one phase is all of dx
        return _turned(dy, w, down[0][2] + across[0][2], winograd)
    dx = np.zeros((len(dy), w.shape[1], *size), dy.dtype)
    for (rows, u, high), (columns, v, wide) in product(down, across):
        part = w[:, :, u, v]
        if part.size:
            dx[:, :, rows, columns] = _turned(dy, part, high + wide)
    return dx


def _turned(dy: Array, w: Array, pads: Pads, winograd: bool = False) -> Array:
    """dy correlated with w turned by 180 degrees, from the output channels of w to its input channels."""
    return forward(dy, w[:, :, ::-1, ::-1].swapaxes(0, 1), (1, 1), pads, "zero", None, winograd)


def _phases(n: int, k: int, s: int, p: int, length: int) -> list[tuple[slice, slice, Pair]]:
    """dx[m] = sum_u w[u] dy[(m + p - u) / s]: where m + p = r mod s, the entries w[r], w[r + s], ... alone count.

    For r = 0 ... s - 1 the pixels m, the entries u, and the padding of dy with which the part of the kernel, turned,
    yields dx at these m.
    """
    phases = []
    for r in range(s):
        first, count = (r - p) % s, len(range(r, k, s))
        before = count - 1 - (first + p - r) // s
        after = len(range(first, n, s)) + count - 1 - before - length
        phases.append((slice(first, n, s), slice(r, k, s), (before, after)))
    return phases


def kernel_gradient(
    x: Array, dy: Array, kernel: Pair, stride: Pair, pads: Pads, mode: str, winograd: bool = False
) -> Array:
    """The adjoint of w -> y, the parts of the batch summed in their order; see `plain.kernel_gradient`."""
    x, dy = validate.real_array("x", x, ndim=4), validate.real_array("dy", dy, ndim=4)
    _fits("dy", dy, (len(x), dy.shape[1], *output_size(x.shape[2:], kernel, stride, pads)))
    if not compiled(x, dy):
        return plain.kernel_gradient(x, dy, kernel, stride, pads, mode)
    x, dy = np.ascontiguousarray(x), np.ascontiguousarray(dy)
    if len(x) == 0:
        return np.zeros((dy.shape[1], x.shape[1], *kernel), x.dtype)
    from refimpl.numerics.kernels import channels, scattered, tiled

    padded = plain.layout(x.shape[2:], pads, mode)
    if _mostly_zero(dy, kernel, x, x.shape[1]):
        parts = _parts((dy.shape[1], 3, 3, x.shape[1]), x)
        scattered.kernel_gradient(team(len(parts) * dy.shape[1]), x, dy, *padded, *stride, parts)
        return np.ascontiguousarray(in_order(parts).transpose(0, 3, 1, 2))
    if winograd and _minimal(kernel, stride):
        from refimpl.numerics import winograd as minimal

        return minimal.kernel_gradient(x, dy, pads, mode)
    parts = _parts(tiled.shape_of_panels((*kernel, x.shape[1], dy.shape[1]), x.dtype), x)
    tiled.kernel_gradient(team(len(parts) * parts.shape[1]), x, dy, *padded, *stride, parts)
    dw = memory.empty((dy.shape[1], x.shape[1], *kernel), x.dtype)
    tiled.unpanel(team(dw.size // channels.GRAIN), in_order(parts), dw.transpose(2, 3, 1, 0))
    return dw


def _parts(shape: tuple[int, ...], x: Array) -> Array:
    """A kernel's gradient for every part of the batch."""
    from refimpl.numerics.kernels import vectors

    return vectors.empty((parts_of(len(x), prod(shape) * x.itemsize, 1), *shape), x.dtype)


def _mostly_zero(dy: Array, kernel: Pair, factor: Array, channels: int) -> bool:
    """Whether the gradients should skip the zeros of dy, which would make NaN of a factor that is not finite.

    The first sample tells. Measured for 8 x 8 to 28 x 28 pixels and 16 to 256 channels, the tile's time over that of
    `kernels.scattered`: 2 to 4 for a tenth of nonzero entries, 1.4 to 2.2 for a quarter, .8 to 1.7 for .4, .7 to 1.4
    for a half; Winograd's 1.2 to 3 for a tenth, .8 to 1.7 for a quarter.
    """
    from refimpl.numerics.kernels import vectors

    if kernel != (3, 3) or channels % vectors.lanes_of(dy.dtype) or not dy.size:
        return False
    with np.errstate(invalid="ignore", over="ignore"):
        return np.count_nonzero(dy[0]) <= FEW * dy[0].size and bool(np.isfinite(np.einsum("abcd->", factor)))


def _minimal(kernel: Pair, stride: Pair) -> bool:
    return kernel == (3, 3) and stride == (1, 1)


def _fits(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Kernels look no index up twice, so that a wrong shape would read foreign memory."""
    if array.shape != shape:
        validate.fail(name, f"shape {shape}", validate.describe(array))


def _narrow(channels: int, dtype: np.dtype) -> bool:
    """Whether so few input channels leave most lanes of the tile empty, so that the plain route wins.

    Measured for 28 x 28 pixels, one thread, the plain route's time over the tile's: in float32 (16 lanes) .15 to .32
    for 1 channel, .35 for 3, .5 for 4, .9 for 8, 1.7 from 16 on; in float64 (8 lanes) .25 to .55, .5, 1.1, 1.9, 2 to 3.
    """
    from refimpl.numerics.kernels import vectors

    return channels < vectors.lanes_of(dtype) // 2
