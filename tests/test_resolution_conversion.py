"""Convolutional networks as spectral ones and back, and architectures that keep their answer across resolutions."""

import numpy as np
import pytest

from refimpl.numerics import compare
from refimpl.resolution import (
    SpectralConv,
    TrigonometricStride,
    convolutional_network,
    resolution_free,
    spectral_network,
    trigonometric_interpolation,
    trigonometric_resnet18,
)
from refimpl.setting import (
    AdaptiveAveragePool2d,
    BatchNorm2d,
    Chain,
    Conv2d,
    Dense,
    Flatten,
    MaxPool2d,
    Network,
    ReLU,
    Residual,
    Tanh,
    resnet18,
)


def dyadic(shape, seed=0):
    return np.random.default_rng(seed).integers(-512, 512, shape) / 256


def network(kernel):
    return Network(
        [
            Conv2d(2, 3, kernel, padding="circular"),
            Tanh(),
            MaxPool2d(2, 1),
            Residual([Conv2d(3, 3, kernel, padding="circular", bias=False), BatchNorm2d(3)], learn=True),
            Chain([Conv2d(3, 2, kernel, padding="circular")]),
            AdaptiveAveragePool2d(2),
            Flatten(),
            Dense(8, 3),
        ]
    )


@pytest.mark.parametrize("parametrization", ["half", "unitary"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, (2, 5)])
@pytest.mark.parametrize("size", [(7, 7), (8, 8), (6, 9), (5, 4)])
def test_there_and_back_is_exact(size, kernel, parametrization):
    cnn = network(kernel)
    theta, x = cnn.init(rng=1), dyadic((4, 2, *size))
    fno, theta_hat = spectral_network(cnn, theta, (2, *size), parametrization=parametrization)
    assert sum(isinstance(layer, SpectralConv) for layer in fno.layers) == 1
    assert compare.eps_error(fno(theta_hat, x), cnn(theta, x)) <= 256
    back, theta_back = convolutional_network(fno, theta_hat, (2, *size))
    assert compare.eps_error(back(theta_back, x), cnn(theta, x)) <= 256


def test_fewer_coefficients_change_the_function_and_all_of_them_do_not():
    cnn = Network([Conv2d(1, 2, 3, padding="circular", bias=False)])
    theta, x = cnn.init(rng=0), dyadic((1, 1, 9, 9))
    errors = []
    for modes in (3, 5, 7, 9, (9, 9)):
        fno, theta_hat = spectral_network(cnn, theta, (1, 9, 9), modes)
        errors.append(np.linalg.norm(fno(theta_hat, x) - cnn(theta, x)) / np.linalg.norm(cnn(theta, x)))
    assert errors[0] > 0.3 and errors[2] > 0.1 and errors[3] < 1e-14 and errors[4] < 1e-14


def test_dtype_is_kept():
    cnn = Network([Conv2d(1, 2, 3, padding="circular")])
    theta = cnn.init(rng=0, dtype=np.float32)
    fno, theta_hat = spectral_network(cnn, theta, (1, 6, 6))
    assert theta_hat.dtype == np.float32
    assert fno(theta_hat, np.ones((1, 1, 6, 6), np.float32)).dtype == np.float32


def test_resolution_free_networks_answer_alike_on_finer_grids():
    cnn = Network([Conv2d(1, 3, 3, 2, "zero"), Conv2d(3, 2, 2, (1, 3)), AdaptiveAveragePool2d(1), Flatten()])
    free = resolution_free(cnn)
    theta = cnn.init(rng=0)
    assert free.size == cnn.size
    fno, theta_hat = spectral_network(free, theta, (1, 9, 9))
    x = dyadic((2, 1, 9, 9))
    fine = trigonometric_interpolation(x, (17, 21))
    assert compare.eps_error(fno(theta_hat, x), free(theta, x)) <= 64
    assert compare.eps_error(fno(theta_hat, fine), fno(theta_hat, x)) <= 64


def test_strides_become_interpolation_and_theta_stays():
    x, theta = dyadic((1, 1, 7, 8)), np.array([2.0])
    free = resolution_free(Network([Conv2d(1, 1, 1, (2, 3), bias=False)]))
    assert compare.eps_error(free(theta, x), 2 * trigonometric_interpolation(x, (4, 3))) <= 8
    plain = Network([Conv2d(1, 1, 1, bias=False), ReLU()])
    assert resolution_free(plain).layers == (Conv2d(1, 1, 1, padding="circular", bias=False), ReLU())


def test_resnet18_with_trigonometric_striding():
    net = trigonometric_resnet18(classes=5, in_channels=1)
    assert net.size == resnet18(5, 1).size
    strides = [layer for layer in flat(net.layers) if isinstance(layer, TrigonometricStride)]
    assert len(strides) == 6
    assert all(c.stride == (1, 1) and c.padding == "circular" for c in flat(net.layers) if isinstance(c, Conv2d))
    theta = net.init(rng=0, dtype=np.float32)
    assert net(theta, dyadic((2, 1, 9, 10)).astype(np.float32)).shape == (2, 5)


def flat(layers):
    for layer in layers:
        if isinstance(layer, Chain):
            yield from flat(layer.layers)
        elif isinstance(layer, Residual):
            yield from flat([layer.branch, layer.shortcut])
        else:
            yield layer


@pytest.mark.parametrize(
    "call,name",
    [
        (lambda: spectral_network(Network([Conv2d(1, 1, 3)]), np.zeros(10), (1, 5, 5)), "network"),
        (lambda: spectral_network(Network([Conv2d(1, 1, 1, 2, "circular")]), np.zeros(2), (1, 5, 5)), "network"),
        (lambda: spectral_network(Network([Conv2d(1, 1, 3, 1, "circular")]), np.zeros(9), (1, 5, 5)), "theta"),
        (lambda: convolutional_network(Network([SpectralConv(1, 1, 3)]), np.zeros(5), (1, 5)), "network"),
        (
            lambda: convolutional_network(Network([SpectralConv(1, 1, (1, 1), (2, 2))]), np.zeros(3), (1, 5, 5)),
            "network",
        ),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        call()
