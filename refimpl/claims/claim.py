"""A claim is a property test with a name: a numbered statement, its instances, its evidence, its controls.

The instances are drawn so that they satisfy the hypotheses of the statement. The body evaluates both
sides at one instance and returns `Evidence`; the verdict is *computed* from the evidence of all
instances, never stated. A *control* is a dropped hypothesis or a wrong twin of the code and must be
refuted: a check that cannot fail is vacuous.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from refimpl.numerics import compare

if TYPE_CHECKING:
    import refimpl.claims.search

Reading = Literal["as printed", "corrected", "stronger"]
Severity = Literal["typo", "wrong constant", "missing hypothesis", "false"]
Body = Callable[..., "Evidence"]

HOLDS, REFUTED, VACUOUS, INCONCLUSIVE = "holds", "refuted", "vacuous", "inconclusive"


@dataclass(frozen=True)
class Evidence:
    """What one instance says: the statement holds here iff ``residual <= tolerance``.

    Attributes
    ----------
    residual : the violation in units of eps * scale (identities, memberships), or eps-scaled lhs - rhs.
    tolerance : the stated k.
    sharpness : lhs / rhs of an inequality, None for identities.
    ladder : dtype name -> residual, for identities checked in several precisions.
    note : why this instance says nothing (then it is vacuous), or what was measured.
    points : (h, error) pairs that a rate was fitted to.
    """

    relation: str
    residual: float
    tolerance: float
    sharpness: float | None = None
    ladder: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    vacuous: bool = False
    points: tuple[tuple[float, float], ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the residual is within the tolerance; NaN is not."""
        return bool(self.residual <= self.tolerance)


def identity(sides: Callable[[type], tuple[Any, ...]], k: float = 64, dtypes: Sequence[type] | None = None) -> Evidence:
    """lhs = rhs on the precision ladder: ``sides(dtype)`` returns (lhs, rhs[, scale]); error <= k eps scale."""
    errors = compare.ladder(sides, dtypes)
    return Evidence("identity", max(errors.values()), k, ladder=errors)


def equal(lhs: Any, rhs: Any, scale: float | None = None, k: float = 64) -> Evidence:
    """lhs = rhs in the one precision the arrays come in: error <= k eps scale."""
    return Evidence("identity", compare.eps_error(lhs, rhs, scale), k)


def at_most(lhs: float, rhs: float, scale: float | None = None, k: float = 64, ratio: float | None = None) -> Evidence:
    """lhs <= rhs up to k eps scale, where scale bounds the terms that were added up on both sides.

    ``sharpness`` is ``ratio`` if given (for instance that of the noise terms alone; NaN: there is none worth
    reporting), else lhs / rhs when rhs > 0.
    """
    lhs, rhs = float(lhs), float(rhs)
    size = max(abs(lhs), abs(rhs)) if scale is None else float(scale)
    excess = lhs - rhs if lhs != rhs else 0.0
    residual = excess / (np.finfo(float).eps * (size or 1.0))
    if ratio is None:
        ratio = lhs / rhs if rhs > 0 else None
    return Evidence("at most", residual, k, sharpness=ratio)


def member(distance: float, scale: float = 1.0, k: float = 64, eps: float | None = None) -> Evidence:
    """A point lies in a set: its distance <= k eps scale (eps of float64 unless given)."""
    return Evidence("member", float(distance) / ((eps or np.finfo(float).eps) * scale), k)


def decays(h: Any, errors: Any, order: float, slack: float) -> Evidence:
    """errors ~ C h^a with |a - order| <= slack, a fitted on log-log axes."""
    fitted = compare.order_of_decay(h, errors)
    points = tuple((float(x), float(y)) for x, y in zip(h, errors, strict=True))
    note = f"fitted order {fitted:.4g}, claimed {order:.4g}"
    return Evidence("decays", abs(fitted - order), slack, note=note, points=points)


def exactly(condition: bool, note: str = "") -> Evidence:
    """A statement decided in exact arithmetic (integers, rationals, sets): no tolerance."""
    return Evidence("exact", 0.0 if condition else inf, 0.0, note=note)


def vacuous(reason: str) -> Evidence:
    """This instance misses a hypothesis and says nothing."""
    return Evidence("vacuous", 0.0, inf, note=reason, vacuous=True)


def all_of(*parts: Evidence) -> Evidence:
    """Every part holds: the part closest to (or farthest beyond) its tolerance speaks for all."""
    worst = max(parts, key=lambda e: _strain(e))
    ratios = [e.sharpness for e in parts if e.sharpness is not None]
    ladders = {name: value for e in parts for name, value in e.ladder.items()}
    return replace(worst, sharpness=max(ratios) if ratios else None, ladder=worst.ladder or ladders)


def _strain(e: Evidence) -> float:
    """residual / tolerance, NaN counted as infinite."""
    if e.residual != e.residual:
        return inf
    if e.tolerance > 0:
        return e.residual / e.tolerance
    return 0.0 if e.residual <= 0 else inf


@dataclass(frozen=True)
class Erratum:
    """Where the text errs: what is printed, what is right, how grave it is."""

    printed: str
    corrected: str
    severity: Severity


@dataclass(frozen=True)
class Control:
    """A variant that must be refuted: other instances (a dropped hypothesis) or another body (a wrong twin)."""

    name: str
    body: Body
    given: Mapping[str, Any]
    cases: Sequence[Mapping[str, Any]] = ()


@dataclass
class Claim:
    """One numbered statement as an executable check.

    Attributes
    ----------
    id : the item's id in `refimpl.chapter`, "Theorem 4.26" or "(4.19)".
    reading : "as printed", "corrected" (where the text errs) or "stronger" (ours).
    body : instance -> Evidence; its docstring is the statement.
    given : name -> hypothesis strategy; the drawn values are the keyword arguments of the body.
    cases : instances that are always tried first (extremal examples, published counterexamples).
    code : the functions that compute it, shown by ``refimpl show``.
    erratum : set where this reading is expected to be refuted.
    examples : how many instances ``verify`` draws unless told otherwise.
    """

    id: str
    reading: Reading
    body: Body
    given: Mapping[str, Any]
    cases: Sequence[Mapping[str, Any]] = ()
    code: Sequence[Any] = ()
    erratum: Erratum | None = None
    examples: int = 100
    controls: list[Control] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The Python name of the check."""
        return self.body.__name__

    @property
    def key(self) -> str:
        """A unique name: id, reading and check."""
        return f"{self.id} [{self.reading}] {self.name}"

    @property
    def statement(self) -> str:
        """What the claim says: the docstring of its body."""
        return inspect.cleandoc(self.body.__doc__ or "")

    @property
    def expected(self) -> str:
        """ "refuted" for a reading with an erratum, else "holds"."""
        return REFUTED if self.erratum else HOLDS

    def without(self, hypothesis: str, cases: Sequence[Mapping[str, Any]] = (), **given: Any) -> Claim:
        """Add the control that drops a hypothesis: the same body on instances that violate it.

        ``given`` replaces the strategies of the same names; ``cases`` are tried first.
        """
        self.controls.append(Control(f"without {hypothesis}", self.body, {**self.given, **given}, cases))
        return self

    def twin(self, mistake: str, cases: Sequence[Mapping[str, Any]] = ()) -> Callable[[Body], Body]:
        """Decorate a wrong twin of the body; it must be refuted on the claim's own instances."""

        def register(body: Body) -> Body:
            self.controls.append(Control(mistake, body, self.given, (*cases, *self.cases)))
            return body

        return register

    def check(self, **instance: Any) -> Evidence:
        """Evaluate the statement at one instance."""
        return self.body(**instance)

    def verify(
        self, examples: int | None = None, seed: int = 0, fixed: Mapping[str, Any] | None = None
    ) -> refimpl.claims.search.Result:
        """Search for a violation: see `refimpl.claims.search.verify`."""
        from refimpl.claims.search import verify

        return verify(self, examples, seed, fixed)


REGISTRY: list[Claim] = []


def claim(
    id: str,
    *,
    given: Mapping[str, Any] | None = None,
    reading: Reading = "as printed",
    cases: Sequence[Mapping[str, Any]] = (),
    code: Sequence[Any] = (),
    erratum: Erratum | None = None,
    examples: int = 100,
) -> Callable[[Body], Claim]:
    """Register a body as the check of a numbered item; see `Claim` for the arguments."""

    def register(body: Body) -> Claim:
        made = Claim(id, reading, body, given or {}, cases, code, erratum, examples)
        REGISTRY.append(made)
        return made

    return register


def sharper(a: float | None, b: float | None) -> float | None:
    """The larger of two sharpness ratios, ignoring None and non-finite ones."""
    known = [x for x in (a, b) if x is not None and isfinite(x)]
    return max(known, default=None)


NOTHING = Evidence("none", nan, nan)
