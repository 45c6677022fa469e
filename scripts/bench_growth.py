"""Time and peak memory over n, batch, channels, resolution and modes, with the fitted and the expected order.

The order is the slope of a straight line through the upper half of the points on log-log axes: small sizes show the
cost of a call. Expected is the order of the dominant count of operations, and of bytes alive at once. Memory is
measured as in ``bench_memory.py``, by one process a library.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

Work = Callable[[], Any]


class Curve(NamedTuple):
    """What grows, over which sizes, and the orders expected of time and memory."""

    name: str
    sizes: tuple[int, ...]
    make: Callable[[int], dict[str, Work]]
    time: float
    memory: float


def curves() -> list[Curve]:
    """The curves, in float32; the theory of each in the numbers behind it."""
    channels, pixels = (16, 32, 64, 128, 256), (14, 28, 56, 112)
    return [
        Curve("LinBreg step over n", (10**3, 10**4, 10**5, 10**6, 10**7), _step, 1, 0),  # in place: no extra memory
        Curve("convolution over batch", (4, 8, 16, 32, 64, 128), lambda n: _conv(n, 16, 28), 1, 1),
        Curve("convolution over channels", channels, lambda c: _conv(8, c, 28), 2, 1),  # c^2 products on c images
        Curve("convolution over resolution", pixels, lambda n: _conv(8, 16, n), 2, 2),
        Curve("spectral layer over resolution", (32, 64, 128, 256), lambda n: _spectral(9, n), 2, 2),
        Curve("spectral layer over modes", (5, 9, 17, 29, 57), lambda m: _spectral(m, 128), 1, 0),  # N^2 m; x, y fixed
    ]


def _step(n: int) -> dict[str, Work]:
    from bench_steps import steps

    row = next(steps(n, np.float32))
    return {"ours": row.ours, "torch": row.torch or row.ours}


def _conv(batch: int, channels: int, size: int) -> dict[str, Work]:
    import torch

    from refimpl.setting import Conv2d

    rng, shape = np.random.default_rng(0), (batch, channels, size, size)
    layer, x, dy = Conv2d(channels, channels, 3), *rng.standard_normal((2, *shape), np.float32)
    params = {name: p.astype(np.float32) for name, p in layer.init(rng).items()}
    peer = torch.nn.Conv2d(channels, channels, 3, padding=1)
    tx, tdy = torch.from_numpy(x).requires_grad_(), torch.from_numpy(dy)
    return {
        "ours": lambda: layer.backward(params, layer.forward(params, x)[1], dy),
        "torch": lambda: torch.autograd.grad(peer(tx), (tx, *peer.parameters()), tdy),
    }


def _spectral(modes: int, size: int) -> dict[str, Work]:
    from bench_fourier import spectral

    row = spectral(modes, size, np.float32, batch=8)
    return {"ours": row.ours, "torch": row.torch or row.ours}


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """For every curve the sizes, seconds, bytes, and the fitted beside the expected orders."""
    memory = {who: _child(who, quick) for who in ("ours", "torch")}
    for curve in curves():
        sizes = _sizes(curve, quick)
        seconds = _seconds(curve, sizes)
        found = {"time": seconds, "memory": {who: memory[who][curve.name] for who in memory}}
        for kind, expected in (("time", curve.time), ("memory", curve.memory)):
            orders = {who: order(sizes, values) for who, values in found[kind].items()}
            yield {"name": curve.name, "kind": kind, "sizes": sizes, "expected": expected, "orders": orders} | found[
                kind
            ]


def _sizes(curve: Curve, quick: bool) -> list[int]:
    return list(curve.sizes[: 4 if quick else None])


def _seconds(curve: Curve, sizes: list[int]) -> dict[str, list[float]]:
    """Medians of 15 rounds in turn, after one that compiles."""
    found: dict[str, list[float]] = {"ours": [], "torch": []}
    for size in sizes:
        works = curve.make(size)
        times: dict[str, list[float]] = {who: [] for who in works}
        for _ in range(16):
            for who, work in works.items():
                begin = time.perf_counter()
                work()
                times[who].append(time.perf_counter() - begin)
        for who, taken in times.items():
            found[who].append(sorted(taken[1:])[7])
    return found


def order(sizes: list[int], values: list[float]) -> float | None:
    """The slope of log(value) over log(size), the upper half of the points; None where nothing measurable grows."""
    half = max(2, (len(sizes) + 1) // 2)
    upper = np.array(values[-half:])
    return float(np.polyfit(np.log(sizes[-half:]), np.log(upper), 1)[0]) if (upper > 0).all() else None


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    cells = " ".join(f"{'none' if o is None else f'{o:.2f}':>9}" for o in row["orders"].values())
    return f"{row['name'] + ', ' + row['kind']:52} {cells} {row['expected']:>9g}"


HEADER = f"{'order of growth':52} {'ours':>9} {'torch':>9} {'expected':>9}"


def _child(who: str, quick: bool) -> dict[str, list[float]]:
    from bench_memory import EXACT

    command = [sys.executable, __file__, who, *["quick"] * quick]
    done = subprocess.run(command, env=os.environ | EXACT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def _memory(who: str, quick: bool) -> dict[str, list[float]]:
    """Curve -> bytes at the peak above the resident set before; the second call counts."""
    from bench_memory import peak_above

    found: dict[str, list[float]] = {}
    for curve in curves():
        found[curve.name] = []
        for size in _sizes(curve, quick):
            work = curve.make(size)[who]
            work()
            found[curve.name].append(peak_above(work)["peak"])
    return found


if __name__ == "__main__":
    print(json.dumps(_memory(sys.argv[1], "quick" in sys.argv)))
