"""Convolutional networks into spectral ones and back (Lemma 4.29); architectures free of resolution (Section 4.4.3)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from refimpl.numerics import validate
from refimpl.resolution import convolution, fourier
from refimpl.resolution.fourier import Array, Size
from refimpl.resolution.layers import Parametrization, SpectralConv
from refimpl.resolution.resampling import TrigonometricStride
from refimpl.setting import builders
from refimpl.setting.convolution import Conv2d, pair
from refimpl.setting.layer import Chain, Layer, Params, prefixed, scoped
from refimpl.setting.layers import Residual
from refimpl.setting.network import Network

Change = Callable[[Layer, Params, tuple[int, ...]], tuple[Layer, Params]]


def spectral_network(
    network: Network,
    theta: Array,
    shape: Sequence[int],
    modes: Size | None = None,
    parametrization: Parametrization = "half",
) -> tuple[Network, Array]:
    """Every `Conv2d` of a trained network as a `SpectralConv`: the same function on inputs of this shape (Lemma 4.29).

    Parameters
    ----------
    theta : the parameters of ``network``.
    shape : (channels, N_1, N_2) of one input sample, the size the network was trained on.
    modes : how many Fourier coefficients each layer keeps; by default as many as its input has points. With
        fewer the new network is no longer the same function.

    Returns
    -------
    (network', theta') : also accept inputs of other sizes, where each layer acts on the same frequencies.

    Raises
    ------
    ValueError : a Conv2d that is not circular or has a stride; see `resolution_free`.
    """

    def change(layer: Layer, params: Params, size: tuple[int, ...]) -> tuple[Layer, Params]:
        if not isinstance(layer, Conv2d):
            return layer, params
        if layer.padding != "circular" or pair("stride", layer.stride) != (1, 1):
            validate.fail("network", "convolutions with circular padding and stride 1", repr(layer))
        kept = size if modes is None else _modes(modes)
        new = SpectralConv(layer.c_in, layer.c_out, kept, bias=layer.bias, parametrization=parametrization)
        theta_hat = convolution.to_spectral(kernel_of_correlation(params["weight"], size), size)
        return new, new.from_spectrum(fourier.pad_spectrum(theta_hat, kept), params.get("bias"))

    return _converted(network, theta, shape, change)


def _modes(modes: Size) -> tuple[int, ...]:
    """One number for both axes, or one for each."""
    kept = fourier.sizes("modes", modes)
    if len(kept) > 2:
        validate.fail("modes", "one or two sizes", validate.describe(modes))
    return kept if len(kept) == 2 else 2 * kept


def convolutional_network(network: Network, theta: Array, shape: Sequence[int]) -> tuple[Network, Array]:
    """Every two-dimensional `SpectralConv` as a circular `Conv2d` whose kernel fills the grid (Lemma 4.29, backwards).

    Raises
    ------
    ValueError : a SpectralConv in other dimensions, or one that changes the size of its input.
    """

    def change(layer: Layer, params: Params, size: tuple[int, ...]) -> tuple[Layer, Params]:
        if not isinstance(layer, SpectralConv):
            return layer, params
        if len(layer.modes) != 2 or layer.size not in (None, size):
            validate.fail("network", "spectral layers on images that keep the size", repr(layer))
        kernel = correlation_of_kernel(convolution.to_spatial(layer.spectrum(params), size))
        new = Conv2d(layer.c_in, layer.c_out, (size[0], size[1]), padding="circular", bias=layer.bias)
        return new, params | {"weight": kernel}

    return _converted(network, theta, shape, change)


def kernel_of_correlation(weight: Array, size: Size) -> Array:
    """The kernel theta on the grid with C(theta)(v) = the circular cross-correlation of v with ``weight``.

    Conv2d computes y_j = sum_u W_u v_{j+u-p}, p = (k - 1) // 2, hence theta_{(p-u) mod N} = W_u: turned and centred.

    Parameters
    ----------
    weight : (c_out, c_in, k_1, ..., k_d). size : (N_1, ..., N_d); kernels larger than the grid wrap around.
    """
    weight, size = validate.real_array("weight", weight), fourier.sizes("size", size)
    fourier.trailing("weight", weight, len(size))
    for axis, n in zip(range(-len(size), 0), size):
        k = weight.shape[axis]
        wrapped = np.zeros((n, *np.moveaxis(weight, axis, 0).shape[1:]), weight.dtype)
        np.add.at(wrapped, ((k - 1) // 2 - np.arange(k)) % n, np.moveaxis(weight, axis, 0))
        weight = np.moveaxis(wrapped, 0, axis)
    return weight


def correlation_of_kernel(theta: Array) -> Array:
    """The weight of a circular Conv2d, as large as the grid, that computes C(theta): W_u = theta_{(p-u) mod N}."""
    for axis in range(2, theta.ndim):
        n = theta.shape[axis]
        theta = np.take(theta, ((n - 1) // 2 - np.arange(n)) % n, axis)
    return theta


def _converted(network: Network, theta: Array, shape: Sequence[int], change: Change) -> tuple[Network, Array]:
    """Rebuild the network layer by layer along a forward pass, which tells the size of the grid at each of them."""
    validate.provides("network", network, "views", "forward")
    theta = validate.real_array("theta", theta)
    sample = np.zeros((2, *fourier.sizes("shape", shape)))
    new, params, _ = _rebuilt(network, network.views(theta), sample, change)
    made = Network(_chain(new).layers)
    return made, made.flatten(params, theta.dtype)


def _rebuilt(layer: Layer, params: Params, x: Array, change: Change) -> tuple[Layer, Params, Array]:
    """(the new layer, its parameters, the output of the old one)."""
    if isinstance(layer, Chain):
        return _rebuilt_chain(layer, params, x, change)
    y = layer.forward(params, x)[0]
    if not isinstance(layer, Residual):
        return *change(layer, params, x.shape[2:]), y
    branch, p, _ = _rebuilt(_chain(layer.branch), scoped(params, "branch"), x, change)
    shortcut, q, _ = _rebuilt(_chain(layer.shortcut), scoped(params, "shortcut"), x, change)
    blocks = prefixed("branch", p) | prefixed("shortcut", q) | ({"w": params["w"]} if layer.learn else {})
    return Residual(_chain(branch), layer.w, layer.learn, _chain(shortcut)), blocks, y


def _rebuilt_chain(chain: Chain, params: Params, x: Array, change: Change) -> tuple[Chain, Params, Array]:
    layers: list[Layer] = []
    blocks: Params = {}
    for i, layer in enumerate(chain.layers):
        new, block, x = _rebuilt(layer, scoped(params, str(i)), x, change)
        layers.append(new)
        blocks |= prefixed(str(i), block)
    return Chain(layers), blocks, x


def resolution_free(network: Network) -> Network:
    """Circular padding in every `Conv2d`, and every stride a `TrigonometricStride`; theta stays as it is.

    A strided convolution becomes the same at stride 1 followed by trigonometric interpolation to ceil(N / s),
    which spectral layers commute with (Corollary 4.31, Section 4.4.3). Pooling layers are left alone.

    Raises
    ------
    ValueError : something that is no `Network`.
    """
    if not isinstance(network, Chain):
        validate.fail("network", "a Network", validate.describe(network))
    return Network([_resolution_free(layer) for layer in network.layers])


def _resolution_free(layer: Layer) -> Layer:
    if isinstance(layer, Chain):
        return Chain([_resolution_free(inner) for inner in layer.layers])
    if isinstance(layer, Residual):
        branch, shortcut = (_resolution_free(_chain(part)) for part in (layer.branch, layer.shortcut))
        return Residual(_chain(branch), layer.w, layer.learn, _chain(shortcut))
    if not isinstance(layer, Conv2d):
        return layer
    stride = pair("stride", layer.stride)
    plain = replace(layer, stride=1, padding="circular")
    return plain if stride == (1, 1) else Chain([plain, TrigonometricStride(stride)])


def trigonometric_resnet18(classes: int = 10, in_channels: int = 3) -> Network:
    """`refimpl.setting.resnet18` with circular padding and trigonometric striding: the same theta, any resolution.

    Section 4.4.3. Raises ValueError for classes or channels below 1.
    """
    return resolution_free(builders.resnet18(classes, in_channels))


def _chain(layers: Layer | Sequence[Layer]) -> Chain:
    return layers if isinstance(layers, Chain) else Chain(layers)  # type: ignore[arg-type]
