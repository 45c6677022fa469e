"""Soft and group shrinkage, and the optimizer steps fused with them: one pass over memory each.

The state (v, m, s) is updated where it stands and theta is overwritten. x - min(max(x, -t), t) shrinks
without a branch, and NaN stays NaN whatever the clip returns.
"""

from functools import partial
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
    x = np.empty(min(v.size, 4096 + _largest(ends)), v.dtype)
    a, first = 0, 0
    for j in range(ends.size):
        if ends[j] - a >= 4096 or j == ends.size - 1:  # a tile of whole groups, small enough for the first cache
            tile = slice(a, ends[j])
            _advance(v[tile], g[tile], tau, delta, x)
            _shrink(x, a, ends[first : j + 1], t[first : j + 1], theta[tile])
            a, first = ends[j], j + 1


@kernel
def _largest(ends):
    """The size of the largest group."""
    size, a = 0, 0
    for j in range(ends.size):
        size, a = max(size, ends[j] - a), ends[j]
    return size


@kernel
def _advance(v, g, tau, delta, x):
    """v <- v - tau g; x <- delta v. On slices, since an index that may be negative does not vectorise."""
    for i in range(v.size):
        w = v[i] - tau * g[i]
        v[i] = w
        x[i] = delta * w


@kernel
def shrink_groups(x, ends, t, out):
    """x_g max(1 - t_g / |x_g|, 0) for the consecutive groups that end at ``ends`` (Ex 4.16)."""
    _shrink(x, 0, ends, t, out)


@kernel
def _shrink(x, a, ends, t, out):
    """out_g = x_g max(1 - t_g / n, 0), n = |x_g|_2, for groups that end at ``ends`` - a; 1 for 1 - t/n if n = inf.

    n^2 is summed in float64. Where the difference cancels (n below 2 t, in float32 below 1.0002 t) and outside
    1e+-200, the group is left to `_careful`, in a second loop: a call in the first one would slow all groups down.
    """
    cancels = 1.0005 if x.itemsize == 4 else 4.0
    left, count, start = np.empty(ends.size, np.int64), 0, 0
    for j in range(ends.size):
        part, target = x[start : ends[j] - a], out[start : ends[j] - a]
        square = _short_square(part) if part.size <= 512 else _square(part)
        limit, factor = t[j] * t[j], 0.0
        if square >= cancels * limit and 1e-200 < square < 1e200:
            factor = 1.0 - t[j] / sqrt(square)
        elif not (square <= 0.999 * limit and 1e-200 < limit < 1e200):
            left[count], factor = j, 1.0
            count += 1
        _multiply(part, factor, target)
        start = ends[j] - a
    sums = np.empty((2, 8))
    for j in left[:count]:
        group = slice(0 if j == 0 else ends[j - 1] - a, ends[j] - a)
        _multiply(x[group], _careful(x[group], t[j], sums), out[group])


@kernel
def _multiply(x, factor, out):
    """out = factor x."""
    scale = x.dtype.type(factor)
    for i in range(x.size):
        out[i] = x[i] * scale


@kernel
def group_norms(x, ends, out):
    """out_g = |x_g|_2 for the consecutive groups that end at ``ends``; NaN before inf."""
    sums = np.empty((2, 8))
    a = 0
    for j in range(ends.size):
        part = x[a : ends[j]]
        scale = 1.0 if 1e-200 < _square(part) < 1e200 else _scale(part)
        if scale == 0.0 or scale == inf:
            out[j] = inf if scale == 0.0 else 0.0
        else:
            high, low = _exact_sum(part, scale, sums)
            out[j] = sqrt(high + low) / scale
        a = ends[j]


@kernel
def _square(x):
    """|x|^2 in float64, every 512 entries apart, for small errors."""
    total = 0.0
    for k in range(0, x.size, 512):
        total += _short_square(x[k : k + 512])
    return total


@partial(kernel, fastmath={"reassoc"})
def _short_square(x):
    """|x|^2 in float64, summed in the order of the machine's vectors."""
    total = 0.0
    for i in range(x.size):
        y = np.float64(x[i])
        total += y * y
    return total


@kernel
def _careful(x, t, sums):
    """max(1 - t/n, 0) as (n^2 - t^2) / (n (n + t)), n^2 to about 100 bits; beyond 1e+-200 all is scaled first."""
    scale = 1.0 if 1e-200 < _square(x) < 1e200 else _scale(x)
    if scale == 0.0 or scale == inf:
        return 1.0 if scale == 0.0 else 0.0
    high, low = _exact_sum(x, scale, sums)
    t = t * scale
    upper = 134217729.0 * t - (134217729.0 * t - t)
    excess = (high - upper * upper) + (low - (t + upper) * (t - upper))
    n = sqrt(high + low)
    return 0.0 if excess <= 0.0 else excess / (n * (n + t))


@kernel
def _exact_sum(x, scale, sums):
    """sum of (scale x_i)^2 as high + low, to about 100 bits.

    y = h + l with h its upper 26 bits (Veltkamp), so y^2 = h^2 + (y + h) l and h^2 is exact; the rounding errors
    of the running sums of h^2 (Knuth) go to low. Eight sums in ``sums`` (2, 8), in pairs in the end.
    """
    highs, lows = sums[0], sums[1]
    highs[:], lows[:] = 0.0, 0.0
    for i in range(0, x.size, 8):
        part = x[i : i + 8]
        for l in range(part.size):
            y = np.float64(part[l]) * scale
            h = 134217729.0 * y - (134217729.0 * y - y)
            p = h * h
            s = highs[l] + p
            d = s - highs[l]
            lows[l] += ((highs[l] - (s - d)) + (p - d)) + (y + h) * (y - h)
            highs[l] = s
    half = 4
    while half:
        for l in range(half):
            s = highs[l] + highs[l + half]
            d = s - highs[l]
            lows[l] += ((highs[l] - (s - d)) + (highs[l + half] - d)) + lows[l + half]
            highs[l] = s
        half //= 2
    return highs[0], lows[0]


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
