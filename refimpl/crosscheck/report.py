"""A verdict as text for the terminal, as data, and as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from refimpl import __version__
from refimpl.crosscheck.judge import Report
from refimpl.crosscheck.target import Case, Finding, Target
from refimpl.numerics.text import escaped


def literal(value: Any) -> str:
    """Python source of a value, with its dtype where that is not the default."""
    if isinstance(value, np.ndarray):
        dtype = (
            "" if value.dtype in (np.float64, np.int64, np.complex128) and value.size else f", np.{value.dtype.name}"
        )
        text = repr(value.tolist()).replace("nan", "np.nan").replace("inf", "np.inf")
        return f"np.array({text}{dtype})" if value.size else f"np.zeros({value.shape}{dtype})"
    return repr(value.item() if isinstance(value, np.generic) else value)


def literals(case: Case) -> str:
    """One assignment a line, to paste."""
    return "\n".join(f"{name} = {literal(value)}" for name, value in case.items())


def entries(report: Report) -> dict[str, Any]:
    """The report as data for JSON: numbers, words, lists."""
    smallest = report.smallest
    return {
        "target": report.target.name,
        "candidate": report.candidate,
        "verdict": report.verdict,
        "what": report.target.what,
        "relation": report.target.relation,
        "tolerance": {"k": report.target.k, "why": report.target.why},
        "conventions": {name: str(value) for name, value in report.conventions.items()},
        "fixed": {name: literal(value) for name, value in report.fixed.items()},
        "seed": report.seed,
        "cases": report.cases,
        "failed": sum(report.failures.values()),
        "failures": dict(report.failures),
        "not offered": dict(report.declined),
        "worst error in eps": report.worst,
        "smallest": _finding(smallest) if smallest else None,
        "named cases": {f.name: f.kind or "agrees" for f in report.findings if f.name},
        "diagnosis": [{"mistake": d.mistake, "inputs": d.matched} for d in report.diagnoses],
        "note": report.note,
        "version": __version__,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "message": finding.message,
        "error in eps": finding.error if np.isfinite(finding.error) else str(finding.error),
        "named case": finding.name,
        "inputs": literals(finding.case),
        "actual": {name: literal(np.asarray(value)) for name, value in finding.actual.items()},
        "expected": {name: literal(np.asarray(value)) for name, value in finding.expected.items()},
    }


def text(report: Report) -> str:
    """What the terminal shows."""
    lines = [f"{report.target.name}: {report.candidate} {_verdict(report)}", f"  {report.target.what}"]
    lines += [f"  convention {name}: {value}" for name, value in report.conventions.items()]
    lines += [f"  fixed {name} = {literal(value)}" for name, value in report.fixed.items()]
    lines.append(f"  {_counts(report)}")
    lines += [f"  not offered, {count} x: {reason}" for reason, count in report.declined.items()]
    if report.cases > sum(report.failures.values()):
        where = " where it agrees" if report.smallest else ""
        lines.append(
            f"  largest error{where}: {report.worst:.3g} eps, allowed {report.target.k:g}: {report.target.why}"
        )
    lines += _failure(report)
    lines += [f"  note: {report.note}"] if report.note else []
    return "\n".join(lines)


def _verdict(report: Report) -> str:
    return {"agrees": "AGREES", "differs": "DIFFERS", "not offered": "OFFERS NOTHING that could be compared"}[
        report.verdict
    ]


def _counts(report: Report) -> str:
    named = [f for f in report.findings if f.name]
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.failures.items())
    failing = [f.name for f in named if f.failed]
    parts = [f"{report.cases} cases run ({len(named)} named)", f"{sum(report.declined.values())} not offered"]
    parts += [f"failed: {kinds}"] if kinds else []
    return "; ".join(parts) + (f"\n  failing named cases: {', '.join(failing)}" if failing else "")


def _failure(report: Report) -> list[str]:
    f = report.smallest
    if f is None:
        return []
    error = f" ({f.error:.3g} eps)" if np.isfinite(f.error) else ""
    lines = [
        "",
        f"  {f.kind}{error}: {f.message}",
        f"  on the smallest failing input{f' ({f.name})' if f.name else ''}:",
    ]
    lines += [f"    {line}" for line in literals(f.case).splitlines()]
    lines += [f"    got      {name} = {literal(np.asarray(value))}" for name, value in f.actual.items()]
    lines += [f"    expected {name} = {literal(np.asarray(value))}" for name, value in f.expected.items()]
    return [*lines, "", *_diagnosis(report)]


def _diagnosis(report: Report) -> list[str]:
    if not any(f.failed and f.actual for f in report.findings):
        return []
    if not report.diagnoses:
        return ["  It looks like none of the known mistakes."]
    return [
        f"  Your output equals: {d.mistake} (on all {d.matched} inputs where it differs)." for d in report.diagnoses
    ]


def describe(target: Target) -> str:
    """What a candidate for this target must take and return."""
    from refimpl.crosscheck import mistakes

    base = next(iter(target.edges.values()), {})
    lines = [
        target.name,
        f"  {target.what}",
        f"  relation: {target.relation}; tolerance {target.k:g} eps: {target.why}",
    ]
    lines += [f"  input  {name}: {_shape(value)}" for name, value in base.items()]
    lines += [f"  output {name}" for name in target.outputs]
    lines += [f"  convention {n}: {' | '.join(map(str, options))}" for n, options in target.conventions.items()]
    lines += [f"  known mistake: {name}" for name in mistakes.of(target)]
    lines += ["  also as --as torch-optimizer"] if target.hyper is not None else []
    return "\n".join(lines)


def _shape(value: Any) -> str:
    return f"{value.dtype} array, e.g. of shape {value.shape}" if isinstance(value, np.ndarray) else f"e.g. {value!r}"


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#222}}
pre{{background:#f4f4f4;padding:1rem;overflow:auto}}td,th{{text-align:left;padding:.2rem 1rem .2rem 0}}
.agrees{{color:#0b6}}.differs{{color:#c30}}</style>
<h1 class="{verdict}">{title}</h1><p>{what}</p>{body}</html>
"""


def page(report: Report) -> str:
    """One HTML page; every name, message and number in it is escaped."""
    data = entries(report)
    plain = {
        n: v
        for n, v in data.items()
        if n not in ("smallest", "named cases", "diagnosis", "what", "target", "candidate")
    }
    body = _table(plain) + "".join(f"<p><b>Your output equals:</b> {escaped(d.mistake)}</p>" for d in report.diagnoses)
    if data["smallest"]:
        body += f"<h2>Smallest failing input</h2><pre>{escaped(chr(10).join(_failure(report)))}</pre>"
    body += f"<h2>Named cases</h2>{_table(data['named cases'])}"
    title = f"{report.target.name}: {report.candidate} {report.verdict}"
    return PAGE.format(
        title=escaped(title), verdict=escaped(report.verdict.split()[0]), what=escaped(data["what"]), body=body
    )


def _table(rows: Mapping[str, Any]) -> str:
    cells = "".join(f"<tr><th>{escaped(name)}</th><td>{escaped(value)}</td></tr>" for name, value in rows.items())
    return f"<table>{cells}</table>"
