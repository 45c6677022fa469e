"""The judge: tries named and drawn cases, shrinks the first failure, and says which known mistake it looks like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import hypothesis
import numpy as np
from hypothesis import Phase
from hypothesis import strategies as st

from refimpl.claims.search import quiet_settings
from refimpl.crosscheck import diagnosis
from refimpl.crosscheck.candidates import Failure, NotOffered, Run
from refimpl.crosscheck.diagnosis import Diagnosis
from refimpl.crosscheck.target import Case, Finding, Outputs, Target, astype, named_cases

UNSHRUNK = ("crash", "time limit")  # every further try would cost a process or a wait
PATIENCE = 3


@dataclass
class Report:
    """The verdict on a candidate, with everything that was tried."""

    target: Target
    candidate: str
    conventions: Mapping[str, Any]
    fixed: Mapping[str, Any]
    seed: int
    findings: list[Finding]
    smallest: Finding | None = None
    diagnoses: list[Diagnosis] = field(default_factory=list)
    note: str = ""

    @property
    def agrees(self) -> bool:
        """No case failed, and at least one was run."""
        return self.smallest is None and self.cases > 0

    @property
    def verdict(self) -> str:
        """ "agrees", "differs", or "not offered" when the candidate declined every case."""
        return "differs" if self.smallest else "agrees" if self.cases else "not offered"

    @property
    def cases(self) -> int:
        """How many cases the candidate answered or failed."""
        return sum(f.kind != "not offered" for f in self.findings)

    @property
    def failures(self) -> Counter[str]:
        """Kind of failure -> how many cases."""
        return Counter(f.kind for f in self.findings if f.failed)

    @property
    def declined(self) -> Counter[str]:
        """Reason -> how many cases were not offered."""
        return Counter(f.message for f in self.findings if f.kind == "not offered")

    @property
    def worst(self) -> float:
        """The largest error in eps * scale among the cases that agree."""
        return max((f.error for f in self.findings if not f.kind), default=0.0)


def judge(
    target: Target,
    run: Run,
    candidate: str = "candidate",
    *,
    examples: int = 100,
    seed: int = 0,
    fixed: Mapping[str, Any] | None = None,
    conventions: Mapping[str, Any] | None = None,
    shrink: bool = True,
) -> Report:
    """Compare a candidate with the reference on all named cases and on ``examples`` drawn ones.

    Parameters
    ----------
    run : case -> outputs (see `refimpl.crosscheck.candidates`).
    seed : of the search; the same seed draws the same cases.
    fixed : inputs that always have this value (the candidate has them built in).
    conventions : choices other than the chapter's.
    shrink : whether to look for the smallest failing input.
    """
    fixed, conventions = dict(fixed or {}), {**target.defaults, **(conventions or {})}
    report = Report(target, candidate, conventions, fixed, seed, [])
    for name, case in named_cases(target).items():
        _visit(report, run, {**case, **fixed}, name)
    drawn = _cases(target, fixed)
    _search(drawn, lambda case: _visit(report, run, case), examples, seed, False)
    failed = [f for f in report.findings if f.failed]
    if failed:
        search = shrink and any(not f.name for f in failed)
        report.smallest = _shrunk(target, run, drawn, failed, report, examples) if search else min(failed, key=_size)
        report.diagnoses = diagnosis.diagnose(target, conventions, report.findings)
    return report


def _cases(target: Target, fixed: Mapping[str, Any]) -> st.SearchStrategy[Case]:
    """Drawn cases with the fixed inputs in place, in float64 or float32."""
    dtypes = st.sampled_from((np.float64, np.float64, np.float32))
    return st.tuples(target.inputs, dtypes).map(lambda drawn: astype({**drawn[0], **fixed}, drawn[1]))


def _visit(report: Report, run: Run, case: Case, name: str = "") -> None:
    """Examine a case, unless the last ones all crashed or ran out of time."""
    last = report.findings[-PATIENCE:]
    if len(last) == PATIENCE and all(f.kind in UNSHRUNK for f in last):
        report.note = f"stopped after {PATIENCE} cases in a row that ended so"
        return
    report.findings.append(_examine(report.target, run, case, report.conventions, name))


def _examine(target: Target, run: Run, case: Case, conventions: Mapping[str, Any], name: str = "") -> Finding:
    """Run the candidate on one case and compare."""
    try:
        actual = run(case)
    except NotOffered as reason:
        return Finding(case, "not offered", str(reason), name=name)
    except Failure as failure:
        return Finding(case, failure.kind, failure.message, inf, name=name)
    return compare(target, case, actual, target.expected(case, conventions), name)


def compare(target: Target, case: Case, actual: Outputs, expected: Outputs, name: str = "") -> Finding:
    """Judge the outputs of one case: shapes, dtypes, NaN, then the target's relation."""
    try:
        actual = actual if target.measure is None else target.measure(case, actual)
    except (TypeError, ValueError) as error:
        return Finding(case, "wrong shape", str(error), inf, {}, expected, name)
    message = _malformed(case, actual, expected, target.relation == "equal")
    if message:
        return Finding(case, message[0], message[1], inf, actual, expected, name)
    if target.residuals is not None:
        return _certified(target, case, actual, expected, name)
    errors = target.errors(case, actual, expected)
    worst = max((float(np.max(e, initial=0.0)) for e in errors.values()), default=0.0)
    if worst <= target.k:
        return Finding(case, "", "", worst, actual, expected, name)
    return Finding(case, "differs", _where(target, errors, actual, expected), worst, actual, expected, name)


def _malformed(case: Case, actual: Outputs, expected: Outputs, strict: bool) -> tuple[str, str] | None:
    single = any(isinstance(v, np.ndarray) and v.dtype in (np.float32, np.complex64) for v in case.values())
    for name, value in actual.items():
        value, wanted = np.asarray(value), np.asarray(expected[name])
        if value.shape != wanted.shape:
            return "wrong shape", f"{name} has shape {value.shape}, expected {wanted.shape}"
        kind = _dtype(wanted.dtype, single)
        if strict and wanted.ndim and value.dtype != kind and wanted.dtype.kind in "fc":
            return "wrong dtype", f"{name} has dtype {value.dtype}, expected {kind}"
        if value.dtype.kind not in "biufc":
            return "wrong dtype", f"{name} has dtype {value.dtype}, expected numbers"
        stray = np.isnan(value) & ~np.isnan(wanted) if wanted.dtype.kind in "fc" else np.zeros(wanted.shape, bool)
        if np.any(stray):
            return "NaN", f"{name}{_index(stray)} is NaN, expected {wanted[_first(stray)].item()!r}"
    return None


def _dtype(wide: np.dtype, single: bool) -> np.dtype:
    narrow = {"f": np.dtype(np.float32), "c": np.dtype(np.complex64)}
    return narrow.get(wide.kind, wide) if single else wide


def _certified(target: Target, case: Case, actual: Outputs, expected: Outputs, name: str) -> Finding:
    assert target.residuals is not None
    with np.errstate(all="ignore"):
        violations = target.residuals(case, actual)
    what, worst = max(violations.items(), key=lambda item: inf if np.isnan(item[1]) else item[1])
    worst = inf if np.isnan(worst) else float(worst)
    kind = "" if worst <= target.k else "differs"
    message = f"{what}: violated by {worst:.3g}, allowed {target.k:g}" if kind else ""
    return Finding(case, kind, message, worst, actual, expected, name)


def _where(target: Target, errors: Mapping[str, Any], actual: Outputs, expected: Outputs) -> str:
    """The first differing entry: for trajectories the step and the coordinate."""
    name = next(n for n, e in errors.items() if np.max(e, initial=0.0) > target.k)
    wrong = errors[name] > target.k
    spot = _first(wrong)
    if target.steps:
        step, rest = spot[0] + 1, spot[1:]
        place = f"{name}: first differs at step {step}, coordinate {rest[0] if len(rest) == 1 else rest}"
    else:
        place = f"{name}{_index(wrong)}: first of {int(wrong.sum())} differing entries (of {wrong.size})"
    got, want = np.asarray(actual[name])[spot], np.asarray(expected[name])[spot]
    return f"{place}: got {got.item()!r}, expected {want.item()!r}"


def _first(mask: Any) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])


def _index(mask: Any) -> str:
    spot = _first(mask)
    return f"[{', '.join(map(str, spot))}]" if spot else ""


# Search and shrinking -----------------------------------------------------------------------------------------


class _Found(Exception):
    """A failing case, raised so that hypothesis shrinks it."""


def _search(drawn: st.SearchStrategy[Case], visit: Any, examples: int, seed: int, shrink: bool) -> None:
    @hypothesis.seed(seed)
    @quiet_settings(examples, [Phase.generate, Phase.shrink] if shrink else [Phase.generate])
    @hypothesis.given(drawn)
    def run(case: Case) -> None:
        visit(case)

    run()


def _shrunk(target: Target, run: Run, drawn: Any, failed: Sequence[Finding], report: Report, examples: int) -> Finding:
    """The smallest failing case that hypothesis finds, of the kind that the first drawn failure had."""
    best = min(failed, key=_size)
    if best.kind in UNSHRUNK:
        return best
    kind, seen = next(f.kind for f in failed if not f.name), [best]

    def visit(case: Case) -> None:
        finding = _examine(target, run, case, report.conventions)
        if finding.kind == kind:
            seen.append(finding)
            raise _Found

    try:
        _search(drawn, visit, examples, report.seed, True)
    except _Found:
        pass
    except hypothesis.errors.Flaky:
        report.note = "the candidate is not deterministic: the same case passed and failed"
    return seen[-1]


def _size(finding: Finding) -> int:
    return sum(np.size(v) for v in finding.case.values())
