"""A Python candidate in a process of its own, so that a crash or an endless loop is a finding and not our end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from refimpl.crosscheck import candidates
from refimpl.crosscheck.candidates import Failure, NotOffered, Run, status
from refimpl.crosscheck.target import LAYOUTS, Case, Outputs, Target

START = 120.0  # seconds that importing the candidate's framework may take


def build(target: Target, spec: str, style: str, adapter: str, omit: tuple[str, ...]) -> Run:
    """The candidate of a specification, in this process."""
    function = candidates.load(spec)
    if style == "torch-optimizer":
        return candidates.from_torch_optimizer(target, function)
    return candidates.from_callable(target, function, adapter, omit)


class Isolated:
    """Runs a candidate in a spawned process; a new one is started after a crash or a time-out."""

    def __init__(self, target: Target, spec: str, style: str, adapter: str, omit: tuple[str, ...], limit: float):
        self.arguments, self.limit = (_bare(target), spec, style, adapter, omit), limit
        self._process: Any = None
        self._start()

    def __call__(self, case: Case) -> Outputs:
        if self._process is None:
            self._start()
        try:
            self._pipe.send((case, _layouts(case)))
            if not self._pipe.poll(self.limit):
                self.close()
                raise Failure("time limit", f"no answer within {self.limit:g} s")
            kind, content = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(5)
            code = self._process.exitcode or 0
            self.close()
            raise Failure("crash", status(code)) from None
        if kind == "failure":
            raise Failure(*content)
        if kind == "not offered":
            raise NotOffered(content)
        return content

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *self.arguments), daemon=True)
        self._process.start()
        theirs.close()
        try:
            problem = self._pipe.recv() if self._pipe.poll(START) else f"not loaded within {START:g} s"
        except EOFError:
            problem = "the process ended while the candidate was loaded"
        if problem:
            self.close()
            raise ValueError(problem if ":" in problem else f"candidate: {problem}")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join(5)
            self._pipe.close()
            self._process = None


def _bare(target: Target) -> Target:
    """The target without its functions: what a candidate needs to know, and what can be sent to a process."""
    nothing: Any = None
    return replace(
        target, inputs=nothing, reference=nothing, scale=None, edges={}, residuals=None, definition=None, measure=None
    )


def _layouts(case: Case) -> dict[str, str]:
    """Name -> the memory layout that pickling loses."""
    arrays = {n: v for n, v in case.items() if isinstance(v, np.ndarray)}
    lost = {n: "non-contiguous" for n, v in arrays.items() if not (v.flags.c_contiguous or v.flags.f_contiguous)}
    return lost | {n: "read-only" for n, v in arrays.items() if not v.flags.writeable}


def _serve(pipe: Connection, target: Target, spec: str, style: str, adapter: str, omit: tuple[str, ...]) -> None:
    try:
        run = build(target, spec, style, adapter, omit)
    except Exception as error:
        pipe.send(str(error))
        return
    pipe.send("")
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            pipe.send(_answer(run, *pipe.recv()))
    os._exit(0)


def _answer(run: Run, case: Case, layouts: dict[str, str]) -> tuple[str, Any]:
    for name, layout in layouts.items():
        case[name] = LAYOUTS[layout](case[name])
    try:
        return "outputs", run(case)
    except Failure as failure:
        return "failure", (failure.kind, failure.message)
    except NotOffered as reason:
        return "not offered", str(reason)
