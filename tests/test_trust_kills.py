"""kill -9 at random moments: what is on disk is old or new, and the run resumes to the same bytes.

``REFIMPL_KILLS=25`` kills each writer so often (default: 3 times).
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile

import pytest

KILLS = int(os.environ.get("REFIMPL_KILLS", "3"))
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
COUNTS = {"killed": 0, "ended before": 0}
REPORT = """
import contextlib, io, sys
from refimpl.cli import main
print("ready", flush=True)
for k in range(10**9):
    with contextlib.redirect_stdout(io.StringIO()):
        main(["report", "--from", sys.argv[1 + k % 2], "--out", sys.argv[3]])
"""
TRAIN = """
import sys
import numpy as np
from refimpl.experiments.training import Recipe, train
from refimpl.setting import Dense, Network, ReLU
from refimpl.sparsity import AdaBreg, L1
rng = np.random.default_rng(0)
x, labels = rng.normal(size=(256, 20)), rng.integers(0, 5, 256)
f = Network([Dense(20, 64), ReLU(), Dense(64, 5)])
print("ready", flush=True)
done = train(f, AdaBreg(L1(0.01), 0.01), f.init(0), x, labels, Recipe(int(sys.argv[2]), 32), checkpoint=sys.argv[1])
print(done.theta.tobytes().hex()[:4000], repr(done.records), flush=True)
"""
SWEEP = """
import json, sys
from pathlib import Path
import numpy as np
from refimpl.experiments.sweep import sweep

def cell(settings, checkpoint):
    rng = np.random.default_rng(settings["seed"])
    with checkpoint.open("wb") as stream:
        np.save(stream, rng.normal(size=20000))
    return {"sum": float(np.sort(rng.normal(size=200000)).cumsum()[-1])}

if __name__ == "__main__":
    print("ready", flush=True)
    found = sweep(cell, [{"seed": s} for s in range(int(sys.argv[2]))], Path(sys.argv[1]))
    print(json.dumps(found), flush=True)
"""


def started(*words):
    """A process that has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def killed(process, seconds):
    """Let it work for so long and kill it."""
    time.sleep(seconds)
    COUNTS["killed" if process.poll() is None else "ended before"] += 1
    process.send_signal(signal.SIGKILL)
    process.communicate()


def finished(*words):
    """What the process prints when nobody kills it."""
    out, _ = started(*words).communicate(timeout=300)
    return out


def digests(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name[0] != "."
    }


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """Two documents that differ, and what the report makes of each."""
    folder, made = tmp_path_factory.mktemp("documents"), []
    for seed in "01":
        path = folder / f"{seed}.json"
        words = ["-m", "refimpl", "verify", "4.24", "--jobs", "1", "--examples", "5", "--seed", seed, "--json", path]
        environment = ENVIRONMENT | {"REFIMPL_CACHE": str(folder / "cache")}
        subprocess.run([sys.executable, *map(str, words)], capture_output=True, check=True, env=environment)
        out = folder / seed
        words = ["-m", "refimpl", "report", "--from", path, "--out", out]
        subprocess.run([sys.executable, *map(str, words)], capture_output=True, check=False, env=environment)
        made.append((path, digests(out)))
    return made


def test_a_killed_report_leaves_old_or_new_pages(documents, tmp_path):
    generator = random.Random(0)
    (a, olds), (b, news) = documents
    assert set(olds) == {"report.html", "report.md", "report.json"} and olds != news
    for _ in range(KILLS):
        killed(started("-c", REPORT, a, b, tmp_path), generator.uniform(0, 0.5))
        for name, digest in digests(tmp_path).items():
            assert digest in (olds[name], news[name]), name


def test_a_killed_training_resumes_to_the_same_bytes(tmp_path):
    generator, epochs = random.Random(1), 30 * KILLS
    whole = finished("-c", TRAIN, tmp_path / "whole.npz", epochs)
    cut = tmp_path / "cut.npz"
    for _ in range(KILLS):
        killed(started("-c", TRAIN, cut, epochs), generator.uniform(0, 0.25))
        if cut.exists():
            with zipfile.ZipFile(cut) as archive:
                assert archive.testzip() is None
    assert finished("-c", TRAIN, cut, epochs) == whole
    assert cut.read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_a_killed_sweep_resumes_to_the_same_bytes(tmp_path):
    script, generator, cells = tmp_path / "cells.py", random.Random(2), 12 * KILLS
    script.write_text(SWEEP)
    whole = finished(script, tmp_path / "whole", cells)
    for _ in range(KILLS):
        killed(started(script, tmp_path / "cut", cells), generator.uniform(0, 0.15))
        for path in (tmp_path / "cut").glob("[!.]*.json"):
            json.loads(path.read_text())
    assert finished(script, tmp_path / "cut", cells) == whole
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")


def test_most_were_killed_in_their_work():
    print(COUNTS)
    assert COUNTS["killed"] > 2 * COUNTS["ended before"]
