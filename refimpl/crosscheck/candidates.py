"""Candidates: a Python callable behind an array adapter, an optimizer class in torch's style, a command.

Whatever a candidate does wrong becomes a `Failure` with a kind ("crash", "time limit", "exception", "mutated
inputs", ...); what it declines (``NotImplementedError``, exit status 77, an output that is None) becomes `NotOffered`.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.crosscheck.npz import read_npz, write_npz
from refimpl.crosscheck.target import Case, Outputs, Target

Run = Callable[[Case], Outputs]
NOT_OFFERED = 77  # the exit status by which a command declines a case


class Failure(Exception):
    """The candidate failed in a way that is not a wrong number."""

    def __init__(self, kind: str, message: str):
        super().__init__(kind, message)
        self.kind, self.message = kind, message


class NotOffered(Exception):
    """The candidate declines this case."""


def load(spec: str) -> Any:
    """The attribute of ``module:attribute`` or ``path/to/file.py:attribute``.

    Raises
    ------
    ValueError : the form is wrong, or there is no such module or attribute.
    """
    place, colon, attribute = spec.rpartition(":")
    if not colon or not place or not attribute:
        raise ValueError(f"candidate: expected module:attribute or file.py:attribute, got {spec!r}")
    try:
        value = _module(place)
        for part in attribute.split("."):
            value = getattr(value, part)
    except Exception as error:  # a candidate's module may raise anything while it is imported
        raise ValueError(f"candidate: cannot load {spec!r}: {type(error).__name__}: {error}") from error
    return value


def _module(place: str) -> Any:
    if not place.endswith(".py"):
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        return importlib.import_module(place)
    found = importlib.util.spec_from_file_location(Path(place).stem, place)
    if found is None or found.loader is None:
        raise ImportError(f"no file {place}")
    module = importlib.util.module_from_spec(found)
    sys.modules.setdefault(found.name, module)
    found.loader.exec_module(module)
    return module


# Arrays to and from a framework -------------------------------------------------------------------------------


def _to_torch(value: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(value if value.flags.writeable else value.copy())


def _to_jax(value: np.ndarray) -> Any:
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray(value)


ADAPTERS: dict[str, Callable[[np.ndarray], Any]] = {"numpy": lambda a: a, "torch": _to_torch, "jax": _to_jax}


def _installed(framework: str) -> None:
    try:
        importlib.import_module(framework)
    except ImportError as error:
        raise ValueError(f"{framework}: expected an installed framework, got {error}") from None


def to_numpy(value: Any) -> Any:
    """An output as NumPy sees it: tensors are detached, DLPack and ``__array__`` are followed, None stays None."""
    if isinstance(value, Mapping):
        return {name: to_numpy(entry) for name, entry in value.items()}
    if isinstance(value, (tuple, list)) and any(hasattr(e, "shape") or e is None for e in value):
        return tuple(to_numpy(entry) for entry in value)
    if value is None or isinstance(value, (bool, int, float, complex, np.ndarray, np.generic)):
        return value
    if hasattr(value, "detach"):
        value = value.detach().cpu().resolve_conj().resolve_neg().numpy()
    elif hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        value = np.from_dlpack(value)
    return np.asarray(value)


# The three kinds ----------------------------------------------------------------------------------------------


def from_callable(
    target: Target, function: Callable[..., Any], adapter: str = "numpy", omit: Sequence[str] = ()
) -> Run:
    """A function of the target's inputs, by name where its parameters have those names, else in their order."""
    if not callable(function):
        raise ValueError(f"candidate: expected a callable, got {type(function).__name__}")
    _installed(adapter)
    convert = ADAPTERS[adapter]

    def run(case: Case) -> Outputs:
        given = {n: convert(v) if isinstance(v, np.ndarray) else v for n, v in case.items() if n not in omit}
        by_name = _parameters(function) == set(given)
        return guarded(target, case, lambda: function(**given) if by_name else function(*given.values()))

    return run


def _parameters(function: Callable[..., Any]) -> set[str] | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is not p.POSITIONAL_OR_KEYWORD and p.kind is not p.KEYWORD_ONLY for p in parameters):
        return None
    return {p.name for p in parameters}


def guarded(target: Target, case: Case, call: Callable[[], Any]) -> Outputs:
    """The named outputs of a call; exceptions and changed inputs become failures, and the inputs are put back."""
    before = {n: v.copy() for n, v in case.items() if isinstance(v, np.ndarray)}
    try:
        outputs = {name: np.array(value) for name, value in target.named(to_numpy(call())).items()}
    except NotImplementedError as error:
        raise NotOffered(str(error) or "NotImplementedError") from None
    except Exception as error:
        raise Failure("exception", f"{type(error).__name__}: {error}") from None
    finally:
        changed = _put_back(case, before)
    if changed:
        raise Failure("mutated inputs", f"the candidate changed its input {', '.join(changed)}")
    if not outputs:
        raise NotOffered("no output")
    return outputs


def _put_back(case: Case, before: Mapping[str, np.ndarray]) -> list[str]:
    """The names of the arrays that changed, after giving them their old entries again."""
    changed = [n for n, v in before.items() if not np.array_equal(v, case[n], equal_nan=v.dtype.kind in "fc")]
    for name in changed:
        case[name][...] = before[name]
    return changed


ALIASES = {
    "step": ("step", "lr", "tau", "step_size", "learning_rate"),
    "lam": ("lam", "lamda", "lambda_", "lambd", "lmbda", "lmda", "mu", "l1"),
    "momentum": ("momentum", "beta"),
}


def from_torch_optimizer(target: Target, make: Callable[..., Any]) -> Run:
    """A class in torch's style, ``make([parameter], lr=..., ...)``, driven along the gradients of a trajectory target.

    Hyper-parameters go by the names the constructor has (lr, tau or step; lam or lamda; momentum or beta; delta,
    betas, eps). One that it lacks stays at its neutral value: other cases count as not offered.
    """
    if target.hyper is None:
        raise ValueError(f"--as torch-optimizer: expected a trajectory target, got {target.name}")
    _installed("torch")
    hyper, offered = target.hyper, _offered(make, target.hyper)

    absent = {n: neutral for n, neutral in hyper.items() if n not in offered}
    hint = "".join(f" --set {n}={neutral}" for n, neutral in absent.items() if neutral is not None)

    def run(case: Case) -> Outputs:
        if any(case[n] != neutral for n, neutral in absent.items()):
            raise NotOffered(f"the constructor has no {', '.join(absent)}; to compare the rest:{hint}")
        return guarded(target, case, lambda: _drive(make, case, {a: case[n] for n, a in offered.items()}))

    return run


def _offered(make: Callable[..., Any], hyper: Mapping[str, Any]) -> dict[str, str]:
    names = list(inspect.signature(make).parameters)
    spelled = {n: [a for a in ALIASES.get(n, (n,)) if a in names] for n in hyper}
    return {n: found[0] for n, found in spelled.items() if found}


def _drive(make: Callable[..., Any], case: Case, arguments: dict[str, Any]) -> np.ndarray:
    import torch

    parameter = torch.nn.Parameter(torch.from_numpy(np.array(case["theta"])))
    optimizer, path = make([parameter], **arguments), []
    hessian = torch.from_numpy(np.array(case["Q"])) if "Q" in case else None
    for gradient in np.array(case["gradients"]):
        parameter.grad = torch.from_numpy(gradient.copy())
        if hessian is not None:
            parameter.grad += hessian @ parameter.detach()
        optimizer.step()
        path.append(parameter.detach().clone().numpy())
    return np.array(path)


def from_command(target: Target, command: str, limit: float = 10.0) -> Run:
    """A program: ``prog {in} {out}`` reads the inputs from one ``.npz`` and writes the outputs to another."""
    if "{in}" not in command or "{out}" not in command:
        raise ValueError(f"--command: expected a command with {{in}} and {{out}}, got {command!r}")
    if shutil.which(shlex.split(command)[0]) is None:
        raise ValueError(f"--command: there is no program {shlex.split(command)[0]!r}")

    def run(case: Case) -> Outputs:
        with tempfile.TemporaryDirectory(prefix="refimpl-") as folder:
            source, result = Path(folder, "in.npz"), Path(folder, "out.npz")
            write_npz(source, case)
            words = [w.replace("{in}", str(source)).replace("{out}", str(result)) for w in shlex.split(command)]
            _execute(words, limit)
            return _collected(target, result)

    return run


def _execute(words: list[str], limit: float) -> None:
    try:
        done = subprocess.run(words, capture_output=True, timeout=limit, stdin=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired:
        raise Failure("time limit", f"no answer within {limit:g} s") from None
    except OSError as error:
        raise Failure("crash", f"cannot be started: {error}") from None
    if done.returncode == NOT_OFFERED:
        raise NotOffered(done.stderr.decode(errors="replace").strip()[:200] or f"exit status {NOT_OFFERED}")
    if done.returncode:
        raise Failure("crash", f"{status(done.returncode)}; {done.stderr.decode(errors='replace').strip()[-300:]}")


def status(code: int) -> str:
    """How a process ended: its exit status, or the signal that killed it."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _collected(target: Target, path: Path) -> Outputs:
    if not path.exists():
        raise Failure("no output", "the command succeeded but wrote no file {out}")
    try:
        arrays = read_npz(path)
    except (OSError, ValueError) as error:
        raise Failure("unreadable output", f"{type(error).__name__}: {error}") from None
    if not any(name in arrays for name in target.outputs):
        raise Failure("no output", f"expected arrays named {', '.join(target.outputs)}, got {sorted(arrays) or 'none'}")
    return {name: arrays[name] for name in target.outputs if name in arrays}
