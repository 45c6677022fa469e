"""Activations and the soft-max cross-entropy in one pass each, with exp and the normal distribution as polynomials.

The plain NumPy formulas in `refimpl.setting` define these functions; here they are without branches, so that the
compiler turns the loops into vector code. With t = |x|,

    Phi(-t) = e^{-t^2/2} M(t),      M(t) = e^{t^2/2} erfc(t / sqrt 2) / 2,

and (t + a) M(t) is a polynomial N(u) in u = (t - a)/(t + a), even and odd part apart. In exp, x = k ln 2 + r with
|r| <= ln 2 / 2 and e^r = 1 + r + r^2 P(r). P and N interpolate at Chebyshev nodes (computed with 60 digits);
their relative errors stay below the rounding of the precision: 1.1e-8 and 1.5e-8 in single, 1.7e-17 and 2.5e-17
in double precision. What remains is rounding: exp within 2 ulp, GELU within 8 ulp while it is a normal number, its
slope within 4 eps.
"""

from functools import partial
from math import log, nan
from typing import Any, NamedTuple

import numpy as np

from refimpl.numerics.jit import kernel
from refimpl.numerics.kernels.team import share, task
from refimpl.numerics.threads import team

GRAIN = 4096  # entries that are worth another thread
TOGETHER = 2048  # entries of samples whose sums are added apart


class Table(NamedTuple):
    """The constants of one precision, each in that precision, polynomials with their highest coefficient first."""

    exp: tuple  # P
    even: tuple  # N(u) = even(u^2) + u odd(u^2)
    odd: tuple
    pole: Any  # a
    far: Any  # beyond it e^{-t^2/2} is 0
    least: Any  # below it e^x is 0
    magic: Any  # adding it rounds to integers
    split: Any  # multiplying by it takes half of the digits off (Veltkamp)
    high: Any  # ln 2 = high + low, k high exact
    low: Any
    log2_e: Any
    density: Any  # 1 / sqrt(2 pi)
    half: Any
    one: Any
    tiny: Any  # 2^-100
    double: Any  # True in double precision, else None: of a comparison with None, Numba compiles one branch


def _table(dtype: Any, polynomials: tuple, numbers: tuple) -> Table:
    shared = (1.4426950408889634, 0.3989422804014327, 0.5, 1.0, 2.0**-100)
    tuples = (tuple(map(dtype, p)) for p in polynomials)
    return Table._make([*tuples, *map(dtype, numbers), *map(dtype, shared), True if dtype == np.float64 else None])


SINGLE = _table(
    np.float32,
    (
        (0.0013926184037700295, 0.008363178931176662, 0.041666556149721146, 0.16666576266288757, 0.5),
        (-0.000988827901892364, 0.0208890438079834, 0.1650039255619049, 0.4953066110610962, 0.7691930532455444),
        (0.00039506485336460173, -0.002960996236652136, -0.06911326944828033, -0.31353452801704407, -0.665382444858551),
    ),
    (5, 15, -110, 1.5 * 2**23, 2**12 + 1, 0.693115234375, 3.1946184945309415e-05),
)

DOUBLE = _table(
    np.float64,
    (
        (
            2.510038549551032e-08, 2.7620088445409746e-07, 2.7557268459997064e-06, 2.4801521295954376e-05,
            0.00019841269863053618, 0.0013888888917213717, 0.008333333333330062, 0.04166666666662413,
            0.16666666666666669, 0.5000000000000001,
        ),
        (
                9.219267258360884e-11, 1.2755843356530046e-08, -4.3577613504932496e-07, 6.800543159426857e-06,
            -6.475370570084876e-05, 3.287045300873762e-05, 0.010029820572770708, 0.07517191567509253,
            0.26797424584136903, 0.5689688918147889, 0.7773517718933621,
        ),
        (
            2.7054496637977873e-09, -3.7811039740751345e-08, 3.0482400419138447e-07, -1.7965827563569255e-06,
            1.0745924733200878e-06, 0.00018136059315872918, -0.0021316052225278694, -0.03098531550819179,
            -0.15268023206435666, -0.41390358577559627, -0.7010090295908655,
        ),
    ),
    (6, 39, -750, 1.5 * 2**52, 2**27 + 1, 0.6931471803691238, 1.9082149292705877e-10),
)  # fmt: skip


@partial(kernel, fastmath={"contract"})
def _polynomial(c, x):
    """c_0 x^n + ... + c_n by Horner's rule."""
    y = c[0]
    for k in range(1, len(c)):
        y = y * x + c[k]
    return y


@kernel
def _power(k, double):
    """2^(k + 100) for an integer k: in the low bits of the sum it becomes the exponent."""
    if double is None:
        return np.float32(np.int32(np.float32(k + np.float32(1.5 * 2**23 + 227)).view(np.int32) << 23).view(np.float32))
    return np.float64(np.int64(np.float64(k + (1.5 * 2**52 + 1123)).view(np.int64) << 52).view(np.float64))


@partial(kernel, fastmath={"contract"})
def _exp(x, rest, c):
    """e^{x + rest} for c.least <= x <= 0 and a small rest, rounded once where it is subnormal."""
    k = (x * c.log2_e + c.magic) - c.magic
    r = ((x - k * c.high) - k * c.low) + rest
    p = c.one + (r + r * r * _polynomial(c.exp, r))
    return (p * _power(k, c.double)) * c.tiny


@kernel
def relu(team, x, y):
    """y = max(x, 0), NaN where x is."""
    share(team, x.size, GRAIN, task(_relu, (x, y)))


@kernel
def _relu(low, high, x, y):
    x, y, zero = x[low:high], y[low:high], x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] <= zero else x[i]


@kernel
def relu_backward(team, y, dy, dx):
    """dx = dy sigma'(x) for y = max(x, 0): sigma' = 1 where y > 0, else y itself, which is 0 or NaN."""
    share(team, y.size, GRAIN, task(_relu_backward, (y, dy, dx)))


@kernel
def _relu_backward(low, high, y, dy, dx):
    y, dy, dx, zero, one = y[low:high], dy[low:high], dx[low:high], y.dtype.type(0), y.dtype.type(1)
    for i in range(y.size):
        dx[i] = dy[i] * (one if y[i] > zero else y[i])


@kernel
def product(team, x, y, z):
    """z = x y."""
    share(team, x.size, GRAIN, task(_product, (x, y, z)))


@kernel
def _product(low, high, x, y, z):
    x, y, z = x[low:high], y[low:high], z[low:high]
    for i in range(x.size):
        z[i] = x[i] * y[i]


@kernel
def _gelu(low, high, x, c, y, slope):
    """y = x Phi(x), slope = Phi(x) + x phi(x) with phi(x) = e^{-x^2/2} / sqrt(2 pi).

    -x^2/2 = -h^2/2 - (t - h)(t + h)/2 with h the upper half of the digits of t, so that exp loses nothing.
    """
    x, y, slope = x[low:high], y[low:high], slope[low:high]
    for i in range(x.size):
        z = c.far if x[i] > c.far else x[i]
        z = -c.far if z < -c.far else z
        t = abs(z)
        h = c.split * t - (c.split * t - t)
        e = y.dtype.type(_exp(-c.half * h * h, -c.half * (t - h) * (t + h), c))
        w = c.one / (t + c.pole)
        u = (t - c.pole) * w
        q = e * ((_polynomial(c.even, u * u) + u * _polynomial(c.odd, u * u)) * w)
        cdf = c.one - q if z > 0 else q
        y[i] = (x[i] if x[i] > z else z) * cdf
        slope[i] = cdf + z * (e * c.density)


@kernel
def _labelled(labels, C):
    """Whether all labels are in 0 ... C - 1."""
    found = True
    for y in labels:
        found &= (y >= 0) & (y < C)
    return found


@kernel
def _cross_entropy(low, high, z, labels, c, dz, sums):
    """The sums over samples b of log sum_c exp(z_bc) - z_by with y = labels[b]; dz = (Q(z) - one-hot) / B.

    A few samples at a time: z minus its row maximum, then exp of all entries in one loop, then the sums.
    """
    B, C = z.shape
    flat, step = dz.reshape(-1), _step(C)
    for k in range(low, high):
        start, stop, total = k * step, min((k + 1) * step, B), np.float64(0)
        for b in range(start, stop):
            row, out = z[b], dz[b]
            largest = row[0]
            for j in range(1, C):  # a NaN makes all sums NaN, whether it counts as largest or not
                if row[j] > largest:
                    largest = row[j]
            for j in range(C):
                out[j] = row[j] - largest
            total -= out[labels[b]]
        part = flat[start * C : stop * C]
        for i in range(part.size):
            part[i] = _exp(c.least if part[i] < c.least else part[i], c.half - c.half, c)
        product = 1.0  # of sums in [1, C]: one logarithm for many
        for b in range(start, stop):
            out, y = dz[b], labels[b]
            s = 0.0
            for j in range(C):
                s += np.float64(out[j])
            product *= s
            if not product < 1e200:
                total += log(product)
                product = 1.0
            at_label = (out[y] / s - 1.0) / B
            factor = z.dtype.type(1.0 / (s * B))
            for j in range(C):
                out[j] *= factor
            out[y] = at_label
        sums[k] = total + log(product)


@kernel
def _step(C):
    """Samples whose losses are added apart."""
    return max(1, TOGETHER // C)


@kernel
def gelu32(team, x, y, slope):
    """`_gelu` in single precision."""
    share(team, x.size, GRAIN, task(_gelu, (x, SINGLE, y, slope)))


@kernel
def gelu64(team, x, y, slope):
    """`_gelu` in double precision."""
    share(team, x.size, GRAIN, task(_gelu, (x, DOUBLE, y, slope)))


@kernel
def cross_entropy32(team, z, labels, dz):
    """`_cross_entropy` in single precision, its sums in double precision; NaN where a label is out of range."""
    if not _labelled(labels, z.shape[1]):
        return nan
    sums = np.empty(-(-len(z) // _step(z.shape[1])))
    share(team, sums.size, 1, task(_cross_entropy, (z, labels, SINGLE, dz, sums)))
    return sums.sum()


@kernel
def cross_entropy64(team, z, labels, dz):
    """`_cross_entropy` in double precision; NaN where a label is out of range."""
    if not _labelled(labels, z.shape[1]):
        return nan
    sums = np.empty(-(-len(z) // _step(z.shape[1])))
    share(team, sums.size, 1, task(_cross_entropy, (z, labels, DOUBLE, dz, sums)))
    return sums.sum()


def gelu(x: np.ndarray, y: np.ndarray, slope: np.ndarray) -> None:
    """`_gelu` for contiguous arrays in single or double precision."""
    (gelu32 if x.dtype == np.float32 else gelu64)(team(x.size // GRAIN), x, y, slope)


def cross_entropy(z: np.ndarray, labels: np.ndarray, dz: np.ndarray) -> float:
    """`_cross_entropy` for a contiguous z in single or double precision."""
    found = team(z.size // TOGETHER)
    return (cross_entropy32 if z.dtype == np.float32 else cross_entropy64)(found, z, labels, dz)
