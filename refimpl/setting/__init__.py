"""Section 4.1: losses, layers, networks on one parameter vector, risk and gradient descent.

===============  ============================  ======================================================================
text             code                          meaning
===============  ============================  ======================================================================
theta            theta                         all parameters, one vector (n,)
f_theta          Network                       the layers Phi_L o ... o Phi_1, called as f(theta, x)
x, y             x, y                          inputs (B, ...) and targets; y is also what a layer or network returns
z                x, logits                     input of a layer in (4.2); logits (B, C) in Example 4.3
Phi(w, W, b)     Residual, Dense               the layer (4.2); its parameters are named w, weight and bias
sigma            Activation                    ReLU, Tanh, ...; their value and slope sigma'
l, H, Q          Loss, cross_entropy, softmax  loss of one sample, cross-entropy, soft-max (Example 4.3)
L(theta)         empirical_risk                mean of l over the training set (4.1)
B, b             minibatches, batch            the batches of a partition, one of them
g(theta; omega)  GradientEstimator             an unbiased gradient, with finitely many omega: outcomes
tau              tau                           step size
===============  ============================  ======================================================================
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
