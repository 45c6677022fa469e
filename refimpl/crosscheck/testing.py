"""For tests: judge a callable in this process; works in any pytest without a plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from refimpl.crosscheck import candidates, report
from refimpl.crosscheck.judge import Report, judge
from refimpl.crosscheck.target import Target, find, targets
from refimpl.numerics import validate

Style = Literal["function", "torch-optimizer"]


def check(
    target: str | Target,
    candidate: Callable[..., Any],
    *,
    adapter: str = "numpy",
    style: Style = "function",
    fixed: Mapping[str, Any] | None = None,
    conventions: Mapping[str, Any] | None = None,
    examples: int = 100,
    seed: int = 0,
) -> Report:
    """Judge a callable and return the report.

    Parameters
    ----------
    target : a target or its name.
    candidate : takes the target's inputs, by name if its parameters have those names, else in their order;
        returns its outputs as an array, a tuple or a dictionary (None for what it does not offer).
    adapter : "numpy", "torch" or "jax": what arrays are converted to.
    style : "torch-optimizer" for a class that is constructed with parameters and hyper-parameters.
    fixed : inputs that the candidate has built in; they are not passed.
    conventions : choices other than the chapter's, see ``Target.conventions``.

    Raises
    ------
    ValueError : an unknown target, adapter, input or convention.
    """
    target = target if isinstance(target, Target) else find(target)
    validate.integer("examples", examples, low=1)
    validate.integer("seed", seed, low=0)
    fixed = validate.mapping("fixed", {} if fixed is None else fixed)
    conventions = validate.mapping("conventions", {} if conventions is None else conventions)
    fixed, conventions = settle(target, {**fixed, **conventions})
    validate.choice("adapter", adapter, tuple(candidates.ADAPTERS))
    validate.choice("style", style, ("function", "torch-optimizer"))
    if style == "torch-optimizer":
        run = candidates.from_torch_optimizer(target, candidate)
    else:
        run = candidates.from_callable(target, candidate, adapter, tuple(fixed))
    name = getattr(candidate, "__qualname__", type(candidate).__name__)
    return judge(target, run, name, examples=examples, seed=seed, fixed=fixed, conventions=conventions)


def settle(target: Target, chosen: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split chosen values into fixed inputs and conventions, with the types that the target's own cases have.

    Raises
    ------
    ValueError : a name that is neither, an unknown choice of a convention, a value of the wrong kind.
    """
    inputs = next(iter(target.edges.values()))
    unknown = [name for name in chosen if name not in inputs and name not in target.conventions]
    if unknown:
        known = ", ".join([*inputs, *target.conventions])
        validate.fail("set", f"one of {known} (inputs and conventions of {target.name})", repr(unknown[0]))
    fixed = {n: _like(n, v, inputs[n]) for n, v in chosen.items() if n in inputs}
    return fixed, {n: _option(target, n, v) for n, v in chosen.items() if n not in inputs}


def _option(target: Target, name: str, value: Any) -> Any:
    options = target.conventions[name]
    found = [option for option in options if option == value or str(option) == str(value)]
    return found[0] if found else validate.choice(name, value, options)


def _like(name: str, value: Any, model: Any) -> Any:
    try:
        return np.asarray(value, model.dtype) if isinstance(model, np.ndarray) else type(model)(value)
    except (TypeError, ValueError):
        validate.fail(name, f"a value like {model!r}", validate.describe(value))


def assert_agrees(target: str | Target, candidate: Callable[..., Any], **options: Any) -> Report:
    """`check`, and AssertionError with the whole report unless the candidate agrees."""
    result = check(target, candidate, **options)
    if not result.agrees:
        raise AssertionError(report.text(result))
    return result


def parametrize(pattern: str = "*") -> Any:
    """``@parametrize("sparsity.prox_*")``: one test a target, as ``pytest.mark.parametrize("target", ...)``."""
    import pytest

    return pytest.mark.parametrize("target", targets(pattern), ids=lambda target: target.name)
