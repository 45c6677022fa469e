"""Networks of the papers: the multi-layer perceptron, a small convolutional network, ResNet-18."""

from collections.abc import Sequence
from itertools import pairwise

from refimpl.numerics import validate
from refimpl.setting.activations import ReLU
from refimpl.setting.convolution import Conv2d
from refimpl.setting.layer import Layer
from refimpl.setting.layers import Dense, Flatten, Residual
from refimpl.setting.network import Network
from refimpl.setting.normalization import BatchNorm2d
from refimpl.setting.pooling import AdaptiveAveragePool2d, MaxPool2d


def mlp(
    sizes: Sequence[int], activation: Layer | None = None, final_activation: Layer | None = None, bias: bool = True
) -> Network:
    """Dense layers of the given sizes with an activation (ReLU unless given) between them (Section 4.1.1).

    ``mlp([784, 200, 80, 10])`` ends with a linear layer; ``final_activation`` adds one behind it.

    Raises
    ------
    ValueError : fewer than two sizes, or one below 1.
    """
    sizes = validate.integers("sizes", sizes)
    if len(sizes) < 2:
        validate.fail("sizes", "at least 2 sizes", validate.describe(sizes))
    for name, layer in (("activation", activation), ("final_activation", final_activation)):
        if not isinstance(layer, Layer | None):
            validate.fail(name, "a Layer or None", validate.describe(layer))
    sigma = ReLU() if activation is None else activation
    layers: list[Layer] = []
    for n_in, n_out in pairwise(sizes):
        layers += [Dense(n_in, n_out, bias), sigma]
    return Network(layers[:-1] + ([] if final_activation is None else [final_activation]))


def convnet(classes: int = 10, in_channels: int = 1, size: int = 28) -> Network:
    """Two 5 x 5 convolutions of 64 channels, each with max pooling by 2 and ReLU, then 128 and the classes.

    The network of Bungert et al. 2022, Table 1, without padding; 236,618 parameters for one channel, 28 x 28 pixels
    and 10 classes.

    Raises
    ------
    ValueError : images too small to leave a pixel (below 16).
    """
    pixels = ((validate.integer("size", size, low=16) - 4) // 2 - 4) // 2
    features: list[Layer] = []
    for channels in (in_channels, 64):
        features += [Conv2d(channels, 64, 5, padding="valid"), MaxPool2d(2), ReLU()]
    return Network([*features, Flatten(), Dense(64 * pixels**2, 128), ReLU(), Dense(128, classes)])


def resnet18(classes: int = 10, in_channels: int = 3) -> Network:
    """ResNet-18 with a 3 x 3 stem for small images: 8 residual blocks of 64, 128, 256 and 512 channels.

    He et al. 2016, see Section 4.1.1. No biases in the convolutions.
    11,173,962 parameters for 3 channels and 10 classes.
    """
    layers: list[Layer] = [Conv2d(in_channels, 64, 3, bias=False), BatchNorm2d(64), ReLU()]
    channels = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for s in (stride, 1):
            layers += [residual_block(channels, width, s), ReLU()]
            channels = width
    return Network([*layers, AdaptiveAveragePool2d(1), Flatten(), Dense(512, classes)])


def residual_block(c_in: int, c_out: int, stride: int = 1) -> Residual:
    """z -> S(z) + BN(conv(ReLU(BN(conv(z))))) by 3 x 3 convolutions (He et al. 2016).

    S is a 1 x 1 convolution where the shape changes, else the identity.
    """
    branch = [
        Conv2d(c_in, c_out, 3, stride, bias=False),
        BatchNorm2d(c_out),
        ReLU(),
        Conv2d(c_out, c_out, 3, bias=False),
        BatchNorm2d(c_out),
    ]
    same = stride == 1 and c_in == c_out
    shortcut = [] if same else [Conv2d(c_in, c_out, 1, stride, bias=False), BatchNorm2d(c_out)]
    return Residual(branch, shortcut=shortcut)
