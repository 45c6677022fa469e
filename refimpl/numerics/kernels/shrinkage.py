"""Soft and group shrinkage, and the optimizer steps fused with them: one pass over memory each.

Every kernel reads its inputs entry by entry before it writes there, so the outputs may be the inputs.
x - min(max(x, -t), t) has no branch, and NaN stays NaN whatever the clip returns.
"""

from math import frexp, inf, ldexp, sqrt

from refimpl.numerics.jit import kernel


@kernel
def linbreg_soft(v, g, tau, delta, t, v_out, theta_out):
    """v <- v - tau g; theta <- soft(delta v, t) with t = delta lam (4.21)."""
    for i in range(v.size):
        w = v[i] - tau * g[i]
        x = delta * w
        v_out[i] = w
        theta_out[i] = x - min(max(x, -t), t)


@kernel
def momentum_soft(v, m, g, beta, rate, delta, t, v_out, m_out, theta_out):
    """m <- beta m + rate g with rate = (1 - beta) tau; v <- v - m; theta <- soft(delta v, t) (4.22)."""
    for i in range(v.size):
        a = beta * m[i] + rate * g[i]
        w = v[i] - a
        x = delta * w
        m_out[i] = a
        v_out[i] = w
        theta_out[i] = x - min(max(x, -t), t)


@kernel
def _square_sum(x, a, b):
    """sum of x_i^2 over a <= i < b as high + low, in float64 with about 100 bits.

    x = h + l with h its upper 26 bits (Veltkamp), so x^2 = h^2 + (x + h) l and h^2 is exact;
    the rounding errors of the running sum of h^2 (Knuth) go to low.
    """
    high = 0.0
    low = 0.0
    for i in range(a, b):
        y = float(x[i])
        c = 134217729.0 * y
        h = c - (c - y)
        p = h * h
        s = high + p
        d = s - high
        low += ((high - (s - d)) + (p - d)) + (y + h) * (y - h)
        high = s
    return high, low


@kernel
def _rescaled(x, a, b):
    """(2^-e, sum of (2^-e x_i)^2 as high + low) with max |x_i| in [2^(e-1), 2^e); NaN and inf come through."""
    largest = 0.0
    for i in range(a, b):
        largest = max(largest, abs(float(x[i])))
    scale = ldexp(1.0, -max(frexp(largest)[1], -1000))
    high = 0.0
    low = 0.0
    for i in range(a, b):
        y = float(x[i]) * scale
        c = 134217729.0 * y
        h = c - (c - y)
        p = h * h
        s = high + p
        d = s - high
        low += ((high - (s - d)) + (p - d)) + (y + h) * (y - h)
        high = s
    return scale, high, low


@kernel
def _factor(x, a, b, t):
    """max(1 - t/n, 0) with n = |x[a:b]|_2, as (n^2 - t^2) / (n (n + t)): no cancellation between n and t."""
    high, low = _square_sum(x, a, b)
    if not 1e-200 < high < 1e200:
        infinite = False
        missing = False
        for i in range(a, b):
            infinite = infinite or abs(x[i]) == inf
            missing = missing or x[i] != x[i]
        if missing:
            return high * 0.0 / 0.0
        if infinite:
            return 1.0
        scale, high, low = _rescaled(x, a, b)
        t = t * scale
    c = 134217729.0 * t
    h = c - (c - t)
    excess = (high - h * h) + (low - (t + h) * (t - h))
    if excess <= 0.0:
        return 0.0
    n = sqrt(high + low)
    return excess / (n * (n + t))


@kernel
def group_norms(x, ends, out):
    """out_g = |x_g|_2 for the consecutive groups that end at ``ends``."""
    a = 0
    for j in range(ends.size):
        out[j] = 0.0
        high, low = _square_sum(x, a, ends[j])
        if 1e-200 < high < 1e200:
            out[j] = sqrt(high + low)
        elif high != 0.0 or low != 0.0:
            scale, high, low = _rescaled(x, a, ends[j])
            out[j] = sqrt(high + low) / scale
        a = ends[j]


@kernel
def shrink_groups(x, ends, t, out):
    """x_g max(1 - t_g / |x_g|, 0) for the consecutive groups that end at ``ends`` (Ex 4.16)."""
    a = 0
    for j in range(ends.size):
        b = ends[j]
        factor = _factor(x, a, b, t[j])
        for i in range(a, b):
            out[i] = x[i] * factor
        a = b


@kernel
def linbreg_groups(v, g, tau, delta, ends, t, v_out, theta_out):
    """v <- v - tau g; theta_g <- x_g max(1 - t_g / |x_g|, 0) with x = delta v, t_g = delta lam w_g (4.21)."""
    a = 0
    for j in range(ends.size):
        b = ends[j]
        for i in range(a, b):
            w = v[i] - tau * g[i]
            v_out[i] = w
            theta_out[i] = delta * w
        factor = _factor(theta_out, a, b, t[j])
        for i in range(a, b):
            theta_out[i] = theta_out[i] * factor
        a = b
