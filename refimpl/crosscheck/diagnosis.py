"""Which known mistake a candidate's outputs equal: on several inputs where it matters, and against none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from refimpl.crosscheck import mistakes
from refimpl.crosscheck.target import Case, Finding, Outputs, Target

ENOUGH = 3  # inputs on which a mistake must show before it is named
SIDES = ("actual", "expected")
SLACK = 4  # twins round in another order than the candidate: their tolerance is SLACK * k


@dataclass(frozen=True)
class Diagnosis:
    """The candidate's output equals that of a mistake on all ``matched`` inputs where it differs from the reference."""

    mistake: str
    matched: int


def diagnose(target: Target, conventions: Mapping[str, Any], findings: Sequence[Finding]) -> list[Diagnosis]:
    """Every known mistake or other convention that explains *all* outputs; failing that, a simple relation."""
    seen = [f for f in findings if f.actual]
    wrong = [f for f in seen if f.failed]
    if len(wrong) < ENOUGH:
        return []
    named = [
        Diagnosis(name, len(wrong))
        for name, twin in explanations(target, conventions).items()
        if explains(target, twin, seen)
    ]
    return named or _simple(target, wrong, seen)


def explanations(target: Target, conventions: Mapping[str, Any]) -> dict[str, Callable[[Case], Outputs]]:
    """Name -> twin: the known mistakes, then every convention of the field other than the one asked for."""
    found: dict[str, Callable[[Case], Outputs]] = {}
    for name, twin in mistakes.of(target).items():
        found[name] = partial(target.evaluate, twin, conventions=conventions)
    for name, options in target.conventions.items():
        for option in options:
            if option != conventions[name]:
                other = {**conventions, name: option}
                found[f"another convention: {name}={option}"] = partial(target.expected, conventions=other)
    return found


def explains(target: Target, twin: Callable[[Case], Outputs], seen: Sequence[Finding]) -> bool:
    """Whether the twin reproduces every output; one output that contradicts it is enough to clear it."""
    try:
        return all(close(target, finding, twin(finding.case), SLACK) for finding in seen)
    except Exception:  # a twin that cannot handle a case explains nothing
        return False


def close(target: Target, finding: Finding, outputs: Outputs, slack: float) -> bool:
    """Whether the actual outputs of a finding equal others within slack times the tolerance."""
    if any(name not in outputs for name in finding.actual):
        return False
    errors = target.errors(finding.case, finding.actual, outputs)
    return all(float(np.max(e, initial=0.0)) <= slack * target.k for e in errors.values())


def _simple(target: Target, wrong: Sequence[Finding], seen: Sequence[Finding]) -> list[Diagnosis]:
    """Relations that need no table: a constant factor, or arithmetic in single precision."""
    if target.measure or any(np.shape(f.actual[n]) != np.shape(f.expected[n]) for f in seen for n in f.actual):
        return []
    factor = _factor(wrong)
    if factor is not None and all(close(target, f, _scaled(f, factor), SLACK) for f in seen):
        return [Diagnosis("the sign is flipped" if factor == -1 else f"off by the factor {factor:.6g}", len(wrong))]
    single = float(np.finfo(np.float32).eps / np.finfo(np.float64).eps)
    if all(close(target, f, f.expected, single) for f in seen):
        return [Diagnosis("right to single precision only: computed in float32?", len(wrong))]
    return []


def _factor(findings: Sequence[Finding]) -> float | None:
    """actual / expected at the entry of the largest expected modulus, if it is real and not 0."""
    actual, expected = (np.concatenate([np.ravel(getattr(f, s)[n]) for f in findings for n in f.actual]) for s in SIDES)
    finite = np.isfinite(actual) & np.isfinite(expected)
    sizes = np.where(finite, np.abs(expected), 0)
    if not sizes.size or not sizes.max():
        return None
    ratio = complex(actual[sizes.argmax()] / expected[sizes.argmax()])
    return ratio.real if ratio.real and abs(ratio.imag) < 1e-6 * abs(ratio) else None


def _scaled(finding: Finding, factor: float) -> Outputs:
    return {name: factor * np.asarray(value) for name, value in finding.expected.items()}
