"""Soft and group shrinkage, and the optimizer steps fused with them: one pass over memory each.

The state (v, m, s) is updated where it stands and theta is overwritten. x - min(max(x, -t), t) shrinks
without a branch, and NaN stays NaN whatever the clip returns.
"""

from math import frexp, inf, ldexp, nan

import numpy as np

from refimpl.numerics.jit import ENABLED, kernel
from refimpl.numerics.kernels.lanes import exact_squares, fma, scaled, squares
from refimpl.numerics.kernels.team import share, task

GRAIN = 4096  # entries of AdaBreg's that are worth another thread, half as many as of the others'
TILE = 8192  # bytes that stay in the first cache between the two passes over their groups
FEW = 5  # groups, for which it may be twice as much: a tile has a cost of its own
CHUNK = 4096  # entries of a group that are summed apart, for small errors
CANCELS = 2.0  # n^2 / t^2 below which 1 - t/n in float64 needs more than float64


@kernel
def linbreg_soft(team, v, g, tau, delta, t, theta):
    """v <- v - tau g; theta <- soft(delta v, t), where t = delta lam (4.21)."""
    share(team, v.size, 2 * GRAIN, task(_linbreg_soft, (v, g, tau, delta, t, theta)))


@kernel
def _linbreg_soft(low, high, v, g, tau, delta, t, theta):
    v, g, theta = v[low:high], g[low:high], theta[low:high]
    for i in range(v.size):
        w = v[i] - tau * g[i]  # (4.21)
        x = delta * w
        v[i] = w
        theta[i] = x - min(max(x, -t), t)  # (4.21)


@kernel
def momentum_soft(team, v, m, g, beta, rate, delta, t, theta):
    """m <- beta m + rate g with rate = (1 - beta) tau; v <- v - m; theta <- soft(delta v, t) (4.22)."""
    share(team, v.size, 2 * GRAIN, task(_momentum_soft, (v, m, g, beta, rate, delta, t, theta)))


@kernel
def _momentum_soft(low, high, v, m, g, beta, rate, delta, t, theta):
    v, m, g, theta = v[low:high], m[low:high], g[low:high], theta[low:high]
    for i in range(v.size):
        a = beta * m[i] + rate * g[i]  # (4.22)
        w = v[i] - a
        x = delta * w
        m[i] = a
        v[i] = w
        theta[i] = x - min(max(x, -t), t)


@kernel
def _quotient(x, b, r):
    """x / b with r = 1 / b, the same bits without a division, for the root x >= 0 of a number and 0 < b <= 1.

    The remainder x - y b of y = x r corrects y to the nearest number (Brisebarre, Muller and Raina 2004): none of the
    three is near the ends of the range, where x, b and r are those of roots. x = inf leaves inf - inf, and y = inf.
    """
    if not ENABLED:
        return x / b
    y = x * r
    z = fma(fma(-y, b, x), r, y)
    return z if z == z else y


@kernel
def adabreg_soft(team, v, m, s, g, rate, root, b1, c1, b2, c2, eps, delta, t, theta):
    """m <- b1 m + c1 g; s <- b2 s + c2 g^2; v <- v - rate m / (sqrt(s)/root + eps); theta <- soft(delta v, t)."""
    share(team, v.size, GRAIN, task(_adabreg_soft, (v, m, s, g, rate, root, b1, c1, b2, c2, eps, delta, t, theta)))


@kernel
def _adabreg_soft(low, high, v, m, s, g, rate, root, b1, c1, b2, c2, eps, delta, t, theta):
    v, m, s, g, theta = v[low:high], m[low:high], s[low:high], g[low:high], theta[low:high]
    rate, root = v.dtype.type(rate), v.dtype.type(root)  # these come as float64: they change with every step
    inverse = v.dtype.type(1) / root
    for i in range(v.size):
        a = b1 * m[i] + c1 * g[i]
        q = b2 * s[i] + c2 * (g[i] * g[i])
        w = v[i] - rate * (a / (_quotient(np.sqrt(q), root, inverse) + eps))
        x = delta * w
        m[i] = a
        s[i] = q
        v[i] = w
        theta[i] = x - min(max(x, -t), t)


@kernel
def linbreg_groups(team, v, g, tau, delta, ends, t, theta):
    """v <- v - tau g; theta_g <- x_g max(1 - t_g / |x_g|, 0) with x = delta v, t_g = delta lam w_g (4.21)."""
    share(team, ends.size, _few(ends), task(_linbreg_groups, (v, g, tau, delta, ends, t, theta)))


@kernel
def _linbreg_groups(low, high, v, g, tau, delta, ends, t, theta):
    first, a, entries = low, ends[low - 1] if low else 0, TILE // v.itemsize
    factors = np.empty(min(high - low, entries))
    while first < high:
        last = _tile(ends[:high], first, a, entries)
        b = ends[last - 1]
        _advance(v[a:b], g[a:b], tau)
        _shrink(v, delta, a, ends[first:last], t[first:last], factors, theta)
        first, a = last, b


@kernel
def shrink_groups(team, x, ends, t, out):
    """out_g <- x_g max(1 - t_g / |x_g|, 0) for consecutive groups that end at ``ends``; out is not x (Ex 4.16)."""
    share(team, ends.size, _few(ends), task(_shrink_groups, (x, ends, t, out)))


@kernel
def _shrink_groups(low, high, x, ends, t, out):
    first, a, entries = low, ends[low - 1] if low else 0, TILE // x.itemsize
    factors = np.empty(min(high - low, entries))
    while first < high:
        last = _tile(ends[:high], first, a, entries)
        _shrink(x, None, a, ends[first:last], t[first:last], factors, out)
        first, a = last, ends[last - 1]


@kernel
def _few(ends):
    """How many groups of the middle size have `GRAIN` entries."""
    return max(1, GRAIN * ends.size // max(1, ends[-1])) if ends.size else 1


@kernel
def _tile(ends, first, a, entries):
    """The end of a run of groups that begins with group ``first`` at entry a: at most so many entries, or one group.

    A few groups may have twice as many.
    """
    last = first + 1
    while last < min(ends.size, first + entries) and ends[last] - a <= (1 + (last - first < FEW)) * entries:
        last += 1
    return last


@kernel
def _advance(v, g, tau):
    """v <- v - tau g. On slices, since an index that may be negative does not vectorise."""
    for i in range(v.size):
        v[i] = v[i] - tau * g[i]


@kernel
def _shrink(x, delta, a, ends, t, factors, out):
    """out_g = y_g max(1 - t_g / n, 0), y = delta x, n = |y_g|_2, for groups from a on; 1 for 1 - t/n if n = inf.

    n^2 is summed in float64, and the factors of many groups are computed together: divisions and roots are slow.
    """
    start = a
    for j in range(ends.size):
        b = ends[j]
        factors[j] = squares(x, delta, start, b, x.size) if b - start <= CHUNK else _square(x, delta, start, b)
        start = b
    limit = start
    _factors(factors[: ends.size], t, 1.0005 if x.itemsize == 4 else CANCELS)
    start = a
    for j in range(ends.size):
        b, factor = ends[j], factors[j]
        if factor != factor:
            factor = _careful(x, delta, start, b, t[j])
        scaled(x, delta, start, b, limit, x.dtype.type(factor), out)
        start = b


@kernel
def _factors(squares, t, cancels):
    """n^2 <- max(1 - t / n, 0), or NaN: left to `_careful` are n^2 < cancels t^2, where that cancels, and 1e+-200.

    With the remainders of the division q = t / n and of the root, 1 - t/n is as exact as n^2 is.
    """
    for j in range(squares.size):
        square, limit = squares[j], t[j] * t[j]
        plain = (square >= cancels * limit) & (square > 1e-200) & (square < 1e200)
        zero = (square <= 0.999 * limit) & (limit > 1e-200) & (limit < 1e200)
        s, r = (square, t[j]) if plain else (1.0, 0.0)
        n = np.sqrt(s)
        inverse = 1.0 / n
        q = r * inverse
        more = (fma(-q, n, r) - 0.5 * q * inverse * fma(-n, n, s)) * inverse
        squares[j] = (1.0 - q) - more if plain else (0.0 if zero else nan)


@kernel
def group_norms(x, ends, out):
    """out_g = |x_g|_2 for the consecutive groups that end at ``ends``; NaN before inf."""
    a = 0
    for j in range(ends.size):
        out[j] = _norm(x, a, ends[j])
        a = ends[j]


@kernel
def _norm(x, a, b):
    """|x[a:b]|_2."""
    scale = _scale(x, None, a, b)
    if not 0.0 < scale < inf:
        return inf if scale == 0.0 else (0.0 if scale == inf else nan)
    high, low = exact_squares(x, None, a, b, x.size, scale)
    return np.sqrt(high + low) / scale


@kernel
def _square(x, delta, a, b):
    """|delta x[a:b]|^2 in float64, every `CHUNK` entries apart."""
    total = 0.0
    for k in range(a, b, CHUNK):
        total += squares(x, delta, k, min(k + CHUNK, b), x.size)
    return total


@kernel
def _careful(x, delta, a, b, t):
    """max(1 - t/n, 0) as (n^2 - t^2) / (n (n + t)), n^2 to about 100 bits; beyond 1e+-200 all is scaled first."""
    scale = _scale(x, delta, a, b)
    if not 0.0 < scale < inf:
        return 1.0 if scale == 0.0 else (0.0 if scale == inf else nan)
    high, low = exact_squares(x, delta, a, b, x.size, scale)
    t = t * scale
    upper = 134217729.0 * t - (134217729.0 * t - t)
    excess = (high - upper * upper) + (low - (t + upper) * (t - upper))
    n = np.sqrt(high + low)
    return 0.0 if excess <= 0.0 else excess / (n * (n + t))


@kernel
def _scale(x, delta, a, b):
    """A power of two that brings max |delta x_i| near 1, or 1 if that is not needed for squares.

    inf if all are 0, 0 if one is infinite, NaN if one is NaN.
    """
    if 1e-200 < _square(x, delta, a, b) < 1e200:
        return 1.0
    largest = 0.0
    for i in range(a, b):
        y = abs(np.float64(x[i] if delta is None else delta * x[i]))
        if y != y:
            return y
        largest = max(largest, y)
    if largest == 0.0 or largest == inf:
        return inf if largest == 0.0 else 0.0
    return ldexp(1.0, -max(frexp(largest)[1], -1000))
