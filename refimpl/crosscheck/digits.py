"""Elementary functions in 50-digit decimal arithmetic, on object arrays: what test vectors are computed with.

Doubles enter exactly; results leave correctly rounded. Nothing here calls the code that is judged, nor a
mathematical library, so that vectors are the same on every machine.
"""

from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np

PRECISION = 50
Array = np.ndarray
ZERO: Any = Decimal(0)
ONE: Any = Decimal(1)
TWO: Any = Decimal(2)
HALF: Any = Decimal("0.5")


def exact(value: Any) -> Any:
    """A float or float array as Decimals without rounding; everything else as it is."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return np.vectorize(Decimal, otypes=[object])(value.astype(float)) if value.size else value.astype(object)
    if isinstance(value, tuple):
        return tuple(map(exact, value))
    return Decimal(value) if isinstance(value, float) else value


def rounded(value: Any) -> Any:
    """Decimals to the nearest doubles."""
    return np.array(value, dtype=object).astype(np.float64)


def evaluate(definition: Callable[..., Any], case: dict[str, Any]) -> Any:
    """The outputs of a definition at a case, computed with 50 digits and rounded once."""
    with localcontext() as context:
        context.prec = PRECISION
        value = definition(**{name: exact(entry) for name, entry in case.items()})
        return tuple(map(_out, value)) if isinstance(value, tuple) else _out(value)


def _out(value: Any) -> Any:
    if isinstance(value, Complex):
        return rounded(value.re) + 1j * rounded(value.im)
    return rounded(value)


class Complex:
    """Complex numbers as two object arrays."""

    def __init__(self, re: Any, im: Any):
        self.re, self.im = re, im

    def __mul__(self, other: "Complex") -> "Complex":
        return Complex(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)


def complex_parts(value: Array) -> Complex:
    """An array of complex doubles (or of Decimals) as `Complex`."""
    if value.dtype == object:
        return Complex(value, value * ZERO)
    return Complex(exact(np.ascontiguousarray(value.real)), exact(np.ascontiguousarray(value.imag)))


def zeros(shape: Any) -> Array:
    """An array of Decimal zeros."""
    return np.full(shape, ZERO, dtype=object)


def total(values: Any, axis: Any = None) -> Any:
    """The sum of an object array, ZERO if it is empty."""
    return np.sum(values, axis=axis, initial=ZERO)


def _each(function: Callable[[Decimal], Decimal]) -> Callable[[Any], Any]:
    return np.frompyfunc(function, 1, 1)


sqrt = _each(lambda x: x.sqrt())
exp = _each(lambda x: x.exp())
log = _each(lambda x: x.ln())


@_each
def tanh(x: Decimal) -> Decimal:
    """(1 - e) / (1 + e) with e = exp(-2 |x|), and the sign of x."""
    e = (-2 * abs(x)).exp()
    return ((1 - e) / (1 + e)).copy_sign(x)


@_each
def erf(x: Decimal) -> Decimal:
    """2/sqrt(pi) exp(-x^2) sum_n 2^n x^(2n+1) / (2n+1)!!, all terms of one sign; 1 for |x| > 12."""
    if abs(x) > 12:
        return ONE.copy_sign(x)
    term, value, n = x, x, 0
    while abs(term) > Decimal(10) ** (-PRECISION - 2) * abs(value) and term:
        n += 1
        term = term * 2 * x * x / (2 * n + 1)
        value += term
    return 2 * value * (-x * x).exp() / pi().sqrt()


@cache
def pi() -> Decimal:
    """By Machin's formula, 16 arctan(1/5) - 4 arctan(1/239), with ten digits to spare."""
    with localcontext() as context:
        context.prec = PRECISION + 10
        return 16 * _arctan(5) - 4 * _arctan(239)


def _arctan(n: int) -> Decimal:
    """arctan(1/n)."""
    value, sign, power, k = ONE / n, -1, ONE / n, 1
    while power > Decimal(10) ** (-PRECISION - 12):
        power /= n * n
        k += 2
        value += sign * power / k
        sign = -sign
    return value


def turn(fraction_numerator: int, denominator: int) -> tuple[Decimal, Decimal]:
    """(cos, sin) of 2 pi times a fraction."""
    return _turn(fraction_numerator % denominator, denominator)


@cache
def _turn(numerator: int, denominator: int) -> tuple[Decimal, Decimal]:
    quarter, rest = divmod(4 * numerator, denominator)
    if not rest:
        return ((ONE, ZERO), (ZERO, ONE), (-ONE, ZERO), (ZERO, -ONE))[quarter]
    x = 2 * pi() * numerator / denominator
    x -= 2 * pi() * ((x / (2 * pi()) + HALF).to_integral_value(ROUND_FLOOR))
    return _series(x, ONE, 0), _series(x, x, 1)


def _series(x: Decimal, term: Decimal, n: int) -> Decimal:
    """The Taylor series of cos (term 1, n = 0) or sin (term x, n = 1)."""
    value = term
    while abs(term) > Decimal(10) ** (-PRECISION - 2):
        term = -term * x * x / ((n + 1) * (n + 2))
        n += 2
        value += term
    return value
