"""Argument checks, made once at the public call and never in kernels.

Every failure is a ``ValueError`` in one form: the argument's name, what was expected, what came.
"""

from collections.abc import Collection, Mapping, Sequence
from math import prod
from typing import Any, NoReturn

import numpy as np

Array = np.ndarray


def fail(name: str, expected: str, got: Any) -> NoReturn:
    """Raise the one kind of ``ValueError`` of this package."""
    raise ValueError(f"{name}: expected {expected}, got {got}")


def describe(value: Any) -> str:
    """Shape and dtype of an array, else a short repr: what an error message says was given."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."


def array(name: str, value: Any) -> Array:
    """Anything that is an array of numbers or can become one, ragged nested sequences not."""
    try:
        made = np.asarray(value)
    except ValueError:
        fail(name, "an array", describe(value))
    if made.dtype.kind not in "biufc":
        fail(name, "an array of numbers", describe(made))
    return made


def real_array(name: str, value: Any, ndim: int | None = None, shape: Sequence[int | None] | None = None) -> Array:
    """A floating-point array; float32, float64 and longdouble stay what they are, integers become float64.

    Parameters
    ----------
    ndim : the number of axes, if it is fixed.
    shape : the shape, with None for an axis of any length.

    Raises
    ------
    ValueError : complex, boolean, object or text values; a wrong number of axes or shape.
    """
    try:
        array = np.asarray(value)
    except ValueError:  # ragged nested sequences
        fail(name, "an array of real numbers", describe(value))
    if array.dtype.kind in "iu":
        array = array.astype(np.float64)
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        fail(name, "real numbers of dtype float32, float64 or longdouble", describe(array))
    if not array.dtype.isnative:  # kernels know the machine's byte order alone
        array = array.astype(array.dtype.newbyteorder("="))
    if ndim is not None and array.ndim != ndim:
        fail(name, f"{ndim} axes", describe(array))
    if shape is not None and not _fits(array.shape, shape):
        fail(name, f"shape {_pattern(shape)}", describe(array))
    return array


def _fits(actual: tuple[int, ...], wanted: Sequence[int | None]) -> bool:
    return len(actual) == len(wanted) and all(w is None or a == w for a, w in zip(actual, wanted))


def _pattern(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("any" if n is None else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"


def same_shape(name: str, array: Array, other_name: str, other: Array) -> None:
    """Raise unless two arrays have one shape."""
    if array.shape != other.shape:
        fail(name, f"the shape {other.shape} of {other_name}", f"shape {array.shape}")


def nonempty(name: str, array: Array) -> None:
    """Raise when an array has no entries."""
    if array.size == 0:
        fail(name, "at least one entry", describe(array))


def number(name: str, value: Any) -> float:
    """Any real number as a Python float, NaN and infinities included."""
    return _number(name, value, "a real number")


def real(name: str, value: Any) -> float:
    """A finite real number as a Python float (booleans, text and arrays are refused)."""
    number = _number(name, value, "a finite real number")
    if not np.isfinite(number):
        fail(name, "a finite real number", describe(value))
    return number


def positive(name: str, value: Any) -> float:
    """A finite number > 0."""
    number = _number(name, value, "a finite number > 0")
    if not (number > 0 and np.isfinite(number)):
        fail(name, "a finite number > 0", describe(value))
    return number


def nonnegative(name: str, value: Any) -> float:
    """A finite number >= 0."""
    number = _number(name, value, "a finite number >= 0")
    if not (number >= 0 and np.isfinite(number)):
        fail(name, "a finite number >= 0", describe(value))
    return number


def within(name: str, value: Any, low: float, high: float) -> float:
    """A number in the closed interval [low, high]."""
    number = _number(name, value, f"a number in [{low}, {high}]")
    if not low <= number <= high:
        fail(name, f"a number in [{low}, {high}]", describe(value))
    return number


def _number(name: str, value: Any, expected: str) -> float:
    scalar = value.item() if isinstance(value, (np.ndarray, np.generic)) and np.ndim(value) == 0 else value
    if isinstance(scalar, bool) or not isinstance(scalar, (int, float, np.floating)):
        fail(name, expected, describe(value))
    try:
        return float(scalar)
    except OverflowError:
        fail(name, expected, "an integer beyond all floats")


def integer(name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """An integer of at most 64 bits (NumPy's too, no booleans) with optional closed bounds."""
    bounds = f" >= {low}" if high is None and low is not None else "" if low is None else f" in [{low}, {high}]"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        fail(name, f"an integer{bounds}", describe(value))
    if (low is not None and value < low) or (high is not None and value > high):
        fail(name, f"an integer{bounds}", describe(value))
    if abs(int(value)) >= 2**63:
        fail(name, "an integer of at most 64 bits", describe(value))
    return int(value)


def integers(name: str, value: Any, low: int | None = None) -> tuple[int, ...]:
    """A sequence of integers >= ``low`` as a tuple."""
    scalar = isinstance(value, np.ndarray) and value.ndim == 0
    if scalar or not isinstance(value, (Sequence, np.ndarray)) or isinstance(value, (str, bytes)):
        fail(name, "a sequence of integers", describe(value))
    return tuple(integer(name, entry, low) for entry in value)


def shape(name: str, value: Any) -> tuple[int, ...]:
    """The shape of an array that fits into a memory: lengths >= 1, fewer than 2^48 entries."""
    lengths = integers(name, value, low=1)
    if prod(lengths) >= 2**48:
        fail(name, "fewer than 2^48 entries", describe(value))
    return lengths


def generator(name: str, value: Any) -> np.random.Generator:
    """The random generator of a seed (None: a fresh one), or the given one."""
    try:
        return np.random.default_rng(value)
    except (TypeError, ValueError):
        fail(name, "a seed, a numpy.random.Generator or None", describe(value))


def provides(name: str, value: Any, *methods: str) -> Any:
    """An object, not a class, with these methods."""
    if isinstance(value, type) or not all(callable(getattr(value, method, None)) for method in methods):
        fail(name, "an object with the methods " + ", ".join(methods), describe(value))
    return value


def mapping(name: str, value: Any, names: Collection[str] = ()) -> Mapping[str, Any]:
    """A mapping that has at least these names."""
    if not isinstance(value, Mapping) or not set(names) <= set(value):
        fail(name, "a mapping" + (" with the names " + ", ".join(names) if names else ""), describe(value))
    return value


def choice(name: str, value: Any, options: Collection[Any]) -> Any:
    """One of a few named options."""
    if not any(value is option or (type(value) is type(option) and value == option) for option in options):
        fail(name, "one of " + ", ".join(map(repr, options)), describe(value))
    return value


def text(name: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        fail(name, "a string", describe(value))
    return value


def flag(name: str, value: Any) -> bool:
    """True or False (NumPy's too)."""
    if not isinstance(value, (bool, np.bool_)):
        fail(name, "True or False", describe(value))
    return bool(value)


def float_dtype(name: str, value: Any) -> np.dtype:
    """float32, float64 or longdouble, by type, dtype or name."""
    kinds = [np.dtype(kind) for kind in (np.float32, np.float64, np.longdouble)]
    if not isinstance(value, (type, np.dtype, str)) or value not in [*kinds, *(kind.name for kind in kinds), float]:
        fail(name, "float32, float64 or longdouble", describe(value))
    return np.dtype(value)


def integer_labels(name: str, value: Any, batch: int) -> Array:
    """``batch`` integers, as an int64 array, which may be the one given."""
    try:
        array = np.asarray(value)
    except ValueError:  # ragged nested sequences
        fail(name, f"{batch} integer labels", describe(value))
    if array.dtype.kind not in "iu" or array.shape != (batch,):
        fail(name, f"{batch} integer labels", describe(array))
    return array.astype(np.int64, copy=False)


def labels(name: str, value: Any, batch: int, classes: int) -> Array:
    """Class labels: ``batch`` integers in 0 ... classes - 1, as an int64 array."""
    array = integer_labels(name, value, batch)
    if batch and not (array.min() >= 0 and array.max() < classes):
        fail(name, f"labels in 0 ... {classes - 1}", f"values from {np.min(value)} to {np.max(value)}")
    return array.copy()
