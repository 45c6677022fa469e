"""Kills, full disks, read-only folders, hostile files and options: old or new on disk, one line on stderr."""

import gzip
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from refimpl.data import idx as idx
from refimpl.numerics import files

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
WRITER = """
import sys
from refimpl.numerics.files import write_text
path = sys.argv[1]
for k in range(10**9):
    write_text(path, f"{k}\\n" * 20000)
    if k == 0:
        print("ready", flush=True)
"""


def refimpl(*words, **options):
    command = [sys.executable, "-m", "refimpl", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120, **options)


def refused(done):
    """Exit code 2, one line on stderr, no traceback."""
    return done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_writer_leaves_a_whole_file(tmp_path, seed):
    target = tmp_path / "out.txt"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.2))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    lines = target.read_text().split()
    assert len(lines) == 20000 and len(set(lines)) == 1


def test_a_failing_writer_keeps_the_old_file(tmp_path):
    target = tmp_path / "out.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), files.atomic_write(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


BAD_OPTIONS = [  # as a process; `test_trust_cli` has the rest
    ["verify", "4.21", "--set", "tau=__import__('os')"],
    ["verify", "4.21", "--json", "/dev/null/x.json"],
    ["reproduce", "bregman-mlp", "--data", "mnist", "--data-dir", "/nowhere"],
    ["crosscheck", "sparsity.prox_l1", "nomodule:f"],
    ["--nonsense"],
]


@pytest.mark.parametrize("words", BAD_OPTIONS, ids=" ".join)
def test_bad_options_are_one_line_and_exit_code_2(words, tmp_path):
    done = refimpl(*words, cwd=tmp_path)
    assert refused(done), (done.returncode, done.stderr)


def idx_bytes(shape, content):
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + content


HOSTILE = {
    "empty": b"",
    "magic": b"\x89PNG" + bytes(12),
    "header": idx_bytes((2, 2, 2), b"")[:9],
    "truncated": idx_bytes((2, 2, 2), bytes(7)),
    "longer": idx_bytes((2, 2, 2), bytes(9)),
    "huge": idx_bytes((2**32 - 1, 2**32 - 1, 2**32 - 1), bytes(8)),
    "zero": idx_bytes((0, 2, 2), b""),
    "axes": idx_bytes((8,), bytes(8)),
    "bomb.gz": gzip.compress(idx_bytes((2, 2, 2), bytes(1 << 24))),
    "lying.gz": gzip.compress(idx_bytes((2**20, 2**8, 2**8), bytes(8))),
    "cut.gz": gzip.compress(idx_bytes((2, 2, 2), os.urandom(8)))[:-6],
    "plain.gz": idx_bytes((2, 2, 2), bytes(8)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_data_files_are_named_and_refused(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(HOSTILE[name])
    with pytest.raises(ValueError, match=name):
        idx.read_idx(path, 3)


def test_folders_pipes_and_dangling_links_are_no_data_files(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("folder", "pipe", "dangling", "loop", "missing"):
        with pytest.raises(ValueError, match=name):
            idx.read_idx(tmp_path / name, 3)


RUN = """
import hashlib, numpy as np
from refimpl.robustness import train_clip
from refimpl.setting import Conv2d, Dense, Flatten, Network, ReLU
from refimpl.sparsity import GroupL2, LinBreg
rng = np.random.default_rng(0)
x, y = rng.uniform(size=(40, 1, 8, 8)), rng.integers(0, 3, 40)
f = Network([Conv2d(1, 4, 3), ReLU(), Flatten(), Dense(256, 3)])
state = train_clip(f, f.init(0), x, y, epochs=2, batch=10, pairs=8, rng=0)
v = LinBreg(GroupL2(0.1), 0.1).init(rng.normal(size=(64, 65)))
print(hashlib.sha256(state.theta.tobytes() + v.v.tobytes() + repr(state.history).encode()).hexdigest())
"""


def test_the_same_seed_gives_the_same_bytes():
    settings = [{"REFIMPL_NUM_THREADS": t, "PYTHONHASHSEED": h} for t in "12" for h in "01"]
    hashes = {
        subprocess.run(
            [sys.executable, "-c", RUN], capture_output=True, text=True, env=ENVIRONMENT | s, check=True
        ).stdout
        for s in settings
    }
    assert len(hashes) == 1


def test_verdicts_do_not_depend_on_jobs_or_hash_seed(tmp_path):
    found = []
    for jobs, seed in (("1", "0"), ("2", "1")):
        out = tmp_path / f"{jobs}.json"
        environment = ENVIRONMENT | {"PYTHONHASHSEED": seed, "REFIMPL_CACHE": str(tmp_path / "cache")}
        words = [sys.executable, "-m", "refimpl", "verify", "4.13", "--jobs", jobs, "--json", str(out)]
        subprocess.run(words, env=environment, capture_output=True, check=True)
        claims = json.loads(out.read_text())["claims"]
        found.append([{k: v for k, v in c.items() if "seconds" not in k} for c in claims])
    assert found[0] and strip(found[0]) == strip(found[1])


def strip(value):
    """Without times, which differ."""
    if isinstance(value, dict):
        return {k: strip(v) for k, v in value.items() if "second" not in k}
    return [strip(v) for v in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_killed_reproduction_gives_the_same_files(tmp_path, seed):
    def command(out):
        return [
            sys.executable,
            "-m",
            "refimpl",
            "reproduce",
            "bregman-mlp",
            "--quick",
            "--jobs",
            "1",
            "--out",
            str(out),
        ]

    whole = tmp_path / "whole"
    subprocess.run(command(whole), env=ENVIRONMENT, capture_output=True, check=True)
    generator = random.Random(seed)
    for _ in range(3):
        process = subprocess.Popen(command(tmp_path / "cut"), env=ENVIRONMENT, stderr=subprocess.DEVNULL, stdout=-3)
        time.sleep(generator.uniform(2, 6))
        process.kill()
        process.wait()
    subprocess.run(command(tmp_path / "cut"), env=ENVIRONMENT, capture_output=True, check=True)
    for path in whole.rglob("*.csv"):
        assert (tmp_path / "cut" / path.relative_to(whole)).read_bytes() == path.read_bytes()
    assert np.all([path.stat().st_size > 0 for path in whole.rglob("*.csv")])
