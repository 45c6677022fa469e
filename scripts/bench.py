"""Times of refimpl beside PyTorch and the machine's own limits, interleaved in one process.

    python scripts/bench.py [--quick] [--threads 1] [--only conv] [--tuned] [--json FILE] [--plot FILE]
    python scripts/bench.py --growth [--quick] [--json FILE] [--plot FILE]

Every row first checks that the results agree (the error is printed in eps of the largest entry), then runs
refimpl, PyTorch and, where it is of interest, plain NumPy in turn for many rounds. Printed are the median
times, the spread (quartiles over median), PyTorch's time over ours (> 1: faster than PyTorch), the goal for
that ratio, and the share of the limit: the time that the bytes need at copy bandwidth, or the operations at the
fused multiply-add peak, whichever is longer, over ours (above 1 within the caches, which are faster). A goal with a
star asks for more than that limit. Below the table: memory of a training step (``bench_memory.py``) and start-up
(``bench_startup.py``); instead of it, with ``--growth``, the orders of time and memory (``bench_growth.py``).
Absolute times mean nothing elsewhere, ratios carry over roughly. ``--plot`` draws the roofline and the ratios, or the
growth.

The allocator matters: by default large arrays are mapped afresh in every call, in PyTorch too; refimpl takes up its
own old ones (``refimpl.numerics.memory``). ``--tuned`` runs both under a raised ``MALLOC_MMAP_THRESHOLD_``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
PAUSE = 0.01  # seconds: threads of the one before (OpenMP's, BLAS's) wait actively for a moment, and take a processor


@dataclass
class Row:
    """One piece of work: how refimpl, torch and NumPy do it, what it moves and computes, the goal."""

    name: str
    ours: Callable[[], Any]
    torch: Callable[[], Any] | None
    goal: float | None = None
    numpy: Callable[[], Any] | None = None
    compare: Callable[[], float] | None = None
    moved: float = 0.0  # bytes
    flops: float = 0.0
    tolerance: float = 64.0
    times: dict[str, list[float]] = field(default_factory=dict)


def median(values: list[float]) -> float:
    """The median of a few numbers."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def run(row: Row, rounds: int, seconds: float) -> dict[str, Any]:
    """Check, warm up, then time the candidates in turn; at least `rounds` rounds and at most about `seconds`."""
    error = row.compare() if row.compare else 0.0
    candidates = {n: f for n, f in (("ours", row.ours), ("torch", row.torch), ("numpy", row.numpy)) if f}
    repeat = {name: _repetitions(f) for name, f in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    started = time.perf_counter()
    while len(times["ours"]) < rounds or (time.perf_counter() - started < seconds and len(times["ours"]) < 5 * rounds):
        for name, f in candidates.items():
            time.sleep(PAUSE)
            begin = time.perf_counter()
            for _ in range(repeat[name]):
                f()
            times[name].append((time.perf_counter() - begin) / repeat[name])
    return {"name": row.name, "error": error, "tolerance": row.tolerance, "goal": row.goal, **_summary(row, times)}


def _repetitions(f: Callable[[], Any]) -> int:
    f()
    seconds = []
    for _ in range(3):  # the first ones wake threads
        begin = time.perf_counter()
        f()
        seconds.append(time.perf_counter() - begin)
    return max(1, int(1e-2 / max(min(seconds), 1e-7)))


def _summary(row: Row, times: dict[str, list[float]]) -> dict[str, Any]:
    ours = median(times["ours"])
    ordered = sorted(times["ours"])
    spread = (ordered[3 * len(ordered) // 4] - ordered[len(ordered) // 4]) / ours
    result = {"seconds": {k: median(v) for k, v in times.items()}, "spread": spread, "rounds": len(ordered)}
    result["ratio"] = median(times["torch"]) / ours if row.torch else None
    result["intensity"] = float(row.flops / row.moved) if row.moved and row.flops else None
    return result | {"moved": float(row.moved), "flops": float(row.flops)}


def main() -> int:
    """Run the rows, print the table, write JSON and the roofline plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and sizes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--tuned", action="store_true", help="raise the allocator's mmap threshold")
    parser.add_argument("--rounds", type=int, default=0, help="rounds a row (default 15, quick 5)")
    parser.add_argument("--growth", action="store_true", help="time and memory over n, batch, channels, pixels, modes")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    if find_spec("torch") is None:
        parser.error("it compares with PyTorch: python -m pip install '.[torch]'")
    _environment(args)
    sys.path.insert(0, str(ROOT))
    return _growth(args) if args.growth else _table(args)


def _table(args: argparse.Namespace) -> int:
    import bench_rows

    limits = bench_rows.limits()
    print(f"{platform.processor() or platform.machine()}, {args.threads} thread(s), torch {bench_rows.torch_version()}")
    print("limits: " + ", ".join(f"{k} {v / 1e9:.0f} G" for k, v in limits.items()), flush=True)
    print(f"{'work':52} {'ours':>9} {'torch':>9} {'ratio':>6} {'goal':>5} {'limit':>6} {'spread':>6} {'eps':>6}")
    results = []
    for row in bench_rows.rows(args.quick):
        if args.only in row.name:
            results.append(run(row, args.rounds or (5 if args.quick else 15), 0.5 if args.quick else 2.0))
            print(_line(results[-1], limits), flush=True)
    print(_reached(results, limits))
    below = {} if args.only else _processes(args.quick)
    about = {"threads": args.threads, "tuned": args.tuned, "limits": limits}
    _write(args, about | {"rows": results} | below)
    if args.plot:
        import bench_plots

        bench_plots.bench(args.plot, limits, results)
    wrong = [r["name"] for r in results if not r["error"] <= r["tolerance"]]
    if wrong:
        print("results disagree: " + ", ".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


def _processes(quick: bool) -> dict[str, Any]:
    """Memory and start-up, measured in processes of their own."""
    import bench_memory
    import bench_startup

    memory, startup = [], {}
    if sys.platform == "linux":
        print(bench_memory.HEADER)
        for row in bench_memory.rows(quick):
            memory.append(row)
            print(bench_memory.line(row), flush=True)
    for name, seconds in bench_startup.rows():
        startup[name] = seconds
        print(f"{name:52} {seconds:7.2f} s", flush=True)
    return {"memory": memory, "startup": startup}


def _growth(args: argparse.Namespace) -> int:
    import bench_growth

    print(bench_growth.HEADER)
    rows = []
    for row in bench_growth.rows(args.quick):
        rows.append(row)
        print(bench_growth.line(row), flush=True)
    _write(args, {"threads": args.threads, "growth": rows})
    if args.plot:
        import bench_plots

        bench_plots.growth(args.plot, rows)
    return 0


def _environment(args: argparse.Namespace) -> None:
    """Thread counts must be set before the libraries load; the allocator before the process starts."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "REFIMPL_NUM_THREADS")
    wanted = dict.fromkeys(names, str(args.threads))
    if args.tuned:
        wanted |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 31)}
    if any(os.environ.get(k) != v for k, v in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)


def _limit(r: dict[str, Any], limits: dict[str, float]) -> float:
    """The seconds that the bytes or the operations of a row need."""
    return max(r["moved"] / limits["copy B/s"], r["flops"] / limits[f"fma {r['name'].split()[-1]} flop/s"])


def _beyond(r: dict[str, Any], limits: dict[str, float]) -> bool:
    """Whether the goal asks for more than the limit, where that is one: caches and other sums may be faster."""
    ours, limit = r["seconds"]["ours"], _limit(r, limits)
    return bool(r["goal"]) and limit <= ours and r["seconds"]["torch"] < r["goal"] * limit


def _reached(results: list[dict[str, Any]], limits: dict[str, float]) -> str:
    wanted = [r for r in results if r["goal"]]
    reached, beyond = sum(r["ratio"] >= r["goal"] for r in wanted), sum(_beyond(r, limits) for r in wanted)
    return f"goals: {reached} of {len(wanted)} reached; {beyond} (*) ask for more than this machine's limits"


def _line(r: dict[str, Any], limits: dict[str, float]) -> str:
    torch, limit = r["seconds"].get("torch"), _limit(r, limits) / r["seconds"]["ours"]
    cells = [
        _time(r["seconds"]["ours"]),
        _time(torch) if torch else "",
        f"{r['ratio']:.2f}" if torch else "",
        f"{r['goal']:g}{'*' * _beyond(r, limits)}" if r["goal"] else "",
    ]
    shown = f"{cells[0]:>9} {cells[1]:>9} {cells[2]:>6} {cells[3]:>5} {f'{limit:.0%}' if limit else '':>6}"
    return f"{r['name']:52} {shown} {r['spread']:6.0%} {r['error']:6.1f}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def _write(args: argparse.Namespace, found: dict[str, Any]) -> None:
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
