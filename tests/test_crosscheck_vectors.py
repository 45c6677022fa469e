"""Test vectors: the same bytes again, values from definitions, results judged, a candidate in C."""

import json
import math
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from refimpl import crosscheck
from refimpl.cli import main
from refimpl.crosscheck import candidates, mistakes, vectors
from refimpl.crosscheck.judge import judge
from refimpl.crosscheck.npz import read_npz, write_npz

EXAMPLE = Path(vectors.__file__).parent / "examples" / "soft_shrinkage.c"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("vectors")
    vectors.write(path)
    return path


def document(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


def test_the_same_bytes_on_every_run(folder, tmp_path):
    vectors.write(tmp_path, "s*.prox_*")
    written = sorted(p.name for p in tmp_path.iterdir())
    assert len(written) > 10
    assert all((tmp_path / name).read_bytes() == (folder / name).read_bytes() for name in written)


def test_every_target_has_vectors_in_both_forms(folder):
    for target in crosscheck.targets():
        entries = document(folder, target.name)["vectors"]
        arrays = read_npz(folder / f"{target.name}.npz")
        assert len(entries) == len(target.edges) + 1
        for entry in entries:
            assert {f"{entry['id']}.in.{n}" for n in entry["inputs"]} <= set(arrays)
            assert {f"{entry['id']}.out.{n}" for n in entry["outputs"]} <= set(arrays)
            assert entry["provenance"] and (entry["allowed"] or target.residuals)


def test_every_known_mistake_is_caught_by_a_vector(folder):
    for target in crosscheck.targets():
        caught = {name for entry in document(folder, target.name)["vectors"] for name in entry["catches"]}
        assert set(mistakes.of(target)) <= caught, target.name


def test_most_values_do_not_come_from_the_reference(folder):
    entries = [entry for target in crosscheck.targets() for entry in document(folder, target.name)["vectors"]]
    exact = sum("50-digit" in entry["provenance"] for entry in entries)
    assert exact > 0.7 * len(entries)


def test_the_two_forms_hold_the_same_numbers(folder):
    arrays = read_npz(folder / "resolution.dft.npz")
    for entry in document(folder, "resolution.dft")["vectors"]:
        stored = arrays[f"{entry['id']}.out.v_hat"]
        data = entry["outputs"]["v_hat"]["data"]
        assert np.array_equal([complex(*pair) for pair in data], stored.ravel())


def test_special_numbers_are_words(folder):
    entries = {entry["name"]: entry for entry in document(folder, "sparsity.prox_l1")["vectors"]}
    assert entries["infinities"]["outputs"]["theta"]["data"][:2] == ["inf", "-inf"]
    assert entries["NaN"]["inputs"]["v"]["data"][0] == "nan"


def test_soft_shrinkage_in_rationals(folder):
    for entry in document(folder, "sparsity.prox_l1")["vectors"]:
        if "50-digit" in entry["provenance"]:
            t = Fraction(entry["inputs"]["tau"]) * Fraction(entry["inputs"]["lam"])
            shrunk = [float(max(abs(Fraction(v)) - t, 0)) for v in entry["inputs"]["v"]["data"]]
            assert [abs(x) for x in entry["outputs"]["theta"]["data"]] == shrunk


def test_fourier_values_by_mpmath(folder):
    mpmath = pytest.importorskip("mpmath")
    for entry in document(folder, "resolution.dft")["vectors"]:
        v = entry["inputs"]["v"]
        if len(v["shape"]) == 1:
            n = v["shape"][0]
            with mpmath.workdps(50):
                waves = [[mpmath.expjpi(mpmath.mpf(-2 * j * k) / n) for j in range(n)] for k in range(n)]
                exact = [complex(mpmath.fdot(v["data"], wave)) for wave in waves]
            found = [complex(*pair) for pair in entry["outputs"]["v_hat"]["data"]]
            assert np.max(np.abs(np.array(exact) - found)) <= 1e-16 * sum(map(abs, v["data"]))


def test_cross_entropy_by_hand(folder):
    entry = document(folder, "setting.cross_entropy.value")["vectors"][0]
    logits = np.reshape(entry["inputs"]["logits"]["data"], entry["inputs"]["logits"]["shape"])
    terms = [
        math.log(math.fsum(map(math.exp, z))) - z[label] for z, label in zip(logits, entry["inputs"]["labels"]["data"])
    ]
    assert abs(entry["outputs"]["value"] - math.fsum(terms) / 2) < 1e-15


# Judging results ----------------------------------------------------------------------------------------------


def answer(folder, name, function, leave_out=()):
    """Write the results of a function of the inputs for every vector of a target."""
    stored = read_npz(folder / f"{name}.npz")
    target = crosscheck.find(name)
    results = {}
    for id in sorted({key.split(".")[0] for key in stored} - set(leave_out)):
        case = {key.split(".", 2)[2]: value for key, value in stored.items() if key.startswith(f"{id}.in.")}
        outputs = target.named(function(**{n: v if v.ndim else v.item() for n, v in case.items()}))
        results |= {f"{id}.{n}": value for n, value in outputs.items()}
    (folder / "results").mkdir(exist_ok=True)
    write_npz(folder / "results" / f"{name}.npz", results)


@pytest.fixture
def some(tmp_path):
    vectors.write(tmp_path, "sparsity.prox_l1")
    vectors.write(tmp_path, "sparsity.linbreg.trajectory")
    return tmp_path


def soft(v, tau, lam):
    return v - np.clip(v, -v.dtype.type(tau * lam), v.dtype.type(tau * lam))


def wrong_linbreg(theta, gradients, step, lam, delta):
    v = theta / delta + lam * np.sign(theta) - step * np.cumsum(gradients, axis=0)
    return soft(theta.dtype.type(delta) * v.astype(theta.dtype), 1, lam)


def test_right_results_agree_and_missing_ones_are_counted(some, capsys):
    answer(some, "sparsity.prox_l1", soft, leave_out=["v01"])
    assert main(["vectors", str(some), "--check"]) == 0
    assert "1 of 1 operations agree" in capsys.readouterr().out
    report = vectors.check(some)[0]
    assert sum(report.declined.values()) == 1


def test_wrong_results_are_diagnosed(some, capsys):
    answer(some, "sparsity.prox_l1", soft)
    answer(some, "sparsity.linbreg.trajectory", wrong_linbreg)
    assert main(["vectors", str(some), "--check"]) == 1
    out = capsys.readouterr().out
    assert "Your output equals: threshold not scaled by delta" in out and "1 of 2 operations agree" in out


def test_damaged_files_are_one_clear_message(some, capsys):
    (some / "results").mkdir()
    (some / "results" / "sparsity.prox_l1.npz").write_bytes(b"PK\x03\x04garbage")
    assert main(["vectors", str(some), "--check"]) == 2
    assert "an .npz file without objects" in capsys.readouterr().err


def test_objects_are_not_unpickled(some):
    (some / "results").mkdir()
    np.savez(some / "results" / "sparsity.prox_l1.npz", **{"v00.theta": np.array([{}], dtype=object)})
    with pytest.raises(ValueError, match="without objects"):
        vectors.check(some)


# A candidate in C ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("c") / "soft"
    subprocess.run([compiler, "-O2", "-std=c11", "-Wall", "-Werror", "-o", program, EXAMPLE], check=True)
    return program


def test_a_candidate_in_c(compiled):
    target = crosscheck.find("sparsity.prox_l1")
    found = judge(target, candidates.from_command(target, f"{compiled} {{in}} {{out}}"), examples=10)
    assert found.agrees and found.worst <= 1 and not found.declined


def test_another_operation_in_c_is_diagnosed(compiled):
    target = crosscheck.find("sparsity.prox_nonnegative")
    found = judge(target, candidates.from_command(target, f"{compiled} {{in}} {{out}}"), examples=10)
    assert found.smallest is not None and found.smallest.kind == "differs"
