"""Section 4.4: resolution, Fourier layers and trigonometric interpolation, right for every size.

==============  =================================  ====================================================
text            code                               meaning
==============  =================================  ====================================================
d               d, ndim                            number of axes of the grid, trailing in every array
J_N, I_N        spatial_indices, spectral_indices  indices of points and of frequencies on one axis
x_j             grid                               the points of the torus
v, u            v, u                               images on J_N, N = (N_1, ..., N_d)
theta           theta                              a kernel on J_M; all parameters of a network
theta^          theta_hat                          the spectrum of a kernel on I_M, full, in FFT order
F, F^-1         dft, inverse_dft                   the discrete Fourier transform and its inverse
lambda          norm                               its normalisation: "1", "sqrt" (sqrt |J|), "n" (|J|)
T               transform                          lambda F (Lemma 4.29)
C               spatial_convolution                convolution in space
K               spectral_convolution               convolution by spectra (4.38)
theta^{M -> N}  pad_kernel, pad_spectrum           zero-padding of a kernel, and of a spectrum
v^{M-tri->N}    trigonometric_interpolation        trigonometric interpolation
I               resize, Resize                     input interpolation
G, Psi          FourierLayer                       the layer (4.34) with its affine part (4.35)
==============  =================================  ====================================================
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
