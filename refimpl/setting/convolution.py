"""Convolutional layers (Section 4.1.1): (W z)_j = sum_i k_ji * z_i, as cross-correlation."""

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from refimpl.numerics import convolution, validate
from refimpl.numerics.convolution import Pads, Pair
from refimpl.setting.initialization import he
from refimpl.setting.layer import Array, Gradients, Layer, Need, Params, expect

Padding = Literal["zero", "circular", "valid"]


def pair(name: str, value: int | tuple[int, int], low: int = 1) -> Pair:
    """An integer >= low, or a pair of them: (rows, columns)."""
    values = (value, value) if isinstance(value, (int, np.integer)) else value
    if not isinstance(values, (tuple, list)) or len(values) != 2:
        validate.fail(name, f"an integer >= {low} or a pair of them", validate.describe(value))
    return validate.integer(name, values[0], low=low), validate.integer(name, values[1], low=low)


@dataclass(frozen=True)
class Conv2d(Layer):
    """y_o[i, j] = b_o + sum_{c, u, v} W[o, c, u, v] x_c[s i + u - p, t j + v - q]: a cross-correlation.

    x is (batch, c_in, rows, columns), W (c_out, c_in, kh, kw). The convolution of Section 4.1.1 is the same with the
    kernel turned by 180 degrees, W[o, c, ::-1, ::-1].

    Padding "zero" and "circular" put p = (kh - 1) // 2 rows above and kh // 2 below, columns likewise: an odd
    kernel is centred, an even one has its centre at kh / 2 - 1, up and left of the middle. The size is N at
    stride 1 and ceil(N / s) at stride s. "valid" pads nothing: floor((N - k) / s) + 1.

    ``winograd=True`` takes a quarter of the multiplications of a 3 x 3 kernel at stride 1, in forward and both
    gradients (float32, float64): more than twice as fast from 32 channels on. It costs accuracy: up to 32 eps of the
    largest sum of |W| |x|, where the direct sum stays below 4 when signs vary; NaN and infinities fill 4 x 4 tiles.
    Gradients of a dy that is mostly 0, as behind max pooling, skip the zeros instead, which is exact.

    Derivative: y is bilinear in (W, x), so dW and dx are the two adjoints in `refimpl.numerics.convolution`;
    db = sum over batch and grid of dy.

    Raises
    ------
    ValueError : a size below 1, an unknown padding, winograd with another kernel or stride; at the call, another
        number of channels or, with "valid", an image smaller than the kernel.
    """

    c_in: int
    c_out: int
    kernel: int | tuple[int, int]
    stride: int | tuple[int, int] = 1
    padding: Padding = "zero"
    bias: bool = True
    winograd: bool = False

    def __post_init__(self) -> None:
        validate.integer("c_in", self.c_in, low=1)
        validate.integer("c_out", self.c_out, low=1)
        object.__setattr__(self, "kernel", pair("kernel", self.kernel))
        object.__setattr__(self, "stride", pair("stride", self.stride))
        validate.flag("bias", self.bias)
        validate.choice("padding", self.padding, ("zero", "circular", "valid"))
        if validate.flag("winograd", self.winograd) and (self.kernel, self.stride) != ((3, 3), (1, 1)):
            validate.fail("winograd", "a kernel of 3 x 3 at stride 1", f"kernel {self.kernel}, stride {self.stride}")

    @property
    def pads(self) -> Pads:
        """Rows above and below, columns left and right."""
        kh, kw = cast(Pair, self.kernel)
        return (0, 0, 0, 0) if self.padding == "valid" else ((kh - 1) // 2, kh // 2, (kw - 1) // 2, kw // 2)

    @property
    def _geometry(self) -> tuple[Pair, Pads, str]:
        return cast(Pair, self.stride), self.pads, self.padding

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """weight (c_out, c_in, kh, kw), bias (c_out,)."""
        weight = {"weight": (self.c_out, self.c_in, *cast(Pair, self.kernel))}
        return weight | ({"bias": (self.c_out,)} if self.bias else {})

    def init(self, rng: np.random.Generator) -> Params:
        """He initialisation: variance 2 / (c_in kh kw); zero bias."""
        weight = he(self.shapes["weight"], rng=rng)
        return {"weight": weight} | ({"bias": np.zeros(self.c_out)} if self.bias else {})

    def forward(self, params: Params, x: Array) -> tuple[Array, Array]:
        """W x + b."""
        expect(self, x, None, self.c_in, None, None)
        self._fits(x)
        bias = params["bias"] if self.bias else None
        return convolution.forward(x, params["weight"], *self._geometry, bias, self.winograd), x

    def backward(self, params: Params, x: Array, dy: Array, need: Need = "both") -> Gradients:
        """dx = W^T dy, dW = the correlation of x with dy, db = sum of dy."""
        dx, size, kernel = None, x.shape[2:], cast(Pair, self.kernel)
        if need != "parameters":
            dx = convolution.input_gradient(dy, params["weight"], size, *self._geometry, self.winograd)
        if need == "input":
            return dx, None
        grads = {"weight": convolution.kernel_gradient(x, dy, kernel, *self._geometry, self.winograd)}
        return dx, grads | ({"bias": np.einsum("boij->o", dy)} if self.bias else {})

    def _fits(self, x: Array) -> None:
        size, kernel = x.shape[2:], cast(Pair, self.kernel)
        least = kernel if self.padding == "valid" else (1, 1)
        if size[0] < least[0] or size[1] < least[1]:
            validate.fail(f"x of {self!r}", f"at least {least[0]} x {least[1]} pixels", f"shape {x.shape}")
