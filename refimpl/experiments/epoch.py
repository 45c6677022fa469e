"""What an epoch of sparse training costs, of a perceptron and of a convolutional network, and beside PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.experiments import nets
from refimpl.experiments.training import Recipe, train
from refimpl.setting import Conv2d, Dense, Flatten, MaxPool2d, Network, ReLU, convnet, mlp
from refimpl.sparsity import L1, Blocks, LinBreg

Array = np.ndarray
Settings = dict[str, Any]

BATCH = 128
TAU, LAM = 1e-3, 0.1  # small steps: an epoch leaves the density about where it was


def epoch_cell(settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Seconds of an epoch over random samples, the best of some interleaved rounds, by kind of products.

    The perceptron 784-200-80-10 sees 8,192 samples, the network of two convolutions 1,024.
    """
    rng, convolutional = np.random.default_rng(0), settings["network"] == "convolutional"
    network, shape = (convnet(), (8, 1, 28, 28)) if convolutional else (mlp((784, 200, 80, 10)), (64, 784))
    n = BATCH * shape[0]
    x, labels = rng.random((n, *shape[1:]), dtype=np.float32), rng.integers(0, 10, n)
    theta = nets.sparse_start(network, settings["density"], 0)
    ways = {"dense": epoch(network, theta, x, labels), "sparse": epoch(network.skipping_zeros(1.0), theta, x, labels)}
    if settings["torch"]:
        ways["PyTorch"] = torch_epoch(network, theta, x, labels)
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(settings["rounds"]):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            best[way] = min(best[way], time.perf_counter() - start)
    return {"seconds": best}


def epoch(network: Network, theta: Array, x: Array, labels: Array) -> Callable[[], Any]:
    """One epoch of LinBreg by the loop of all experiments."""
    J = Blocks({name: L1(LAM) for name in nets.weights(network)}, network)
    return lambda: train(network, LinBreg(J, TAU), theta, x, labels, Recipe(1, BATCH))


def torch_epoch(network: Network, theta: Array, x: Array, labels: Array) -> Callable[[], Any]:
    """The same epoch in PyTorch on one thread: autograd, and LinBreg written with its in-place operations."""
    import torch

    torch.set_num_threads(1)
    F = torch.nn.functional
    blocks = {name: torch.from_numpy(b.copy()).requires_grad_() for name, b in network.views(theta).items()}
    v = {name: blocks[name].detach() + LAM * blocks[name].detach().sign() for name in nets.weights(network)}
    maps: dict[type, Callable[..., Any]] = {
        Dense: F.linear,
        Conv2d: F.conv2d,
        MaxPool2d: lambda z: F.max_pool2d(z, 2),
        ReLU: torch.relu,
        Flatten: lambda z: z.flatten(1),
    }
    inputs, targets = torch.from_numpy(x), torch.from_numpy(labels)

    def output(z: Any) -> Any:
        for i, layer in enumerate(network.layers):
            z = maps[type(layer)](z, *(blocks[f"{i}.{name}"] for name in layer.shapes))
        return z

    def run() -> None:
        for batch in torch.randperm(len(inputs)).split(BATCH):
            gradients = torch.autograd.grad(F.cross_entropy(output(inputs[batch]), targets[batch]), [*blocks.values()])
            with torch.no_grad():
                for (name, block), g in zip(blocks.items(), gradients):
                    if name in v:
                        block.copy_(F.softshrink(v[name].sub_(g, alpha=TAU), LAM))
                    else:
                        block.sub_(g, alpha=TAU)

    return run


def torch_there() -> bool:
    """Whether PyTorch, an extra, can be imported."""
    return find_spec("torch") is not None
