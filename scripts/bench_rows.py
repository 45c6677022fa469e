"""The rows of ``scripts/bench.py``: one function a family of work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from bench import Row, median
from bench_fourier import resizing, rof, spectral
from bench_nets import NETS, pair
from bench_steps import groups, label, steps
from torch.nn import functional as F

from refimpl.numerics import convolution
from refimpl.numerics.compare import eps_error
from refimpl.numerics.kernels import csr, microkernel, vectors
from refimpl.numerics.sparse import compress, feature_major
from refimpl.numerics.threads import team, threads
from refimpl.setting import GELU, BatchNorm2d, CrossEntropy, Dense, MaxPool2d, ReLU
from refimpl.setting.risk import risk_and_gradient

DTYPES = (np.float32, np.float64)


def torch_version() -> str:
    """The version of PyTorch."""
    return str(torch.__version__)


def limits() -> dict[str, float]:
    """Copy bandwidth beyond the caches (bytes read plus written) and multiply-add peak, threads as for the rows."""
    a = np.ones(1 << 25)
    b = np.empty_like(a)
    found = {"copy B/s": 2 * a.nbytes / _fastest(lambda: _in_parts(lambda part: np.copyto(b[part], a[part]), len(a)))}
    for dtype in DTYPES:
        width = 2 * vectors.lanes_of(dtype)
        x, w, y = (np.ones(shape, dtype) for shape in ((28, 192), (192, width), (8, 28, width)))
        seconds = _fastest(lambda: _in_parts(lambda part: _products(1000, y[part][0], x, w, width), 8))  # noqa: B023
        found[f"fma {np.dtype(dtype).name} flop/s"] = 1000 * 2 * y.size * 192 / seconds
    return found


@numba.njit(nogil=True)
def _products(count: int, y: np.ndarray, x: np.ndarray, w: np.ndarray, width: int) -> None:
    """The register tile on operands in the first cache, many times."""
    for _ in range(count):
        microkernel.panel(y, 0, width, y, 0, width, x, 0, 0, 192, 1, w, 0, 0, width, 1, 192, 28, True)


def _in_parts(work: Callable[[slice], Any], n: int) -> None:
    """work(part) for eight parts of 0 ... n, over threads."""
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(work, [slice(k * n // 8, (k + 1) * n // 8) for k in range(8)]))


def _fastest(f: Callable[[], Any]) -> float:
    times = []
    for _ in range(40):  # other work of the machine may take a processor for half a second
        begin = time.perf_counter()
        f()
        times.append(time.perf_counter() - begin)
    return median(sorted(times)[:3])


def rows(quick: bool) -> Iterator[Row]:
    """Every row, in the order of the table."""
    for dtype in DTYPES:
        for n in (10**4, 10**6) if quick else (10**4, 10**5, 10**6, 10**7):
            yield from steps(n, dtype)
    for dtype in DTYPES:
        yield from groups(dtype)
    for dtype in DTYPES:
        for c_in, c_out, k in ((64, 64, 3), (1, 64, 5), (16, 32, 3), (64, 64, 5), (32, 64, 3), (64, 128, 3)):
            for winograd in (False, True)[: 2 if k == 3 else 1]:
                yield from conv(c_in, c_out, k, 20 if quick else 100, dtype, winograd)
    for dtype in DTYPES:
        yield from training(dtype)
    yield from sparse_products(quick)
    yield from pointwise(quick)
    for dtype in DTYPES:
        yield from images(dtype)
    for dtype in DTYPES:
        for n in (28, 64) if quick else (28, 64, 128, 256):
            yield from (spectral(modes, n, dtype) for modes in (5, 9, 17, 29) if modes < n)
    yield from resizing()
    yield from rof(quick)


FORWARD = {(64, 64, 3): (1.0, 5), (1, 64, 5): (1.5, 5), (16, 32, 3): (1.1, 7)}  # goals in float32 and float64
FORWARD |= {(32, 64, 3): (1.05, None), (64, 128, 3): (1.05, None)}
GRADIENTS = {(64, 64, 3): (1.5, 4), (64, 64, 5): (1.1, 3.5)}


def conv(c_in: int, c_out: int, k: int, batch: int, dtype: Any, winograd: bool) -> Iterator[Row]:
    """Convolution of 28 x 28 images with zero padding: forward, and both gradients together."""
    rng, f64 = np.random.default_rng(0), dtype == np.float64
    x = rng.standard_normal((batch, c_in, 28, 28)).astype(dtype)
    w = rng.standard_normal((c_out, c_in, k, k)).astype(dtype)
    how: tuple[Any, ...] = ((1, 1), (k // 2,) * 4, "zero")
    tx, tw = torch.from_numpy(x).requires_grad_(), torch.from_numpy(w).requires_grad_()
    ty = F.conv2d(tx, tw, padding=k // 2)
    dy = rng.standard_normal(tuple(ty.shape)).astype(dtype)
    tdy, inside = torch.from_numpy(dy), 28 * k - k // 2 * (k // 2 + 1)  # offsets and rows whose pixels are in the image
    flops = 2.0 * batch * c_in * c_out * inside**2  # of the direct sum, whichever way it is taken
    name = f"conv {c_in}->{c_out} {k}x{k}" + " Winograd" * winograd

    def plain() -> torch.Tensor:
        with torch.no_grad():
            return F.conv2d(tx, tw, padding=k // 2)

    def forward() -> np.ndarray:
        return convolution.forward(x, w, *how, winograd=winograd)

    yield Row(
        label(f"{name} forward", dtype),
        forward,
        plain,
        FORWARD.get((c_in, c_out, k), (None, None))[f64],
        compare=lambda: eps_error(forward(), plain().numpy(), c_in * k * k),
        flops=flops,
        moved=x.nbytes + w.nbytes + dy.nbytes,
    )

    def ours() -> tuple[np.ndarray, np.ndarray]:
        dx = convolution.input_gradient(dy, w, (28, 28), *how, winograd=winograd)
        return dx, convolution.kernel_gradient(x, dy, (k, k), *how, winograd=winograd)

    def theirs() -> Any:
        return torch.autograd.grad(ty, (tx, tw), tdy, retain_graph=True)

    def check() -> float:
        (dx, dw), (tdx, tdw) = ours(), theirs()
        return max(eps_error(dx, tdx.numpy(), c_out * k * k), eps_error(dw, tdw.numpy(), dy.size / c_out))

    yield Row(
        label(f"{name} both gradients", dtype),
        ours,
        theirs,
        GRADIENTS.get((c_in, c_out, k), (None, None))[f64],
        compare=check,
        flops=2 * flops,
        moved=2 * (x.nbytes + w.nbytes + dy.nbytes),
    )


def training(dtype: Any) -> Iterator[Row]:
    """Whole LinBreg steps of all networks, batch 128 (of ResNet-18: 8)."""
    goals = {"784-200-80-10": (2, 2.5), "small conv net": (3, 7), "small conv net, Winograd": (3, 7)}
    for name, make in NETS.items():
        ours, theirs = pair(make, 8 if name == "ResNet-18" else 128, dtype)

        def outputs(ours: Any = ours, theirs: Any = theirs) -> float:
            return eps_error(ours.forward()[0], theirs.forward().detach().numpy())

        def check(ours: Any = ours, theirs: Any = theirs) -> float:
            loss = F.cross_entropy(theirs.forward(), theirs.y)
            expected = torch.autograd.grad(loss, list(theirs.peer.parameters()))
            found = risk_and_gradient(ours.net, ours.loss, ours.state.theta, ours.x, ours.y)[1]
            return eps_error(found, np.concatenate([g.numpy().ravel() for g in expected]), 1.0)

        yield Row(
            label(f"whole step, {name}", dtype),
            lambda o=ours: o.backward(o.forward()),
            lambda t=theirs: t.backward(t.forward()),
            goals.get(name, (None, None))[dtype == np.float64],
            flops=2 * 128 * (2 * 784 * 200 + 3 * (200 * 80 + 80 * 10)) if name == "784-200-80-10" else 0,
            compare=outputs if name == "ResNet-18" and dtype == np.float32 else check,  # some units are at the kink
        )


def sparse_products(quick: bool) -> Iterator[Row]:
    """W X and W^T dY for W 784 -> 200 that is mostly 0 and batch 128, and the whole layer, against torch dense."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((128, 784), np.float32), rng.standard_normal((128, 200), np.float32)
    tx, tdy = torch.from_numpy(x), torch.from_numpy(dy)
    goals = ((0.01, 20, 1.9), (0.05, 8, 1.4), (0.1, 5, None), (0.2, 3, None), (0.5, 1, None))
    for density, goal, layer_goal in goals[:: 2 if quick else 1]:
        W = rng.standard_normal((200, 784), np.float32) * (rng.random((200, 784)) < density)
        yield _products_row(W, x, dy, tx, tdy, label(f"CSR products, 784 x 200, density {density}", np.float32), goal)
        yield _layer_row(W, x, dy, tx, tdy, label(f"CSR layer, 784 x 200, density {density}", np.float32), layer_goal)


def _products_row(W: np.ndarray, x: np.ndarray, dy: np.ndarray, tx: Any, tdy: Any, name: str, goal: float) -> Row:
    """The two products, a feature a row, as the kernels keep them."""
    rows, tW, (X, dX, Y, dY) = compress(W), torch.from_numpy(W), map(feature_major, (x, x, dy, dy))
    assert rows is not None
    parts = len(rows.values) * X.shape[1] // csr.GRAIN

    def ours() -> tuple[np.ndarray, np.ndarray]:
        csr.times(team(parts), rows.starts, rows.columns, rows.values, X, Y)
        csr.times_transposed(team(parts), rows.starts, rows.columns, rows.values, dY, dX)
        return Y.T, dX.T

    def theirs() -> tuple[torch.Tensor, torch.Tensor]:
        return tx @ tW.T, tdy @ tW

    def check() -> float:
        return max(eps_error(a, b.numpy()) for a, b in zip(ours(), theirs()))

    return Row(name, ours, theirs, goal, compare=check, flops=4 * 128 * np.count_nonzero(W))


def _layer_row(W: np.ndarray, x: np.ndarray, dy: np.ndarray, tx: Any, tdy: Any, name: str, goal: float | None) -> Row:
    """Compressing W, forward, both gradients (that of W stays dense)."""
    layer, params, tW = Dense(784, 200, bias=False, sparse=1.0), {"weight": W}, torch.from_numpy(W)

    def ours() -> tuple[np.ndarray, ...]:
        y, cache = layer.forward(params, x)
        dx, grads = layer.backward(params, cache, dy)
        return y, dx, grads["weight"]  # type: ignore[index,return-value]

    def theirs() -> tuple[torch.Tensor, ...]:
        return tx @ tW.T, tdy @ tW, tdy.T @ tx

    return Row(name, ours, theirs, goal, compare=lambda: max(eps_error(a, b.numpy()) for a, b in zip(ours(), theirs())))


def pointwise(quick: bool) -> Iterator[Row]:
    """Softmax cross-entropy, ReLU and GELU, forward and backward, in float32."""
    rng, loss = np.random.default_rng(0), CrossEntropy()
    for batch in (128, 10000):
        z, y = rng.standard_normal((batch, 10)).astype(np.float32), rng.integers(0, 10, batch)
        tz, ty = torch.from_numpy(z).requires_grad_(), torch.from_numpy(y)

        def theirs(tz: torch.Tensor = tz, ty: torch.Tensor = ty) -> torch.Tensor:
            return torch.autograd.grad(F.cross_entropy(tz, ty), tz)[0]

        yield Row(
            label(f"softmax cross-entropy {batch} x 10", np.float32),
            lambda z=z, y=y: loss.value_and_gradient(z, y),
            theirs,
            10,
            compare=lambda z=z, y=y, f=theirs: eps_error(loss.value_and_gradient(z, y)[1], f().numpy()),
            moved=2 * z.nbytes,
        )
    for n in (26000, 10**6) if quick else (26000, 10**6, 10**7):
        yield _layer(ReLU(), torch.relu, f"n = {n:.1e}", (1, n), np.float32, None if n == 10**6 else 3, flops=2.0 * n)
        yield _layer(GELU(), F.gelu, f"n = {n:.1e}", (1, n), np.float32, 1)


def images(dtype: Any) -> Iterator[Row]:
    """Batch normalisation and max pooling of images, forward and backward."""

    def normalize(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, None, None, weight, bias, training=True)

    for shape in ((8, 64, 32, 32), (128, 16, 28, 28)):
        what = " x ".join(map(str, shape))
        yield _layer(BatchNorm2d(shape[1]), normalize, what, shape, dtype)
        yield _layer(MaxPool2d(2), lambda x: F.max_pool2d(x, 2), what, shape, dtype)


def _layer(
    layer: Any, function: Any, what: str, shape: Any, dtype: Any, goal: float | None = None, flops: float = 0
) -> Row:
    rng = np.random.default_rng(0)
    x, params = rng.standard_normal(shape).astype(dtype), {k: p.astype(dtype) for k, p in layer.init(rng).items()}
    inputs = [torch.from_numpy(a).requires_grad_() for a in (x, *params.values())]
    dy = rng.standard_normal(tuple(function(*inputs).shape)).astype(dtype)
    tdy = torch.from_numpy(dy)

    def ours() -> list[np.ndarray]:
        _, cache = layer.forward(params, x)
        dx, dparams = layer.backward(params, cache, dy)
        return [dx, *dparams.values()]

    def theirs() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(function(*inputs), inputs, tdy)

    def check() -> float:
        summed = [None, *(dy.size / p.size for p in params.values())]  # terms of each sum
        return max(eps_error(a, b.numpy(), n) for a, b, n in zip(ours(), theirs(), summed))

    return Row(
        label(f"{type(layer).__name__} forward + backward, {what}", dtype),
        ours,
        theirs,
        goal,
        compare=check,
        moved=2 * x.nbytes + 3 * dy.nbytes,
        flops=flops,
    )
