"""The search behind a verdict: draw instances, push them towards violation, shrink what fails, replay.

`hypothesis` draws and shrinks; `hypothesis.target` steers inequalities towards lhs / rhs = 1 and beyond.
The same claim, seed and number of examples give the same result on every run.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st

from refimpl.claims.claim import HOLDS, INCONCLUSIVE, NOTHING, REFUTED, VACUOUS, Claim, Control, Evidence, sharper

Instance = Mapping[str, Any]


class _Violation(AssertionError):
    """The statement fails at this instance."""


@dataclass
class Outcome:
    """What a search found for one body: the verdict, the worst evidence and the instance it came from."""

    verdict: str
    cases: int = 0
    worst: Evidence = NOTHING
    witness: Instance | None = None
    sharpness: float | None = None
    sharpest: Instance | None = None
    vacuous: int = 0
    error: str = ""


@dataclass
class Result:
    """The verdict of a claim: its own outcome, its controls, how long it took."""

    claim: Claim
    outcome: Outcome
    controls: list[tuple[str, Outcome]] = field(default_factory=list)
    seconds: float = 0.0
    seed: int = 0
    examples: int = 0

    @property
    def verdict(self) -> str:
        """The outcome's verdict; "vacuous" when it holds but a control was not refuted."""
        if self.outcome.verdict == HOLDS and any(o.verdict != REFUTED for _, o in self.controls):
            return VACUOUS
        return self.outcome.verdict

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one the catalogue expects."""
        return self.verdict == self.claim.expected

    @property
    def replay(self) -> str:
        """The shell line that repeats this result."""
        return f'refimpl verify "{self.claim.id}" --seed {self.seed} --examples {self.examples}'


def verify(claim: Claim, examples: int | None = None, seed: int = 0) -> Result:
    """Search for a violation of the claim, then for one of each control.

    Parameters
    ----------
    examples : instances to draw; by default the claim's own number.
    seed : of the search.
    """
    started = time.perf_counter()
    n = claim.examples if examples is None else examples
    outcome = explore(Control(claim.name, claim.body, claim.given, claim.cases), n, seed)
    controls = [(c.name, explore(c, n, seed)) for c in claim.controls]
    return Result(claim, outcome, controls, time.perf_counter() - started, seed, n)


def explore(subject: Control, examples: int, seed: int) -> Outcome:
    """Try the listed cases, then drawn ones; stop at the first violation and shrink it."""
    outcome = Outcome(HOLDS)

    def attempt(**instance: Any) -> None:
        evidence = subject.body(**instance)
        _record(outcome, evidence, instance)
        if not evidence.vacuous and not evidence.holds:
            raise _Violation(evidence.note)
        _steer(evidence)

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for case in subject.cases:
                attempt(**case)
            if subject.given:
                _search(attempt, subject.given, examples, seed)
            elif not subject.cases:
                attempt()
    except _Violation:
        outcome.verdict = REFUTED
    except Exception as error:
        outcome.verdict, outcome.error = INCONCLUSIVE, f"{type(error).__name__}: {error}"
    if outcome.verdict == HOLDS and outcome.cases == outcome.vacuous:
        outcome.verdict = VACUOUS
    return outcome


def _search(attempt: Any, given: Mapping[str, Any], examples: int, seed: int) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        phases=[Phase.generate, Phase.target, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(st.fixed_dictionaries(dict(given)))
    def run(instance: dict[str, Any]) -> None:
        attempt(**instance)

    run()


def _record(outcome: Outcome, evidence: Evidence, instance: Instance) -> None:
    """Count the case; keep the worst evidence (the last failing one is the shrunk witness) and the sharpest."""
    outcome.cases += 1
    if evidence.vacuous:
        outcome.vacuous += 1
        return
    if not evidence.holds:
        outcome.worst, outcome.witness = evidence, instance
    elif outcome.witness is None and not evidence.residual <= outcome.worst.residual:
        outcome.worst = evidence
    if evidence.holds and sharper(outcome.sharpness, evidence.sharpness) != outcome.sharpness:
        outcome.sharpness, outcome.sharpest = evidence.sharpness, instance


def _steer(evidence: Evidence) -> None:
    """Guide the search towards violation (only inside a hypothesis run)."""
    score = evidence.sharpness if evidence.sharpness is not None else evidence.residual
    if isfinite(score) and hypothesis.currently_in_test_context():
        hypothesis.target(float(score), label="towards violation")


def literal(value: Any) -> str:
    """Python source of a drawn value: what to paste to see a witness again."""
    with np.printoptions(threshold=10**6, linewidth=10**6, floatmode="unique"):
        if isinstance(value, Mapping):
            return ", ".join(f"{k}={literal(v)}" for k, v in value.items())
        if isinstance(value, np.ndarray):
            return f"np.array({value.tolist()!r})" if value.size else f"np.zeros({value.shape})"
        if isinstance(value, np.generic):
            return repr(value.item())
        return repr(value)
