"""Memory of one training step: what the forward pass keeps for backward, and the peak, of refimpl and PyTorch.

Each candidate runs in a process of its own, in which the C library maps every block above 64 kB afresh and returns
it at once, so that the resident set is what is alive. After two steps (compilation, workspaces) are read: the
resident set before a step, after its forward pass, and the highest in between and until its end (``VmHWM``, which
``/proc/self/clear_refs`` resets). Data, theta and the optimizer's state are there before; gradients are part of the
step. refimpl keeps no memory for later arrays here (``numerics.memory``). One way for both libraries; Linux only.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BATCHES = {"784-200-80-10": 4096, "small conv net": 128, "ResNet-18": 8}
EXACT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_TOP_PAD_": "0"}


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """Bytes kept and at the peak, refimpl's and PyTorch's."""
    for name in list(BATCHES)[: 2 if quick else 3]:
        found = {who: _child(name, who) for who in ("ours", "torch")}
        yield {"name": f"{name}, batch {BATCHES[name]} float32", **found}


def _child(name: str, who: str) -> dict[str, float]:
    command = [sys.executable, __file__, name, who]
    done = subprocess.run(command, env=os.environ | EXACT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def line(row: dict[str, Any]) -> str:
    """A row of the table: MB kept and at the peak, each with PyTorch's over ours."""
    ours, torch = row["ours"], row["torch"]
    cells = [f"{ours[k] / 1e6:9.2f} {torch[k] / 1e6:9.2f} {torch[k] / ours[k]:6.2f}" for k in ("kept", "peak")]
    return f"{row['name']:52} {'  '.join(cells)}"


HEADER = (
    f"{'memory of a training step, MB':52} {'kept':>9} {'torch':>9} {'ratio':>6}  {'peak':>9} {'torch':>9} {'ratio':>6}"
)


def peak_above(work: Any) -> dict[str, float]:
    """Bytes above the resident set of before: after ``work()`` (its result alive), and at the highest."""
    from refimpl.numerics import memory

    memory.KEPT = 0
    memory._waiting.clear()
    ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    result = work()
    kept = _status("VmRSS") - before
    del result
    return {"kept": kept, "peak": _status("VmHWM") - before}


def _status(key: str) -> float:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024.0 * int(found[1]) if found else float("nan")


def _measure(name: str, who: str) -> dict[str, float]:
    import numpy as np
    from bench_nets import NETS, pair

    step = pair(NETS[name], BATCHES[name], np.float32)[who == "torch"]
    for _ in range(2):
        step.backward(step.forward())
    kept = peak_above(step.forward)["kept"]
    return {"kept": kept, "peak": peak_above(lambda: step.backward(step.forward()))["peak"]}


if __name__ == "__main__":
    print(json.dumps(_measure(*sys.argv[1:])))
