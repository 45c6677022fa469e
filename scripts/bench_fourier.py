"""Rows of ``scripts/bench.py``: spectral layers and resizing beside torch.fft, and total variation denoising."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from bench import Row
from bench_steps import label

from refimpl.numerics.compare import eps_error
from refimpl.resolution import SpectralConv
from refimpl.resolution.interpolation import resize
from refimpl.sparsity import tv_denoise


def spectral(modes: int, n: int, dtype: Any, batch: int = 32) -> Row:
    """A spectral layer of 16 channels, batch 32 (at most 8 at N = 256): forward and both gradients."""
    rng, batch = np.random.default_rng(0), batch if n < 256 else min(batch, 8)
    layer = SpectralConv(16, 16, (modes, modes), bias=False)
    params = {k: v.astype(dtype) for k, v in layer.init(rng).items()}
    x, dy = (rng.standard_normal((batch, 16, n, n)).astype(dtype) for _ in range(2))
    tx, tdy = torch.from_numpy(x).requires_grad_(), torch.from_numpy(dy)
    half = modes // 2
    kernel = params["weight"].view(np.result_type(dtype, np.complex64))[..., 0]
    w = torch.from_numpy(kernel.swapaxes(0, 1).copy()).requires_grad_()
    index = torch.cat([torch.arange(half + 1), torch.arange(n - half, n)])

    def product() -> torch.Tensor:
        spectrum = torch.fft.rfft2(tx)[..., index, : half + 1]
        out = torch.zeros(batch, 16, n, n // 2 + 1, dtype=w.dtype)
        out[..., index, : half + 1] = torch.einsum("bixy,ioxy->boxy", spectrum, w)
        return torch.fft.irfft2(out, s=(n, n))

    def theirs() -> Any:
        return torch.autograd.grad(product(), (tx, w), tdy)

    def ours() -> Any:
        _, cache = layer.forward(params, x)
        return layer.backward(params, cache, dy)

    def check() -> float:
        forward = eps_error(layer.forward(params, x)[0], product().detach().numpy())
        return max(forward, eps_error(ours()[0], theirs()[0].numpy()))

    goals = {5: (5.7, 4.5), 9: (4.4, 3.3), 17: (2.4, 2.0), 29: (1.7, 1.3)}.get(modes, (None, None))
    return Row(
        label(f"spectral layer, {modes} modes, N = {n}", dtype),
        ours,
        theirs,
        goals[dtype == np.float64],
        compare=check,
    )


def resizing() -> Iterator[Row]:
    """Trigonometric resizing against the same through torch.fft."""
    v = np.random.default_rng(0).standard_normal((32, 16, 28, 28))
    for l in (27, 56, 112):
        t = torch.from_numpy(v)
        m = min(28, l)
        keep = torch.cat([torch.arange((m + 1) // 2), torch.arange(-(m // 2), 0)])

        def theirs(l: int = l, t: torch.Tensor = t, keep: torch.Tensor = keep) -> torch.Tensor:
            out = torch.zeros(32, 16, l, l, dtype=torch.complex128)
            spectrum = torch.fft.fft2(t)
            out[..., (keep % l)[:, None], keep % l] = spectrum[..., (keep % 28)[:, None], keep % 28]
            return torch.fft.ifft2(out).real * (l / 28) ** 2

        yield Row(label(f"trigonometric resize 28 -> {l}", np.float64), lambda l=l: resize(v, (l, l)), theirs, 1)


def rof(quick: bool) -> Iterator[Row]:
    """Total variation denoising to a loose gap (iterations a second are what counts)."""
    for n in (64,) if quick else (64, 256):
        f = np.random.default_rng(0).standard_normal((n, n))
        count = tv_denoise(f, 0.5, gap=1e-2 * n * n).iterations
        yield Row(
            label(f"ROF {n} x {n}, {count} iterations", np.float64),
            lambda f=f, n=n: tv_denoise(f, 0.5, gap=1e-2 * n * n),
            None,
            moved=9.0 * 8 * n * n * count,
        )
