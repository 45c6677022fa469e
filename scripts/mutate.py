"""Mutation score: break a formula in one place, and see whether the tests or the claims notice.

    python scripts/mutate.py refimpl/sparsity --sample 120 --jobs 2
    python scripts/mutate.py refimpl/sparsity --only "soft_threshold: abs(v) - t -> abs(v) + t"

One run of the unchanged project records which tests and which claims call which function, and how long they take.
A mutant is *caught* when one of the tests that call its function fails (or takes ten times as long), or else when a
claim that calls it ends with another verdict than expected; other tests and claims are not asked. Kernels are
compiled, so all tests of their floor are asked. Survivors are printed with their line; those in
``scripts/equivalent_mutants.txt`` (a mutant a line, then ``|`` and the reason why no input can tell it from the
original) are counted apart.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from mutants import ROOT, Mutant, mutants

SECTIONS = {"setting": "4.1", "robustness": "4.2", "sparsity": "4.3", "resolution": "4.4"}
TESTS = {
    "setting": ["setting"],
    "robustness": ["robustness"],
    "sparsity": ["sparsity"],
    "resolution": ["resolution"],
    "numerics": ["numerics", "kernels", "memory", "products", "sparse", "threads", "setting", "sparsity", "resolution"],
    "kernels/convolution.py": ["kernels_convolution", "setting_layers"],
    "kernels/microkernel.py": ["kernels_microkernel", "kernels_winograd", "setting_layers"],
    "kernels/tiled.py": ["kernels_microkernel", "setting_layers"],
    "kernels/channels.py": ["kernels_microkernel", "kernels_winograd", "setting_layers"],
    "kernels/winograd.py": ["kernels_winograd", "setting_layers"],
    "kernels/scattered.py": ["kernels_scattered", "setting_layers"],
    "kernels/normalization.py": ["kernels_normalization", "setting_layers"],
    "kernels/pooling.py": ["kernels_pooling", "setting_layers"],
    "kernels/halving.py": ["kernels_halving", "setting_layers"],
    "kernels/lanes.py": ["kernels_shrinkage", "sparsity"],
    "kernels/shrinkage.py": ["kernels_shrinkage", "sparsity"],
    "kernels/csr.py": ["sparse_products"],
    "kernels/pointwise.py": ["numerics", "kernels", "setting"],
    "kernels/matrices.py": ["products", "setting_layers"],
    "kernels/team.py": ["threads"],
    "kernels/total_variation.py": ["sparsity_total_variation"],
}
EXAMPLES = 20
PATIENCE = 20.0  # seconds a mutant may take beyond ten times the recorded time
MEMORY = 8 << 30

Record = dict[str, Any]


def room_of(file: str) -> str:
    """The folder of a source file below refimpl/, kernels counting as numerics."""
    return Path(file).parts[1]


def tests_of(file: str) -> list[str]:
    """The test files of a source file's floor."""
    kernel = f"kernels/{Path(file).name}" if "kernels" in file else ""
    prefixes = TESTS.get(kernel) or TESTS[room_of(file)]
    found = [t.name for p in prefixes for t in sorted((ROOT / "tests").glob(f"test_{p}*.py"))]
    return [f"tests/{name}" for name in dict.fromkeys(found)]


@contextmanager
def recording(calls: set[str]) -> Iterator[None]:
    """Collect "refimpl/file.py:first line" of every Python function called inside."""

    def see(frame: Any, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and "/refimpl/" in name:
            calls.add(f"refimpl/{name.rpartition('/refimpl/')[2]}:{frame.f_code.co_firstlineno}")

    sys.setprofile(see)
    try:
        yield
    finally:
        sys.setprofile(None)


class Recorder:
    """A pytest plugin: which functions each test (and the import of its file) calls, how long it takes."""

    def __init__(self) -> None:
        self.tests: dict[str, Record] = {}
        self.imports: dict[str, list[str]] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        calls: set[str] = set()
        started = time.perf_counter()
        with recording(calls):
            yield
        self.tests[item.nodeid] = {"seconds": time.perf_counter() - started, "calls": sorted(calls)}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector: Any) -> Iterator[None]:
        calls: set[str] = set()
        with recording(calls):
            yield
        self.imports[collector.nodeid] = sorted(calls)


class Chosen:
    """A pytest plugin: keep these tests, in this order."""

    def __init__(self, nodes: list[str]) -> None:
        self.order = {node: i for i, node in enumerate(nodes)}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.order), key=lambda i: self.order[i.nodeid])


def _pytest(files: list[str], *plugins: object) -> int:
    import hypothesis

    generate = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile(
        "mutants", deadline=None, max_examples=50, derandomize=True, database=None, phases=generate
    )
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*quiet, *files], plugins=list(plugins)))


def _as_expected(key: str) -> bool:
    """Whether a claim, with few examples and without shrinking, ends with its expected verdict."""
    from hypothesis import Phase

    from refimpl.claims import all_claims, search

    search.Phase = SimpleNamespace(generate=Phase.generate, target=Phase.target, shrink=Phase.target)  # type: ignore
    claim = next(c for c in all_claims() if c.key == key)
    return search.verify(claim, min(claim.examples, EXAMPLES)).as_expected


def _record_tests(files: list[str], target: Path) -> int:
    recorder = Recorder()
    code = _pytest(files, recorder)
    target.write_text(json.dumps({"tests": recorder.tests, "imports": recorder.imports}))
    return code


def _record_claims(section: str, target: Path) -> int:
    from refimpl import chapter
    from refimpl.claims import all_claims

    found: dict[str, Record] = {}
    for key in [c.key for c in all_claims() if chapter.get(c.id).section.startswith(section)]:
        calls: set[str] = set()
        started = time.perf_counter()
        with recording(calls):
            good = _as_expected(key)
        if good:
            found[key] = {"seconds": time.perf_counter() - started, "calls": sorted(calls)}
    target.write_text(json.dumps(found))
    return 0


class Bench:
    """A private copy of the project in which mutants run one after the other, compiled kernels kept.

    Each run is a fork of a process that has the libraries loaded, but nothing of refimpl.
    """

    def __init__(self, home: Path):
        self.home = home
        self.recorded: dict[str, Record] = {"tests": {}, "imports": {}}
        for name in ("refimpl", "tests", "pyproject.toml", "README.md", "scripts"):
            source, target = ROOT / name, home / name
            if source.is_dir():
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.exists():
                shutil.copy2(source, target)

    def run(self, work: Callable[[], int], timeout: float) -> bool:
        """Whether some work, done in a fork inside the copy, ends with 0 within the time limit."""
        child = os.fork()
        if child == 0:
            self._become(work)
        started = time.monotonic()
        while time.monotonic() - started < timeout:
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
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            output = os.open(self.home / "output", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(output, stream)
            code = int(work())
        except BaseException:  # also the exits of pytest
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def tests(self, files: list[str]) -> Record:
        """What the tests of these files call; without a mutant they must pass, or nothing is learnt."""
        new, target = [f for f in files if f not in self.recorded["imports"]], self.home / "tests.json"
        if new and not self.run(lambda: _record_tests(new, target), 1800):
            print((self.home / "output").read_text()[-3000:], file=sys.stderr)
            raise RuntimeError(f"the tests fail without any mutant: {' '.join(new)}")
        for name, found in json.loads(target.read_text()).items() if new else ():
            self.recorded[name] |= found
        return {
            name: {node: v for node, v in found.items() if node.partition("::")[0] in files}
            for name, found in self.recorded.items()
        }

    @functools.cache  # noqa: B019
    def claims(self, room: str) -> Record:
        """What the claims of a room's section call."""
        if room not in SECTIONS:
            return {}
        target = self.home / "claims.json"
        if not self.run(lambda: _record_claims(SECTIONS[room], target), 3600):
            raise RuntimeError(f"the claims on {room} cannot be run")
        return json.loads(target.read_text())

    def judge(self, mutant: Mutant, with_claims: bool) -> str:
        """Who catches a mutant: "tests", "claims", or "survived"."""
        nodes, files, seconds = select(mutant, self.tests(tests_of(mutant.file)))
        claims = self.claims(room_of(mutant.file)) if with_claims else {}
        path = self.home / mutant.file
        stat, original = path.stat(), path.read_bytes()
        path.write_text(mutant.source, encoding="utf8")
        try:
            if not self.run(lambda: _pytest(files, Chosen(nodes)), PATIENCE + 10 * seconds):
                return "tests"
            place = f"{mutant.file}:{mutant.start}"
            for key, seen in sorted(claims.items(), key=lambda kv: kv[1]["seconds"]):
                slow = PATIENCE + 10 * seen["seconds"]
                if place in seen["calls"] and not self.run(lambda: 1 - _as_expected(key), slow):  # noqa: B023
                    return "claims"
            return "survived"
        finally:
            path.write_bytes(original)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def select(mutant: Mutant, seen: Record) -> tuple[list[str], list[str], float]:
    """The tests that reach a mutant, files named like it first, quick ones first; their files; their time."""
    place, tests = f"{mutant.file}:{mutant.start}", seen["tests"]
    stem = Path(mutant.file).stem

    def cost(node: str) -> tuple[bool, float]:
        return "kernels" in mutant.file and stem not in node.partition("::")[0], tests[node]["seconds"]

    direct = [n for n in tests if place in tests[n]["calls"] and "kernels" not in mutant.file]
    through = [n for n in tests if n not in direct and place in seen["imports"].get(n.partition("::")[0], ())]
    nodes = sorted(direct, key=cost) + sorted(through, key=cost) or sorted(tests, key=cost)
    files = list(dict.fromkeys(n.partition("::")[0] for n in nodes))
    return nodes, files, sum(tests[n]["seconds"] for n in nodes)


def load_libraries() -> None:
    """Import what every run needs, once."""
    names = "numpy scipy.fft scipy.linalg scipy.ndimage scipy.optimize scipy.sparse scipy.special scipy.spatial"
    for name in [*names.split(), "numba", "hypothesis", "pytest", "mpmath", "concurrent.futures.process"]:
        importlib.import_module(name)


def explained() -> dict[str, str]:
    """Survivors known to be equivalent: key -> reason."""
    path = ROOT / "scripts" / "equivalent_mutants.txt"
    lines = path.read_text(encoding="utf8").splitlines() if path.exists() else []
    return {k.strip(): r.strip() for k, _, r in (line.rpartition(" | ") for line in lines if line.strip())}


def main() -> int:
    """Draw a sample of mutants, run them, print the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="files or folders below refimpl/")
    parser.add_argument("--sample", type=int, default=100, help="how many mutants (0: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="mutants whose key contains this text, instead of a sample")
    parser.add_argument("--no-claims", action="store_true", help="ask the tests only")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--home", type=Path, help="where the copies and compiled kernels are kept (default: nowhere)")
    parser.add_argument("--json", type=Path, help="write every mutant and its fate")
    args = parser.parse_args()
    os.environ.update(HYPOTHESIS_PROFILE="mutants", OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
    files = [f for p in args.paths for f in ([p] if p.is_file() else sorted(p.rglob("*.py")))]
    every = [m for f in files for m in mutants(f.resolve())]
    chosen = every if not args.sample else random.Random(args.seed).sample(every, min(args.sample, len(every)))
    if args.only:
        chosen = [m for m in every if any(text in m.key for text in args.only)]
    print(f"{len(chosen)} of {len(every)} mutants in {len(files)} files", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        fates = run(chosen, args.jobs, args.home or Path(folder), not args.no_claims)
    return report(fates, args.json)


def run(chosen: list[Mutant], jobs: int, home: Path, with_claims: bool) -> list[tuple[Mutant, str]]:
    """Share the mutants among processes, each with a private copy of the project."""
    load_libraries()
    context = multiprocessing.get_context("fork")
    numbers = context.SimpleQueue()
    for i in range(jobs):
        numbers.put(i)
    with context.Pool(jobs, _start, (numbers, home, with_claims)) as pool:
        fates = []
        for mutant, fate in pool.imap_unordered(_one, chosen):
            print(f"{fate:9} {mutant.file}:{mutant.line} {mutant.change}", flush=True)
            fates.append((mutant, fate))
        return fates


def _start(numbers: Any, home: Path, with_claims: bool) -> None:
    global bench, asked
    bench, asked = Bench(home / str(numbers.get())), with_claims


def _one(mutant: Mutant) -> tuple[Mutant, str]:
    return mutant, bench.judge(mutant, asked)


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
        rows = [asdict(m) | {"key": m.key, "fate": fate, "reason": known.get(m.key, "")} for m, fate in fates]
        path.write_text(json.dumps([{k: v for k, v in r.items() if k != "source"} for r in rows], indent=1) + "\n")
    return 0 if score >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
