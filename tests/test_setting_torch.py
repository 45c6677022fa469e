"""Layers, losses and whole networks against PyTorch in float64: the same numbers to 1e-12."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from refimpl.setting import (
    GELU,
    AdaptiveAveragePool2d,
    AveragePool2d,
    BatchNorm2d,
    Conv2d,
    CrossEntropy,
    Dense,
    Layer,
    MaxPool2d,
    Network,
    ReLU,
    Residual,
    Sigmoid,
    SquaredError,
    Tanh,
    convnet,
    mlp,
    resnet18,
    running_statistics,
)

torch = pytest.importorskip("torch")
nn = torch.nn


def same(actual: np.ndarray, expected: Any, tolerance: float = 1e-12) -> None:
    expected = expected.detach().numpy()
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max(initial=0) <= tolerance * np.abs(expected).max(initial=1e-300)


def agree(layer: Layer, module: Any, shape: tuple[int, ...], seed: int = 0, tolerance: float = 1e-12) -> None:
    """Forward, input gradient and parameter gradients; theta is copied into the module in its own order."""
    network = layer if isinstance(layer, Network) else Network([layer])
    rng = np.random.default_rng(seed)
    theta = network.init(rng)
    theta += 0.1 * rng.normal(size=theta.size)
    x = rng.normal(size=shape)
    module = module.double()
    parameters = list(module.parameters())
    assert [tuple(p.shape) for p in parameters] == list(network.shapes.values())
    for p, block in zip(parameters, network.views(theta).values()):
        p.data, p.grad = torch.tensor(block), None
    z = torch.tensor(x, requires_grad=True)
    out = module(z)
    y, pullback = network.vjp(theta, x)
    dy = rng.normal(size=y.shape)
    out.backward(torch.tensor(dy))
    dx, dtheta = pullback(dy)
    same(y, out, tolerance)
    same(dx, z.grad, tolerance)
    for name, p in zip(network.shapes, parameters):
        same(network.views(dtheta)[name], p.grad, tolerance)


@pytest.mark.parametrize("bias", [True, False])
def test_dense(bias: bool) -> None:
    agree(Dense(5, 3, bias), nn.Linear(5, 3, bias), (4, 5))


ODD = list(product((1, 3, 5, (1, 3)), (1, 2, 3, (2, 1)), ((6, 6), (7, 5), (5, 8))))


@pytest.mark.parametrize("kernel, stride, size", ODD)
@pytest.mark.parametrize("padding", ["zero", "circular"])
def test_odd_kernels_are_torch_padding_of_half_the_kernel(padding: str, kernel: Any, stride: Any, size: Any) -> None:
    half = kernel // 2 if isinstance(kernel, int) else tuple(k // 2 for k in kernel)
    mode = {"zero": "zeros", "circular": "circular"}[padding]
    module = nn.Conv2d(2, 3, kernel, stride, half, padding_mode=mode)
    agree(Conv2d(2, 3, kernel, stride, padding), module, (2, 2, *size))
    s = stride if isinstance(stride, tuple) else (stride, stride)
    network = Network([Conv2d(2, 3, kernel, stride, padding)])
    y = network(network.init(0), np.zeros((1, 2, *size)))
    assert y.shape[2:] == tuple(-(-n // t) for n, t in zip(size, s))  # ceil(N / s)


@pytest.mark.parametrize("kernel, size", [*product((2, 4, (2, 3), (5, 4)), ((6, 6), (7, 5)))])
@pytest.mark.parametrize("padding", ["zero", "circular"])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_even_kernels_are_torch_padding_same(padding: str, kernel: Any, size: Any) -> None:
    mode = {"zero": "zeros", "circular": "circular"}[padding]
    module = nn.Conv2d(2, 3, kernel, padding="same", padding_mode=mode)
    agree(Conv2d(2, 3, kernel, 1, padding), module, (2, 2, *size))


@pytest.mark.parametrize("kernel, stride", [*product((1, 2, 3, (4, 3), 5), (1, 2, 3, 6))])
def test_valid_convolution(kernel: Any, stride: int) -> None:
    agree(Conv2d(3, 2, kernel, stride, "valid", bias=False), nn.Conv2d(3, 2, kernel, stride, bias=False), (2, 3, 6, 5))


@pytest.mark.parametrize(
    "size, stride, padding", [(2, None, 0), (3, 2, 1), ((2, 3), (1, 2), (1, 0)), (2, 3, 1), (5, 1, 2)]
)
def test_pooling(size: Any, stride: Any, padding: Any) -> None:
    agree(MaxPool2d(size, stride, padding), nn.MaxPool2d(size, stride, padding), (2, 3, 7, 6))
    agree(AveragePool2d(size, stride, padding), nn.AvgPool2d(size, stride, padding), (2, 3, 7, 6))


def test_max_pool_ties_and_nan() -> None:
    # One NaN a window: of several PyTorch takes the last, we the first.
    x = np.random.default_rng(0).integers(0, 2, (3, 2, 6, 6)).astype(float)
    x[0, 0, 1, 1] = x[0, 0, 4, 4] = np.nan
    z = torch.tensor(x, requires_grad=True)
    out = nn.MaxPool2d(3, 2, 1)(z)
    y, pullback = Network([MaxPool2d(3, 2, 1)]).vjp(np.zeros(0), x)
    dy = np.random.default_rng(1).integers(1, 9, y.shape).astype(float)
    out.backward(torch.tensor(dy))
    np.testing.assert_array_equal(y, out.detach().numpy())
    np.testing.assert_array_equal(pullback(dy)[0], z.grad.numpy())


@pytest.mark.parametrize("output", [1, 2, 3, (5, 7), (8, 2)])
def test_adaptive_pooling(output: Any) -> None:
    agree(AdaptiveAveragePool2d(output), nn.AdaptiveAvgPool2d(output), (2, 3, 5, 7))


@pytest.mark.parametrize(
    "sigma, module", [(ReLU(), nn.ReLU()), (GELU(), nn.GELU()), (Tanh(), nn.Tanh()), (Sigmoid(), nn.Sigmoid())]
)
def test_activations(sigma: Layer, module: Any) -> None:
    agree(sigma, module, (50, 20))


def test_batch_norm_in_training_and_evaluation() -> None:
    module = nn.BatchNorm2d(3)
    agree(BatchNorm2d(3), module, (4, 3, 5, 5))
    network, rng = Network([BatchNorm2d(3)]), np.random.default_rng(0)
    module, running = nn.BatchNorm2d(3).double(), None
    for _ in range(3):
        x = rng.normal(1, 2, (4, 3, 5, 5))
        module(torch.tensor(x))
        running = running_statistics(running, network.vjp(network.init(0), x)[1].statistics)
    same(running["0.mean"], module.running_mean)
    same(running["0.variance"], module.running_var)
    agree(network.evaluation(running), module.eval(), (2, 3, 4, 4))


class Block(nn.Module):
    """x -> w S(x) + F(x), then ReLU when asked; parameters in the order branch, shortcut, w."""

    def __init__(self, branch: Any, shortcut: Any, w: float | None = None, relu: bool = False):
        super().__init__()
        self.branch, self.shortcut, self.relu = branch, shortcut, relu
        self.w = 1.0 if w is None else None
        if w is not None:
            self.scale = nn.Parameter(torch.tensor(w))

    def parameters(self, recurse: bool = True) -> Any:
        scale = [self.scale] if self.w is None else []
        return [*self.branch.parameters(), *self.shortcut.parameters(), *scale]

    def forward(self, x: Any) -> Any:
        y = (self.scale if self.w is None else self.w) * self.shortcut(x) + self.branch(x)
        return torch.relu(y) if self.relu else y


def test_residual_layers() -> None:
    branch = [Dense(4, 4), Tanh()]
    module = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    agree(Residual(branch), Block(module, nn.Sequential()), (3, 4))
    agree(Residual(branch, w=0.5, learn=True), Block(module, nn.Sequential(), w=0.5), (3, 4))
    shortcut = [Dense(4, 2)]
    agree(
        Residual([Dense(4, 2)], learn=True, shortcut=shortcut), Block(nn.Linear(4, 2), nn.Linear(4, 2), w=1.0), (3, 4)
    )


def torch_resnet18() -> Any:
    layers, channels = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for s in (stride, 1):
            branch = nn.Sequential(
                nn.Conv2d(channels, width, 3, s, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, 1, 1, bias=False),
                nn.BatchNorm2d(width),
            )
            change = [nn.Conv2d(channels, width, 1, s, bias=False), nn.BatchNorm2d(width)]
            layers.append(Block(branch, nn.Sequential(*(change if s > 1 else [])), relu=True))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def test_resnet18_whole_gradient() -> None:
    # Twenty batch normalisations amplify rounding: 1e-12 a layer becomes 2e-11 at the first convolution.
    network = resnet18()
    assert network.size == 11_173_962
    agree(network, torch_resnet18(), (4, 3, 16, 16), tolerance=2e-11)


def test_convnet_and_mlp() -> None:
    module = nn.Sequential(
        *(nn.Conv2d(1, 64, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(64, 64, 5), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    assert convnet().size == 236_618
    agree(convnet(), module, (2, 1, 28, 28))
    deep = nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 3), nn.Sigmoid())
    agree(mlp([6, 5, 3], GELU(), Sigmoid()), deep, (4, 6))


@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
def test_losses(size: float) -> None:
    rng = np.random.default_rng(0)
    z, labels = size * rng.normal(size=(6, 5)), rng.integers(0, 5, 6)
    soft = rng.dirichlet(np.ones(5), 6)
    for target, other in ((labels, torch.tensor(labels)), (soft, torch.tensor(soft))):
        logits = torch.tensor(z, requires_grad=True)
        value = nn.functional.cross_entropy(logits, other)
        value.backward()
        same(np.array(CrossEntropy().value(z, target)), value)
        same(CrossEntropy().gradient(z, target), logits.grad)
    y = torch.tensor(z, requires_grad=True)
    value = nn.functional.mse_loss(y, torch.tensor(soft))
    value.backward()
    same(np.array(SquaredError().value(z, soft)), value)
    same(SquaredError().gradient(z, soft), y.grad)
