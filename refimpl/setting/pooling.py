"""Pooling layers: the maximum or the mean over windows of a grid. Images are (batch, channels, rows, columns)."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from refimpl.numerics import memory, validate
from refimpl.numerics.jit import body_for, compiled
from refimpl.numerics.kernels import pooling
from refimpl.numerics.kernels.convolution import Pair, output_size
from refimpl.numerics.threads import team
from refimpl.setting.convolution import pair
from refimpl.setting.layer import Array, Layer, Need, Params, expect


@dataclass(frozen=True)
class _Pool2d(Layer):
    """Windows of ``size`` pixels, ``stride`` apart (by default their size), on x padded by ``padding``.

    The output has floor((N + 2 padding - size) / stride) + 1 rows, columns likewise.

    Raises
    ------
    ValueError : a size or stride below 1, padding above size / 2; at the call, an image without a window.
    """

    size: int | tuple[int, int]
    stride: int | tuple[int, int] | None = None
    padding: int | tuple[int, int] = 0

    def __post_init__(self) -> None:
        size, padding = pair("size", self.size), pair("padding", self.padding, low=0)
        stride = size if self.stride is None else pair("stride", self.stride)
        if 2 * padding[0] > size[0] or 2 * padding[1] > size[1]:
            validate.fail("padding", f"at most half the size {size}", validate.describe(self.padding))
        for name, value in (("size", size), ("stride", stride), ("padding", padding)):
            object.__setattr__(self, name, value)

    @property
    def _windows(self) -> tuple[Pair, Pair, Pair]:
        return cast(tuple[Pair, Pair, Pair], (self.size, self.stride, self.padding))

    def _shape(self, x: Array) -> tuple[int, int, int]:
        """The shape of the output, the first two axes of x merged."""
        expect(self, x, None, None, None, None)
        size, stride, (p, q) = self._windows
        rows, columns = output_size(x.shape[2:], size, stride, (p, p, q, q))
        if rows < 1 or columns < 1 or 0 in x.shape[2:]:
            validate.fail(f"x of {self!r}", "at least one window of pixels", f"shape {x.shape}")
        return x.shape[0] * x.shape[1], rows, columns


@dataclass(frozen=True)
class MaxPool2d(_Pool2d):
    """y = the maximum of each window. Of equal maxima the first (row by row) wins, NaN beats numbers, padding nothing.

    Pooling, see Section 4.4. x is (batch, channels, rows, columns).

    Derivative: dy goes to the pixel that attained the maximum.
    """

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple]:
        """The maxima."""
        shape = self._shape(x)
        y, where = memory.empty(shape, x.dtype), memory.empty(shape, np.int32)
        if self._halves(x):
            from refimpl.numerics.kernels import halving

            halving.forward(team(x.size // halving.GRAIN), np.ascontiguousarray(_images(x)), y, where)
        else:
            body_for(pooling.max_forward, x)(_images(x), *self._windows, y, where)
        return y.reshape(*x.shape[:2], *y.shape[1:]), (x.shape, where)

    def backward(self, params: Params, cache: tuple, dy: Array, need: Need = "both") -> tuple[Array, Params]:
        """dx = dy at the maxima, summed over windows; 0 elsewhere."""
        shape, where = cache
        dx, slopes = memory.empty(shape, dy.dtype), np.ascontiguousarray(_images(dy))
        if self._halves(dx):
            from refimpl.numerics.kernels import halving

            halving.backward(team(dx.size // halving.GRAIN), slopes, where, _images(dx))
        else:
            body_for(pooling.max_backward, dy)(slopes, where, dx.reshape(len(where), shape[2] * shape[3]))
        return dx, {}

    def _halves(self, x: Array) -> bool:
        """Whether the fast kernel serves images x: 2 x 2 windows that cover them, at least four in a row."""
        covered = x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0 and x.shape[3] >= 8
        return covered and self._windows == ((2, 2), (2, 2), (0, 0)) and compiled(x)


@dataclass(frozen=True)
class AveragePool2d(_Pool2d):
    """y = the mean of each window, padding counted as zeros (pooling, Section 4.4).

    Derivative: dx = dy / size, summed over windows. x is (batch, channels, rows, columns).
    """

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[int, ...]]:
        """The means."""
        y = np.zeros(self._shape(x), x.dtype)
        body_for(pooling.sum_forward, x)(_images(x), *self._windows, y)
        return (y / self._area(y)).reshape(*x.shape[:2], *y.shape[1:]), x.shape

    def backward(self, params: Params, shape: tuple[int, ...], dy: Array, need: Need = "both") -> tuple[Array, Params]:
        """dx = dy / size on every pixel of the window."""
        dx = np.zeros((shape[0] * shape[1], *shape[2:]), dy.dtype)
        body_for(pooling.sum_backward, dy)(_images(dy / self._area(dy)), *self._windows, dx)
        return dx.reshape(shape), {}

    def _area(self, x: Array) -> Any:
        size = self._windows[0]
        return x.dtype.type(size[0] * size[1])


@dataclass(frozen=True)
class AdaptiveAveragePool2d(Layer):
    """y[i, j] = the mean over bin (i, j) of a fixed number of bins, whatever the size of the image.

    It is the S of Section 4.4. Along an axis of N pixels bin i of n covers floor(i N / n) ... ceil((i + 1) N / n) - 1:
    bins may overlap
    by a pixel, and for N < n they repeat pixels. Derivative: dx = dy / (size of the bin) on every bin.

    Raises ValueError for an output size below 1, and at the call for x that is not (batch, channels, rows, columns).
    """

    output: int | tuple[int, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "output", pair("output", self.output))

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[int, ...]]:
        """The means of the bins."""
        expect(self, x, None, None, None, None)
        if 0 in x.shape[2:]:
            validate.fail(f"x of {self!r}", "at least one pixel", f"shape {x.shape}")
        y = np.empty((*x.shape[:2], *cast(Pair, self.output)), x.dtype)
        for i, j, window in self._bins(x.shape):
            y[..., i, j] = x[window].mean(axis=(-2, -1))
        return y, x.shape

    def backward(self, params: Params, shape: tuple[int, ...], dy: Array, need: Need = "both") -> tuple[Array, Params]:
        """dx = dy / (size of the bin), summed over the bins of a pixel."""
        dx = np.zeros(shape, dy.dtype)
        for i, j, window in self._bins(shape):
            rows, columns = dx[window].shape[-2:]
            dx[window] += (dy[..., i, j] / dy.dtype.type(rows * columns))[..., None, None]
        return dx, {}

    def _bins(self, shape: tuple[int, ...]) -> list[tuple[int, int, tuple]]:
        down, across = (_edges(n, bins) for n, bins in zip(shape[2:], cast(Pair, self.output)))
        return [(i, j, (..., rows, cols)) for i, rows in enumerate(down) for j, cols in enumerate(across)]


class GlobalAveragePool(AdaptiveAveragePool2d):
    """y = the mean over the whole grid, (batch, channels, 1, 1): S in Section 4.4."""

    def __init__(self) -> None:
        super().__init__(1)


def _edges(length: int, bins: int) -> list[slice]:
    return [slice(i * length // bins, -(-(i + 1) * length // bins)) for i in range(bins)]


def _images(x: Array) -> Array:
    """(batch, channels, rows, columns) with the first two axes merged."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
