"""The engine of the input tests: one argument of a valid call at a time is replaced by something unexpected.

A call passes when it computes a value, or raises a ValueError or TypeError that names the argument. Any other
exception, a call that does not end, a changed input, or another number for the same numbers in another memory
layout is a failure.
"""

import re
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

Array = np.ndarray
SECONDS = 10  # no call on these tiny inputs takes that long
COUNTS: Counter = Counter()


@dataclass
class Call:
    """A function, a valid value for each of its arguments, and how messages may name them.

    ``counts`` are arguments whose size is the work asked for: never made huge. ``fixed`` are not varied:
    callables of the user, whose own exceptions pass through. ``refusals`` are other documented exceptions.
    """

    function: Callable[..., Any]
    arguments: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    counts: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    refusals: tuple[type[Exception], ...] = (MemoryError,)


class Ended(BaseException):
    """The time of a call is over."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `Ended` in a call that takes longer."""

    def end(*_: Any) -> None:
        raise Ended

    old = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


class Nothing:
    """An object of no use to anybody."""

    def __repr__(self) -> str:
        return "Nothing()"


def wrong_types() -> list[Any]:
    """Things that are no argument of anything here, most of them."""
    ragged = [[1.0, 2.0], [3.0]]
    return [
        None,
        "text",
        b"bytes",
        Nothing(),
        Nothing,
        {},
        {"a": 1},
        {1, 2},
        ragged,
        [None],
        [[]],
        1j,
        [1j],
        "1",
        ["1"],
    ]


def numbers() -> list[Any]:
    """Numbers of every kind, most of them out of range."""
    far = [float("nan"), float("inf"), -float("inf"), -1, -1.5, 0, -0.0, 2.5, 1e308, 1e-320]
    return [*far, True, np.bool_(False), np.float16(1), np.float32(0.5), np.longdouble(0.5), np.int8(-1), np.array(0.5)]


def huge_integers() -> list[int]:
    """Integers that no array has entries for."""
    return [2**62, 2**63, 10**30, -(10**30)]


def arrays() -> list[Array]:
    """Arrays of odd shapes and dtypes."""
    shapes = [(), (0,), (1,), (0, 3), (3, 0), (2, 0, 2), (7,), (5, 3), (1, 1, 1, 1, 1, 1), (3, 2, 2, 5)]
    odd = [np.array(["a"]), np.array([None]), np.array([1.0, None], object), np.array([1 + 1j]), np.array([True])]
    odd += [np.zeros(3, np.float16), np.zeros(3, "M8[s]"), np.zeros(2, [("a", float)]), np.ones(3, np.uint64)]
    return [np.ones(shape) for shape in shapes] + odd


def layouts(a: Array) -> dict[str, Any]:
    """The same numbers in other memory: what must not change the result."""
    wide = np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a
    turned = np.ascontiguousarray(a[::-1])[::-1] if a.ndim else a
    frozen = a.copy()
    frozen.flags.writeable = False
    swapped = a.astype(a.dtype.newbyteorder())
    unaligned = np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(np.uint8).copy()
    shifted = np.empty(a.nbytes + 1, np.uint8)[1:]
    shifted[:] = unaligned
    same = {"strided": wide, "reversed": turned, "read-only": frozen, "Fortran": np.asfortranarray(a)}
    same |= {"byte order": swapped, "unaligned": shifted.view(a.dtype).reshape(a.shape), "list": a.tolist()}
    return same | {"subclass": a.view(type("Mine", (np.ndarray,), {}))}


def spoilt(a: Array) -> list[Array]:
    """Nearly the same array: special values, other dtypes, other shapes."""
    made = [a[..., None], a[None], a.reshape(-1), a[:0], a.T, a[..., :-1] if a.ndim else a, np.concatenate([a, a])]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made += [a.astype(kind) for kind in (object, complex, bool, np.float16, np.int64, np.uint8)] + [-a]
    if a.dtype.kind == "f":
        made += [a.astype(np.float32), a.astype(np.longdouble), a * 1e300, a * 1e-310]
        made += [np.where(np.arange(a.size).reshape(a.shape) == 0, x, a) for x in (np.nan, np.inf, -np.inf)]
        made += [np.full_like(a, x) for x in (0.0, np.nan, np.inf)]
    return made


def replacements(value: Any, count: bool) -> list[Any]:
    """What an argument is replaced by."""
    made = wrong_types() + numbers() + arrays() + ([] if count else huge_integers())
    if isinstance(value, np.ndarray):
        made += spoilt(value) if value.ndim else []
    if isinstance(value, (tuple, list)):
        made += [value[:-1], (*value, *value), list(value), tuple(value), [*value, None], (value,)]
        made += [] if count else [tuple(replacement for _ in value) for replacement in (*numbers(), *huge_integers())]
    return made


def everything(result: Any) -> Any:
    """The result with iterators begun: their first three values."""
    return list(islice(result, 3)) if isinstance(result, Iterator) else result


def leaves(value: Any) -> list[Any]:
    """The arrays and numbers in a result."""
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    if isinstance(value, (tuple, list)):
        return [leaf for part in value for leaf in leaves(part)]
    return [value] if isinstance(value, (np.ndarray, np.generic, float, int)) else []


def agree(a: Any, b: Any) -> bool:
    """Whether two results hold the same numbers up to rounding."""
    pairs = [(np.asarray(x), np.asarray(y)) for x, y in zip(leaves(a), leaves(b))]
    same = len(leaves(a)) == len(leaves(b)) and all(x.shape == y.shape for x, y in pairs)
    return same and all(np.allclose(x, y, 1e-9, 1e-9, equal_nan=True) for x, y in pairs if x.dtype.kind in "fciub")


def names(message: str, name: str, call: Call) -> bool:
    """Whether an error message names the argument."""
    return any(
        re.search(rf"(?<![a-z]){re.escape(n)}(?![a-z])", message) for n in (name, *call.names.get(name, "").split())
    )


def attempt(call: Call, arguments: dict[str, Any], changed: str) -> tuple[str, Any]:
    """("value", result), ("refused", message) or ("failure", what happened)."""
    before = [(leaf, leaf.tobytes()) for leaf in leaves(arguments) if isinstance(leaf, np.ndarray)]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), limited(SECONDS):
            warnings.simplefilter("ignore")
            outcome: tuple[str, Any] = ("value", everything(call.function(**arguments)))
    except Ended:
        return "failure", f"took more than {SECONDS} s"
    except call.refusals as error:
        return "refused", f"{type(error).__name__}: {error}"
    except (ValueError, TypeError) as error:
        outcome = ("refused", str(error))
        if changed and not names(str(error), changed, call):
            return "failure", f"{type(error).__name__} that does not name {changed}: {error}"
    except Exception as error:
        return "failure", f"{type(error).__name__}: {error}"
    if any(leaf.tobytes() != bytes_ for leaf, bytes_ in before):
        return "failure", "an input was changed"
    return outcome


def fuzz(label: str, call: Call) -> list[str]:
    """The failures of one entry of a table, one line each."""
    kind, base = attempt(call, call.arguments, "")
    if kind != "value":
        return [f"{label}: the valid call gives {kind}: {base}"]
    found = []
    for name, value in call.arguments.items():
        if name in call.fixed:
            continue
        for replacement in replacements(value, name in call.counts):
            kind, result = attempt(call, call.arguments | {name: replacement}, name)
            COUNTS[kind] += 1
            if kind == "failure":
                found.append(f"{label}({name}={brief(replacement)}): {str(result).splitlines()[0][:200]}")
        for layout, same in layouts(value).items() if isinstance(value, np.ndarray) else ():
            kind, result = attempt(call, call.arguments | {name: same}, name)
            COUNTS["layout"] += 1
            if kind != "value" or not agree(base, result):
                found.append(f"{label}({name} {layout}): {kind} {str(result)[:200]} instead of {str(base)[:100]}")
    return found


def brief(value: Any) -> str:
    """A short name of a replacement."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}" + (f" {value.reshape(-1)[:2]}" if value.dtype.kind in "fO" else "")
    return repr(value)[:60]
