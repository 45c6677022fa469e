"""The command line: verdicts, exit codes, messages, files; in this process where possible, else as a user runs it."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys

import pytest

import refimpl
from refimpl.cli import VERBS, main
from refimpl.report import memory


def run(capsys, *arguments):
    """(exit code, stdout, stderr) of a command line."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as exit:
        code = exit.code
    return (code, *capsys.readouterr())


def shell(*arguments, **options):
    """The command as a process of its own."""
    command = [sys.executable, "-m", "refimpl", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def without_seconds(document):
    """A document without what differs from run to run."""
    claims = [{k: v for k, v in c.items() if k != "seconds"} for c in document["claims"]]
    return {**document, "claims": claims, "seconds": None}


def test_version_and_help(capsys):
    assert run(capsys, "--version")[1] == f"refimpl {refimpl.__version__}\n"
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(verb in out for verb in ("verify", "show", "errata", "report"))


def test_verify_prints_a_table_errata_and_a_summary(capsys):
    code, out, err = run(capsys, "verify", "Assumption 4.23", "--jobs", 1, "--examples", 10)
    assert code == 0
    assert re.search(r"Assumption 4.23 +strong_convexity\w* +as printed +refuted", out)
    assert re.search(r"Assumption 4.23 +\w+ +corrected +holds", out)
    assert "errata found:" in out
    assert "all as expected" in out
    assert "witness: " in out
    assert "replay: refimpl verify" in out
    assert "[1/2]" in err, "progress, a line a claim where stderr is no terminal"


def test_the_replay_line_repeats_the_verdict(capsys):
    import shlex

    _, out, _ = run(capsys, "verify", "Assumption 4.23", "--reading", "as printed", "--jobs", 1)
    line = re.search(r"replay: refimpl (.*)", out).group(1)
    _, again, _ = run(capsys, *shlex.split(line), "--jobs", 1)
    assert re.search(r"witness: (.*)", again).group(1) == re.search(r"witness: (.*)", out).group(1)


def test_json_has_the_promised_fields(capsys, tmp_path):
    file = tmp_path / "new" / "verdicts.json"
    assert run(capsys, "verify", "4.24", "--jobs", 1, "--examples", 5, "--json", file)[0] == 0
    document = json.loads(file.read_text())
    claim = next(c for c in document["claims"] if c["id"] == "(4.24)")
    assert {"id", "reading", "verdict", "expected", "section", "cases", "controls", "sharpness", "seconds"} <= set(
        claim
    )
    assert claim["section"] == "4.3.4"
    assert all(control["verdict"] == "refuted" for control in claim["controls"])
    assert {"checked", "used", "not checked", "items"} <= set(document["coverage"])
    assert list(tmp_path.rglob(".*")) == [], "no temporary file is left"


def test_jobs_do_not_change_results(tmp_path):
    documents = []
    for jobs in (1, 2):
        file = tmp_path / f"{jobs}.json"
        shell("verify", "4.24", "4.12", "--jobs", jobs, "--examples", 15, "--json", file, check=True)
        documents.append(without_seconds(json.loads(file.read_text())))
    assert documents[0] == documents[1]


def test_seed_changes_the_search(capsys, tmp_path):
    traces = []
    for seed in (0, 1):
        run(capsys, "verify", "(4.24)", "--jobs", 1, "--examples", 10, "--seed", seed, "--json", tmp_path / "v.json")
        traces.append(json.loads((tmp_path / "v.json").read_text())["claims"][0]["trace"])
    assert traces[0] != traces[1]


def test_sections_and_readings_choose(capsys, tmp_path):
    file = tmp_path / "v.json"
    choice = ["--section", "4.3.4", "--reading", "as printed"]
    run(capsys, "verify", *choice, "--examples", 2, "--jobs", 1, "--json", file)
    claims = json.loads(file.read_text())["claims"]
    assert {c["section"] for c in claims} == {"4.3.4"}
    assert {c["reading"] for c in claims} == {"as printed"}


def test_a_check_can_be_named(capsys):
    name = next(c.name for c in refimpl.claims.find("(4.24)"))
    _, out, _ = run(capsys, "verify", name, "--jobs", 1, "--examples", 2)
    assert "1 check of 1 item" in out


def test_set_evaluates_at_the_readers_numbers(capsys):
    code, out, _ = run(capsys, "verify", "Theorem 4.26", "--reading", "corrected", "--set", "delta=1/2", "--jobs", 1)
    assert code == 0
    assert "--set 'delta=0.5'" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "4.77"], "unknown id '4.77'; did you mean "),
        (["verify", "Theorem 4.62"], "or 'Theorem 4.26'?"),
        (["verify", "--section", "9"], "there is no section '9'"),
        (["verify", "--jobs", "0"], "expected an integer >= 1"),
        (["verify", "--seed", "-1"], "expected an integer >= 0"),
        (["verify", "--reading", "mine"], "invalid choice: 'mine'"),
        (["verify", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["verify", "4.26", "--set", "delta"], "expected NAME=VALUE"),
        (["verify", "4.26", "--set", "delta=half"], "'half' is not a number"),
        (["verify", "4.26", "--set", "nothing=1"], "none of the chosen checks draws 'nothing'"),
        (["verify", "--json", "/dev/null/x.json"], "cannot write"),
        (["verify", "--json", "."], "is a folder"),
        (["verify", "--data-dir", "/nonexistent"], "--data-dir"),
        (["show", "4.77"], "unknown id '4.77'"),
        (["errata", "--json", "/dev/null/x.json"], "cannot write"),
        (["report", "--out", "/dev/null"], "cannot write"),
        (["report", "--from", "/nonexistent.json"], "cannot read"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["--nonsense"], "required: VERB"),
    ],
)
def test_bad_usage_is_one_line_and_code_2(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1, err
    assert message in err
    assert err.startswith("refimpl")


def test_show_knows_checks_by_name(capsys):
    code, out, _ = run(capsys, "show", "strong_convexity_with_the_distance_of_H")
    assert code == 0 and out.startswith("Assumption 4.23: ")
    assert "[corrected] strong_convexity_with_the_distance_of_H" in out and "[as printed]" not in out


def test_no_arguments_show_what_there_is(capsys):
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    assert all(f"\n    {verb}" in err for verb in VERBS)
    assert all(run(capsys, verb, "--help")[1].count(f"\n\n{text}\n") == 1 for verb, (_, text) in VERBS.items())


def test_a_broken_data_file_is_named(capsys, tmp_path):
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"\x00\x00\x08\x03\x00\x00")[:20])
    code, _, err = run(capsys, "verify", "4.24", "--data-dir", tmp_path)
    assert code == 2
    assert "t10k" in err
    assert "Traceback" not in err


def test_an_unexpected_verdict_gives_code_1(capsys, monkeypatch):
    claim = refimpl.claims.find("(4.24)")[0]
    monkeypatch.setattr(claim, "controls", [])
    claim.without("nothing", cases=list(claim.cases))
    code, out, _ = run(capsys, "verify", claim.name, "--jobs", 1, "--examples", 3)
    assert code == 1
    assert "vacuous (!)" in out
    assert "control not refuted: without nothing (holds)" in out
    assert "1 NOT AS EXPECTED" in out


def test_a_room_that_does_not_load_gives_code_1(capsys, monkeypatch):
    monkeypatch.setattr("refimpl.claims.broken_rooms", lambda: {"fourier": "SyntaxError: oops"})
    code, _, err = run(capsys, "verify", "(4.24)", "--jobs", 1, "--examples", 2)
    assert code == 1
    assert "the checks of fourier could not be loaded: SyntaxError: oops" in err


def test_an_item_without_a_check_of_its_own_says_where_it_is_used(capsys, monkeypatch):
    from refimpl import chapter
    from refimpl.verify import _unchecked

    assert _unchecked(chapter.get("(4.28)")) == "no check of its own; it is part of Theorem 4.27"
    monkeypatch.setitem(chapter.NOT_CHECKED, "Remark 4.8", "because")
    assert _unchecked(chapter.get("Remark 4.8")) == "not checked: because"


def test_resume_skips_what_is_done_and_survives_a_cut_line(capsys, tmp_path):
    journal = tmp_path / "journal"
    options = ["--jobs", 1, "--examples", 5, "--resume", journal]
    _, first, _ = run(capsys, "verify", "4.24", *options)
    journal.write_text(journal.read_text() + '{"plan": "cut sho')
    _, second, err = run(capsys, "verify", "4.24", *options)
    assert "[" not in err, "nothing was left to do"
    assert first.splitlines()[:3] == second.splitlines()[:3]
    _, _, err = run(capsys, "verify", "4.24", *options, "--seed", 5)
    assert "[1/" in err, "another seed is another plan"


def test_show_leads_from_the_item_to_the_code(capsys):
    code, out, _ = run(capsys, "show", "Theorem", "4.26")
    assert code == 0
    assert "uses:    (4.21)" in out
    assert "control:  " in out
    assert re.search(r"refimpl/sparsity/\w+.py:\d+  LinBreg", out)
    assert re.search(r"refimpl/claims/\w+.py:\d+  loss_decay", out)
    assert "no evidence at hand" in out


def test_show_remembers_the_last_evidence(capsys):
    run(capsys, "verify", "(4.24)", "--jobs", 1, "--examples", 5)
    assert "evidence: holds in " in run(capsys, "show", "(4.24)")[1]


def test_memory_may_be_unreadable_or_unwritable(monkeypatch, tmp_path):
    memory.location().parent.mkdir(parents=True)
    memory.location().write_text("{broken")
    assert memory.recall() == {}
    monkeypatch.setenv("REFIMPL_CACHE", "/dev/null/nowhere")
    memory.remember({"a": {}})
    assert memory.recall() == {}


def test_errata_are_listed_with_witnesses(capsys, tmp_path):
    file = tmp_path / "errata.json"
    code, out, _ = run(capsys, "errata", "--json", file)
    found = json.loads(file.read_text())
    assert code == 0
    assert len(found) == len([c for c in refimpl.claims.all_claims() if c.erratum])
    assert all(set(e) >= {"id", "printed", "corrected", "severity", "witness"} for e in found)
    assert all(e["witness"] for e in found), "every erratum has its witness"
    assert f"{len(found)} errata demonstrated, 0 not" in out


def test_report_from_a_file_writes_three_files(capsys, tmp_path):
    file = tmp_path / "v.json"
    run(capsys, "verify", "4.24", "--jobs", 1, "--examples", 5, "--json", file)
    code, _, _ = run(capsys, "report", "--from", file, "--out", tmp_path / "out")
    assert code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "report.json", "report.md"]
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == json.loads(file.read_text())


def test_report_refuses_other_json(capsys, tmp_path):
    (tmp_path / "v.json").write_text("[]")
    code, _, err = run(capsys, "report", "--from", tmp_path / "v.json", "--out", tmp_path / "out")
    assert code == 2
    assert "was not written by refimpl" in err


def test_progress_rewrites_one_line_on_a_terminal():
    import io

    from refimpl.report.progress import Progress

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    with Progress(2, stream=stream) as progress:
        progress.advance({"id": "(4.1)", "reading": "as printed", "verdict": "holds"})
    assert "\n" not in stream.getvalue()
    assert "[1/2]" in stream.getvalue()


def test_the_module_runs_and_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m refimpl show 4.26 | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("Theorem 4.26")
    assert "Traceback" not in done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupt_leaves_cleanly(jobs, tmp_path):
    command = [sys.executable, "-m", "refimpl", "verify", "--section", "4.3", "--examples", "200"]
    with subprocess.Popen(
        [*command, "--jobs", str(jobs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"REFIMPL_CACHE": str(tmp_path)},
        start_new_session=True,
        preexec_fn=hear_interrupts,
    ) as process:
        assert process.stderr.readline().startswith("["), "the first finished claim"
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: the whole foreground group
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.endswith("refimpl: interrupted\n")


def hear_interrupts():
    """A shell starts what runs in its background deaf to Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_real_local_cluster_gives_the_same_verdicts(tmp_path):
    distributed = pytest.importorskip("distributed")
    documents = []
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        for name, options in (("there", ["--scheduler", cluster.scheduler_address]), ("here", ["--jobs", 1])):
            file = tmp_path / f"{name}.json"
            done = shell("verify", "4.24", "4.12", "--examples", 10, "--json", file, *options)
            assert done.returncode == 0, done.stderr
            documents.append(without_seconds(json.loads(file.read_text())))
    assert documents[0] == documents[1]


def test_an_unreachable_scheduler_is_one_line(capsys):
    pytest.importorskip("distributed")
    code, _, err = run(capsys, "verify", "4.24", "--scheduler", "tcp://127.0.0.1:1")
    assert code == 1
    assert "Traceback" not in err
    assert "tcp://127.0.0.1:1" in err


def test_a_missing_extra_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, _, err = run(capsys, "verify", "4.24", "--scheduler", "tcp://127.0.0.1:1")
    assert code == 1
    assert "pip install 'refimpl[distributed]'" in err
