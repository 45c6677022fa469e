"""Batch normalisation of images x (batch, channels, pixels), a channel at a time: it comes from main memory once.

Sums are in float64. Pixel l of every `RUN` is added to sum l, over runs and samples, in vector code; then the sums are
added by halves. The order depends on the shape alone, not on the threads, which share the channels.
"""

import numpy as np

from refimpl.numerics.jit import kernel
from refimpl.numerics.kernels.team import share, task, units

RUN = 1024  # sums, which stay in the first cache
GRAIN = 1 << 14  # entries that are worth another thread


@kernel
def forward(team, x, gamma, beta, eps, training, mean, variance, scale, y):
    """y = gamma xhat + beta, xhat = (x - mean) scale, scale = 1 / sqrt(variance + eps); all but x, y are (channels,).

    In training mean and variance are written, too. They and scale are float64.
    """
    share(team, x.shape[1], _grain(x), task(_forward, (x, gamma, beta, eps, training, mean, variance, scale, y)))


@kernel
def _forward(first, last, x, gamma, beta, eps, training, mean, variance, scale, y):
    B, _, P = x.shape
    sums = np.empty(min(P, RUN))
    for c in range(first, last):
        if training:
            mean[c] = _sum(x, c, sums) / (B * P)
            variance[c] = _sum_of_squares(x, c, mean[c], sums) / (B * P)
        scale[c] = 1.0 / np.sqrt(variance[c] + eps)
        high, low, s = _digits(mean[c], scale[c], x)
        for b in range(B):
            row, out = x[b, c], y[b, c]
            for p in range(P):
                out[p] = _hat(row[p], high, low, s) * gamma[c] + beta[c]


@kernel
def backward(team, x, dy, gamma, training, mean, scale, dgamma, dbeta, dx):
    """dgamma = sum dy xhat, dbeta = sum dy, dx = (dy - (dbeta + xhat dgamma) / n) gamma scale, n entries a channel.

    Not in training dx = dy gamma scale; dx may be empty where it is not wanted.
    """
    share(team, x.shape[1], _grain(x), task(_backward, (x, dy, gamma, training, mean, scale, dgamma, dbeta, dx)))


@kernel
def _backward(first, last, x, dy, gamma, training, mean, scale, dgamma, dbeta, dx):
    B, _, P = x.shape
    sums = np.empty(min(P, RUN))
    for c in range(first, last):
        high, low, s = _digits(mean[c], scale[c], x)
        over, along = _sum(dy, c, sums), _sum_of_products(dy, x, c, high, low, s, sums)
        dbeta[c], dgamma[c] = over, along
        n = max(1, B * P)
        shift, slope, factor = x.dtype.type(over / n), x.dtype.type(along / n), gamma[c] * s
        for b in range(len(dx)):
            row, slopes, out = x[b, c], dy[b, c], dx[b, c]
            if training:
                for p in range(P):
                    out[p] = ((slopes[p] - shift) - _hat(row[p], high, low, s) * slope) * factor
            else:
                for p in range(P):
                    out[p] = slopes[p] * factor


@kernel
def _grain(x):
    """How many channels are worth another thread."""
    return units(GRAIN, max(1, len(x) * x.shape[2]))


@kernel
def _digits(mean, scale, like):
    """mean = high + low and the scale, in the precision of like."""
    high = like.dtype.type(mean)
    return high, like.dtype.type(mean - high), like.dtype.type(scale)


@kernel
def _hat(x, high, low, scale):
    """xhat = (x - mean) / sqrt(variance + eps)."""
    return ((x - high) - low) * scale


@kernel
def _sum(x, c, sums):
    """The sum of channel c of x."""
    sums[:] = 0
    for b in range(len(x)):
        for k in range(0, x.shape[2], RUN):
            part = x[b, c, k : k + RUN]
            for l in range(part.size):
                sums[l] += part[l]
    return _total(sums)


@kernel
def _sum_of_squares(x, c, mean, sums):
    """The sum of (x - mean)^2 over channel c."""
    sums[:] = 0
    for b in range(len(x)):
        for k in range(0, x.shape[2], RUN):
            part = x[b, c, k : k + RUN]
            for l in range(part.size):
                d = part[l] - mean
                sums[l] += d * d
    return _total(sums)


@kernel
def _sum_of_products(dy, x, c, high, low, scale, sums):
    """The sum of dy xhat over channel c."""
    sums[:] = 0
    for b in range(len(x)):
        for k in range(0, x.shape[2], RUN):
            slopes, part = dy[b, c, k : k + RUN], x[b, c, k : k + RUN]
            for l in range(part.size):
                sums[l] += np.float64(slopes[l]) * _hat(part[l], high, low, scale)
    return _total(sums)


@kernel
def _total(sums):
    """The sum of all, by halves; the sums change."""
    n = sums.size
    while n > 1:
        half = n // 2
        low, high = sums[:half], sums[n - half : n]
        for l in range(half):
            low[l] += high[l]
        n -= half
    return sums[0] if sums.size else 0.0
