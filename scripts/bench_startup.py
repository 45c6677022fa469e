"""Seconds of fresh processes: imports, and first calls with an empty cache, a warm one, and no compilation at all."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

IMPORTS = {"a Python process": ""} | {
    f"import {name}": f"import {name}"
    for name in ("numpy", "refimpl", "refimpl.setting", "refimpl.sparsity", "refimpl.resolution", "refimpl.robustness")
}
FIRST_CALLS = {
    "first LinBreg step": """
from refimpl.sparsity import L1, LinBreg
opt = LinBreg(L1(1), 1)
opt.step(opt.init([1.0, 2.0]), [1.0, 2.0])""",
    "first convolution": """
import numpy as np
from refimpl.setting import Conv2d, Network
net = Network([Conv2d(16, 16, 3)])
net(net.init(0), np.ones((2, 16, 8, 8)))""",
    "first training step, perceptron": """
import numpy as np
from refimpl.setting import CrossEntropy, mlp, risk_and_gradient
from refimpl.sparsity import L1, LinBreg
net, opt = mlp([784, 200, 80, 10]), LinBreg(L1(1e-3), 0.1)
state = opt.init(net.init(0))
opt.step(state, risk_and_gradient(net, CrossEntropy(), state.theta, np.ones((8, 784)), np.arange(8))[1])""",
    "first training step, small conv net": """
import numpy as np
from refimpl.setting import Conv2d, CrossEntropy, Dense, Flatten, MaxPool2d, Network, ReLU, risk_and_gradient
from refimpl.sparsity import L1, LinBreg
below, above = [Conv2d(1, 16, 3), MaxPool2d(2), ReLU()], [Conv2d(16, 32, 3), MaxPool2d(2), ReLU()]
net = Network([*below, *above, Flatten(), Dense(32, 10)])
opt = LinBreg(L1(1e-3), 0.1)
state = opt.init(net.init(0))
opt.step(state, risk_and_gradient(net, CrossEntropy(), state.theta, np.ones((8, 1, 4, 4)), np.arange(8))[1])""",
    "first spectral layer": """
import numpy as np
from refimpl.resolution import SpectralConv
from refimpl.setting import Network
net = Network([SpectralConv(4, 4, (5, 5))])
net.vjp(net.init(0), np.ones((2, 4, 28, 28)))[1](np.ones((2, 4, 28, 28)))""",
    'refimpl verify "4.2 projection"': """
from refimpl.cli import main
raise SystemExit(main(['verify', '4.2 projection']))""",
}


def rows() -> Iterator[tuple[str, float]]:
    """What, and the seconds of a process that does it."""
    for name, code in IMPORTS.items():
        yield name, _seconds(code, {})
    for name, code in FIRST_CALLS.items():
        with tempfile.TemporaryDirectory() as cache:
            empty = {"NUMBA_CACHE_DIR": cache, "REFIMPL_CACHE": os.path.join(cache, "evidence")}
            for state in ("empty cache", "warm cache"):
                yield f"{name}, {state}", _seconds(code, empty)
        yield f"{name}, REFIMPL_JIT=0", _seconds(code, {"REFIMPL_JIT": "0"})


def _seconds(code: str, environment: dict[str, str]) -> float:
    begin = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, "-c", code], env=os.environ | environment, check=True, **quiet)
    return time.perf_counter() - begin
