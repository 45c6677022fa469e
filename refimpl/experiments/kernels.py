"""One kernel at three sizes: padded with zeros in space or in frequency ([FNO], Fig. 1; Fig. 4.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.experiments.figures import canvas, photograph, picture
from refimpl.experiments.run import Run
from refimpl.resolution import resize, spectral_convolution, to_spatial, to_spectral
from refimpl.resolution.convolution import pad_kernel, spatial_convolution

Array = np.ndarray

KERNEL = 11


def edge_kernel(size: int = KERNEL) -> Array:
    """k_ij = i / (i^2 + j^2) around the middle, of l2 norm 1: an edge detector of long range, like a Sobel filter."""
    i = np.arange(size) - size // 2
    square = i[:, None] ** 2 + i**2
    k = i[:, None] / np.where(square, square, 1)
    return k / np.linalg.norm(k)


def fno_kernels(run: Run) -> None:
    """Fig. 4.3: a kernel designed at size N meets the image at N/2, N and 2 N, padded in space or in frequency."""
    n = 64 if run.quick else 128
    image, theta = photograph(n), edge_kernel()
    theta_hat = to_spectral(np.roll(pad_kernel(theta, (n, n)), -(KERNEL // 2), (0, 1)), (n, n))
    answer = spectral_convolution(theta_hat, image)
    rows = []
    with canvas(3, 5, width=7, height=4.4) as (figure, axes):
        for line, size in zip(axes, (n // 2, n, 2 * n)):
            v, expected = resize(image, (size, size)), resize(answer, (size, size))
            spatial = np.roll(spatial_convolution(theta, v), (-(KERNEL // 2),) * 2, (0, 1))
            spectral = spectral_convolution(theta_hat, v)
            errors = [float(np.linalg.norm(y - expected) / np.linalg.norm(expected)) for y in (spatial, spectral)]
            rows.append((size, *errors))
            kernels = (
                np.roll(pad_kernel(theta, (size, size)), -(KERNEL // 2), (0, 1)),
                to_spatial(theta_hat, (size, size)),
            )
            _line(line, size, v, kernels, (spatial, spectral), errors)
        run.figure(figure, "fno-kernels", KERNELS)
    run.table(("size", "relative change, spatial padding", "relative change, spectral padding"), rows)
    run.found = {f"size {size}": {"spatial": a, "spectral": b} for size, a, b in rows}


def _line(
    axes: Any, size: int, v: Array, kernels: tuple[Array, Array], responses: tuple[Array, Array], errors: list[float]
) -> None:
    picture(axes[0], v, f"image, N = {size}", 0, 1)
    window = slice(size // 2 - size // 8, size // 2 + size // 8 + 1)
    for place, name, kernel, response, error in zip((1, 3), ("spatial", "spectral"), kernels, responses, errors):
        centred = np.fft.fftshift(kernel)[window, window]
        bound = float(np.abs(centred).max())
        picture(axes[place], centred, f"{name} kernel", -bound, bound, "RdBu_r")
        top = float(np.quantile(np.abs(response), 0.995))
        picture(axes[place + 1], response, f"change {error:.1e}", -top, top, "RdBu_r")


KERNELS = """An 11 x 11 edge kernel designed at the middle size. Padded with zeros in space it stays 11 pixels wide,
    so at another size it sees other features; padded in frequency it keeps its shape. "change" is the relative
    difference to the response at the middle size, brought to this size by trigonometric interpolation: rounding for
    spectral padding at the middle size and above (Corollary 4.31), large for spatial padding."""
