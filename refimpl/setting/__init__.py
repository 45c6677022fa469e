"""Section 4.1: losses, layers, networks on one parameter vector, risk and gradient descent.

======  ==================================================
theta   all parameters, one vector
x, y    inputs (batch first), targets; y also outputs
z       input of a layer in (4.2); logits in Example 4.3
W, b    weight and bias of a layer
w       weight of the residual connection (4.2)
sigma   activation; also the noise level of an estimator
ell     loss of one sample
tau     step size
Omega   the finite set of batches of a gradient estimator
======  ==================================================
"""

from refimpl.setting.activations import GELU, Activation, Identity, ReLU, Sigmoid, Tanh
from refimpl.setting.builders import convnet, mlp, residual_block, resnet18
from refimpl.setting.convolution import Conv2d
from refimpl.setting.descent import gradient_descent, sgd
from refimpl.setting.initialization import glorot, he, initialize
from refimpl.setting.layer import Chain, Layer
from refimpl.setting.layers import Dense, Flatten, Residual
from refimpl.setting.losses import CrossEntropy, Loss, SquaredError, cross_entropy, log_softmax, softmax
from refimpl.setting.network import Network, Pullback
from refimpl.setting.normalization import BatchNorm2d, running_statistics
from refimpl.setting.pooling import AdaptiveAveragePool2d, AveragePool2d, GlobalAveragePool, MaxPool2d
from refimpl.setting.risk import (
    GradientEstimator,
    batch_gradient,
    empirical_risk,
    minibatches,
    risk_and_gradient,
)

__all__ = [
    "GELU",
    "Activation",
    "AdaptiveAveragePool2d",
    "AveragePool2d",
    "BatchNorm2d",
    "Chain",
    "Conv2d",
    "CrossEntropy",
    "Dense",
    "Flatten",
    "GlobalAveragePool",
    "GradientEstimator",
    "Identity",
    "Layer",
    "Loss",
    "MaxPool2d",
    "Network",
    "Pullback",
    "ReLU",
    "Residual",
    "Sigmoid",
    "SquaredError",
    "Tanh",
    "batch_gradient",
    "convnet",
    "cross_entropy",
    "empirical_risk",
    "glorot",
    "gradient_descent",
    "he",
    "initialize",
    "log_softmax",
    "minibatches",
    "mlp",
    "residual_block",
    "resnet18",
    "risk_and_gradient",
    "running_statistics",
    "sgd",
    "softmax",
]
