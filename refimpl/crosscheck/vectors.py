"""Test vectors for other languages: inputs, expected outputs, tolerances, and the mistakes that each one catches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import __version__
from refimpl.crosscheck import diagnosis, digits, report
from refimpl.crosscheck.judge import Report, compare
from refimpl.crosscheck.npz import npz_bytes, read_npz
from refimpl.crosscheck.target import Case, Finding, Outputs, Target, astype, eps_of, targets
from refimpl.numerics import validate
from refimpl.numerics.files import atomic_write, write_text

SCHEMA = """# Test vectors, schema 1

Every operation has two files with the same content: `NAME.json` to read, `NAME.npz` to compute with.

`NAME.npz` is a zip archive without compression of `.npy` files (version 1.0, little-endian, C order). For a vector
with the id `v00`, the input `x` is `v00.in.x` and the expected output `y` is `v00.out.y`. Numbers are arrays without
axes, words are `<U` strings, sizes and pairs are 1-D arrays. Complex numbers are (re, im) pairs of floats.

`NAME.json` has

* `target`, `what`: the operation and its formula; `outputs`: the names of the results;
* `relation`: `equal` (compare entry by entry), `member` or `minimiser` (the expected output is one of many that are
  right: use `refimpl vectors --check`), `statistic` (see `what`; the expected output lists statistics);
* `conventions`: the choices these vectors are made for, and the ones they are not;
* `tolerance`: k, and why; an output may differ by `k * eps * scale`, eps of the inputs' precision;
* `vectors`: for each its `id`, `name`, `dtype`, `inputs`, `outputs`, `allowed` (the tolerance multiplied out, one
  number or one an entry), `catches` (the known mistakes that this vector tells from the right result) and
  `provenance` (how the expected values were computed).

Arrays are `{"dtype", "shape", "data"}`, data flat in C order; NaN and infinities are the words "nan", "inf", "-inf";
a complex number is a pair. Randomness (masks, batches) is among the inputs, except for statistics.

To have results judged, write `results/NAME.npz` beside these files, with the output `y` of vector `v00` as `v00.y`,
and run `refimpl vectors --check DIR`. Vectors and outputs that are left out count as not offered.
"""

DEFINITION = "the definition, evaluated in 50-digit decimal arithmetic and rounded once"
REFERENCE = "refimpl's reference in float64"
AGREED = f"{DEFINITION}; refimpl's reference agrees within the tolerance"


def vector_cases(target: Target) -> dict[str, Case]:
    """The named cases of a target, and the first one in float32."""
    base = next(iter(target.edges.values()))
    return {**target.edges, "float32": astype(base, np.float32)}


def expected(target: Target, case: Case) -> tuple[Outputs, str]:
    """The expected outputs of a vector and where they come from.

    Raises
    ------
    ArithmeticError : definition and reference disagree beyond the tolerance.
    """
    reference = target.expected(case)
    if target.measure is not None:
        return reference, "closed form"
    if target.definition is None or not _finite(case):
        return reference, REFERENCE
    outputs = target.named(digits.evaluate(target.definition, case))
    errors = target.errors(case, outputs, reference)
    worst = max(float(np.max(e, initial=0.0)) for e in errors.values())
    if not worst <= target.k:
        raise ArithmeticError(f"{target.name}: definition and reference differ by {worst:.3g} eps")
    return outputs, AGREED


def _finite(case: Case) -> bool:
    return all(np.all(np.isfinite(v)) for v in case.values() if isinstance(v, np.ndarray))


def write(directory: Path, pattern: str = "*") -> int:
    """Write the vectors of all matching targets; how many there are. The same bytes on every run.

    Raises
    ------
    ValueError : no target matches.
    OSError : the directory cannot be written.
    """
    chosen = targets(pattern)
    if not chosen:
        validate.fail("--only", "a pattern that matches a target", repr(pattern))
    count = 0
    for target in chosen:
        vectors = [
            _vector(target, f"v{i:02}", name, case) for i, (name, case) in enumerate(vector_cases(target).items())
        ]
        with atomic_write(directory / f"{target.name}.npz") as path:
            path.write_bytes(npz_bytes(_arrays(vectors)))
        write_text(directory / f"{target.name}.json", json.dumps(_document(target, vectors), indent=1) + "\n")
        count += len(vectors)
    write_text(directory / "SCHEMA.md", SCHEMA)
    return count


def _vector(target: Target, id: str, name: str, case: Case) -> dict[str, Any]:
    outputs, provenance = expected(target, case)
    finding = Finding(case, "", actual=outputs, expected=outputs)
    return {
        "id": id,
        "name": name,
        "dtype": "float32" if eps_of(case) > 1e-10 else "float64",
        "inputs": case,
        "outputs": outputs,
        "allowed": _allowed(target, case, outputs),
        "catches": [
            n for n, twin in diagnosis.explanations(target, target.defaults).items() if _caught(target, twin, finding)
        ],
        "provenance": provenance,
    }


def _allowed(target: Target, case: Case, outputs: Outputs) -> dict[str, Any]:
    """k eps scale of every output to 3 digits, where the relation is a comparison."""
    if target.residuals is not None:
        return {}
    scales = {name: target.scale_of(name, case, value) for name, value in outputs.items()}
    return {
        n: np.vectorize(lambda x: float(f"{x:.3g}"))(target.k * eps_of(case) * np.asarray(s)) for n, s in scales.items()
    }


def _caught(target: Target, twin: Any, finding: Finding) -> bool:
    """Whether the twin's result is wrong here: for sets and minimisers by the target's own residuals."""
    try:
        outputs = twin(finding.case)
        found = compare(target, finding.case, outputs, finding.expected) if target.residuals else None
    except Exception:  # a twin that cannot handle a case is not caught by it
        return False
    return found.failed if found else not diagnosis.close(target, finding, outputs, diagnosis.SLACK)


def _arrays(vectors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    entries = [(v["id"], side, v[f"{side}puts"]) for v in vectors for side in ("in", "out")]
    return {f"{id}.{side}.{name}": value for id, side, values in entries for name, value in values.items()}


def _document(target: Target, vectors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "schema": 1,
        "target": target.name,
        "what": target.what,
        "outputs": list(target.outputs),
        "relation": target.relation,
        "conventions": {n: {"here": o[0], "not here": list(o[1:])} for n, o in target.conventions.items()},
        "tolerance": {"k": target.k, "why": target.why},
        "refimpl": __version__,
        "vectors": [{name: _plain(value) for name, value in vector.items()} for vector in vectors],
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray) and value.ndim:
        return {
            "dtype": value.dtype.name,
            "shape": list(value.shape),
            "data": [_plain(x) for x in value.ravel().tolist()],
        }
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.item())
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, complex):
        return [_plain(value.real), _plain(value.imag)]
    return value if not isinstance(value, float) or np.isfinite(value) else repr(value)


# Judging results ----------------------------------------------------------------------------------------------


def check(directory: Path, pattern: str = "*") -> list[Report]:
    """Judge ``DIR/results/NAME.npz`` of all matching targets against the vectors in DIR.

    Raises
    ------
    ValueError : there are no vectors or no results, or a vector file is damaged.
    """
    if not (directory / "results").is_dir():
        validate.fail("DIR", "vectors and a folder 'results' in it", str(directory))
    results = directory / "results"
    found = [_judged(t, directory, results) for t in targets(pattern) if (results / f"{t.name}.npz").exists()]
    if not found:
        validate.fail("DIR/results", "at least one file NAME.npz, NAME as in `refimpl crosscheck --list`", "none")
    return found


def _judged(target: Target, directory: Path, results: Path) -> Report:
    made = Report(target, f"results/{target.name}.npz", target.defaults, {}, 0, [])
    stored = _read(directory / f"{target.name}.npz")
    given = _read(results / f"{target.name}.npz")
    for id in sorted({key.split(".")[0] for key in stored}):
        case, outputs = _part(stored, f"{id}.in."), _part(stored, f"{id}.out.")
        actual = {n: given[f"{id}.{n}"] for n in target.outputs if f"{id}.{n}" in given}
        made.findings.append(_finding(target, id, _restored(target, case), actual, outputs))
    failed = [f for f in made.findings if f.failed]
    if failed:
        made.smallest = min(failed, key=lambda f: sum(np.size(v) for v in f.case.values()))
        made.diagnoses = diagnosis.diagnose(target, target.defaults, made.findings)
    return made


def _finding(target: Target, id: str, case: Case, actual: Outputs, outputs: Outputs) -> Finding:
    if not actual:
        return Finding(case, "not offered", f"no result {id}", name=id)
    return compare(target, case, actual, outputs, id)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_npz(path)
    except FileNotFoundError:
        validate.fail("DIR", f"the vectors {path.name} (write them with `refimpl vectors DIR`)", "none")


def _part(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}


def _restored(target: Target, case: Case) -> Case:
    """Numbers, words and tuples as the target's own cases have them."""
    like = next(iter(target.edges.values()))
    return {name: _as(value, like.get(name)) for name, value in case.items()}


def _as(value: np.ndarray, like: Any) -> Any:
    if isinstance(like, tuple):
        return tuple(value.tolist())
    return value if isinstance(like, np.ndarray) else value.item()


def summary(reports: Sequence[Report]) -> str:
    """One line for what agrees, the whole report for what does not, and the counts."""
    lines = [f"{r.target.name}: agrees on {r.cases} vectors" if r.agrees else report.text(r) for r in reports]
    agreeing = sum(r.agrees for r in reports)
    return "\n".join([*lines, f"{agreeing} of {len(reports)} operations agree"])
