"""Full disks, read-only folders, devices, and caches of kernels that are damaged: one clear line, old files intact."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from refimpl import numerics
from refimpl.numerics.files import check_writable, write_text

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
ROOM = 1500  # bytes that a file may grow to on the "full" disk


def no_room():
    """Writes beyond `ROOM` bytes fail, in every file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))


def run(*words, **options):
    options = {"env": ENVIRONMENT} | options
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=300, **options)


def refused(done):
    return done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("refimpl")


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    path = tmp_path_factory.mktemp("document") / "made.json"
    environment = ENVIRONMENT | {"REFIMPL_CACHE": str(path.parent / "cache")}
    done = run("-m", "refimpl", "verify", "4.24", "--jobs", 1, "--examples", 3, "--json", path, env=environment)
    assert path.stat().st_size > ROOM, done.stderr
    return path


def commands(document, folder):
    """What writes files: the words and the files they write."""
    (folder / "out").mkdir()
    judged = ["crosscheck", "sparsity.prox_l1", "math:sin", "--examples", "1"]
    vectors = ["vectors", folder / "out", "--only", "setting.conv2d.forward"]
    return {
        "report": (["report", "--from", document, "--out", folder / "out"], ["out/report.html"]),
        "crosscheck": ([*judged, "--html", folder / "page.html"], ["page.html"]),
        "vectors": (
            vectors,
            ["out/setting.conv2d.forward.npz"],
        ),
    }


NAMES = ("report", "crosscheck", "vectors")


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_one_line_and_keeps_old_files(name, document, tmp_path):
    words, written = commands(document, tmp_path)[name]
    for file in written:
        (tmp_path / file).write_text("old")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = run("-m", "refimpl", *words, preexec_fn=no_room)
    assert refused(done) and written[0].split("/")[-1] in done.stderr, (done.returncode, done.stderr)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@contextmanager
def mounted(place, *options):
    """A file system of 64 KiB, where mounting is permitted."""
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting is not permitted")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_full_file_system(document, tmp_path):
    with mounted(tmp_path / "small") as small:
        (small / "out").mkdir()
        (small / "out" / "report.html").write_text("old")
        (small / "ballast").write_bytes(bytes(40_000))
        done = run("-m", "refimpl", "report", "--from", document, "--out", small / "out")
        assert refused(done) and "No space left on device" in done.stderr, done.stderr
        assert [path.name for path in (small / "out").iterdir()] == ["report.html"]
        assert (small / "out" / "report.html").read_text() == "old"


def test_a_read_only_file_system(document, tmp_path):
    with mounted(tmp_path / "small") as small:
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        done = run("-m", "refimpl", "report", "--from", document, "--out", small / "out")
        assert refused(done) and "Read-only file system" in done.stderr, done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for the superuser")
def test_a_read_only_folder(document, tmp_path):
    tmp_path.chmod(0o500)
    try:
        done = run("-m", "refimpl", "report", "--from", document, "--out", tmp_path / "out")
        assert refused(done) and "Permission denied" in done.stderr, done.stderr
    finally:
        tmp_path.chmod(0o700)


def test_devices_pipes_and_links_stay_what_they_are(tmp_path):
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_text("/dev/full", "text")
    write_text("/dev/null", "text")
    assert Path("/dev/full").is_char_device() and Path("/dev/null").is_char_device()
    done = run("-c", "from refimpl.numerics.files import write_text; write_text('/dev/stdout', 'text')")
    assert (done.stdout, done.stderr) == ("text", "")
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    check_writable(tmp_path / "link")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


KERNEL = """
import numpy as np
from refimpl.sparsity import LinBreg, L1
optimizer = LinBreg(L1(0.5), 0.1, delta=2.0)
state = optimizer.step(optimizer.init(np.array([0.0, 1.0])), np.array([10.0, -1.0]))
print(state.theta.tobytes().hex())
"""


def computed(cache, **options):
    environment = ENVIRONMENT | {"NUMBA_CACHE_DIR": str(cache)} | options.pop("extra", {})
    done = run("-c", KERNEL, env=environment, **options)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def damaged(path, how):
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.write_bytes({"empty": b"", "cut": content[:middle], "flipped": flipped, "other": b"\x80\x04N."}[how])


def test_kernels_survive_every_damage_to_their_cache(tmp_path):
    cache = tmp_path / "cache"
    expected = computed(cache)
    kinds = {kind: sorted(cache.rglob(f"*.{kind}")) for kind in ("nbi", "nbc")}
    assert kinds["nbi"] and kinds["nbc"]
    assert computed(cache, extra={"REFIMPL_JIT": "0"}) == expected
    for kind, how in (("nbi", "cut"), ("nbc", "flipped"), ("nbi", "other"), ("nbc", "empty")):
        for path in kinds[kind]:
            damaged(path, how)
        assert computed(cache) == expected, (kind, how)
    assert len(list(cache.rglob("*.nbc"))) == len(kinds["nbc"]), "written anew"


def test_kernels_run_where_no_cache_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "file" / "x")
    expected = computed(tmp_path / "cache", extra={"REFIMPL_JIT": "0"})
    for place in ("file/x", "dangling"):
        assert computed(tmp_path / place) == expected
    assert computed(tmp_path / "cache", preexec_fn=no_room) == expected
    assert not [path for path in (tmp_path / "cache").rglob("*") if ".tmp." in path.name]


def test_a_kernel_is_compiled_anew_when_one_that_it_calls_or_the_rules_have_changed(tmp_path):
    shutil.copytree(Path(numerics.__file__).parent, tmp_path / "refimpl" / "numerics")
    (tmp_path / "refimpl" / "__init__.py").write_text("")
    kernels = tmp_path / "refimpl" / "numerics" / "kernels"
    head = "from refimpl.numerics.jit import kernel\n"
    caller = "from refimpl.numerics.kernels.inner import inner\n\n@kernel\ndef outer(x):\n    return inner(x) + 1\n"
    (kernels / "outer.py").write_text(head + caller)
    environment = ENVIRONMENT | {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    found = []
    rules = (tmp_path / "refimpl" / "numerics" / "jit.py").open("a")
    for factor, rule in ("2", ""), ("3", ""), ("3", ""), ("3", "# another rule"):
        (kernels / "inner.py").write_text(head + f"\n@kernel\ndef inner(x):\n    return {factor} * x\n")
        rules.write(rule)
        rules.flush()
        program = "from refimpl.numerics.kernels.outer import outer as f"
        program += "; print(f(5), *f.dispatcher.stats.cache_hits.values())"
        done = run("-c", program, env=environment, cwd=tmp_path)
        found.append(done.stdout.split())
    rules.close()
    assert found == [["11"], ["16"], ["16", "1"], ["16"]], found
