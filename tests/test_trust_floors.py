"""Bad input below and above the four sections: numerics, data, claims, cross-check, experiments."""

import numpy as np
import pytest
from fuzzing import COUNTS, Call, arrays, fuzz, numbers, wrong_types

from refimpl import claims, crosscheck, data
from refimpl.claims.claim import at_most
from refimpl.claims.literal import arguments, literal, parse
from refimpl.data import glyphs
from refimpl.experiments.training import Recipe, train
from refimpl.numerics import compare, convolution, files, sparse, text, threads, validate
from refimpl.setting import Dense, Network
from refimpl.sparsity import L1, LinBreg

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(4, 3)), RNG.normal(size=(5, 3))
IMAGES, KERNELS = RNG.normal(size=(2, 2, 5, 6)), RNG.normal(size=(3, 2, 3, 3))
F = Network([Dense(3, 2)])
LABELS = np.array([0, 1, 1, 0])
PADS, STRIDE = (1, 1, 1, 1), (1, 1)
CLAIM = claims.Claim("Example 4.12", "corrected", lambda: at_most(1.0, 2.0), {})
GEOMETRY = ("stride", "pads", "mode", "size", "kernel")


def convolved(x, w):
    return convolution.forward(x, w, STRIDE, PADS, "zero")


def back(dy, w):
    return convolution.input_gradient(dy, w, (5, 6), STRIDE, PADS, "zero")


def onto_kernel(x, dy):
    return convolution.kernel_gradient(x, dy, (3, 3), STRIDE, PADS, "zero")


DY = convolved(IMAGES, KERNELS)
TABLE = {
    "convolution.forward": Call(convolved, {"x": IMAGES, "w": KERNELS}, {"x": "w", "w": "x"}),
    "convolution.input_gradient": Call(back, {"dy": DY, "w": KERNELS}, {"dy": "w", "w": "dy"}),
    "convolution.kernel_gradient": Call(onto_kernel, {"x": IMAGES, "dy": DY}, {"dy": "x", "x": "dy"}),
    "sparse.times": Call(lambda W, x: sparse.times(sparse.compress(W), x), {"W": W, "x": X}, {"W": "x"}),
    "sparse.times_transposed": Call(
        lambda W, dy: sparse.times_transposed(sparse.compress(W), dy), {"W": W, "dy": X @ W.T}, {"W": "dy"}
    ),
    "sparse.compress": Call(sparse.compress, {"W": W, "share": 0.5}),
    "compare.eps_error": Call(compare.eps_error, {"actual": X, "expected": X}),
    "compare.ulp_error": Call(compare.ulp_error, {"actual": X, "expected": X + 1}, {"actual": "expected"}),
    "compare.eps_of": Call(lambda a: compare.eps_of(a), {"a": X}, {"a": "arrays"}),
    "compare.magnitude": Call(lambda a: compare.magnitude(a), {"a": X}, {"a": "arrays"}),
    "compare.order_of_decay": Call(
        compare.order_of_decay, {"h": [1.0, 0.5], "errors": [1.0, 0.25]}, {"h": "errors", "errors": "h"}
    ),
    "glyphs.draw": Call(glyphs.draw, {"count": 2, "size": 8, "seed": 0, "jitter": 1.0}, counts=("count", "size")),
    "glyphs.render": Call(glyphs.render, {"edges": glyphs.outline(3), "size": 8}, counts=("size",)),
    "data.load": Call(lambda count: data.load("glyphs", None, count), {"count": 20}, counts=("count",)),
    "data.load name": Call(lambda name: data.load(name, None, 20), {"name": "glyphs"}, {"name": "data"}),
    "data.split": Call(lambda seed: data.split(data.load("glyphs", None, 20), seed), {"seed": 0}),
    "data.augment": Call(
        lambda x, **rest: data.augment(x, np.random.default_rng(0), **rest),
        {"x": IMAGES, "crop": 1, "flip": True, "noise": 0.1},
        counts=("crop",),
    ),
    "claims.find": Call(claims.find, {"query": "4.26"}),
    "claims.verify": Call(
        lambda examples, seed: CLAIM.verify(examples, seed).verdict, {"examples": 2, "seed": 0}, counts=("examples",)
    ),
    "literal": Call(literal, {"value": X}),
    "parse": Call(parse, {"text": "1/3"}),
    "arguments": Call(lambda a: arguments({"a": a}), {"a": X}),
    "text.one_line": Call(text.one_line, {"value": "a\nb"}),
    "text.escaped": Call(text.escaped, {"value": "<"}),
    "crosscheck.find": Call(crosscheck.find, {"name": "sparsity.prox_l1"}, {"name": "target"}),
    "crosscheck.targets": Call(crosscheck.targets, {"pattern": "sparsity.prox_*"}),
    "crosscheck.check": Call(
        lambda **given: crosscheck.check(candidate=lambda v, lam: v, **given),
        {"target": "sparsity.prox_l1", "adapter": "numpy", "style": "function", "examples": 1, "seed": 0}
        | {"fixed": {"tau": 1.0}, "conventions": {}},
        {"fixed": "set", "conventions": "set"},
        counts=("examples",),
    ),
    "crosscheck.check candidate": Call(
        lambda candidate: crosscheck.check("sparsity.prox_l1", candidate, examples=1),
        {"candidate": lambda v, tau, lam: v},
    ),
    "Recipe": Call(Recipe, {"epochs": 1, "batch": 2, "seed": 0, "patience": 1}),
    "train": Call(
        lambda theta, x, target: train(F, LinBreg(L1(0.1), 0.1), theta, x, target, Recipe(1, 2)),
        {"theta": F.init(0), "x": X, "target": LABELS},
        {"x": "target y", "target": "x labels y"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_bad_input_is_refused_by_name(name):
    assert fuzz(name, TABLE[name]) == []


CHECKS = {
    "array": (), "real_array": (), "number": (), "real": (), "positive": (), "nonnegative": (), "within": (0, 1),
    "integer": (0, 5), "integers": (0,), "shape": (), "generator": (), "provides": ("init", "step"),
    "mapping": (("a",),), "choice": (("a", "b"),), "flag": (), "float_dtype": (), "labels": (3, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", CHECKS)
def test_checks_compute_or_name_the_argument(name):
    """Whatever comes: a value, or the one kind of ValueError."""
    for value in [*wrong_types(), *numbers(), *arrays(), 2**62, 10**30, 10**400, [10**400], np.float64, "x" * 10**6]:
        COUNTS["checks"] += 1
        try:
            getattr(validate, name)("the argument", value, *CHECKS[name])
        except ValueError as error:
            assert str(error).startswith("the argument: expected ") and len(str(error)) < 400


@pytest.mark.parametrize("asked", ["", "0", "-1", "x", "1.5", "9" * 30, "²", "٣"])
def test_any_number_of_threads_is_survived(asked, monkeypatch):
    monkeypatch.setenv("REFIMPL_NUM_THREADS", asked)
    assert 1 <= threads.threads.__wrapped__() <= 4096


@pytest.mark.parametrize("path", ["", ".", "/", "/dev/null/x", "x" * 5000, b"bytes/" * 2000, 5, None])
def test_paths_that_cannot_be_written(path):
    for write in (files.check_writable, lambda p: files.write_text(p, "")):
        with pytest.raises((OSError, ValueError, TypeError)):
            write(path)


def test_the_table_was_tried():
    print(dict(COUNTS))
