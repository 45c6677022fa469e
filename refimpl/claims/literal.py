"""Drawn values as Python source, so that a witness can be pasted, and read back from the command line."""

import ast
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from refimpl.numerics import validate


def literal(value: Any) -> str:
    """Python source of a drawn value: what to paste to see a witness again (with ``import numpy as np``)."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.longdouble):
        return repr(value)
    if isinstance(value, np.generic):
        return literal(value.item())
    if isinstance(value, (tuple, list)):
        return _sequence(value)
    if is_dataclass(value) and not isinstance(value, type):
        inner = ", ".join(f"{f.name}={literal(getattr(value, f.name))}" for f in fields(value) if f.init)
        return f"{type(value).__name__}({inner})"
    if isinstance(value, (float, complex)):
        return repr(value).replace("inf", "np.inf").replace("nan", "np.nan")
    if type(value).__repr__ is object.__repr__:  # it would show an address, another one in every process
        return f"{type(value).__name__}()"
    return getattr(value, "__name__", None) or repr(value)


def arguments(instance: Mapping[str, Any]) -> str:
    """An instance as keyword arguments: ``x=np.array([0.5]), tau=2.0``."""
    return ", ".join(f"{name}={literal(value)}" for name, value in instance.items())


def parse(text: str) -> Any:
    """The value of a setting: a Python literal or a fraction such as 1/3; a list of numbers becomes an array.

    Raises
    ------
    ValueError : the text is none of these.
    """
    validate.text("text", text)
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = _fraction(text)
    return _numbers(value) if isinstance(value, list) else value


def _numbers(values: list) -> np.ndarray:
    try:
        return np.array(values, dtype=float)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{values!r:.60} is not an array of numbers") from None


def _array(value: np.ndarray) -> str:
    if value.size == 0:
        return f"np.zeros({value.shape}, dtype=np.{value.dtype})"
    kept = value.dtype in (np.dtype(float), np.dtype(int), np.dtype(bool), np.dtype(complex))
    return f"np.array({literal(value.tolist())}" + (")" if kept else f", dtype=np.{value.dtype})")


def _sequence(value: tuple | list) -> str:
    inner = ", ".join(map(literal, value))
    if isinstance(value, list):
        return f"[{inner}]"
    named = getattr(value, "_fields", None)
    if named:
        return f"{type(value).__name__}(" + ", ".join(f"{n}={literal(v)}" for n, v in zip(named, value)) + ")"
    return f"({inner},)" if len(value) == 1 else f"({inner})"


def _fraction(text: str) -> float:
    numerator, _, denominator = text.partition("/")
    try:
        return float(Fraction(int(numerator), int(denominator)))
    except (ValueError, ArithmeticError):
        raise ValueError(f"{text!r:.60} is not a number, a fraction or a Python literal") from None
