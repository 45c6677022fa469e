"""Known mistakes: wrong twins of the references, by name, so that the judge can say what an output looks like.

A twin has the signature of its target's reference. Many are the reference itself with one input changed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.crosscheck.target import TARGETS, Array, Target

Twin = Callable[..., Any]
MISTAKES: dict[str, dict[str, Twin]] = {}
_SECTIONS = ("setting", "robustness", "sparsity", "optimizers", "resolution")


def of(target: Target) -> dict[str, Twin]:
    """Name -> twin of every known mistake in an operation."""
    for section in _SECTIONS:
        importlib.import_module(f"refimpl.crosscheck.{section}_mistakes")
    return MISTAKES.get(target.name, {})


def mistake(name: str, *targets: str) -> Callable[[Twin], Twin]:
    """Register a twin under its name for the targets; they are looked up when the twin is asked for."""

    def register(twin: Twin) -> Twin:
        for target in targets:
            MISTAKES.setdefault(target, {})[name] = twin
        return twin

    return register


def changed(name: str, *targets: str, **changes: Callable[[dict[str, Any]], Any]) -> None:
    """Register the reference with some inputs replaced, each computed from the whole case."""
    for target in targets:
        MISTAKES.setdefault(target, {})[name] = _changed(target, changes)


def _changed(name: str, changes: dict[str, Callable[[dict[str, Any]], Any]]) -> Twin:
    return lambda **case: TARGETS[name].reference(**{**case, **{n: change(case) for n, change in changes.items()}})


def after(name: str, *targets: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the reference followed by a wrong last step: ``change(outputs, case) -> outputs``."""

    def register(change: Callable[..., Any]) -> Callable[..., Any]:
        for target in targets:
            MISTAKES.setdefault(target, {})[name] = _after(target, change)
        return change

    return register


def _after(name: str, change: Callable[..., Any]) -> Twin:
    return lambda **case: change(TARGETS[name].reference(**case), case)


def one_hot(labels: Array, classes: int) -> Array:
    """Labels as rows of the identity; distributions stay."""
    return labels if labels.ndim == 2 else np.eye(classes)[labels]
