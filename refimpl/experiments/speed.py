"""Does sparsity make training faster? Time and memory of one layer's step against its density, dense and CSR."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.experiments import epoch
from refimpl.experiments.figures import canvas, style
from refimpl.experiments.run import Run
from refimpl.numerics.kernels import csr, shrinkage
from refimpl.numerics.sparse import feature_major
from refimpl.numerics.threads import team

Array = np.ndarray
Settings = dict[str, Any]
Results = dict[tuple[tuple[int, int], float], dict[str, Any]]

LAYERS = ((784, 200), (1000, 1000))
DENSITIES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
EPOCHS = (0.01, 0.05, 0.2, 1.0)  # densities
BATCH = 128
PARTS = ("forward", "input gradient", "weight gradient", "update")


def cell(settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Times of the four parts of a step, dense and CSR, the best of many interleaved rounds; their largest deviation.

    With feature-major X (n_in, B): Y = W X, dX = W^T dY, dW = dY X^T, and v -= tau dW, W = soft(v, lam), to which CSR
    adds that its index must be built again. dW is dense either way, since v needs all of it.
    """
    rng = np.random.default_rng(0)
    n_in, n_out = settings["layer"]
    W = rng.standard_normal((n_out, n_in), dtype=np.float32)
    W[rng.random(W.shape) >= settings["density"]] = 0
    X, dY = (feature_major(rng.standard_normal((BATCH, n), dtype=np.float32)) for n in (n_in, n_out))
    work = _work(W, X, dY)
    differences = [_deviation(work["dense"][part](), work["CSR"][part]()) for part in PARTS[:2]]
    best = {way: dict.fromkeys(PARTS, float("inf")) for way in work}
    for _ in range(settings["rounds"]):
        for part in PARTS:
            for way in work:
                start = time.perf_counter()
                work[way][part]()
                best[way][part] = min(best[way][part], time.perf_counter() - start)
    return {"seconds": best, "deviation": max(differences)}


def _work(W: Array, X: Array, dY: Array) -> dict[str, dict[str, Callable[[], Any]]]:
    """The four parts as functions, dense and CSR; the step has tau = 0, so that every round does the same work."""
    n, m = W.shape
    starts, columns, values = csr.starts_of(W.shape), np.empty(n * m, np.uint32), np.empty(n * m, W.dtype)
    Y, dX, dW = feature_major(dY.T), feature_major(X.T), np.empty_like(W)
    lam = np.float32(0.1)
    v, theta = (W + lam * np.sign(W)).reshape(-1), np.empty(n * m, W.dtype)

    def update() -> Array:
        shrinkage.linbreg_soft(
            team(v.size // shrinkage.GRAIN), v, dW.reshape(-1), np.float32(0), np.float32(1), lam, theta
        )
        return theta.reshape(W.shape)

    def update_csr() -> None:
        new = update()
        csr.count(new, starts)
        csr.compress(new, columns, values)

    def parts() -> int:
        return int(starts[-1]) * X.shape[1] // csr.GRAIN

    def forward_csr() -> Array:
        csr.times(team(parts()), starts, columns, values, X, Y)
        return Y

    def input_gradient_csr() -> Array:
        csr.times_transposed(team(parts()), starts, columns, values, dY, dX)
        return dX

    weight_gradient = partial(np.matmul, dY, X.T, out=dW)
    weight_gradient()
    update_csr()
    dense = (partial(np.matmul, W, X), partial(np.matmul, W.T, dY), weight_gradient, update)
    return {
        "dense": dict(zip(PARTS, dense)),
        "CSR": dict(zip(PARTS, (forward_csr, input_gradient_csr, weight_gradient, update_csr))),
    }


def _deviation(a: Array, b: Array) -> float:
    return float(np.max(np.abs(a - b)) / max(float(np.max(np.abs(a))), 1e-30))


def memory(shape: tuple[int, int], density: float) -> dict[str, int]:
    """Bytes in float32 with 32-bit indices: W dense and CSR; v and dW, which LinBreg always keeps dense."""
    n_in, n_out = shape
    entries = round(density * n_in * n_out)
    return {"dense": 4 * n_in * n_out, "CSR": 8 * entries + 4 * (n_out + 1), "v and dW": 8 * n_in * n_out}


def sparse_speed(run: Run) -> None:
    """Ours: where CSR beats dense products in training, and what that leaves of a whole step."""
    rounds = 30 if run.quick else 150
    settings: list[Settings] = [{"layer": list(n), "density": d, "rounds": rounds} for n in LAYERS for d in DENSITIES]
    results: Results = {(tuple(s["layer"]), s["density"]): r for s, r in zip(settings, run.cells(cell, settings))}
    _draw(run, results)
    rows = [(n[0], n[1], d, *memory(n, d).values(), 1 / 3 + 2 / 3 * d) for n in LAYERS for d in DENSITIES]
    columns = ("n_in", "n_out", "density", "bytes dense", "bytes CSR", "bytes v and dW", "flops against dense")
    run.table(columns, rows)
    times = [
        (*n, d, way, part, r["seconds"][way][part])
        for (n, d), r in results.items()
        for way in r["seconds"]
        for part in PARTS
    ]
    run.table(("n_in", "n_out", "density", "way", "part", "seconds"), times, "sparse-speed-times")
    run.found = {f"{n[0]} x {n[1]}": _summary(n, results) for n in LAYERS} | {"an epoch": _epochs(run)}


def _epochs(run: Run) -> dict[str, Any]:
    """Whole epochs of both networks by density; beside PyTorch where it is installed."""
    common = {"rounds": 3 if run.quick else 15, "torch": epoch.torch_there()}
    cells = [("perceptron", d) for d in EPOCHS] + [("convolutional", d) for d in EPOCHS[::3]]
    results = run.cells(epoch.epoch_cell, [common | {"network": n, "density": d} for n, d in cells])
    ways = list(results[0]["seconds"])
    rows = [(n, d, *r["seconds"].values()) for (n, d), r in zip(cells, results)]
    run.table(("network", "density", *(f"seconds, {way}" for way in ways)), rows, "sparse-speed-epoch")
    return {f"seconds, {n} at density {d:g}": r["seconds"] for (n, d), r in zip(cells, results)}


def _summary(n: tuple[int, int], results: Results) -> dict[str, Any]:
    gain = {d: _speedup(results[n, d], PARTS[:2]) for d in DENSITIES}
    return {
        "product speedup by density": {str(d): round(g, 3) for d, g in gain.items()},
        "step speedup by density": {str(d): round(_speedup(results[n, d], PARTS), 3) for d in DENSITIES},
        "densest at which CSR products win": max((d for d, g in gain.items() if g > 1), default=None),
        "largest deviation CSR against dense": max(results[n, d]["deviation"] for d in DENSITIES),
    }


def _speedup(result: dict[str, Any], parts: tuple[str, ...]) -> float:
    dense, compressed = (sum(result["seconds"][way][part] for part in parts) for way in ("dense", "CSR"))
    return dense / compressed


def _draw(run: Run, results: Results) -> None:
    with canvas(1, 3, width=7, height=2.4) as (figure, axes):
        for i, n in enumerate(LAYERS):
            label = f"{n[0]} x {n[1]}"
            for ax, parts in zip(axes, (PARTS[:2], PARTS)):
                gain = [_speedup(results[n, d], parts) for d in DENSITIES]
                ax.plot(DENSITIES, gain, label=label, **style(1 + i))
        for ax, title in zip(axes, ("forward and input gradient", "whole step")):
            ax.axhline(1, color="black", linewidth=0.8)
            ax.set(xscale="log", yscale="log", xlabel="density of W", title=f"{title}: speed of CSR")
        axes[1].set_yticks([0.25, 0.5, 1, 2, 3], ["0.25", "0.5", "1", "2", "3"])
        axes[1].minorticks_off()
        limit = [3 / (1 + 2 * d) for d in DENSITIES]
        axes[1].plot(DENSITIES, limit, ":", color="black", label="limit by operations")
        axes[1].legend()
        for i, (name, label) in enumerate((("dense", "W dense"), ("CSR", "W as CSR"), ("v and dW", "v and dW"))):
            axes[2].plot(DENSITIES, [memory(LAYERS[0], d)[name] / 1e6 for d in DENSITIES], label=label, **style(i))
        axes[2].set(xscale="log", yscale="log", xlabel="density of W", title="megabytes, 784 x 200")
        axes[2].legend()
        run.figure(figure, "sparse-speed", SPEED)


SPEED = """One layer's training step, batch 128, float32, one thread, best of many interleaved rounds. Left: CSR
    products beat dense ones below the density at which the curve crosses 1. Middle: of the whole step less is gained,
    because the weight gradient stays dense; three times as fast is the limit. Right: W shrinks with its density, v
    and dW do not, so training needs no less memory."""
