"""Training that resumes bit for bit, sweeps that compute nothing twice, files with the same bytes, clean errors."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from refimpl.experiments import bregman, cli, convolutions, figures, gallery, nets, resolution, robustness, sweep
from refimpl.experiments.architecture import rows_start, ssim
from refimpl.experiments.catalogue import EXPERIMENTS
from refimpl.experiments.epoch import epoch_cell
from refimpl.experiments.run import Run
from refimpl.experiments.training import Recipe, train
from refimpl.numerics.kernels import csr
from refimpl.numerics.threads import team
from refimpl.resolution.conversion import spectral_network
from refimpl.setting import SquaredError, convnet, mlp
from refimpl.sparsity import L1, AdaBreg, Blocks, GradientDescent, LinBreg, ProximalGradient
from refimpl.sparsity.baselines import IterativePruning

NETWORK = mlp([5, 7, 3])
J = Blocks({"0.weight": L1(0.01), "2.weight": L1(0.01)}, NETWORK)
OPTIMIZERS = (
    GradientDescent(0.1),
    ProximalGradient(J, 0.1),
    LinBreg(J, 0.1),
    LinBreg(J, 0.1, momentum=0.9),
    AdaBreg(J, 0.01),
)


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 5)).astype(np.float32), rng.integers(0, 3, 50), NETWORK.init(0, np.float32)


def run(problem, optimizer, epochs, checkpoint=None, **options):
    x, labels, theta = problem
    return train(NETWORK, optimizer, theta, x, labels, Recipe(epochs, 16, 3, 1), checkpoint=checkpoint, **options)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(problem, optimizer, tmp_path):
    whole = run(problem, optimizer, 6)
    for stop in (1, 4, 6):
        file = tmp_path / f"{stop}.npz"
        run(problem, optimizer, stop, file)
        again = run(problem, optimizer, 6, file)
        assert again.theta.tobytes() == whole.theta.tobytes() and again.records == whole.records


def test_an_interrupt_inside_an_epoch_loses_that_epoch_only(problem, tmp_path):
    def interrupted(state, epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        return state

    file = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        run(problem, OPTIMIZERS[2], 6, file, after=interrupted)
    assert run(problem, OPTIMIZERS[2], 2, file).records == run(problem, OPTIMIZERS[2], 2).records
    assert run(problem, OPTIMIZERS[2], 6, file).theta.tobytes() == run(problem, OPTIMIZERS[2], 6).theta.tobytes()


def test_gradient_descent_over_one_batch_is_the_formula(problem):
    x, labels, theta = problem
    target = np.eye(3, dtype=np.float32)[labels]
    recipe = Recipe(3, 50)
    got = train(NETWORK, GradientDescent(0.1), theta, x, target, recipe, loss=SquaredError()).theta
    for epoch in (1, 2, 3):
        order = np.random.default_rng([0, epoch]).permutation(50)
        y, pullback = NETWORK.vjp(theta, x[order])
        theta = theta - np.float32(0.1) * pullback(2 * (y - target[order]) / y.size, need="parameters")[1]
    np.testing.assert_allclose(got, theta, atol=16 * np.finfo(np.float32).eps)


def test_tau_is_halved_when_the_loss_stagnates(problem):
    flat = lambda theta, x, target, rng: (1.0, np.zeros_like(theta))  # noqa: E731
    x, labels, theta = problem
    records = train(NETWORK, GradientDescent(0.8), theta, x, labels, Recipe(7, 16, 0, 1), gradient=flat).records
    assert [r["tau"] for r in records] == [0.8, 0.8, 0.8, 0.4, 0.4, 0.2, 0.2]


def test_broken_and_foreign_checkpoints_are_refused(problem, tmp_path):
    file = tmp_path / "state.npz"
    run(problem, OPTIMIZERS[2], 2, file)
    with pytest.raises(ValueError, match="other settings"):
        run(problem, LinBreg(J, 0.2), 4, file)
    good = file.read_bytes()
    for content in (b"", good[:100], good[:-30], b"\x80\x04" + bytes(50), good[:200] + b"\xff" * 40 + good[240:]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"checkpoint .*state.npz"):
            run(problem, OPTIMIZERS[2], 4, file)


def test_samples_and_targets_must_match(problem):
    x, labels, theta = problem
    with pytest.raises(ValueError, match="target: expected as many"):
        train(NETWORK, OPTIMIZERS[0], theta, x, labels[:-1], Recipe(1))
    for bad in ({"epochs": -1}, {"epochs": 1, "batch": 0}, {"epochs": 1, "seed": -1}, {"epochs": 1.5}):
        with pytest.raises(ValueError):
            Recipe(**bad)


CALLS = []


def square(settings, checkpoint):
    CALLS.append(settings["n"])
    return {"square": settings["n"] ** 2}


def test_a_finished_cell_is_never_computed_again(tmp_path):
    CALLS.clear()
    settings = [{"n": n, "data_dir": None} for n in (3, 1, 2)]
    assert sweep.sweep(square, settings, tmp_path) == [{"square": n} for n in (9, 1, 4)]
    moved = [s | {"data_dir": "elsewhere"} for s in settings] + [{"n": 5, "data_dir": None}]
    with ThreadPoolExecutor(2) as executor:
        assert [r["square"] for r in sweep.sweep(square, moved, tmp_path, executor)] == [9, 1, 4, 25]
    assert CALLS == [3, 1, 2, 5]


def test_cells_of_other_code_are_counted(tmp_path, capsys):
    settings, place = [{"n": 2}, {"n": 3}], tmp_path / "cells"
    one = Run("squares", tmp_path)
    one.cells(square, settings)
    assert sweep.of_other_code(square, [one.source | s for s in settings], place) == 0
    file = next(place.glob("*.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"code": "before"}))
    again = Run("squares", tmp_path)
    again.cells(square, settings)
    assert again.stale == 1 and "1 cells were computed by other code" in capsys.readouterr().err
    assert json.loads(again.finish().read_text())["cells of other code"] == 1


def test_keys_tell_settings_apart_but_not_their_order():
    assert sweep.key(square, {"a": 1, "b": 2}) == sweep.key(square, {"b": 2, "a": 1})
    keys = {sweep.key(square, s) for s in ({"a": 1}, {"a": 2}, {"b": 1}, {"a": 1.5}, {"a": "1"})}
    assert len(keys) == 5
    with pytest.raises(TypeError):
        sweep.key(square, {"a": np.zeros(2)})


def test_a_broken_result_is_named(tmp_path):
    sweep.sweep(square, [{"n": 2}], tmp_path)
    next(tmp_path.glob("*.json")).write_text("{")
    with pytest.raises(ValueError, match="remove it to compute the cell again"):
        sweep.sweep(square, [{"n": 2}], tmp_path)


def failing(settings, checkpoint):
    if settings["n"] == 1:
        raise ValueError("no result")
    return {"n": settings["n"]}


def test_a_failing_cell_keeps_the_others(tmp_path):
    settings = [{"n": n} for n in range(3)]
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="no result"):
        sweep.sweep(failing, settings, tmp_path, executor)
    assert (tmp_path / f"{sweep.key(failing, settings[0])}.json").exists()


def test_workers_in_processes_compute_the_same(tmp_path):
    threads = os.environ.get("OMP_NUM_THREADS")
    settings = [{"n": n} for n in range(3)]
    with sweep.workers(2) as executor:
        parallel = sweep.sweep(nets_cell, settings, tmp_path / "a", executor)
    assert parallel == sweep.sweep(nets_cell, settings, tmp_path / "b")
    assert os.environ.get("OMP_NUM_THREADS") == threads


def nets_cell(settings, checkpoint):
    theta = nets.sparse_start(NETWORK, 0.5, settings["n"])
    return {"sum": float(theta.sum()), "nonzero": int(np.count_nonzero(theta))}


def mortal(settings, checkpoint):
    """A cell whose first worker dies in its middle; the next one finds what it left."""
    if settings["n"] == 2 and not checkpoint.exists():
        checkpoint.write_bytes(b"half")
        os._exit(1)
    return {"n": settings["n"], "resumed": checkpoint.exists()}


def test_a_killed_worker_of_a_cluster_loses_nothing(tmp_path):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(**options) as cluster, sweep.workers(scheduler=cluster.scheduler_address) as executor:
        results = sweep.sweep(mortal, [{"n": n} for n in range(6)], tmp_path, executor)
    assert results == [{"n": n, "resumed": n == 2} for n in range(6)]


def test_a_scheduler_that_is_not_there_is_one_clean_error():
    with pytest.raises(ValueError, match="scheduler"), sweep.workers(1, "tcp://127.0.0.1:1"):
        pass


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One quick experiment, run twice."""
    places = [tmp_path_factory.mktemp(name) / "bregman-distance" for name in "ab"]
    for place in places:
        one = Run("bregman-distance", place)
        bregman.bregman_distance_figure(one)
        one.finish()
    return places


def test_the_same_seed_gives_the_same_bytes(finished):
    a, b = finished
    names = sorted(p.name for p in a.iterdir() if p.is_file())
    assert names == [f"bregman-distance.{kind}" for kind in ("csv", "json", "png", "svg")]
    for name in names:
        assert (a / name).read_bytes() == (b / name).read_bytes()


def test_results_are_plain_json(finished):
    record = json.loads((finished[0] / "bregman-distance.json").read_text())
    assert {"experiment", "seeds", "settings", "versions", "captions", "found", "data fingerprint"} <= set(record)
    assert set(record["captions"]) <= set(record["files"])


def test_the_gallery_escapes_what_it_shows(finished, tmp_path):
    place = tmp_path / "bregman-distance"
    shutil.copytree(finished[0], place)
    record = json.loads((place / "bregman-distance.json").read_text())
    record["captions"] = dict.fromkeys(record["captions"], '<script>alert("x")</script>')
    record["found"] = {"<b>": "&"}
    (place / "bregman-distance.json").write_text(json.dumps(record))
    page = gallery.write_gallery(tmp_path, list(EXPERIMENTS)).read_text()
    assert "<script" not in page and "<b>" not in page and "&lt;script&gt;" in page and "data:image/png;base64," in page


def test_tables_have_fixed_bytes(tmp_path):
    figures.write_csv(tmp_path / "t.csv", ("a", "b"), [(np.float32(1 / 3), "x, y"), (1e-17, 3), (float("nan"), -0.0)])
    assert (tmp_path / "t.csv").read_bytes() == b'a,b\n0.333333,"x, y"\n1e-17,3\nnan,-0\n'


def command(*arguments):
    parser = argparse.ArgumentParser(prog="refimpl")
    cli.add_parser(parser.add_subparsers(required=True))
    chosen = parser.parse_args(["reproduce", *map(str, arguments)])
    return chosen.run(chosen)


def test_the_list_names_every_experiment(capsys):
    assert command("--list") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in EXPERIMENTS)


def test_what_shows_a_photograph_does_not_name_a_data_set(tmp_path):
    assert command("fno-kernels", "--quick", "--data", "glyphs", "--out", tmp_path) == 0
    record = json.loads((tmp_path / "fno-kernels" / "fno-kernels.json").read_text())
    assert record["data"] == "a photograph" and record["data fingerprint"] is None


def test_every_experiment_can_be_imported():
    assert all(callable(e.function) and "glyphs" in e.data for e in EXPERIMENTS.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give NAME or --list"),
        (("bregman",), "is no experiment; there are"),
        (("bregman-mlp", "--data", "cifar-10"), "takes mnist, fashion-mnist, glyphs"),
        (("bregman-mlp", "--data", "mnist", "--data-dir", "/nowhere"), "is not a folder"),
        (("bregman-distance", "--out", "/dev/null"), "/dev/null"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REFIMPL_DATA", raising=False)
    assert command(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("arguments", [("--seeds", "0"), ("--jobs", "-1"), ("--seeds", "x"), ("--data", "imagenet")])
def test_bad_numbers_exit_2(arguments):
    with pytest.raises(SystemExit) as stopped:
        command("bregman-distance", *arguments)
    assert stopped.value.code == 2


INTERRUPTED = """
import os, sys, time
from refimpl.experiments import cli, run, sweep
def slow(settings, checkpoint):
    checkpoint.write_bytes(b"half")
    print(os.getpid(), flush=True)
    time.sleep(60)
def figure(run):
    run.cells(slow, [{"n": n} for n in range(9)])
class Named:
    name, data, own, function = "slow", ("glyphs",), "", staticmethod(figure)
if __name__ == "__main__":
    import argparse
    rest = {"data": None, "data_dir": None, "scheduler": None}
    arguments = argparse.Namespace(seeds=1, quick=True, out=sys.argv[1], jobs=1, **rest)
    sys.exit(cli.perform(Named, cli.make(Named, arguments), arguments))
"""


@pytest.fixture
def stopping(tmp_path):
    """A sweep whose only cell sleeps in its worker, and the number of that worker."""
    script = tmp_path / "slow.py"
    script.write_text(INTERRUPTED)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path)], **pipes, start_new_session=True)
    return process, int(process.stdout.readline())


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("how", ["interrupt of all", "termination of the parent"])
def test_a_stop_ends_the_workers_and_keeps_the_checkpoint(how, stopping, tmp_path):
    process, worker = stopping
    start = time.monotonic()
    if how == "interrupt of all":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    _, error = process.communicate(timeout=30)
    assert process.returncode in (1, 130) and time.monotonic() - start < 20
    assert "the same command goes on from here" in error and "Traceback" not in error
    assert not alive(worker)
    assert [p.read_bytes() for p in tmp_path.glob("slow/cells/*.npz")] == [b"half"]


def test_sparse_rows_multiply_like_the_dense_matrix():
    rng = np.random.default_rng(0)
    for density in (0.0, 0.2, 1.0):
        W = rng.integers(-4, 5, (7, 11)) * (rng.random((7, 11)) < density).astype(float)
        X, Y = rng.integers(-4, 5, (11, 3)).astype(float), rng.integers(-4, 5, (7, 3)).astype(float)
        starts, columns, values = csr.starts_of(W.shape), np.empty(77, np.int32), np.empty(77)
        assert csr.count(W, starts) == np.count_nonzero(W)
        csr.compress(W, columns, values)
        forward, backward = np.empty((7, 3)), np.empty((11, 3))
        csr.times(team(1), starts, columns, values, X, forward)
        csr.times_transposed(team(1), starts, columns, values, Y, backward)
        np.testing.assert_array_equal(forward, W @ X)
        np.testing.assert_array_equal(backward, W.T @ Y)


def test_structural_similarity():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 28, 28))
    assert ssim(a, a) == pytest.approx(1, abs=1e-12)
    assert ssim(a, b) == pytest.approx(ssim(b, a), abs=1e-12) and ssim(a, b) < 0.5
    flat = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert ssim(np.full((28, 28), 0.2), np.full((28, 28), 0.6)) == pytest.approx(flat, abs=1e-9)


def test_pruning_by_kernels_keeps_the_largest_of_them():
    network, opt = convnet(), IterativePruning(0.1)
    state = opt.init(network.init(0))
    before = {name: np.sum(W**2, axis=(2, 3)) for name, W in network.views(state.theta).items() if W.ndim == 4}
    for share in (0.5, 0.05):
        state = convolutions.by_kernels(opt, network, state, share)
        counts = convolutions.densities(network, state.theta)
        assert counts["kernels"] == int(share * 4160) / 4160 and abs(counts["nonzero dense"] - share) < 1e-4
    left = {name: np.any(network.views(state.theta)[name], axis=(2, 3)) for name in before}
    smallest = min(before[name][left[name]].min() for name in before)
    assert all((before[name][~left[name]] < smallest).all() for name in before)
    assert not network.views(state.mask)["3.weight"][~left["3.weight"]].any()


def test_the_trigonometric_resnet_is_its_fno_at_the_size_of_training():
    network = resolution.built({"kind": "trigonometric ResNet"})
    assert network.size == resolution.built({"kind": "ResNet"}).size == 18626
    theta, x = network.init(0), np.random.default_rng(1).normal(size=(4, 1, 28, 28))
    network = network.evaluation(network.vjp(theta, x)[1].statistics)
    converted, theta_hat = spectral_network(network, theta, (1, 28, 28))
    y = network(theta, x)
    np.testing.assert_allclose(converted(theta_hat, x), y, atol=256 * np.finfo(float).eps * np.abs(y).max())


@pytest.mark.parametrize("name", list(robustness.NETWORKS))
def test_every_method_trains_its_network_and_is_attacked(name):
    rng = np.random.default_rng(0)
    x, labels = rng.random((20, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, 20)
    network, x = (robustness.cnn(), x) if name == "CNN" else (robustness.perceptron(), x.reshape(20, -1))
    theta = network.init(0, np.float32)
    found = robustness.assessed(network, theta, x, labels, 2)
    assert found["robust"] == sorted(found["robust"], reverse=True) and found["robust"][0] == found["test"]
    assert found["Lip lower"] <= found["Lip upper"]
    assert all(c <= r for c, r in zip(found["certified"], found["robust"]))


@pytest.mark.parametrize("network", ["perceptron", "convolutional"])
def test_an_epoch_is_timed_beside_pytorch(network):
    pytest.importorskip("torch")
    seconds = epoch_cell({"network": network, "density": 0.05, "rounds": 1, "torch": True}, None)["seconds"]
    assert list(seconds) == ["dense", "sparse", "PyTorch"] and min(seconds.values()) > 0


def test_a_tower_starts_with_exactly_so_many_rows_at_unchanged_variance():
    network = mlp([300, 300, 300])
    for rows in (8, 300):
        for W in (W for W in network.views(rows_start(network, rows, 0)).values() if W.ndim == 2):
            assert np.count_nonzero(np.any(W != 0, axis=1)) == rows
            spread = (600 * rows) ** 0.5 * (2 / rows) / W.size  # of a mean of squares of normal numbers
            assert abs(np.mean(W.astype(float) ** 2) - 2 / 300) < 5 * spread
