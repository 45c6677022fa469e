"""The search behind a verdict: draw instances, push them towards violation, shrink what fails, replay.

`hypothesis` draws and shrinks; `hypothesis.target` steers inequalities towards lhs / rhs = 1 and beyond.
The same claim, seed and number of examples give the same result on every run, in every process.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any
from unittest import mock

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st

from refimpl.claims.claim import (
    HOLDS,
    INCONCLUSIVE,
    NOTHING,
    REFUTED,
    REGISTRY,
    VACUOUS,
    Claim,
    Control,
    Evidence,
    sharper,
)
from refimpl.claims.literal import literal
from refimpl.numerics import validate

__all__ = ["ATTAINED", "Outcome", "Result", "explore", "literal", "verify"]

Instance = Mapping[str, Any]

ATTAINED = 1 - 64 * float(np.finfo(float).eps)
"""From this lhs / rhs on, a constant counts as attained."""


INTERRUPTED = threading.Event()
"""Set by Ctrl-C: the search ends with KeyboardInterrupt at its next instance. Raised where the signal happens to
arrive, the exception could be lost, since Python ignores those of the garbage collector's callbacks."""


class _Violation(AssertionError):
    """The statement fails at this instance."""


@dataclass
class Outcome:
    """What a search found for one body: the verdict, the worst evidence and the instance it came from.

    Attributes
    ----------
    witness : the smallest instance found that fails (or at which the body raised ``error``).
    sharpest : the instance of the largest lhs / rhs among those that hold.
    skipped : why the first of the ``vacuous`` instances said nothing.
    ladder : dtype name -> largest residual over all cases that hold (for a refuted body, of its witness).
    trace : lhs / rhs of each case (its residual, for identities), in the order of the search.
    """

    verdict: str
    cases: int = 0
    worst: Evidence = NOTHING
    witness: Instance | None = None
    sharpness: float | None = None
    sharpest: Instance | None = None
    vacuous: int = 0
    error: str = ""
    skipped: str = ""
    ladder: dict[str, float] = field(default_factory=dict)
    trace: list[float] = field(default_factory=list)

    @property
    def attained(self) -> bool:
        """Whether the inequality was met with equality, up to 64 eps."""
        return self.sharpness is not None and self.sharpness >= ATTAINED


@dataclass
class Result:
    """The verdict of a claim: its own outcome, its controls, how long it took.

    ``fixed`` are the reader's own numbers, if any: then neither the listed cases nor the controls are run.
    """

    claim: Claim
    outcome: Outcome
    controls: list[tuple[str, Outcome]] = field(default_factory=list)
    seconds: float = 0.0
    seed: int = 0
    examples: int = 0
    fixed: Instance = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The outcome's verdict; "vacuous" when it holds but a control was not refuted."""
        if self.outcome.verdict == HOLDS and any(o.verdict != REFUTED for _, o in self.controls):
            return VACUOUS
        return self.outcome.verdict

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one the catalogue expects; a false statement may hold at ``fixed`` numbers."""
        lucky = bool(self.fixed) and self.claim.erratum is not None and self.verdict == HOLDS
        return lucky or self.verdict == self.claim.expected

    @property
    def replay(self) -> str:
        """The shell line that repeats this result."""
        fixed = "".join(f" --set '{name}={literal(value)}'" for name, value in self.fixed.items())
        alike = [c for c in REGISTRY if (c.id, c.reading) == (self.claim.id, self.claim.reading)]
        which = self.claim.name if len(alike) > 1 else f'"{self.claim.id}" --reading "{self.claim.reading}"'
        return f"refimpl verify {which} --seed {self.seed} --examples {self.examples}{fixed}"


def verify(claim: Claim, examples: int | None = None, seed: int = 0, fixed: Instance | None = None) -> Result:
    """Search for a violation of the claim, then for one of each control.

    Parameters
    ----------
    examples : instances to draw; by default the claim's own number, below which controls never go.
    seed : of the search.
    fixed : values that replace the strategies of the same names (others are ignored).
    """
    started = time.perf_counter()
    n = claim.examples if examples is None else validate.integer("examples", examples, low=1)
    validate.integer("seed", seed, low=0)
    own = {name: value for name, value in (fixed or {}).items() if name in claim.given}
    subject = Control(claim.name, claim.body, claim.given, claim.cases)
    if own:
        subject = Control(claim.name, claim.body, {**claim.given, **{k: st.just(v) for k, v in own.items()}})
    outcome = explore(subject, n, seed)
    controls = [] if own else [(c.name, explore(c, max(n, claim.examples), seed)) for c in claim.controls]
    return Result(claim, outcome, controls, time.perf_counter() - started, seed, n, own)


def explore(subject: Control, examples: int, seed: int) -> Outcome:
    """Try the listed cases, then drawn ones; stop at the first violation and shrink it."""
    outcome = Outcome(HOLDS)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            _attempt_all(subject, _attempt(subject, outcome), examples, seed)
    except _Violation:
        outcome.verdict, outcome.ladder = REFUTED, dict(outcome.worst.ladder)
    except Exception as error:  # whatever the body or the search raises is a finding, not a crash
        outcome.verdict, outcome.error = INCONCLUSIVE, f"{type(error).__name__}: {error}"
    if outcome.verdict == HOLDS and outcome.cases == outcome.vacuous:
        outcome.verdict = VACUOUS
    return outcome


def _attempt_all(subject: Control, attempt: Callable[..., None], examples: int, seed: int) -> None:
    for case in subject.cases:
        attempt(**case)
    if subject.given:
        _search(attempt, subject.given, examples, seed)
    elif not subject.cases:
        attempt()


def _attempt(subject: Control, outcome: Outcome) -> Callable[..., None]:
    """The body at one instance: recorded in ``outcome``, raising when the statement fails."""

    def attempt(**instance: Any) -> None:
        if INTERRUPTED.is_set():
            raise KeyboardInterrupt
        try:
            evidence = subject.body(**instance)
        except Exception:
            outcome.witness = instance
            raise
        _record(outcome, evidence, instance)
        if not evidence.vacuous and not evidence.holds:
            raise _Violation(evidence.note)
        _steer(evidence)

    return attempt


def quiet_settings(examples: int, phases: Sequence[Phase]) -> hypothesis.settings:
    """A search that prints nothing, stores nothing and has no deadline: its caller reports."""
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )


def _search(attempt: Callable[..., None], given: Instance, examples: int, seed: int) -> None:
    @hypothesis.seed(seed)
    @quiet_settings(examples, [Phase.generate, Phase.target, Phase.shrink])
    @hypothesis.given(st.fixed_dictionaries(dict(given)))
    def run(instance: dict[str, Any]) -> None:
        attempt(**{name: instance[name] for name in given})

    with _only_drawn_constants():
        run()


def _only_drawn_constants() -> Any:
    """Keep hypothesis from mixing in constants of the source files loaded so far: they differ by process."""
    from hypothesis.internal.conjecture import providers

    return mock.patch.object(providers.HypothesisProvider, "_maybe_draw_constant", lambda *_, **__: None, create=True)


def _record(outcome: Outcome, evidence: Evidence, instance: Instance) -> None:
    """Count the case; keep the worst evidence (the last failing one is the shrunk witness) and the sharpest."""
    outcome.cases += 1
    if evidence.vacuous:
        outcome.vacuous += 1
        outcome.skipped = outcome.skipped or evidence.note
        return
    outcome.trace.append(float(evidence.residual if evidence.sharpness is None else evidence.sharpness))
    if not evidence.holds:
        outcome.worst, outcome.witness = evidence, instance
        return
    for name, value in evidence.ladder.items():
        outcome.ladder[name] = max(value, outcome.ladder.get(name, 0.0))
    if outcome.witness is None and not evidence.residual <= outcome.worst.residual:
        outcome.worst = evidence
    if sharper(outcome.sharpness, evidence.sharpness) != outcome.sharpness:
        outcome.sharpness, outcome.sharpest = evidence.sharpness, instance


def _steer(evidence: Evidence) -> None:
    """Guide the search towards violation (only inside a hypothesis run)."""
    score = evidence.residual if evidence.sharpness is None else evidence.sharpness
    if isfinite(score) and hypothesis.currently_in_test_context():
        hypothesis.target(float(score), label="towards violation")
