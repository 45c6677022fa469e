"""Every known mistake is caught, and named, from its outputs alone."""

import numpy as np
import pytest

from refimpl import crosscheck
from refimpl.crosscheck import candidates, diagnosis, mistakes, report
from refimpl.crosscheck.bregman_targets import N_IN, N_OUT
from refimpl.crosscheck.judge import judge
from refimpl.crosscheck.target import astype, eps_of

PAIRS = [(t, name) for t in crosscheck.targets() for name in mistakes.of(t)]
DETERMINISTIC = [(t, name) for t, name in PAIRS if t.measure is None]

KNOWN = """lambda applied twice; prox of tau*v; threshold not scaled by delta; 1/delta missing in v0; p0 missing in v0
(1 - beta) missing; Adam eps inside the root; bias correction unused; lr damped momentum
group weight sqrt(#G) for sqrt(#g); group norm over the wrong axis; soft shrinkage that swallows NaN
correlation for convolution; wrong 'same' offset for even kernels; half-spectrum gradient without the doubling
Nyquist dropped; Nyquist duplicated; Nyquist not split; fftshift for ifftshift on odd sizes; 1/n missing
align_corners interpolation; squared quotient for quotient; FGSM on the wrong sign
projection by clipping after shrinking; mean and sum over the batch confused (mean for sum; softmax applied twice"""


def wrong(target, name):
    """A candidate that makes this mistake, in the precision of its inputs."""
    twin = mistakes.of(target)[name]

    def run(case):
        real = np.float32 if eps_of(case) > 1e-10 else np.float64
        return candidates.guarded(target, case, lambda: astype(target.evaluate(twin, case), real))

    return run


@pytest.mark.parametrize(("target", "name"), DETERMINISTIC, ids=[f"{t.name}: {name}" for t, name in DETERMINISTIC])
def test_the_mistake_is_named(target, name):
    found = judge(target, wrong(target, name), examples=12, shrink=False)
    assert found.verdict == "differs"
    assert name in [d.mistake for d in found.diagnoses], report.text(found)


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("scaled by r instead of 1/sqrt(r)", lambda r: r),
        ("scaled by 1/r instead of 1/sqrt(r)", lambda r: 1 / r),
        ("variance not rescaled", lambda r: 1.0),
    ],
)
def test_the_sparse_start_is_judged_by_its_statistics(name, scale):
    def start(rows, columns, density, seed):
        rng = np.random.default_rng(seed)
        weights = rng.normal(0, np.sqrt(2 / columns), (rows, columns)) * scale(density)
        return weights * (rng.random((rows, columns)) < density)

    found = crosscheck.check("sparsity.sparse_start.statistics", start, examples=5)
    assert [d.mistake for d in found.diagnoses] == [name]


def test_masks_with_replacement_are_named():
    def start(rows, columns, density, seed):
        rng = np.random.default_rng(seed)
        mask = np.zeros(rows * columns)
        mask[rng.integers(0, mask.size, round(mask.size * density))] = 1
        return rng.normal(0, np.sqrt(2 / columns / density), (rows, columns)) * mask.reshape(rows, columns)

    found = crosscheck.check("sparsity.sparse_start.statistics", start, examples=5)
    assert "with replacement" in found.diagnoses[0].mistake
    assert (N_OUT, N_IN) == (256, 512)


def test_all_the_mistakes_that_are_known_from_the_field_are_there():
    names = {name for _, name in PAIRS}
    for known in KNOWN.replace("\n", ";").split(";"):
        assert any(name.startswith(known.strip()) for name in names), known
    assert len(names) >= len(KNOWN.replace("\n", ";").split(";")) + 10


def test_one_lucky_input_names_nothing():
    target = crosscheck.find("sparsity.prox_l1")
    case = {"v": np.array([1.0]), "tau": 2.0, "lam": 0.5}
    finding = judge_one(target, case, np.array([0.75]))
    assert finding.failed
    assert diagnosis.diagnose(target, {}, [finding]) == []


def judge_one(target, case, output):
    from refimpl.crosscheck.judge import compare

    return compare(target, case, {"theta": output}, target.expected(case))


def test_an_output_that_contradicts_a_mistake_clears_it():
    def mostly(v, tau, lam):
        """The prox of tau v, but right for a single entry."""
        scale = tau if v.size > 1 else 1.0
        return scale * v - np.clip(scale * v, -tau * lam, tau * lam)

    found = crosscheck.check("sparsity.prox_l1", mostly)
    assert not found.agrees and found.diagnoses == []


@pytest.mark.parametrize(
    ("wrong_soft", "says"),
    [
        (lambda v, tau, lam: -(v - np.clip(v, -tau * lam, tau * lam)), "the sign is flipped"),
        (lambda v, tau, lam: (v - np.clip(v, -tau * lam, tau * lam)) * v.dtype.type(3), "off by the factor 3"),
    ],
)
def test_simple_relations_need_no_table(wrong_soft, says):
    found = crosscheck.check("sparsity.prox_l1", wrong_soft)
    assert [d.mistake for d in found.diagnoses] == [says]


def test_single_precision_inside_is_noticed():
    def logistic(x):
        return (1 / (1 + np.exp(-x.astype(np.float32) / np.float32(1)))).astype(x.dtype)

    found = crosscheck.check("setting.sigmoid", lambda x: logistic(np.clip(x, -80, 80)))
    assert "single precision" in found.diagnoses[0].mistake


def test_another_convention_is_named():
    found = crosscheck.check("resolution.dft", lambda v: np.fft.fftn(v, norm="ortho").astype(complex64_or(v)))
    assert "another convention: norm=sqrt" in [d.mistake for d in found.diagnoses]


def complex64_or(v):
    return np.complex64 if v.dtype == np.float32 else np.complex128
