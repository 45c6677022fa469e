"""The judge and its candidates: what goes wrong is reported as such, the smallest input is found, all is counted."""

import json
import sys

import numpy as np
import pytest

from refimpl import crosscheck
from refimpl.cli import main
from refimpl.crosscheck import candidates, report, worker
from refimpl.crosscheck.npz import read_npz, write_npz

SOFT = "sparsity.prox_l1"


def soft(v, tau, lam):
    """The right one."""
    return v - np.clip(v, -v.dtype.type(tau * lam), v.dtype.type(tau * lam))


def raises(v, tau, lam):
    raise RuntimeError("<script>alert(1)</script>")


def mutates(v, tau, lam):
    if v.flags.writeable:
        v[:] = 7
    return np.zeros_like(v)


BROKEN = {
    "exception": raises,
    "mutated inputs": mutates,
    "wrong shape": lambda v, tau, lam: v[:-1],
    "wrong dtype": lambda v, tau, lam: soft(v, tau, lam).astype(np.float64),
    "NaN": lambda v, tau, lam: v * np.nan,
    "differs": lambda v, tau, lam: soft(v, tau, 2 * lam),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_every_kind_of_failure_has_its_name(kind):
    found = crosscheck.check(SOFT, BROKEN[kind], examples=20)
    assert not found.agrees and found.smallest.kind == kind and kind in found.failures
    assert kind in report.text(found)


def test_a_right_candidate_agrees():
    found = crosscheck.assert_agrees(SOFT, soft)
    assert found.verdict == "agrees" and found.cases > 100 and found.worst < 2


def test_disagreement_raises_with_the_whole_report():
    with pytest.raises(AssertionError, match=r"(?s)DIFFERS.*lam = .*Your output equals: prox of tau\*v"):
        crosscheck.assert_agrees(SOFT, lambda v, tau, lam: soft(v.dtype.type(tau) * v, tau, lam))


def test_the_smallest_failing_input_is_small():
    def fails_on_large_entries(v, tau, lam):
        return soft(v, tau, lam) + (np.abs(v) > 2).astype(v.dtype)

    smallest = crosscheck.check(SOFT, fails_on_large_entries).smallest
    assert smallest.case["v"].size == 1 and 2 < abs(smallest.case["v"][0]) <= 2.0625


def test_the_report_of_a_failure_can_be_pasted():
    found = crosscheck.check(SOFT, lambda v, tau, lam: -soft(v, tau, lam))
    names = {"np": np}
    exec(report.literals(found.smallest.case), names)
    assert np.array_equal(names["v"], found.smallest.case["v"])
    assert report.literal(np.array([np.nan, -np.inf], np.float32)) == "np.array([np.nan, -np.inf], np.float32)"


def test_a_trajectory_names_step_and_coordinate():
    def late(theta, gradients, step):
        path = theta - step * np.cumsum(gradients, axis=0)
        path[2:, -1] += 1
        return path.astype(theta.dtype)

    found = crosscheck.check("setting.gradient_descent.trajectory", late)
    assert "first differs at step 3, coordinate" in found.smallest.message


def test_declined_cases_are_counted_and_do_not_fail():
    def double_only(v, tau, lam):
        if v.dtype != np.float64:
            raise NotImplementedError("float32")
        return soft(v, tau, lam)

    found = crosscheck.check(SOFT, double_only)
    assert found.agrees and found.declined["float32"] > 10
    assert "not offered" in report.text(found)


def test_offering_nothing_is_no_agreement():
    found = crosscheck.check(SOFT, lambda v, tau, lam: None)
    assert not found.agrees and found.verdict == "not offered"


def test_outputs_that_are_left_out_are_not_judged():
    def only_dx(x, weight, bias, dy):
        return dy @ weight, None, None

    assert crosscheck.check("setting.dense.backward", only_dx).agrees


def test_inputs_go_by_name_or_in_order():
    crosscheck.assert_agrees(SOFT, lambda lam, v, tau: soft(v, tau, lam), examples=10)
    crosscheck.assert_agrees(SOFT, lambda a, b, c: soft(a, b, c), examples=10)


def test_fixed_inputs_are_not_passed():
    crosscheck.assert_agrees(SOFT, lambda v: soft(v, 1, 0.5), fixed={"tau": 1.0, "lam": 0.5})


def test_conventions_are_chosen_by_name():
    def summed(y, target):
        return np.sum((y - target) ** 2) / y[0].size

    crosscheck.assert_agrees("setting.squared_error.value", summed, conventions={"reduction": "sum over the batch"})


@pytest.mark.parametrize(
    "chosen", [{"fixed": {"no": 1}}, {"conventions": {"reduction": "?"}}, {"adapter": "tensorflow"}]
)
def test_bad_usage_is_a_value_error(chosen):
    with pytest.raises(ValueError, match="expected"):
        crosscheck.check("setting.squared_error.value", soft, **chosen)


def test_chosen_values_get_the_types_of_the_target(module, capsys):
    words = ["crosscheck", SOFT, f"{module}:half", "--set", "tau=1", "--set", "lam=0.5", "--examples", "5"]
    assert main(words) == 0
    assert main(["crosscheck", "resolution.dft", "numpy.fft:fftn", "--set", "norm=1", "--examples", "5"]) == 0
    assert "convention norm: 1" in capsys.readouterr().out
    assert main([*words, "--set", "tau=many"]) == 2


def test_member_and_minimiser_accept_every_right_answer():
    def other_selection(theta, lam):
        return lam * np.where(theta == 0, 0.5, np.sign(theta)).astype(theta.dtype)

    crosscheck.assert_agrees("sparsity.subgradient_l1", other_selection)
    outside = crosscheck.check("sparsity.subgradient_l1", lambda theta, lam: 2 * other_selection(theta, lam))
    assert "distance of p to dJ(theta)" in outside.smallest.message


def test_a_sloppy_minimiser_is_caught_by_its_certificate():
    def mean(f, alpha, gap):
        return np.full_like(f, f.mean())

    found = crosscheck.check("sparsity.tv_denoise", mean, examples=10)
    assert "energy above the certified minimum" in found.smallest.message


def test_attacks_are_judged_by_feasibility_and_ascent():
    stays = crosscheck.check("robustness.pgd_l2", lambda x, labels, weight, bias, eps: x, examples=10)
    assert "ascent below 90% of the optimum" in stays.smallest.message
    far = crosscheck.check("robustness.pgd_l2", lambda x, labels, weight, bias, eps: x + 2, examples=10)
    assert "distance from x beyond eps" in far.smallest.message


def test_a_candidate_that_guesses_is_called_so():
    state = np.random.default_rng(0)

    def noisy(v, tau, lam):
        return soft(v, tau, lam) + v.dtype.type(state.integers(2))

    found = crosscheck.check(SOFT, noisy)
    assert not found.agrees


def test_a_framework_that_is_not_installed_is_bad_usage(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ValueError, match="jax: expected an installed framework"):
        crosscheck.check(SOFT, soft, adapter="jax")


# A process of its own -----------------------------------------------------------------------------------------

MODULE = """
import os, time
import numpy as np

def soft(v, tau, lam):
    return v - np.clip(v, -v.dtype.type(tau * lam), v.dtype.type(tau * lam))

def half(v):
    return soft(v, 1, 0.5)

def aborts(v, tau, lam):
    if v.size == 1:
        os.abort()
    return soft(v, tau, lam)

def hangs(v, tau, lam):
    time.sleep(60)

def layouts(v, tau, lam):
    if not v.flags.writeable or not (v.flags.c_contiguous or v.flags.f_contiguous):
        raise NotImplementedError("layout")
    return soft(v, tau, lam)
"""


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MODULE)
    return str(path)


def test_crashes_time_outs_and_layouts_cross_the_process(module):
    target = crosscheck.find(SOFT)
    cases = {
        "small": {"v": np.ones(1), "tau": 1.0, "lam": 0.5},
        "fine": {"v": np.ones(2), "tau": 1.0, "lam": 0.5},
    }
    aborts = worker.Isolated(target, f"{module}:aborts", "function", "numpy", (), 30)
    with pytest.raises(candidates.Failure, match="SIGABRT"):
        aborts(cases["small"])
    assert np.array_equal(aborts(cases["fine"])["theta"], [0.5, 0.5])
    aborts.close()
    hangs = worker.Isolated(target, f"{module}:hangs", "function", "numpy", (), 0.2)
    with pytest.raises(candidates.Failure, match="time limit"):
        hangs(cases["fine"])
    hangs.close()
    layouts = worker.Isolated(target, f"{module}:layouts", "function", "numpy", (), 30)
    frozen = np.ones(3)
    frozen.flags.writeable = False
    with pytest.raises(candidates.NotOffered):
        layouts({**cases["fine"], "v": frozen})
    with pytest.raises(candidates.NotOffered):
        layouts({**cases["fine"], "v": np.ones(4)[::2]})
    layouts.close()


def test_after_three_crashes_in_a_row_the_judge_stops():
    def run(case):
        raise candidates.Failure("crash", "exit status 3")

    from refimpl.crosscheck.judge import judge

    found = judge(crosscheck.find(SOFT), run)
    assert found.cases == 3 and "stopped" in found.note and not found.agrees


def test_the_command_line(module, tmp_path, capsys):
    page, data = tmp_path / "report.html", tmp_path / "report.json"
    assert (
        main(["crosscheck", SOFT, f"{module}:soft", "--examples", "5", "--json", str(data), "--html", str(page)]) == 0
    )
    assert "AGREES" in capsys.readouterr().out
    assert json.loads(data.read_text())["verdict"] == "agrees" and "AGREES" not in page.read_text()
    assert main(["crosscheck", "--list", "sparsity.prox_*"]) == 0
    assert SOFT in capsys.readouterr().out
    assert main(["crosscheck", SOFT]) == 0
    assert "known mistake: lambda applied twice" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["crosscheck"],
        ["crosscheck", "sparsity.prox_l9", "a:b"],
        ["crosscheck", SOFT, "no_such_module:f"],
        ["crosscheck", SOFT, "json"],
        ["crosscheck", SOFT, "json:dumps", "--command", "x {in} {out}"],
        ["crosscheck", SOFT, "--command", "prog"],
        ["crosscheck", SOFT, "json:dumps", "--set", "tau"],
        ["crosscheck", SOFT, "json:dumps", "--set", "nothing=1"],
        ["crosscheck", SOFT, "json:dumps", "--examples", "0"],
        ["crosscheck", SOFT, "json:dumps", "--as", "torch-optimizer"],
        ["crosscheck", "--list", "nothing*"],
        ["vectors", "/dev/null/x"],
        ["vectors", "/tmp", "--only", "nothing*"],
        ["vectors", "/nonexistent", "--check"],
    ],
)
def test_bad_usage_is_one_line_and_exit_status_2(words, capsys):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out
    assert len((captured.err or captured.out).splitlines()) == 1


def test_html_escapes_hostile_names_and_messages():
    raises.__qualname__ = "<img src=x>"
    found = crosscheck.check(SOFT, raises, examples=5)
    page = report.page(found)
    assert "<script>" not in page and "<img" not in page and "&lt;script&gt;" in page


# Commands -----------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
import numpy as np
given = np.load(sys.argv[1])
v, t = given["v"], given["tau"] * given["lam"]
mode = sys.argv[3]
if mode == "declines":
    sys.exit(77)
if mode == "fails":
    sys.exit("cannot do it")
if mode == "garbage":
    open(sys.argv[2], "wb").write(b"PK\\x03\\x04 not a zip")
elif mode == "pickle":
    np.savez(sys.argv[2], theta=np.array([{}], dtype=object))
elif mode == "other":
    np.savez(sys.argv[2], x=v)
elif mode != "silent":
    np.savez(sys.argv[2], theta=v - np.clip(v, -t.astype(v.dtype), t.astype(v.dtype)))
"""


def answers(tmp_path, mode):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    run = candidates.from_command(crosscheck.find(SOFT), f"{sys.executable} {path} {{in}} {{out}} {mode}")
    return run({"v": np.array([2.0, -0.25]), "tau": 2.0, "lam": 0.5})


def test_a_command_answers_through_files(tmp_path):
    assert np.array_equal(answers(tmp_path, "right")["theta"], [1.0, 0.0])


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("fails", "crash"),
        ("garbage", "unreadable output"),
        ("pickle", "unreadable output"),
        ("other", "no output"),
        ("silent", "no output"),
    ],
)
def test_a_command_that_fails_is_reported(tmp_path, mode, kind):
    with pytest.raises(candidates.Failure) as failure:
        answers(tmp_path, mode)
    assert failure.value.kind == kind


def test_a_command_may_decline(tmp_path):
    with pytest.raises(candidates.NotOffered):
        answers(tmp_path, "declines")


def test_a_missing_program_a_broken_and_a_slow_one(tmp_path):
    target, case = crosscheck.find(SOFT), {"v": np.ones(1), "tau": 1.0, "lam": 1.0}
    with pytest.raises(ValueError, match="there is no program '/no/such/program'"):
        candidates.from_command(target, "/no/such/program {in} {out}")
    (broken := tmp_path / "broken").write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    with pytest.raises(candidates.Failure, match="cannot be started"):
        candidates.from_command(target, f"{broken} {{in}} {{out}}")(case)
    with pytest.raises(candidates.Failure, match="time limit"):
        candidates.from_command(target, "sh -c 'sleep 5' {in} {out}", limit=0.2)(case)


def test_files_have_the_same_bytes_on_every_run(tmp_path):
    values = {"a": np.arange(3.0)[::-1], "size": (2, 3), "word": "zero", "number": 0.5, "z": np.ones(1) * 1j}
    write_npz(tmp_path / "a.npz", values)
    write_npz(tmp_path / "b.npz", values)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = read_npz(tmp_path / "a.npz")
    assert back["word"].item() == "zero" and np.array_equal(back["a"], [2, 1, 0]) and back["z"].dtype == complex
    with pytest.raises(ValueError, match="numbers or words"):
        write_npz(tmp_path / "c.npz", {"a": np.array([{}], dtype=object)})
