"""Many claims at once: in this process, in worker processes, or on a dask.distributed cluster.

A claim travels by its key and comes back as a record: plain data, ready for JSON. Records depend on the
claim, the seed and the number of examples only, never on where or in which order they were computed.
"""

from __future__ import annotations

import importlib
import multiprocessing
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from refimpl import chapter
from refimpl.claims import sound_claims
from refimpl.claims.claim import Claim, Evidence
from refimpl.claims.literal import arguments
from refimpl.claims.search import INTERRUPTED, Outcome, Result, verify

Record = dict[str, Any]

TRACE_LENGTH = 120


@dataclass(frozen=True)
class Plan:
    """What to run: number of examples (None: each claim's own), seed, the reader's own numbers."""

    examples: int | None = None
    seed: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)


def run(claims: Sequence[Claim], plan: Plan, jobs: int = 1, scheduler: str | None = None) -> Iterator[Record]:
    """Yield the record of each claim as it is finished (with one job: in the order given)."""
    if scheduler is not None:
        yield from _on_cluster(claims, plan, scheduler)
    elif jobs == 1 or len(claims) <= 1:
        yield from _in_this_process(claims, plan)
    else:
        yield from _in_processes(claims, plan, min(jobs, len(claims)))


def _in_this_process(claims: Sequence[Claim], plan: Plan) -> Iterator[Record]:
    with _interrupts_noted():
        for claim in claims:
            yield record(verify(claim, plan.examples, plan.seed, plan.fixed))
            if INTERRUPTED.is_set():
                raise KeyboardInterrupt


def verify_key(key: str, plan: Plan) -> Record:
    """The record of the claim of a key: what a worker does."""
    return record(verify(_by_key()[key], plan.examples, plan.seed, plan.fixed))


def _by_key() -> dict[str, Claim]:
    return {claim.key: claim for claim in sound_claims()}


def _in_processes(claims: Sequence[Claim], plan: Plan, jobs: int) -> Iterator[Record]:
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))
    try:
        with _interrupts_ignored():
            futures = [pool.submit(verify_key, claim.key, plan) for claim in claims]
        for future in as_completed(futures):
            yield future.result()
        pool.shutdown()
    except BrokenProcessPool:
        raise RuntimeError("a worker process died (out of memory?); try --jobs 1") from None
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise


@contextmanager
def _interrupts_noted() -> Iterator[None]:
    """Ctrl-C sets `INTERRUPTED`; a second one raises at once. Where it is ignored, it stays so."""
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) != signal.default_int_handler:
        yield
        return

    def note(number: int, frame: Any) -> None:
        if INTERRUPTED.is_set():
            signal.default_int_handler(number, frame)
        INTERRUPTED.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        INTERRUPTED.clear()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Workers started meanwhile ignore Ctrl-C for good and leave it to their parent, which ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _on_cluster(claims: Sequence[Claim], plan: Plan, address: str) -> Iterator[Record]:
    with _client(address) as client:
        futures = [client.submit(verify_key, claim.key, plan, pure=False) for claim in claims]
        for future in _distributed().as_completed(futures, loop=client.loop):
            yield future.result()


def _client(address: str) -> Any:
    try:
        return _distributed().Client(address, timeout="20s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"no scheduler answers at {address}: {error}") from None


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise RuntimeError("--scheduler needs dask.distributed: pip install 'refimpl[distributed]'") from None


def record(result: Result) -> Record:
    """A result as plain data; numbers that JSON lacks become the texts "inf", "-inf" and "nan"."""
    claim, outcome = result.claim, result.outcome
    item = chapter.get(claim.id)
    return {
        "id": claim.id,
        "reading": claim.reading,
        "check": claim.name,
        "key": claim.key,
        "title": item.title,
        "section": item.section,
        "statement": claim.statement,
        "verdict": result.verdict,
        "expected": claim.expected,
        "as_expected": result.as_expected,
        **_evidence(outcome),
        "controls": [{"name": name, **_control(control)} for name, control in result.controls],
        "erratum": asdict(claim.erratum) if claim.erratum else None,
        "seed": result.seed,
        "examples": result.examples,
        "replay": result.replay,
        "seconds": round(result.seconds, 3),
    }


def _evidence(outcome: Outcome) -> Record:
    worst = outcome.worst
    return {
        "cases": outcome.cases,
        "vacuous_cases": outcome.vacuous,
        "relation": worst.relation,
        "residual": number(worst.residual),
        "tolerance": number(worst.tolerance),
        "sharpness": number(outcome.sharpness),
        "attained": outcome.attained,
        "extremal": _instance(outcome.sharpest),
        "witness": _instance(outcome.witness),
        "note": worst.note or (outcome.skipped if outcome.verdict == "vacuous" else ""),
        "error": outcome.error,
        "ladder": {name: number(value) for name, value in outcome.ladder.items()},
        "points": [[number(h), number(e)] for h, e in worst.points],
        "trace": [number(value) for value in _thinned(outcome.trace)],
    }


def _control(outcome: Outcome) -> Record:
    return {
        "verdict": outcome.verdict,
        "cases": outcome.cases,
        "excess": number(_excess(outcome.worst)),
        "witness": _instance(outcome.witness),
        "error": outcome.error or (outcome.skipped if outcome.vacuous == outcome.cases else ""),
    }


def _excess(worst: Evidence) -> float:
    """residual / tolerance: by how much a control misses."""
    return worst.residual / worst.tolerance if worst.tolerance else worst.residual


def _instance(instance: Mapping[str, Any] | None) -> str | None:
    return None if instance is None else arguments(instance)


def _thinned(values: Sequence[float]) -> list[float]:
    """At most TRACE_LENGTH of the values, evenly spaced."""
    n = len(values)
    return list(values) if n <= TRACE_LENGTH else [values[i * n // TRACE_LENGTH] for i in range(TRACE_LENGTH)]


def number(value: float | None) -> float | str | None:
    """A number that JSON can hold, to six digits."""
    if value is None or isfinite(value):
        return None if value is None else float(f"{value:.6g}")
    return repr(float(value))
