"""Layers that change the grid, or leave it for a finer one: interpolation, striding, oversampled activations."""

from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np

from refimpl.numerics import validate
from refimpl.resolution import fourier, interpolation
from refimpl.resolution.fourier import Array
from refimpl.setting.activations import Activation, ReLU
from refimpl.setting.layer import Layer, Need, Params


def check_grid(x: Array, channels: int | None, d: int) -> None:
    """Raise unless x is a nonempty batch with d grid axes and the given number of channels (None: any)."""
    if x.ndim != d + 2 or (channels is not None and x.shape[1] != channels) or 0 in x.shape:
        wanted = "any number of" if channels is None else channels
        validate.fail("x", f"a batch (B, C, N_1, ..., N_{d}) with {wanted} channels", validate.describe(x))


@dataclass(frozen=True)
class Resize(Layer):
    """Input interpolation I (Section 4.4) to a fixed size as a layer; with "trigonometric" also a pooling to a fixed
    size.

    It is linear: dx = I^T dy. The last len(size) axes are resized.

    Raises ValueError for sizes below 1 or an unknown method.
    """

    size: tuple[int, ...]
    method: str = "trigonometric"
    antialias: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", fourier.sizes("size", self.size))
        validate.choice("method", self.method, interpolation.METHODS)
        validate.flag("antialias", self.antialias)

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[int, ...]]:
        """(I x, the old size)."""
        check_grid(x, None, len(self.size))
        return interpolation.resize(x, self.size, self.method, self.antialias), x.shape[2:]

    def backward(self, params: Params, size: tuple[int, ...], dy: Array, need: Need = "both") -> tuple[Array, Params]:
        """I^T dy."""
        return interpolation.resize_adjoint(dy, size, self.method, self.antialias), {}


@dataclass(frozen=True)
class TrigonometricStride(Layer):
    """Striding that keeps equivariance: trigonometric interpolation from N_a to ceil(N_a / stride_a) on each grid axis.

    ``stride`` is one integer for all axes or one for each.

    Corollary 4.31, Section 4.4.3. Raises ValueError for a stride below 1.
    """

    stride: int | tuple[int, ...] = 2

    def __post_init__(self) -> None:
        stride = fourier.sizes("stride", self.stride)
        object.__setattr__(self, "stride", stride[0] if len(set(stride)) == 1 else stride)

    def forward(self, params: Params, x: Array) -> tuple[Array, tuple[int, ...]]:
        """(I x, the old size)."""
        size = x.shape[2:]
        strides = fourier.sizes("stride", self.stride) if np.ndim(self.stride) else (self.stride,) * len(size)
        check_grid(x, None, len(strides))
        return interpolation.trigonometric_interpolation(x, [ceil(n / s) for n, s in zip(size, strides)]), size

    def backward(self, params: Params, size: tuple[int, ...], dy: Array, need: Need = "both") -> tuple[Array, Params]:
        """I^T dy."""
        return interpolation.resize_adjoint(dy, size), {}


@dataclass(frozen=True)
class OversampledActivation(Layer):
    """sigma on a finer grid: interpolate from N to factor N, apply sigma, interpolate back. Less aliasing (4.36).

    Derivative: dx = U^T (sigma'(U x) . D^T dy) with the interpolations U up and D down.

    Raises ValueError for a factor below 1 or something that is no `Activation`.
    """

    activation: Activation = field(default_factory=ReLU)
    factor: int = 2

    def __post_init__(self) -> None:
        validate.integer("factor", self.factor, low=1)
        if not isinstance(self.activation, Activation):
            validate.fail("activation", "an Activation", validate.describe(self.activation))

    def forward(self, params: Params, x: Array) -> tuple[Array, Any]:
        """(D sigma(U x), cache)."""
        size = x.shape[2:]
        check_grid(x, None, max(len(size), 1))
        fine = interpolation.trigonometric_interpolation(x, [self.factor * n for n in size])
        y, cache = self.activation.forward({}, fine)  # (4.36)
        return interpolation.trigonometric_interpolation(y, size), (size, fine.shape[2:], cache)

    def backward(self, params: Params, cache: Any, dy: Array, need: Need = "both") -> tuple[Array, Params]:
        """U^T (sigma'(U x) . D^T dy)."""
        size, fine, inner = cache
        dz = self.activation.backward({}, inner, interpolation.resize_adjoint(dy, fine))[0]
        return interpolation.resize_adjoint(dz, size), {}
