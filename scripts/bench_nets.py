"""Networks of refimpl, their twins in PyTorch on the same theta, and one LinBreg training step of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from refimpl.setting import Conv2d, CrossEntropy, Dense, Flatten, MaxPool2d, Network, ReLU, mlp, resnet18
from refimpl.sparsity import L1, LinBreg

LAM, TAU = 1e-3, 0.05


def perceptron() -> tuple[Network, nn.Module, tuple[int, ...]]:
    """784-200-80-10; the last entry is the shape of a sample."""
    sizes = [nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 80), nn.ReLU(), nn.Linear(80, 10)]
    return mlp([784, 200, 80, 10]), nn.Sequential(*sizes), (784,)


def small(winograd: bool = False) -> tuple[Network, nn.Module, tuple[int, ...]]:
    """Two 3 x 3 convolutions of 16 and 32 channels on 28 x 28 pixels, each pooled and cut off, and a dense layer."""
    second = Conv2d(16, 32, 3, winograd=winograd)
    net = Network([Conv2d(1, 16, 3), MaxPool2d(2), ReLU(), second, MaxPool2d(2), ReLU(), Flatten(), Dense(1568, 10)])
    peer = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(1568, 10),
    )  # fmt: skip
    return net, peer, (1, 28, 28)


def residual() -> tuple[Network, nn.Module, tuple[int, ...]]:
    """ResNet-18 on 32 x 32 pixels in colour."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    channels = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for s in (stride, 1):
            layers += [_Block(channels, width, s), nn.ReLU()]
            channels = width
    return resnet18(), nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)), (3, 32, 32)


class _Block(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        first, second = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.branch = nn.Sequential(first, nn.BatchNorm2d(c_out), nn.ReLU(), second, nn.BatchNorm2d(c_out))
        change = [nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)]
        self.shortcut = nn.Sequential(*(change if stride > 1 else []))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.branch(x)


NETS: dict[str, Callable[[], tuple[Network, nn.Module, tuple[int, ...]]]] = {
    "784-200-80-10": perceptron,
    "small conv net": small,
    "small conv net, Winograd": partial(small, winograd=True),
    "ResNet-18": residual,
}


class Ours:
    """A training step of refimpl in two halves."""

    def __init__(self, net: Network, theta: np.ndarray, x: np.ndarray, y: np.ndarray):
        self.net, self.x, self.y, self.loss = net, x, y, CrossEntropy()
        self.opt = LinBreg(L1(LAM), TAU)
        self.state = self.opt.init(theta)

    def forward(self) -> Any:
        """f_theta(x) and all that the second half needs."""
        return self.net.vjp(self.state.theta, self.x)

    def backward(self, output: Any) -> None:
        """The gradient and the step, in place."""
        y, pullback = output
        dy = self.loss.value_and_gradient(y, self.y)[1]
        self.opt.step(self.state, pullback(dy, need="parameters")[1], inplace=True)


class Theirs:
    """The same step through PyTorch's autograd, the update in place in as few operators as it has."""

    def __init__(self, peer: nn.Module, x: np.ndarray, y: np.ndarray):
        self.peer, self.x, self.y = peer, torch.from_numpy(x), torch.from_numpy(y)
        self.v = [p.detach() + LAM * torch.sign(p.detach()) for p in peer.parameters()]

    def forward(self) -> torch.Tensor:
        """f_theta(x) with its graph; the gradients of the step before are gone."""
        self.peer.zero_grad()
        return self.peer(self.x)

    def backward(self, output: torch.Tensor) -> None:
        """The gradient and the step."""
        F.cross_entropy(output, self.y).backward()
        with torch.no_grad():
            for p, v in zip(self.peer.parameters(), self.v):
                v.add_(p.grad, alpha=-TAU)
                p.copy_(torch.sign(v) * torch.clamp(torch.abs(v) - LAM, min=0))
        self.peer.zero_grad()


def pair(make: Callable[[], Any], batch: int, dtype: Any) -> tuple[Ours, Theirs]:
    """Both steps on the same data from the same theta."""
    rng = np.random.default_rng(0)
    torch.manual_seed(42)  # the perceptron's units stay 4e-5 away from the kink of ReLU: no derivative left to rounding
    net, peer, shape = make()
    peer = peer.to(torch.float32 if dtype == np.float32 else torch.float64)
    theta = np.concatenate([p.detach().numpy().ravel() for p in peer.parameters()]).astype(dtype)
    x, y = rng.random((batch, *shape)).astype(dtype), rng.integers(0, 10, batch)
    return Ours(net, theta, x, y), Theirs(peer, x, y)
