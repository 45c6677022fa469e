"""Mutation score: break a formula in one place, and see whether the tests or the claims notice.

    python scripts/mutate.py refimpl/sparsity --sample 120 --jobs 2

Every mutant changes one operator, comparison, constant, sign or built-in of one file. It is *caught* when
the tests of its floor fail (or hang), or else when ``refimpl verify --section`` ends with another verdict
than expected. Survivors are printed with their line; those in ``scripts/equivalent_mutants.txt`` (a mutant
a line, then ``|`` and the reason why no input can tell it from the original) are counted apart.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = {"setting": "4.1", "robustness": "4.2", "sparsity": "4.3", "resolution": "4.4"}
TESTS = {
    "convolution.py": ["test_kernels_convolution", "test_setting_"],
    "pooling.py": ["test_kernels_pooling", "test_setting_"],
    "shrinkage.py": ["test_kernels_shrinkage", "test_sparsity_"],
    "total_variation.py": ["test_sparsity_"],
}

SWAPS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.MatMult: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
NAMES = {"max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum", "sin": "cos", "cos": "sin"}
NAMES |= {"argmax": "argmin", "argmin": "argmax", "floor": "ceil", "ceil": "floor", "zeros": "ones", "any": "all"}


@dataclass(frozen=True)
class Mutant:
    """One change: where it is and what it does."""

    file: str
    line: int
    function: str
    before: str
    after: str
    source: str

    @property
    def key(self) -> str:
        """A name that does not depend on line numbers."""
        return f"{self.file}:{self.function}: {self.before} -> {self.after}"


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """The changed forms of one node."""
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in SWAPS:
        yield _with(node, op=SWAPS[type(node.op)]())
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield _with(node, ops=[SWAPS[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        yield node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float) and not isinstance(node.value, bool):
        yield _with(node, value=node.value + 1)
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield _with(node, id=NAMES[node.id])
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield _with(node, attr=NAMES[node.attr])
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield node.value


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of a file's functions (docstrings, defaults of messages and annotations are left alone)."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    for function in [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]:
        for parent in [p for statement in function.body for p in ast.walk(statement)]:
            if isinstance(parent, (ast.FunctionDef, ast.Raise, ast.JoinedStr, ast.AnnAssign)) or _is_check(parent):
                continue
            yield from _mutants_below(path, tree, function, parent)


def _is_check(node: ast.AST) -> bool:
    """A call of the validation helpers: its texts and bounds are covered by the bad-input tests."""
    return isinstance(node, ast.Call) and "validate" in ast.unparse(node.func)


def _mutants_below(path: Path, tree: ast.Module, function: ast.FunctionDef, parent: ast.AST) -> Iterator[Mutant]:
    for name, value in ast.iter_fields(parent):
        children = value if isinstance(value, list) else [value]
        for i, child in enumerate(children):
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr) or _is_check(child):
                continue
            for changed in variants(child):
                new = [*children[:i], changed, *children[i + 1 :]] if isinstance(value, list) else changed
                setattr(parent, name, new)
                source = ast.unparse(tree)
                setattr(parent, name, value)
                before, after = ast.unparse(child), ast.unparse(changed)
                yield Mutant(str(path.relative_to(ROOT)), child.lineno, function.name, before, after, source)


class Bench:
    """A private copy of the project in which mutants run one after the other, compiled kernels kept.

    Each run is a fork of a process that has the libraries loaded, but nothing of refimpl.
    """

    def __init__(self, home: Path, timeout: float):
        self.home, self.timeout = home, timeout
        for name in ("refimpl", "tests", "pyproject.toml", "README.md", "scripts"):
            source, target = ROOT / name, home / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.exists():
                shutil.copy2(source, target)

    def run(self, work: Callable[[], int]) -> bool:
        """Whether some work, done in a fork inside the copy, ends with 0 within the time limit."""
        child = os.fork()
        if child == 0:
            self._become(work)
        started = time.monotonic()
        while time.monotonic() - started < self.timeout:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return status == 0
            time.sleep(0.02)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False

    def _become(self, work: Callable[[], int]) -> None:
        code = 1
        try:
            os.setpgid(0, 0)
            os.chdir(self.home)
            sys.path.insert(0, str(self.home))
            os.environ["NUMBA_CACHE_DIR"] = str(self.home / "cache")
            os.environ["PYTHONPATH"] = str(self.home)
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silence, stream)
            code = int(work())
        finally:
            os._exit(code)

    @functools.cache  # noqa: B019 (one bench a process)
    def baseline(self, files: tuple[str, ...]) -> None:
        """Without a mutant the tests must pass, or nothing is learnt from their failing."""
        if not self.run(lambda: _pytest(list(files))):
            raise SystemExit(f"the tests fail without any mutant: {' '.join(files)}")

    def judge(self, mutant: Mutant) -> str:
        """Who catches a mutant: "tests", "claims", or "survived"."""
        path = self.home / mutant.file
        self.baseline(tuple(tests_of(path)))
        stat, original = path.stat(), path.read_bytes()
        path.write_text(mutant.source, encoding="utf8")
        try:
            if not self.run(lambda: _pytest(tests_of(path))):
                return "tests"
            return "survived" if self.run(lambda: _verify(claims_of(path))) else "claims"
        finally:
            path.write_bytes(original)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _pytest(files: list[str]) -> int:
    import pytest

    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", *files]))


def _verify(options: list[str]) -> int:
    from refimpl.cli import main as command

    return command(["verify", *options])


def load_libraries() -> None:
    """Import what every run needs, once."""
    names = (
        "numpy scipy.fft scipy.linalg scipy.ndimage scipy.optimize scipy.sparse scipy.special numba hypothesis pytest"
    )
    for name in [*names.split(), "mpmath", "matplotlib.pyplot", "concurrent.futures.process"]:
        importlib.import_module(name)


def tests_of(path: Path) -> list[str]:
    """The test files of a source file's floor, the ones named like it first."""
    prefixes = TESTS.get(path.name) if path.parent.name == "kernels" else None
    prefixes = prefixes or [f"test_{path.parent.name}"]
    found = [t for p in prefixes for t in sorted((ROOT / "tests").glob(f"{p}*.py"))]
    found.sort(key=lambda t: path.stem not in t.stem)
    return [f"tests/{t.name}" for t in dict.fromkeys(found)]


def claims_of(path: Path) -> list[str]:
    """The part of the catalogue that rests on a source file."""
    section = SECTIONS.get(path.parent.name)
    return ["--section", section, "--jobs", "1"] if section else ["--jobs", "1"]


def explained() -> dict[str, str]:
    """Survivors known to be equivalent: key -> reason."""
    path = ROOT / "scripts" / "equivalent_mutants.txt"
    lines = path.read_text(encoding="utf8").splitlines() if path.exists() else []
    return {k.strip(): r.strip() for k, _, r in (line.partition(" | ") for line in lines if line.strip())}


def main() -> int:
    """Draw a sample of mutants, run them, print the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="files or folders below refimpl/")
    parser.add_argument("--sample", type=int, default=100, help="how many mutants (0: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=300, help="seconds after which a mutant counts as caught")
    parser.add_argument("--json", type=Path, help="write every mutant and its fate")
    args = parser.parse_args()
    os.environ.update(HYPOTHESIS_PROFILE="ci", OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
    files = [f for p in args.paths for f in ([p] if p.is_file() else sorted(p.rglob("*.py")))]
    every = [m for f in files for m in mutants(f.resolve())]
    chosen = every if not args.sample else random.Random(args.seed).sample(every, min(args.sample, len(every)))
    print(f"{len(chosen)} of {len(every)} mutants in {len(files)} files", flush=True)
    fates = run(chosen, args.jobs, args.timeout)
    return report(fates, args.json)


def run(chosen: list[Mutant], jobs: int, timeout: float) -> list[tuple[Mutant, str]]:
    """Share the mutants among processes, each with a private copy of the project."""
    load_libraries()
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("fork").Pool(jobs) as pool:
        work = [(m, folder, timeout) for m in chosen]
        fates = []
        for mutant, fate in pool.imap_unordered(_one, work):
            print(f"{fate:9} {mutant.file}:{mutant.line} {mutant.before} -> {mutant.after}", flush=True)
            fates.append((mutant, fate))
        return fates


@functools.cache
def _bench(folder: str, process: int, timeout: float) -> Bench:
    return Bench(Path(folder, str(process)), timeout)


def _one(work: tuple[Mutant, str, float]) -> tuple[Mutant, str]:
    mutant, folder, timeout = work
    return mutant, _bench(folder, os.getpid(), timeout).judge(mutant)


def report(fates: list[tuple[Mutant, str]], path: Path | None) -> int:
    """Print the score and the survivors; 0 when at least 95 % of the mutants that differ are caught."""
    known = explained()
    survivors = [m for m, fate in fates if fate == "survived"]
    equivalent = [m for m in survivors if m.key in known]
    differing = len(fates) - len(equivalent)
    caught = len(fates) - len(survivors)
    for m in survivors:
        print(f"survivor  {m.file}:{m.line}\n    {m.key} | {known.get(m.key, '')}")
    by = {who: sum(f == who for _, f in fates) for who in ("tests", "claims")}
    score = caught / max(differing, 1)
    print(f"caught {caught} of {differing} ({score:.1%}; {by}), {len(equivalent)} equivalent mutants not counted")
    if path:
        rows = [asdict(m) | {"fate": fate, "reason": known.get(m.key, "")} for m, fate in fates]
        path.write_text(json.dumps([{k: v for k, v in r.items() if k != "source"} for r in rows], indent=1) + "\n")
    return 0 if score >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
