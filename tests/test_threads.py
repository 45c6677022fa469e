"""Results that do not depend on the number of threads, no BLAS beneath threads, imports that load no compiler."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from refimpl.numerics import convolution, sparse, threads
from refimpl.numerics.jit import ENABLED, kernel
from refimpl.numerics.kernels import pooling
from refimpl.numerics.kernels.team import give_way, share, task
from refimpl.resolution import SpectralConv, resize
from refimpl.setting import (
    GELU,
    AveragePool2d,
    BatchNorm2d,
    Chain,
    Conv2d,
    CrossEntropy,
    Dense,
    MaxPool2d,
    ReLU,
    mlp,
    risk_and_gradient,
)
from refimpl.sparsity import L1, AdaBreg, GroupL2, LinBreg, tv_denoise

BATCH = 13  # no multiple of the parts a batch is cut into
TASKS = Path("/proc/self/task")


def through(layer, x):
    """The output of a layer, the gradient in its input and those in its parameters."""
    params = {name: p.astype(x.dtype) for name, p in layer.init(np.random.default_rng(1)).items()}
    y, cache = layer.forward(params, x)
    dx, dparams = layer.backward(params, cache, np.cos(y))
    return y, dx, *dparams.values()


def steps(opt, theta):
    """theta after three steps."""
    state = opt.init(theta)
    for k in range(3):
        state = opt.step(state, np.sin(theta + k).astype(theta.dtype))
    return (state.theta,)


def products(rng, dtype):
    """W x and W^T dy by compressed rows."""
    W = (rng.standard_normal((200, 470)) * (rng.random((200, 470)) < 0.2)).astype(dtype)
    x, dy = rng.standard_normal((BATCH, 470)).astype(dtype), rng.standard_normal((BATCH, 200)).astype(dtype)
    return sparse.times(sparse.compress(W), x), sparse.times_transposed(sparse.compress(W), dy)


def images(rng, dtype, channels=17, size=21):
    """A batch of images."""
    return rng.standard_normal((BATCH, channels, size, size)).astype(dtype)


def groups(rng, dtype):
    """Norms of groups through the regularizer and its proximal map, kernels and rows."""
    v = rng.standard_normal((64, 33, 5, 5)).astype(dtype)
    return [f(v) for J in (GroupL2(0.7, "kernels"), GroupL2(0.7, "rows")) for f in (J.value, J.prox)]


def training(rng, dtype):
    """The gradient of a perceptron's risk."""
    net, x = mlp([150, 130, 50, 10]), rng.standard_normal((5 * BATCH, 150)).astype(dtype)
    return risk_and_gradient(net, CrossEntropy(), net.init(rng=0).astype(dtype), x, np.arange(5 * BATCH) % 10)


FAMILIES = {
    "convolution": lambda rng, dtype: through(Conv2d(17, 33, 3), images(rng, dtype)),
    "convolution, stride 2": lambda rng, dtype: through(Conv2d(17, 5, 5, stride=2), images(rng, dtype)),
    "convolution, large kernel": lambda rng, dtype: through(Conv2d(170, 700, 3), images(rng, dtype, 170, 3)),
    "convolution, one channel": lambda rng, dtype: through(Conv2d(1, 8, 3), images(rng, dtype, 1)),
    "convolution, Winograd": lambda rng, dtype: through(Conv2d(17, 33, 3, winograd=True), images(rng, dtype)),
    "convolution, maximum": lambda rng, dtype: through(
        Chain([Conv2d(16, 33, 3), MaxPool2d(2)]), images(rng, dtype, 16, 22)
    ),
    "convolution, maximum, large kernel": lambda rng, dtype: through(
        Chain([Conv2d(512, 520, 3), MaxPool2d(3)]), images(rng, dtype, 512, 3)
    ),
    "maximum": lambda rng, dtype: through(MaxPool2d(3, 2, 1), images(rng, dtype)),
    "maximum of four": lambda rng, dtype: through(MaxPool2d(2), images(rng, dtype, size=22)),
    "cross-entropy": lambda rng, dtype: [
        np.asarray(part)
        for part in CrossEntropy().value_and_gradient(
            rng.standard_normal((3001, 10)).astype(dtype), rng.integers(0, 10, 3001)
        )
    ],
    "batch normalisation": lambda rng, dtype: through(BatchNorm2d(17), images(rng, dtype)),
    "mean": lambda rng, dtype: through(AveragePool2d(2), images(rng, dtype)),
    "spectral, FFT": lambda rng, dtype: through(SpectralConv(4, 3, (5, 5), route="fft"), images(rng, dtype, 4)),
    "spectral, matrices": lambda rng, dtype: through(SpectralConv(17, 3, (5, 5), route="matrix"), images(rng, dtype)),
    "resize": lambda rng, dtype: [resize(images(rng, dtype, 2), (size, size)) for size in (9, 40)],
    "LinBreg": lambda rng, dtype: steps(LinBreg(L1(0.1), 0.1), rng.standard_normal(100_003).astype(dtype)),
    "momentum": lambda rng, dtype: steps(
        LinBreg(L1(0.1), 0.1, momentum=0.9), rng.standard_normal(50_003).astype(dtype)
    ),
    "AdaBreg": lambda rng, dtype: steps(AdaBreg(L1(0.1), 0.1), rng.standard_normal(100_003).astype(dtype)),
    "group steps": lambda rng, dtype: steps(
        LinBreg(GroupL2(0.5, "kernels"), 0.1), rng.standard_normal((64, 33, 5, 5)).astype(dtype)
    ),
    "group norms": groups,
    "compressed rows": products,
    "long steps": lambda rng, dtype: steps(LinBreg(L1(0.1), 0.1), rng.standard_normal(2_100_001).astype(dtype)),
    "long activations": lambda rng, dtype: [
        part for layer in (ReLU(), GELU()) for part in through(layer, rng.standard_normal((3, 700_001)).astype(dtype))
    ],
    "total variation": lambda rng, dtype: [tv_denoise(rng.standard_normal((40, 30)).astype(dtype), 0.3, gap=1.0).u],
    "training": training,
    "few outputs": lambda rng, dtype: through(Dense(600, 10), rng.standard_normal((70, 600)).astype(dtype)),
}


def keep_awake():
    """Ring for the helpers before they sleep: else they would miss what is done once."""
    while True:
        threads.team(2)
        time.sleep(1e-4)


def digests():
    """Name -> hash of the bytes that every family computes."""
    threading.Thread(target=keep_awake, daemon=True).start()
    found = {}
    for name, work in FAMILIES.items():
        for dtype in (np.float32, np.float64):
            parts = [np.ascontiguousarray(part).tobytes() for part in work(np.random.default_rng(0), dtype)]
            found[f"{name} {np.dtype(dtype).name}"] = hashlib.sha256(b"".join(parts)).hexdigest()
    return found


@pytest.fixture(scope="module")
def by_threads():
    """The digests of processes with 1, 2 and 3 threads, BLAS with one."""
    found = {}
    for count in "123":
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        environment = os.environ | one | {"REFIMPL_NUM_THREADS": count}
        done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
        found[count] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_number_of_threads_changes_no_bit(name, dtype, by_threads):
    assert len({found[f"{name} {dtype}"] for found in by_threads.values()}) == 1


def test_digests_tell_one_bit_from_another():
    x = np.ones(3)
    assert hashlib.sha256(x.tobytes()).digest() != hashlib.sha256(np.nextafter(x, 2).tobytes()).digest()


def busy(thread):
    """Nanoseconds that a thread of this process has run."""
    return int((thread / "schedstat").read_text().split()[0])


def growth(tasks, work):
    """Nanoseconds that these threads run while `work` does."""
    before = {thread: busy(thread) for thread in tasks}
    work()
    return sum(busy(thread) - spent for thread, spent in before.items())


def blas_below_threads():
    """How long BLAS's own threads run below convolutions and dense layers, and below one large product of matrices."""
    A, rng = np.ones((1500, 1500)), np.random.default_rng(0)
    A @ A
    helpers = [thread for thread in TASKS.iterdir() if thread.name != str(os.getpid())]
    x, w = rng.standard_normal((64, 32, 28, 28)), rng.standard_normal((64, 32, 3, 3))
    how = ((1, 1), (1, 1, 1, 1), "zero")

    def convolutions():
        for _ in range(5):
            y = convolution.forward(x, w, *how)
            convolution.input_gradient(y, w, (28, 28), *how)
            convolution.kernel_gradient(x, y, (3, 3), *how)
            training(rng, np.float32)

    convolutions()
    time.sleep(0.2)  # threads of BLAS wait actively for a moment before they sleep
    return {"convolutions": growth(helpers, convolutions), "product": growth(helpers, lambda: A @ A)}


@pytest.mark.skipif(not ENABLED, reason="plain Python has no threads of its own")
@pytest.mark.skipif(not TASKS.exists() or len(os.sched_getaffinity(0)) < 2, reason="wants Linux and two processors")
def test_no_blas_thread_runs_below_threads_of_our_own():
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "REFIMPL_NUM_THREADS": "2"}
    command = [sys.executable, __file__, "blas"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    spent = json.loads(done.stdout)
    assert spent["product"] > 1e6  # the control: these threads are BLAS's, and they work when it is called
    assert spent["convolutions"] < 1e6


@kernel
def counted(team, n, grain, times, who):
    """times[i] += 1 for every i < n, and who[i] is the part it was done in."""
    share(team, n, grain, task(_counted, (times, who)))


@kernel
def _counted(low, high, times, who):
    for i in range(low, high):
        times[i] += 1
        who[i] = low


@pytest.fixture
def helped():
    """A team of the caller and two helpers."""
    return threads._Team(2)


def test_parts_cover_the_work_once(helped):
    """Whether helpers are asleep, waking or awake; parts are no smaller than the grain, and one where it is less."""
    for round in range(300):
        n, grain = 10 * (round % 7), 1 + round % 3 * 20
        times, who = np.zeros(n, int), np.zeros(n, int)
        counted(helped.awake(), n, grain, times, who)
        assert (times == 1).all()
        sizes = np.unique(who, return_counts=True)[1]
        assert len(sizes) <= 1 or sizes.min() >= grain
        if round % 100 == 0:
            time.sleep(0.01)  # long enough for helpers to fall asleep


@pytest.mark.skipif(not ENABLED, reason="plain Python does everything itself")
def test_helpers_take_parts(helped):
    """The first part waits for a moment whether another thread begins one meanwhile: sooner or later it does."""
    for _ in range(1000):
        begun, met = np.zeros(16, int), np.zeros(1, bool)
        meeting(helped.awake(), begun, met)
        assert (begun == 1).all()
        if met[0]:
            return
    raise AssertionError("nobody helps")


@kernel
def meeting(team, begun, met):
    """begun = 1; met = whether other threads began while this one was at the first part."""
    share(team, begun.size, 1, task(_meeting, (begun, met)))


@kernel
def _meeting(low, high, begun, met):
    begun[low:high] += 1
    for _ in range(1000 if low == 0 else 0):
        give_way()
        met[0] = begun[high:].any()
        if met[0]:
            break


def test_an_error_of_a_part_reaches_the_caller(helped):
    """Whoever took it; the team works on. Where there is nothing to do, nothing is done."""
    greedy(helped.awake(), 0, 0)
    for n in (1, 20, 20, 20):
        with pytest.raises(MemoryError):
            greedy(helped.awake(), n, n - 1)
        greedy(helped.awake(), n, n)


@kernel
def greedy(team, n, which):
    """Asks for more memory than there is at one of n places."""
    share(team, n, 1, task(_greedy, (which,)))


@kernel
def _greedy(low, high, which):
    if low <= which < high or low == high:
        np.empty(1 << 50)[0] = 1


def test_helpers_work_where_they_cannot_be_moved(helped, monkeypatch):
    def refused(*args):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refused, raising=False)
    times = np.zeros(100, int)
    counted(helped.awake(), 100, 1, times, times.copy())
    assert (times == 1).all()


@pytest.mark.skipif(not ENABLED, reason="plain Python does everything itself")
def test_a_kernel_of_another_thread_does_without_helpers(helped):
    """Many threads share at the same time: one of them with the helpers, the others alone, all of them right."""
    n, wrong = 5000, []

    def work():
        for _ in range(200):
            times, who = np.zeros(n, int), np.zeros(n, int)
            counted(helped.awake(), n, 100, times, who)
            wrong.append((times != 1).any())

    together = [threading.Thread(target=work) for _ in range(4)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert len(wrong) == 800 and not any(wrong)


@pytest.mark.skipif(not hasattr(os, "fork") or not ENABLED, reason="wants processes that fork")
def test_a_forked_child_has_helpers_of_its_own():
    program = f"""
import os, sys, numpy as np
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_threads import counted, threads
threads.threads = lambda: 2
for _ in range(2):
    times = np.zeros(100, int)
    counted(threads.team(100), 100, 1, times, times.copy())
    child = os.fork()
    if child == 0:
        counted(threads.team(100), 100, 1, times, times.copy())
        os._exit(0 if (times == 2).all() and threads._team(1).helpers[0].is_alive() else 1)
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=100)


def test_a_batch_is_summed_in_as_many_parts_as_there_is_room_for():
    assert [threads.parts_of(n, 8, 1) for n in (0, 1, 16, 100)] == [1, 1, 16, 16]
    assert [threads.parts_of(100, size, 1) for size in (2**20, 2**21, 2**22, 2**22 + 1)] == [16, 8, 4, 1]
    assert [threads.parts_of(n, 2**40, 4) for n in (1, 100)] == [1, 4]


@pytest.mark.parametrize("section", ["setting", "sparsity", "resolution"])
def test_importing_a_section_loads_neither_compiler_nor_solvers(section):
    heavy = "{'numba', 'llvmlite', 'scipy.special', 'scipy.optimize', 'scipy.fft', 'scipy.sparse'}"
    program = f"import refimpl.{section}, sys\nprint(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.skipif(not ENABLED, reason="the kernels are plain functions")
def test_kernels_are_pickled_by_name_and_keep_their_plain_body():
    kernel = pooling.max_forward
    assert pickle.loads(pickle.dumps(kernel)) is kernel
    assert kernel.py_func.__name__ == kernel.__name__ == "max_forward"
    assert kernel.__doc__ == kernel.py_func.__doc__


if __name__ == "__main__":
    print(json.dumps(blas_below_threads() if sys.argv[1:] else digests()))
