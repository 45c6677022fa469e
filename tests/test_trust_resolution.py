"""Bad input to every public name of Section 4.4: a value, or an error that names the argument."""

import numpy as np
import pytest
from fuzzing import COUNTS, Call, fuzz

from refimpl import resolution
from refimpl.resolution import FourierLayer, OversampledActivation, Resize, SpectralConv, TrigonometricStride
from refimpl.setting import Conv2d, Flatten, Network, ReLU, Tanh

RNG = np.random.default_rng(0)
V = RNG.normal(size=(4, 5))
KERNEL = RNG.normal(size=(3, 3))
V_HAT = np.fft.fft2(V)
CHANNELS = RNG.normal(size=(2, 3, 4, 5))
KERNELS = RNG.normal(size=(2, 3, 3, 3))
CONVOLUTIONS = Network([Conv2d(3, 2, 3, padding="circular"), ReLU()])
SPECTRAL = Network([SpectralConv(3, 2, (4, 5)), ReLU()])


def applied(make, x, **hyper):
    """A layer as the network users call it: hyper-parameters, theta and x in, outputs and both gradients out."""

    def run(theta, x, **hyper):
        network = Network([make(**hyper)])
        y, pullback = network.vjp(theta, x)
        return y, *pullback(np.ones_like(y))

    arguments = hyper | {"theta": Network([make(**hyper)]).init(0), "x": x}
    return Call(run, arguments, dict.fromkeys(hyper, "theta x shape modes size") | {"x": "v"})


ON_GRID = {"size": "v g ndim v_hat theta theta_hat", "ndim": "v v_hat half", "n": "half"}
PAIR = {"theta": "v", "theta_hat": "v", "v": "theta theta_hat"}
TABLE = {
    "dft": Call(resolution.dft, {"v": V, "norm": "sqrt", "ndim": 2}, ON_GRID),
    "inverse_dft": Call(resolution.inverse_dft, {"v_hat": V_HAT, "norm": 2.0, "ndim": 1}, ON_GRID),
    "transform": Call(resolution.transform, {"theta": V, "ndim": 2}, {"ndim": "theta v", "theta": "v"}),
    "inverse_transform": Call(
        resolution.inverse_transform, {"theta_hat": V_HAT, "ndim": 2}, {"ndim": "v_hat theta_hat", "theta_hat": "v_hat"}
    ),
    "full_spectrum": Call(resolution.full_spectrum, {"half": V_HAT[:, :3], "n": 5, "ndim": 2}, ON_GRID),
    "half_spectrum": Call(resolution.half_spectrum, {"v_hat": V_HAT}),
    "half_spectrum_weights": Call(resolution.half_spectrum_weights, {"n": 5, "dtype": np.float64}, counts=("n",)),
    "hermitian_part": Call(resolution.hermitian_part, {"v_hat": V_HAT, "ndim": 2}, ON_GRID),
    "hermitian_defect": Call(resolution.hermitian_defect, {"v_hat": V_HAT, "ndim": 2}, ON_GRID),
    "grid": Call(resolution.grid, {"n": 5, "dtype": np.float64}, counts=("n",)),
    "pad_spectrum": Call(resolution.pad_spectrum, {"v_hat": V_HAT, "size": (6, 3), "nyquist": "split"}, ON_GRID),
    "pad_spectrum_adjoint": Call(
        resolution.pad_spectrum_adjoint,
        {"w_hat": V_HAT, "size": (6, 3), "nyquist": "literal"},
        {"size": "v_hat w_hat", "w_hat": "v_hat"},
    ),
    "resize": Call(resolution.resize, {"v": V, "size": (6, 3), "method": "bilinear", "antialias": True}, ON_GRID),
    "resize_adjoint": Call(
        resolution.resize_adjoint, {"g": V, "size": (6, 3), "method": "bicubic", "antialias": True}, ON_GRID
    ),
    "trigonometric_interpolation": Call(resolution.trigonometric_interpolation, {"v": V, "size": (6, 3)}, ON_GRID),
    "spatial_convolution": Call(resolution.spatial_convolution, {"theta": KERNEL, "v": V}, PAIR),
    "spatial_convolution_channels": Call(
        resolution.spatial_convolution_channels, {"theta": KERNELS, "v": CHANNELS}, PAIR
    ),
    "spectral_convolution": Call(resolution.spectral_convolution, {"theta_hat": V_HAT, "v": V}, PAIR),
    "spectral_convolution_channels": Call(
        resolution.spectral_convolution_channels, {"theta_hat": KERNELS + 0j, "v": CHANNELS}, PAIR
    ),
    "to_spatial": Call(
        resolution.to_spatial, {"theta_hat": V_HAT, "size": (6, 3)}, {"size": "theta_hat v_hat", "theta_hat": "v_hat"}
    ),
    "to_spectral": Call(resolution.to_spectral, {"theta": KERNEL, "size": (6, 4)}, {"size": "theta"}),
    "SpectralConv": applied(
        SpectralConv, CHANNELS, c_in=3, c_out=2, modes=(3, 4), size=(4, 6), bias=True, parametrization="unitary",
        route="auto",
    ),
    "FourierLayer": applied(
        FourierLayer, CHANNELS, c_in=3, c_out=2, modes=(3, 4), activation=Tanh(), parametrization="half"
    ),
    "Resize": applied(Resize, CHANNELS, size=(6, 3), method="trigonometric", antialias=False),
    "TrigonometricStride": applied(TrigonometricStride, CHANNELS, stride=(2, 1)),
    "OversampledActivation": applied(OversampledActivation, CHANNELS, activation=Tanh(), factor=2),
    "spectral_network": Call(
        resolution.spectral_network,
        {"network": CONVOLUTIONS, "theta": CONVOLUTIONS.init(0), "shape": (3, 4, 5), "modes": (3, 4),
         "parametrization": "half"},
        {"shape": "x size modes"},
    ),
    "convolutional_network": Call(
        resolution.convolutional_network,
        {"network": SPECTRAL, "theta": SPECTRAL.init(0), "shape": (3, 4, 5)},
        {"shape": "x size modes"},
    ),
    "resolution_free": Call(resolution.resolution_free, {"network": Network([Conv2d(1, 2, 3, 2), Flatten()])}),
    "trigonometric_resnet18": Call(
        resolution.trigonometric_resnet18,
        {"classes": 10, "in_channels": 3},
        {"classes": "n_out", "in_channels": "c_in"},
    ),
}  # fmt: skip
for name in ("SpectralConv", "FourierLayer", "Resize", "OversampledActivation"):
    TABLE[name].counts = ("size", "modes", "factor", "c_in", "c_out")


def test_every_public_name_has_an_entry():
    assert set(TABLE) == set(resolution.__all__)


@pytest.mark.parametrize("name", TABLE)
def test_bad_input_is_refused_by_name(name):
    assert fuzz(name, TABLE[name]) == []


def test_the_table_was_tried():
    print(dict(COUNTS))
