"""Section 4.4: resolution, Fourier layers and trigonometric interpolation, right for every size.

==========  ==========================================================================================
d           number of axes of the grid, the trailing axes of every array
v, u        images on J_N, N = (N_1, ..., N_d)
theta       a kernel on J_M
theta_hat   its spectrum on I_M, full, in FFT order
F, lam      discrete Fourier transform and its normalisation: "1", "sqrt" (sqrt |J|), "n" (|J|)
T           lambda F
C, K        spatial and spectral implementation of convolution
M, N, L     sizes of kernel, image, and interpolated image
==========  ==========================================================================================
"""

from refimpl.resolution.conversion import (
    convolutional_network,
    resolution_free,
    spectral_network,
    trigonometric_resnet18,
)
from refimpl.resolution.convolution import (
    spatial_convolution,
    spatial_convolution_channels,
    spectral_convolution,
    spectral_convolution_channels,
    to_spatial,
    to_spectral,
)
from refimpl.resolution.fourier import (
    dft,
    full_spectrum,
    grid,
    half_spectrum,
    half_spectrum_weights,
    hermitian_defect,
    hermitian_part,
    inverse_dft,
    inverse_transform,
    pad_spectrum,
    pad_spectrum_adjoint,
    transform,
)
from refimpl.resolution.interpolation import resize, resize_adjoint, trigonometric_interpolation
from refimpl.resolution.layers import FourierLayer, SpectralConv
from refimpl.resolution.resampling import OversampledActivation, Resize, TrigonometricStride

__all__ = [
    "FourierLayer",
    "OversampledActivation",
    "Resize",
    "SpectralConv",
    "TrigonometricStride",
    "convolutional_network",
    "dft",
    "full_spectrum",
    "grid",
    "half_spectrum",
    "half_spectrum_weights",
    "hermitian_defect",
    "hermitian_part",
    "inverse_dft",
    "inverse_transform",
    "pad_spectrum",
    "pad_spectrum_adjoint",
    "resize",
    "resize_adjoint",
    "resolution_free",
    "spatial_convolution",
    "spatial_convolution_channels",
    "spectral_convolution",
    "spectral_convolution_channels",
    "spectral_network",
    "to_spatial",
    "to_spectral",
    "transform",
    "trigonometric_interpolation",
    "trigonometric_resnet18",
]
