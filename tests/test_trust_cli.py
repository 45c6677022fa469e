"""Every verb with every flag at every kind of bad value: exit code 2 and one line on stderr, never a traceback."""

import json
import os
from collections import Counter

import pytest
from fuzzing import limited

import refimpl
from refimpl.cli import VERBS, main, parser

COUNTS: Counter = Counter()
LONG = "x" * 5000
NO_COUNT = ["", " ", "0", "-1", "1.5", "nan", "inf", "1e3", "x", "½", "\u202e1", "0x10", "1 2", "9" * 5000, LONG]
NO_SEED = [text for text in NO_COUNT if text != "0"]
NO_SECONDS = ["", "0", "-1", "nan", "-inf", "inf", "1e300", "x", "1s", "½"]
NO_OUTPUT = ["", ".", "/", "/dev/null/x", "/proc/nothing/x", "file/x", "dangling/x", "loop/x", LONG, "a\nb/" + LONG]
NO_FOLDER = ["file", "dangling/x", "/dev/null", "/proc/nothing", "loop", LONG]
NO_DATA = ["", "missing", "file", "empty", "dangling", "loop", "/dev/null", LONG, "a\nb", "hostile", "half"]
NO_RUN = [
    "",
    "missing",
    ".",
    "empty",
    "loop",
    "/dev/null",
    LONG,
    "a\nb",
    "blank",
    "binary",
    "deep",
    "list",
    "other",
    "number",
]
NO_RUN += ["claims", "records", "strings", "shallow", "wrong"]
NO_ITEM = [
    "",
    " ",
    "9.99",
    "Theorem",
    "(4.19",
    "(",
    "*",
    ".*",
    "4.26\n4.27",
    "\u202e62.4",
    "½",
    "4.26; ls",
    LONG,
    "\udcff",
]
NO_SETTING = ["", "=", "x", "=1", "nothing=1", "tau=", "tau=x", "tau=1/0", "tau=1e999x", "tau=9**9", "tau=[[1],[2,3]]"]
NO_SETTING += [
    "tau=" + "(" * 500,
    "tau=1" + "0" * 400 + "/3",
    "tau=1 e999999999",
    "tau=__import__('os')",
    "tau=['a']",
    "tau=\x00",
]
NO_CHOICE = ["", "x", "AS PRINTED", "\u202e", LONG]
NO_TARGET = ["", "*", "sparsity", "sparsity.prox_l1\n", "\u202e", LONG, "\udcff"]
NO_CANDIDATE = [
    "",
    ":",
    "f",
    ":f",
    "m:",
    "math:nothing",
    "nothing.py:f",
    "file:f",
    ".:f",
    "math:pi",
    "\u202e:f",
    LONG + ":f",
    "\udcff:f",
]
NO_COMMAND = ["", "true", "{in}", "{out}", "prog '{in} {out}", "nothing-of-this-name {in} {out}"]
RUNS = {
    "--examples": NO_COUNT,
    "--seed": NO_SEED,
    "--jobs": NO_COUNT,
    "--resume": [*NO_OUTPUT, "binary"],
}
JUDGED = ["crosscheck", "sparsity.prox_l1", "math:sin"]
TABLE = {
    ("verify",): {None: NO_ITEM},
    ("verify", "4.13"): {
        "--section": ["", "9", "4.", "x", "4.3.9", "½", LONG],
        "--reading": NO_CHOICE,
        "--json": NO_OUTPUT,
        "--data-dir": NO_DATA,
        "--set": NO_SETTING,
        **RUNS,
    },
    ("show",): {None: NO_ITEM},
    ("errata",): {"--json": NO_OUTPUT, **RUNS},
    ("report",): {"--out": NO_FOLDER, "--from": NO_RUN, **RUNS},
    ("reproduce",): {None: ["", "nothing", "*", "bregman-mlp\n", "\u202e", LONG, "\udcff"]},
    ("reproduce", "bregman-distance"): {
        "--data": [*NO_CHOICE, "cifar-10"],
        "--data-dir": NO_DATA,
        "--seeds": NO_COUNT,
        "--jobs": NO_COUNT,
        "--out": NO_FOLDER,
    },
    ("crosscheck",): {None: NO_TARGET, "--list": [LONG]},
    ("crosscheck", "sparsity.prox_l1"): {None: NO_CANDIDATE, "--command": NO_COMMAND},
    tuple(JUDGED): {
        "--adapter": [*NO_CHOICE, "jax"],
        "--as": [*NO_CHOICE, "torch-optimizer"],
        "--set": ["", "=", "x", "=1", "nothing=1", "tau=x", "tau=[1]", "v=x", "tau=" + "(" * 500],
        "--examples": NO_COUNT,
        "--seed": NO_SEED,
        "--time-limit": NO_SECONDS,
        "--json": NO_OUTPUT,
        "--html": NO_OUTPUT,
    },
    ("vectors",): {None: ["file", "file/x", "dangling/x", "/dev/null/x", "loop", LONG]},
    ("vectors", "out"): {"--only": ["", "nothing", "[", "\u202e", LONG]},
    ("vectors", "--check"): {None: ["", "missing", "file", "empty", "loop", LONG, "results", "damaged"]},
}  # fmt: skip
ROWS = [
    pytest.param(words, flag, value, id=f"{' '.join(words)} {flag or ''} {ascii(value)[:20]}-{i}")
    for words, flags in TABLE.items()
    for flag, values in flags.items()
    for i, value in enumerate(values)
]


def record(**changes):
    empty = {"version": refimpl.__version__, "claims": [], "coverage": {}, "seed": 0, "seconds": 1, "broken": {}}
    return json.dumps(empty | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of traps."""
    place = tmp_path_factory.mktemp("traps")
    (place / "file").write_text("text")
    for name in ("empty", "hostile", "half", "results", "damaged"):
        (place / name).mkdir()
    (place / "results" / "results").mkdir()
    (place / "damaged" / "results").mkdir()
    for part in ("damaged", "damaged/results"):
        (place / part / "sparsity.prox_l1.npz").write_bytes(b"PK\x03\x04" + bytes(30))
    (place / "dangling").symlink_to(place / "nowhere" / "deeper")
    (place / "loop").symlink_to(place / "loop")
    (place / "half" / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + bytes(12))
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (place / "hostile" / name).write_bytes(os.urandom(64))
    (place / "blank").write_bytes(b"")
    (place / "binary").write_bytes(bytes(range(256)))
    (place / "deep").write_text("[" * 100_000)
    (place / "list").write_text("[1, 2]")
    (place / "number").write_text("1e999")
    (place / "other").write_text('{"version": "9", "claims": []}')
    (place / "claims").write_text(record(claims=5))
    (place / "records").write_text(record(claims=[{"key": "x"}]))
    (place / "strings").write_text(record(claims=["x"]))
    (place / "shallow").write_text('{"version": "0.1.0", "claims": []}')
    (place / "wrong").write_text(record(coverage=[1]))
    return place


def files(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("words", "flag", "value"), ROWS)
def test_bad_values_are_one_line_and_exit_code_2(words, flag, value, folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("REFIMPL_DATA", raising=False)
    before = files(folder)
    try:
        with limited(20):
            code = main([*words, *([f"{flag}={value}"] if flag else [value])])
    except SystemExit as stop:
        code = stop.code
    COUNTS["refused"] += 1
    out, err = capfd.readouterr()
    assert (code, err.count("\n"), "Traceback" in err) == (2, 1, False), (code, out[:500], err[:1500])
    assert len(err) < 700 and err.startswith("refimpl") and files(folder) == before


def flags_of(verb):
    """The options of a verb that take a value."""
    chosen = next(a for a in parser([verb])._actions if a.dest == "verb").choices[verb]
    return {a.option_strings[-1] for a in chosen._actions if a.option_strings and a.nargs != 0}


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_has_a_row(verb):
    tried = {flag for words, flags in TABLE.items() if words[0] == verb for flag in flags}
    assert flags_of(verb) - tried <= {"--scheduler"}


def test_the_table_was_tried():
    print(f"refused: {COUNTS['refused']}")
