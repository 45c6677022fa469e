"""Section 4.1: losses, layers, networks on one parameter vector, risk and gradient descent.

======  ==================================================
theta   all parameters, one vector
x, y    inputs (batch first), targets
tau     step size
sigma   activation
======  ==================================================
"""
