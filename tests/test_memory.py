"""Memory that is used again: by the next array of its size, never while anything still looks at it."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from refimpl.numerics import memory
from refimpl.setting import MaxPool2d, ReLU, mlp

SIDE = 1024  # SIDE^2 numbers are above the least size in every precision
SHAPE = (SIDE, SIDE)


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch):
    monkeypatch.setattr(memory, "_waiting", {})
    monkeypatch.setattr(memory._Loan.__del__, "__defaults__", (memory._waiting,))  # what it holds even at exit


def address(a):
    return a.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble, np.complex64, np.int32])
def test_it_is_numpys_empty(dtype):
    a = memory.empty(SHAPE, dtype)
    assert (a.shape, a.dtype) == (SHAPE, np.dtype(dtype))
    assert a.flags.c_contiguous and a.flags.writeable and a.flags.aligned
    a[...] = 1
    assert a.sum() == SIDE**2


def test_the_next_array_of_that_size_takes_it_up():
    a = memory.empty(SHAPE, np.float64)
    place = address(a)
    assert address(memory.empty(SHAPE, np.float64)) != place
    del a
    assert address(memory.empty((SIDE // 2, 2 * SIDE), np.int64)) == place


def test_not_while_a_view_is_there():
    a = memory.empty(SHAPE, np.float64)
    place, other = address(a), a.T[:, 7:9].T[:, ::2]
    del a
    gc.collect()
    assert address(memory.empty(SHAPE, np.float64)) != place
    assert address(other) == place + 7 * 8 * SIDE
    del other
    assert address(memory.empty(SHAPE, np.float64)) == place


def test_small_arrays_are_numpys_own():
    a = memory.empty((3, 4), np.float32)
    assert a.base is None
    del a
    assert not memory._waiting


def test_at_most_so_many_bytes_wait(monkeypatch):
    monkeypatch.setattr(memory, "KEPT", 16 << 20)
    several = [memory.empty(SHAPE, np.float64) for _ in range(2)]
    several.clear()
    assert sum(len(kept) for kept in memory._waiting.values()) == 2
    a = memory.empty((2, *SHAPE), np.float64)
    del a
    assert not memory._waiting


def test_many_threads():
    def work(i):
        a = memory.empty(SHAPE, np.float32)
        a[...] = i
        b = memory.empty(SHAPE, np.float32)
        b[...] = -1
        return bool((a == i).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(64)))


def test_a_training_step_hands_out_no_memory_twice():
    """Outputs, caches and gradients of two passes, all alive: what the first one returned stays as it was."""
    network, rng = mlp([300, 1100, 10]), np.random.default_rng(0)
    theta, x = network.init(rng), rng.standard_normal((1000, 300))
    first = network.vjp(theta, x)
    kept = first[0].copy(), first[1](np.ones((1000, 10)))[1].copy()
    gradient = first[1](np.ones((1000, 10)))[1]
    network.vjp(theta, x + 1)[1](np.ones((1000, 10)))
    assert np.array_equal(first[0], kept[0]) and np.array_equal(gradient, kept[1])


def test_layers_leave_their_inputs_alone():
    x = np.random.default_rng(0).standard_normal((16, 8, 100, 100))
    for layer in (ReLU(), MaxPool2d(2)):
        before = x.copy()
        y, cache = layer.forward({}, x)
        layer.backward({}, cache, y)
        assert np.array_equal(x, before) and not np.shares_memory(x, y)
