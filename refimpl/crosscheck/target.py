"""What a target is: an operation with the inputs it draws, its reference, and the relation a candidate must meet.

A *case* is a dictionary of named inputs (arrays, numbers, words); outputs are a dictionary of arrays. Python
candidates receive the inputs in the order of the case, programs receive them by name in an ``.npz`` file.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st

from refimpl.numerics import validate

Array = np.ndarray
Case = dict[str, Any]
Outputs = dict[str, Any]
Relation = Literal["equal", "member", "minimiser", "statistic"]


@dataclass(frozen=True)
class Target:
    """An operation that other people implement.

    Attributes
    ----------
    name : ``section.operation``, for instance ``sparsity.prox_l1``.
    what : the formula, with its number in the chapter.
    outputs : names of the outputs, in the order in which a candidate returns them.
    inputs : a hypothesis strategy of cases.
    reference : inputs (and conventions) by keyword -> the outputs (an array, a tuple or a dictionary).
    k, why : outputs may differ by ``k * eps * scale``, and why that much. eps belongs to the dtype of the inputs.
    scale : case -> the size of the numbers that rounding acts on: one number, an array (entrywise), or a dictionary
        of those; by default the largest modulus among inputs and expected outputs.
    edges : named cases that are always tried; the first one also comes in every dtype and memory layout.
    conventions : name -> the choices the field knows; the first one is the chapter's. They are passed to the
        reference only: a candidate has its own built in.
    residuals : for the relations other than "equal": (case, outputs) -> {what: violation in units of eps * scale}.
    measure : for "statistic": (case, outputs) -> the statistics that the reference predicts, scale in standard errors.
    definition : the same outputs from the definition in 50-digit arithmetic, for test vectors; None if none.
    steps : the first axis of the outputs counts steps; the first differing one is reported.
    hyper : for ``--as torch-optimizer``: input name -> its neutral value, for constructors that do not offer it.
    """

    name: str
    what: str
    outputs: tuple[str, ...]
    inputs: st.SearchStrategy[Case]
    reference: Callable[..., Any]
    k: float = 8
    why: str = "a few roundings an entry"
    scale: Callable[[Case], Any] | None = None
    edges: Mapping[str, Case] = field(default_factory=dict)
    conventions: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    relation: Relation = "equal"
    residuals: Callable[[Case, Outputs], dict[str, float]] | None = None
    measure: Callable[[Case, Outputs], Outputs] | None = None
    definition: Callable[..., Any] | None = None
    steps: bool = False
    hyper: Mapping[str, Any] | None = None

    @property
    def defaults(self) -> dict[str, Any]:
        """The chapter's choice of every convention."""
        return {name: options[0] for name, options in self.conventions.items()}

    def expected(self, case: Case, conventions: Mapping[str, Any] | None = None) -> Outputs:
        """The reference's outputs, computed in at least float64 whatever the dtype of the case."""
        return self.evaluate(self.reference, case, conventions)

    def evaluate(
        self, function: Callable[..., Any], case: Case, conventions: Mapping[str, Any] | None = None
    ) -> Outputs:
        """The named outputs of a function with the reference's signature, evaluated on copies in float64."""
        arguments = {name: _private(value) for name, value in case.items()}
        with np.errstate(all="ignore"):
            value = function(**arguments, **{**self.defaults, **(conventions or {})})
        return value if self.measure else self.named(value)

    def named(self, value: Any) -> Outputs:
        """An array, a tuple in the order of ``outputs`` or a dictionary, as a dictionary; None entries are left out."""
        if isinstance(value, Mapping):
            return {name: value[name] for name in self.outputs if value.get(name) is not None}
        values = (value,) if len(self.outputs) == 1 and not _single(value) else tuple(value)
        if len(values) != len(self.outputs):
            raise ValueError(f"expected {len(self.outputs)} outputs ({', '.join(self.outputs)}), got {len(values)}")
        return {name: entry for name, entry in zip(self.outputs, values) if entry is not None}

    def errors(self, case: Case, actual: Outputs, expected: Outputs) -> dict[str, Array]:
        """Entrywise |actual - expected| in units of eps * scale; a mismatch of shape, NaN or infinity is infinite."""
        return {
            name: error(value, expected[name], self.scale_of(name, case, expected[name]), eps_of(case))
            for name, value in actual.items()
        }

    def scale_of(self, name: str, case: Case, expected: Any) -> Any:
        """The scale of one output: a number, or an array of its shape."""
        if self.scale is None:
            return magnitude([*case.values(), expected])
        scale = self.scale(_float64(case))
        return scale[name] if isinstance(scale, dict) else scale


@dataclass
class Finding:
    """What one case showed: ``kind`` is "" (agrees), "not offered", "differs", "wrong shape", "crash", ..."""

    case: Case
    kind: str
    message: str = ""
    error: float = 0.0
    actual: Outputs = field(default_factory=dict)
    expected: Outputs = field(default_factory=dict)
    name: str = ""

    @property
    def failed(self) -> bool:
        """Whether the candidate is at fault here."""
        return self.kind not in ("", "not offered")


def error(actual: Any, expected: Any, scale: Any, eps: float) -> Array:
    """|a - b| / (eps * scale), entrywise; 0 where both are the same number, infinity or NaN."""
    a, b = np.asarray(actual), np.asarray(expected)
    if a.shape != b.shape:
        return np.array(inf)
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        finite = np.isfinite(a) & np.isfinite(b)
        units = np.abs(np.where(finite, a, 0) - np.where(finite, b, 0)) / (eps * np.asarray(scale, float))
    return np.where(same, 0.0, np.where(finite, units, inf))


def _single(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 1


def magnitude(values: Any) -> float:
    """The largest modulus among the finite entries of the floating-point arrays; 1 where there is none above 0."""
    arrays = [np.asarray(v) for v in values if isinstance(v, (np.ndarray, float, np.floating))]
    largest = [np.max(np.abs(a[np.isfinite(a)]), initial=0.0) for a in arrays if a.dtype.kind in "fc"]
    return float(max(largest, default=0.0)) or 1.0


def eps_of(case: Case) -> float:
    """Machine epsilon of the least precise floating-point array of a case (complex ones count as their parts)."""
    kinds = [v.dtype for v in case.values() if isinstance(v, np.ndarray) and v.dtype.kind in "fc"]
    return max((float(np.finfo(kind).eps) for kind in kinds), default=float(np.finfo(float).eps))


def _private(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    wide = {"f": np.float64, "c": np.complex128}.get(value.dtype.kind, value.dtype)
    return np.array(value, dtype=wide)


def _float64(case: Case) -> Case:
    return {name: _private(value) for name, value in case.items()}


def of_moduli(reference: Callable[..., Any], names: tuple[str, ...]) -> Callable[[Case], Any]:
    """The scale of a multilinear map: the map itself with every entry replaced by its modulus, entrywise."""

    def scale(case: Case) -> dict[str, Array]:
        moduli = {n: np.abs(v) if isinstance(v, np.ndarray) and v.dtype.kind in "fc" else v for n, v in case.items()}
        value = reference(**moduli)
        values = value if isinstance(value, tuple) else (value,)
        return {name: np.abs(entry) for name, entry in zip(names, values)}

    return scale


def astype(case: Case, real: type) -> Case:
    """The case with its floating-point arrays rounded to float32 (or kept in float64)."""
    kinds = {"f": real, "c": np.complex64 if real is np.float32 else np.complex128}
    return {
        n: v.astype(kinds[v.dtype.kind]) if isinstance(v, np.ndarray) and v.dtype.kind in kinds else v
        for n, v in case.items()
    }


def _strided(a: Array) -> Array:
    wide = np.full([*a.shape[:-1], 2 * a.shape[-1]], 77, a.dtype) if a.ndim else a.copy()
    if a.ndim:
        wide[..., ::2] = a
        return wide[..., ::2]
    return wide


def _read_only(a: Array) -> Array:
    b = a.copy()
    b.flags.writeable = False
    return b


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "non-contiguous": _strided,
    "read-only": _read_only,
    "Fortran order": np.asfortranarray,
}


def named_cases(target: Target) -> dict[str, Case]:
    """The edge cases of a target, and its first one as float32 and in every memory layout."""
    cases = dict(target.edges)
    if cases:
        base = next(iter(cases.values()))
        cases["float32"] = astype(base, np.float32)
        for name, layout in LAYOUTS.items():
            cases[name] = {n: layout(v) if isinstance(v, np.ndarray) else v for n, v in base.items()}
    return cases


TARGETS: dict[str, Target] = {}
_SECTIONS = ("setting", "layers", "robustness", "lipschitz", "sparsity", "bregman", "optimizers", "resolution")


def add(target: Target) -> Target:
    """Register a target."""
    TARGETS[target.name] = target
    return target


def targets(pattern: str = "*") -> list[Target]:
    """All targets whose name matches a shell pattern, in the order of the chapter."""
    for section in _SECTIONS:
        importlib.import_module(f"refimpl.crosscheck.{section}_targets")
    return [t for name, t in TARGETS.items() if fnmatch.fnmatchcase(name, validate.text("pattern", pattern))]


def find(name: str) -> Target:
    """The target of that name.

    Raises
    ------
    ValueError : there is none; the message lists names that are near.
    """
    import difflib

    targets()
    if validate.text("target", name) in TARGETS:
        return TARGETS[name]
    near = difflib.get_close_matches(name, TARGETS, n=4, cutoff=0.4) or [n for n in TARGETS if name in n]
    raise ValueError(
        f"target: expected one of `refimpl crosscheck --list`, got {name!r}"
        + (f"; near: {', '.join(near)}" if near else "")
    )
