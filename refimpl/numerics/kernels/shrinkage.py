"""Soft and group shrinkage, and the optimizer steps fused with them: one pass over memory each.

The state (v, m, s) is updated where it stands and theta is overwritten. x - min(max(x, -t), t) shrinks
without a branch, and NaN stays NaN whatever the clip returns.
"""

from math import frexp, inf, ldexp, sqrt

import numpy as np

from refimpl.numerics.jit import kernel


@kernel
def linbreg_soft(v, g, tau, delta, t, theta):
    """v <- v - tau g; theta <- soft(delta v, t), where t = delta lam (4.21)."""
    for i in range(v.size):
        w = v[i] - tau * g[i]
        x = delta * w
        v[i] = w
        theta[i] = x - min(max(x, -t), t)


@kernel
def momentum_soft(v, m, g, beta, rate, delta, t, theta):
    """m <- beta m + rate g with rate = (1 - beta) tau; v <- v - m; theta <- soft(delta v, t) (4.22)."""
    for i in range(v.size):
        a = beta * m[i] + rate * g[i]
        w = v[i] - a
        x = delta * w
        m[i] = a
        v[i] = w
        theta[i] = x - min(max(x, -t), t)


@kernel
def adabreg_soft(v, m, s, g, b1, c1, b2, c2, rate, root, eps, delta, t, theta):
    """m <- b1 m + c1 g; s <- b2 s + c2 g^2; v <- v - rate m / (sqrt(s)/root + eps); theta <- soft(delta v, t)."""
    for i in range(v.size):
        a = b1 * m[i] + c1 * g[i]
        q = b2 * s[i] + c2 * (g[i] * g[i])
        w = v[i] - rate * (a / (sqrt(q) / root + eps))
        x = delta * w
        m[i] = a
        s[i] = q
        v[i] = w
        theta[i] = x - min(max(x, -t), t)


@kernel
def linbreg_groups(v, g, tau, delta, ends, t, theta):
    """v <- v - tau g; theta_g <- x_g max(1 - t_g / |x_g|, 0) with x = delta v, t_g = delta lam w_g (4.21)."""
    a = 0
    done = 0
    for j in range(ends.size):
        b = ends[j]
        if b > done:  # the next tile of v: this group, and what fits the cache with it
            tile = slice(done, min(max(b, done + 2048), v.size))
            _advance(v[tile], g[tile], tau, delta, theta[tile])
            done = tile.stop
        part = theta[a:b]
        _scale_by(part, theta.dtype.type(_factor(part, t[j])), part)
        a = b


@kernel
def _advance(v, g, tau, delta, x):
    """v <- v - tau g; x <- delta v. On slices, since an index that may be negative does not vectorise."""
    for i in range(v.size):
        w = v[i] - tau * g[i]
        v[i] = w
        x[i] = delta * w


@kernel
def _scale_by(x, factor, out):
    """out <- factor x."""
    for i in range(x.size):
        out[i] = x[i] * factor


@kernel
def shrink_groups(x, ends, t, out):
    """x_g max(1 - t_g / |x_g|, 0) for the consecutive groups that end at ``ends`` (Ex 4.16)."""
    a = 0
    for j in range(ends.size):
        b = ends[j]
        part = x[a:b]
        _scale_by(part, x.dtype.type(_factor(part, t[j])), out[a:b])
        a = b


@kernel
def group_norms(x, ends, out):
    """out_g = |x_g|_2 for the consecutive groups that end at ``ends``; NaN before inf."""
    a = 0
    for j in range(ends.size):
        part = x[a : ends[j]]
        scale = 1.0 if 1e-200 < _sum(part) < 1e200 else _scale(part)
        if scale == 0.0 or scale == inf:
            out[j] = inf if scale == 0.0 else 0.0
        else:
            high, low = _exact_sum(part, scale)
            out[j] = sqrt(high + low) / scale
        a = ends[j]


@kernel
def _factor(x, t):
    """max(1 - t/n, 0) with n = |x|_2; 1 where n = inf.

    Near n = t the difference cancels, so there n^2 is summed to about 100 bits and the factor taken as
    (n^2 - t^2) / (n (n + t)). Beyond 1e+-200 everything is scaled first.
    """
    square = _sum(x)
    if square >= 4.0 * t * t and 1e-200 < square < 1e200:
        return 1.0 - t / sqrt(square)
    if square <= 0.999 * t * t and 1e-200 < t * t < 1e200:
        return 0.0
    scale = 1.0 if 1e-200 < square < 1e200 else _scale(x)
    if scale == 0.0 or scale == inf:
        return 1.0 if scale == 0.0 else 0.0
    high, low = _exact_sum(x, scale)
    t = t * scale
    upper = 134217729.0 * t - (134217729.0 * t - t)
    excess = (high - upper * upper) + (low - (t + upper) * (t - upper))
    n = sqrt(high + low)
    return 0.0 if excess <= 0.0 else excess / (n * (n + t))


@kernel
def _sum(x):
    """sum of x_i^2 in float64: eight lanes, restarted every 512 entries to keep the error small."""
    total = 0.0
    for start in range(0, x.size, 512):
        part = x[start : start + 512]
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
        for i in range(0, part.size - 7, 8):
            s0 += np.float64(part[i]) * np.float64(part[i])
            s1 += np.float64(part[i + 1]) * np.float64(part[i + 1])
            s2 += np.float64(part[i + 2]) * np.float64(part[i + 2])
            s3 += np.float64(part[i + 3]) * np.float64(part[i + 3])
            s4 += np.float64(part[i + 4]) * np.float64(part[i + 4])
            s5 += np.float64(part[i + 5]) * np.float64(part[i + 5])
            s6 += np.float64(part[i + 6]) * np.float64(part[i + 6])
            s7 += np.float64(part[i + 7]) * np.float64(part[i + 7])
        for i in range(part.size - part.size % 8, part.size):
            s0 += np.float64(part[i]) * np.float64(part[i])
        total += ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7))
    return total


@kernel
def _exact_sum(x, scale):
    """sum of (scale x_i)^2 as high + low, to about 100 bits.

    y = h + l with h its upper 26 bits (Veltkamp), so y^2 = h^2 + (y + h) l and h^2 is exact;
    the rounding errors of the running sum of h^2 (Knuth) go to low.
    """
    high = 0.0
    low = 0.0
    for i in range(x.size):
        y = np.float64(x[i]) * scale
        h = 134217729.0 * y - (134217729.0 * y - y)
        p = h * h
        s = high + p
        d = s - high
        low += ((high - (s - d)) + (p - d)) + (y + h) * (y - h)
        high = s
    return high, low


@kernel
def _scale(x):
    """A power of two that brings max |x_i| near 1; inf if all are 0, 0 if one is infinite, NaN if one is NaN."""
    largest = 0.0
    for i in range(x.size):
        y = abs(np.float64(x[i]))
        if y != y:
            return y
        largest = max(largest, y)
    if largest == 0.0 or largest == inf:
        return inf if largest == 0.0 else 0.0
    return ldexp(1.0, -max(frexp(largest)[1], -1000))
