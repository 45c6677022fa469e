"""Numbers and verdicts as a reader sees them."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

Record = Mapping[str, Any]

EPS = float(np.finfo(float).eps)


def worst(record: Record) -> str:
    """The worst residual in eps against its tolerance; of an inequality that holds, the smallest margin."""
    residual, tolerance, relation = record["residual"], record["tolerance"], record["relation"]
    if relation == "none":
        return "-"
    if relation == "exact":
        return "exact" if float(residual) <= 0 else "fails"
    if relation == "decays":
        return f"order off {short(residual)}/{short(tolerance)}"
    if relation == "at most" and record["sharpness"] is not None and not record["attained"]:
        return f"margin {short(1 - float(record['sharpness']))}"
    if relation == "at most" and float(residual) <= 0:
        return f"margin {short(abs(float(residual)) * EPS)}"
    return f"{short(residual)}/{short(tolerance)} eps"


def sharpness(record: Record) -> str:
    """The largest lhs / rhs, marked where the constant is attained."""
    if record["sharpness"] is None:
        return ""
    return "attained" if record["attained"] else f"{float(record['sharpness']):.4f}"


def controls(record: Record) -> str:
    """How many of the controls were refuted: "2/2"."""
    refuted = sum(control["verdict"] == "refuted" for control in record["controls"])
    return f"{refuted}/{len(record['controls'])}" if record["controls"] else ""


def verdict(record: Record) -> str:
    """The verdict, marked where it is not the expected one."""
    return record["verdict"] if record["as_expected"] else f"{record['verdict']} (!)"


def short(value: Any) -> str:
    """A number in few characters: 3, 0.25, 1.2e+09, inf."""
    if value is None:
        return "-"
    number = float(value)
    if not isfinite(number):
        return str(number)
    return f"{number:.0f}" if number == round(number) and abs(number) < 1e5 else f"{number:.2g}"


def plural(count: int, noun: str, plural: str | None = None) -> str:
    """ "1 check", "2 checks"."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
