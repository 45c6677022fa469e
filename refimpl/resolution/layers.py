"""Layers whose action does not depend on the resolution of their input (Sections 4.4.1 and 4.4.3)."""

from dataclasses import dataclass, field
from math import prod, sqrt
from typing import Any, Literal

import numpy as np

from refimpl.numerics import validate
from refimpl.resolution import convolution, fourier, spectral
from refimpl.resolution.fourier import Array
from refimpl.resolution.resampling import check_grid
from refimpl.resolution.spectral import Route
from refimpl.setting.activations import Activation, ReLU
from refimpl.setting.layer import Layer, Need, Params

Parametrization = Literal["half", "unitary"]


@dataclass(frozen=True)
class SpectralConv(Layer):
    """y_o = sum_i K(theta_hat_oi)(x_i) + b_o for x (B, c_in, N_1, ..., N_d) of any size N, by (4.38).

    Parameters
    ----------
    c_in, c_out : channels.
    modes : (M_1, ..., M_d), the size of theta_hat; d = len(modes) is 1, 2, 3, ...
    size : the size L of the output; None keeps N. The product is formed on the finer of both grids, that is
        y = (K(theta_hat)(x^{N-tri->P}))^{P-tri->L} with P = max(N, L): nothing aliases.
    bias : whether there is a b.
    parametrization : "half" stores theta_hat_k for 0 <= k_d <= M_d/2 as real FFTs do, with (re, im) on a last axis:
        (c_out, c_in, M_1, ..., M_d // 2 + 1, 2). Its gradient carries the weights 1, 2, ..., 2, so that gradient
        descent on it is not gradient descent on the kernel. "unitary" stores all of F(theta) with lambda = sqrt |J_M|,
        (c_out, c_in, M_1, ..., M_d, 2): an isometry, and gradient descent with the same step *is* gradient descent
        on theta (Lemma 4.30).
    route : "fft", "matrix" (partial Fourier transforms as matrix products) or "auto", the faster one by size.

    With the stored coefficients W, image coefficients X = A x, and A, S of `refimpl.resolution.spectral`:

        forward    Y_k = W_k X_k,  y = S Y
        backward   dY = S^T dy,  dW_k = sum_batch dY_k conj(X_k),  dX_k = W_k^* dY_k,  dx = A^T dX

    since Re <dY, W X> = Re <dY X^*, W> = Re <W^* dY, X>.

    Raises
    ------
    ValueError : sizes below 1, an unknown parametrization or route, a size with other axes than modes; at the call,
        x that is not (B, c_in, N_1, ..., N_d).
    """

    c_in: int
    c_out: int
    modes: tuple[int, ...]
    size: tuple[int, ...] | None = None
    bias: bool = True
    parametrization: Parametrization = "half"
    route: Route = "auto"

    def __post_init__(self) -> None:
        validate.integer("c_in", self.c_in, low=1)
        validate.integer("c_out", self.c_out, low=1)
        validate.choice("parametrization", self.parametrization, ("half", "unitary"))
        validate.flag("bias", self.bias)
        validate.choice("route", self.route, ("auto", "fft", "matrix"))
        object.__setattr__(self, "modes", fourier.sizes("modes", self.modes))
        if self.size is not None:
            object.__setattr__(self, "size", fourier.sizes("size", self.size))
            if len(self.size) != len(self.modes):
                validate.fail("size", f"{len(self.modes)} axes as in modes", validate.describe(self.size))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """weight (c_out, c_in, frequencies, 2), bias (c_out,)."""
        last = self.modes[-1] // 2 + 1 if self.parametrization == "half" else self.modes[-1]
        weight = (self.c_out, self.c_in, *self.modes[:-1], last, 2)
        return {"weight": weight} | ({"bias": (self.c_out,)} if self.bias else {})

    def init(self, rng: np.random.Generator) -> Params:
        """The spectrum of a kernel with He variance 2 / (c_in |J_M|); zero bias."""
        scale = sqrt(2 / (self.c_in * prod(self.modes)))
        theta = rng.normal(0.0, scale, (self.c_out, self.c_in, *self.modes))
        return self.from_spectrum(convolution.to_spectral(theta, self.modes))

    def from_spectrum(self, theta_hat: Array, bias: Array | None = None) -> Params:
        """The parameters of a full spectrum theta_hat (c_out, c_in, M_1, ..., M_d) in FFT order; b = 0 by default."""
        if self.parametrization == "half":
            stored = fourier.half_spectrum(theta_hat)
        else:
            stored = fourier.scale_nyquist(theta_hat, 0.5, len(self.modes))
            stored = stored / np.sqrt(stored.real.dtype.type(prod(self.modes)))
        weight = np.stack([stored.real, stored.imag], axis=-1)
        return {"weight": weight} | ({"bias": np.zeros(self.c_out) if bias is None else bias} if self.bias else {})

    def spectrum(self, params: Params) -> Array:
        """theta_hat (c_out, c_in, M_1, ..., M_d), full and Hermitian, in FFT order."""
        return fourier.full_spectrum(self._half(params["weight"]), self.modes[-1], len(self.modes))

    def forward(self, params: Params, x: Array) -> tuple[Array, Any]:
        """(y, cache): y = S(W . A x) + b."""
        check_grid(x, self.c_in, len(self.modes))
        size = self.size or x.shape[2:]
        s = spectral.band(self.modes, x.shape[2:], size)
        X = spectral.coefficients(x, s, self.route)
        W = self._gather(self._half(params["weight"]), s)
        y = spectral.values(X @ W, size, self.route)  # (4.38)
        return (y + _per_channel(params["bias"], y) if self.bias else y), (X, W, s, x.shape[2:])

    def backward(
        self, params: Params, cache: Any, dy: Array, need: Need = "both"
    ) -> tuple[Array | None, Params | None]:
        """dY = S^T dy, dW = X^* dY, dX = dY W^*, dx = A^T dX, db = sum of dy over batch and grid."""
        X, W, s, size = cache
        dY = spectral.values_adjoint(dy, s, self.route)
        dx = dparams = None
        if need != "parameters":
            dx = spectral.coefficients_adjoint(dY @ np.conj(W).swapaxes(-1, -2), size, self.route)
        if need != "input":
            half = self._scatter(np.conj(X).swapaxes(-1, -2) @ dY, s)
            dparams = {"weight": self._half_adjoint(half)}
            dparams |= {"bias": dy.sum(axis=(0, *range(2, dy.ndim)))} if self.bias else {}
        return dx, dparams

    def _half(self, weight: Array) -> Array:
        """The half spectrum (c_out, c_in, M_1, ..., M_d // 2 + 1) of theta_hat that the stored numbers mean."""
        stored = _as_complex(weight)
        if self.parametrization == "half":
            return stored
        d, scale = len(self.modes), np.sqrt(weight.dtype.type(prod(self.modes)))
        return fourier.half_spectrum(fourier.hermitian_part(fourier.scale_nyquist(stored, 2, d), d) * scale)

    def _half_adjoint(self, half: Array) -> Array:
        """The adjoint of `_half`: zeros where nothing was read, Hermitian part, scaling."""
        if self.parametrization == "half":
            return _as_pairs(half)
        d, scale = len(self.modes), np.sqrt(half.real.dtype.type(prod(self.modes)))
        full = np.zeros((*half.shape[:-1], self.modes[-1]), half.dtype)
        full[..., : half.shape[-1]] = half
        return _as_pairs(fourier.scale_nyquist(fourier.hermitian_part(full, d) * scale, 2, d))

    def _gather(self, half: Array, s: spectral.Band) -> Array:
        """W on the band, (K_1, ..., K_d, c_in, c_out): entries at |k_a| = M_a/2 halved, read at both signs."""
        W = np.ascontiguousarray(half[..., : s[-1] + 1].transpose(*range(2, half.ndim), 1, 0))
        for axis, (m, k) in enumerate(zip(self.modes[:-1], s)):
            read = W.swapaxes(0, axis)
            W = np.concatenate([read[m - k :], read[: k + 1]]).swapaxes(0, axis)
        return self._symmetric(self._split(W, s), s)

    def _scatter(self, dW: Array, s: spectral.Band) -> Array:
        """The adjoint of `_gather`."""
        dW = self._split(self._symmetric(dW, s), s)
        for axis, (m, k) in enumerate(zip(self.modes[:-1], s)):
            read = dW.swapaxes(0, axis)
            written = np.zeros((m, *read.shape[1:]), dW.dtype)
            written[m - k :] = read[:k]
            written[: k + 1] += read[k:]
            dW = written.swapaxes(0, axis)
        half = np.zeros((self.c_out, self.c_in, *self.modes[:-1], self.modes[-1] // 2 + 1), dW.dtype)
        half[..., : s[-1] + 1] = dW.transpose(-1, -2, *range(dW.ndim - 2))
        return half

    def _split(self, W: Array, s: spectral.Band) -> Array:
        """The entries at |k_a| = M_a/2 halved."""
        for axis, (m, k) in enumerate(zip(self.modes, s)):
            if 2 * k == m:
                W = W * spectral.along(spectral.split_weights(m, k, axis == len(s) - 1), axis, W)
        return W

    def _symmetric(self, W: Array, s: spectral.Band) -> Array:
        """The column k_d = M_d/2 replaced by its Hermitian part in the leading frequencies (self-adjoint)."""
        if 2 * s[-1] != self.modes[-1]:
            return W
        W = W.copy()
        column = W[..., -1, :, :]
        W[..., -1, :, :] = (column + np.conj(np.flip(column, tuple(range(len(s) - 1))))) / 2
        return W


def _as_complex(weight: Array) -> Array:
    """(..., 2) real to (...) complex, without a copy where the memory allows."""
    return np.ascontiguousarray(weight).view(np.result_type(weight.dtype, np.complex64))[..., 0]


def _as_pairs(w: Array) -> Array:
    return np.ascontiguousarray(w)[..., None].view(w.real.dtype)


def _per_channel(b: Array, y: Array) -> Array:
    return b.reshape(-1, *[1] * (y.ndim - 2))


@dataclass(frozen=True)
class FourierLayer(Layer):
    """G(u) = sigma(W u + K u + b), (4.34)-(4.37), with channels: W (c_out, c_in), b (c_out,), K a `SpectralConv`.

    Derivative: with z = W u + K u + b and dz = sigma'(z) dy,
    du = W^T dz + K^T dz, dW = sum over batch and grid of dz u^T, db that of dz.

    Raises
    ------
    ValueError : as `SpectralConv`; something that is no `Activation`.
    """

    c_in: int
    c_out: int
    modes: tuple[int, ...]
    activation: Activation = field(default_factory=ReLU)
    parametrization: Parametrization = "half"

    def __post_init__(self) -> None:
        object.__setattr__(self, "modes", self.kernel.modes)
        if not isinstance(self.activation, Activation):
            validate.fail("activation", "an Activation", validate.describe(self.activation))

    @property
    def kernel(self) -> SpectralConv:
        """K, parametrised by Fourier coefficients (4.37), with the bias b."""
        return SpectralConv(self.c_in, self.c_out, self.modes, parametrization=self.parametrization)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """residual (c_out, c_in), weight and bias of the kernel."""
        return {"residual": (self.c_out, self.c_in)} | self.kernel.shapes

    def init(self, rng: np.random.Generator) -> Params:
        """Half of the He variance each for W and K."""
        residual = rng.normal(0.0, sqrt(1 / self.c_in), (self.c_out, self.c_in))
        kernel = self.kernel.init(rng)
        return {"residual": residual} | kernel | {"weight": kernel["weight"] / sqrt(2)}

    def forward(self, params: Params, u: Array) -> tuple[Array, Any]:
        """(sigma(Psi(u)), cache)."""
        Ku, kernel_cache = self.kernel.forward(params, u)
        psi = np.moveaxis(np.tensordot(params["residual"], u, ([1], [1])), 0, 1) + Ku  # (4.35)
        y, sigma_cache = self.activation.forward({}, psi)  # (4.34)
        return y, (u, kernel_cache, sigma_cache)

    def backward(
        self, params: Params, cache: Any, dy: Array, need: Need = "both"
    ) -> tuple[Array | None, Params | None]:
        """dz = sigma'(z) dy; du = W^T dz + K^T dz; dW = sum dz u^T."""
        u, kernel_cache, sigma_cache = cache
        dz = self.activation.backward({}, sigma_cache, dy)[0]
        du, dparams = self.kernel.backward(params, kernel_cache, dz, need)
        if du is not None:
            du = du + np.moveaxis(np.tensordot(params["residual"], dz, ([0], [1])), 0, 1)
        if dparams is not None:
            other = [0, *range(2, u.ndim)]
            dparams = {"residual": np.tensordot(dz, u, (other, other))} | dparams
        return du, dparams
