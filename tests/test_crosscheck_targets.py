"""Targets: the reference passes them all, definitions agree with it and with mpmath, cases are what they say."""

from decimal import Decimal

import numpy as np
import pytest

from refimpl import crosscheck
from refimpl.crosscheck import candidates, digits, mistakes, report
from refimpl.crosscheck.bregman_targets import N_IN, N_OUT
from refimpl.crosscheck.judge import judge
from refimpl.crosscheck.target import LAYOUTS, astype, named_cases

STATISTICS = "sparsity.sparse_start.statistics"


def sparse_weights(rows, columns, density, seed):
    """He weights under a Bernoulli mask, rescaled by 1/sqrt(r)."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, np.sqrt(2 / columns / density), (rows, columns)) * (rng.random((rows, columns)) < density)


@crosscheck.parametrize()
def test_the_reference_passes(target):
    function = sparse_weights if target.name == STATISTICS else target.reference
    defaults = {} if target.name == STATISTICS else target.defaults

    def run(case):
        return candidates.guarded(target, case, lambda: function(**case, **defaults))

    found = judge(target, run, examples=8)
    assert found.agrees, report.text(found)
    assert len(named_cases(target)) < found.cases <= 8 + len(named_cases(target))


@pytest.mark.parametrize("target", [t for t in crosscheck.targets() if t.definition], ids=lambda t: t.name)
def test_definition_and_reference_agree(target):
    for case in target.edges.values():
        if all(np.all(np.isfinite(v)) for v in case.values() if isinstance(v, np.ndarray)):
            outputs = target.named(digits.evaluate(target.definition, case))
            errors = target.errors(case, outputs, target.expected(case))
            assert max(np.max(e, initial=0) for e in errors.values()) <= target.k


@crosscheck.parametrize()
def test_a_target_says_what_it_needs(target):
    assert (
        target.what
        and target.why
        and target.edges
        and target.name.split(".")[0]
        in (
            "setting",
            "robustness",
            "sparsity",
            "resolution",
        )
    )
    assert next(iter(target.edges)) == "base"
    names = [tuple(case) for case in target.edges.values()]
    assert len(set(names)) == 1
    assert target.relation == "equal" or target.residuals or target.measure


def test_the_list_covers_the_operations_that_people_implement():
    names = [t.name for t in crosscheck.targets()]
    assert len(names) == len(set(names)) >= 90
    for part in ("loss", "gelu", "conv2d", "batch_norm", "prox_", "subgradient_", "bregman_distance", "linbreg", "tv_"):
        assert any(part in name.replace("squared_error", "loss") for name in names), part
    for part in ("project_", "fgsm", "pgd", "quotient", "product_bound", "dft", "trigonometric", "to_spatial"):
        assert any(part in name for name in names), part


def test_every_relation_occurs():
    assert {t.relation for t in crosscheck.targets()} == {"equal", "member", "minimiser", "statistic"}


def test_named_cases_come_in_single_precision_and_in_every_layout():
    cases = named_cases(crosscheck.find("sparsity.prox_group_l2"))
    assert cases["float32"]["v"].dtype == np.float32
    assert not cases["non-contiguous"]["v"].flags.c_contiguous
    assert not cases["read-only"]["v"].flags.writeable
    assert cases["Fortran order"]["v"].flags.f_contiguous
    for layout in LAYOUTS:
        assert np.array_equal(cases[layout]["v"], cases["base"]["v"])


def test_single_precision_keeps_words_and_labels():
    case = astype({"x": np.ones(2), "labels": np.array([1]), "word": "zero", "z": np.ones(1) + 0j}, np.float32)
    assert (case["x"].dtype, case["labels"].dtype.kind, case["z"].dtype) == (np.float32, "i", np.complex64)


def test_an_unknown_target_lists_near_names():
    with pytest.raises(ValueError, match=r"near: .*sparsity\.prox_l1"):
        crosscheck.find("sparsity.prox_11")


def test_every_known_mistake_belongs_to_a_target():
    mistakes.of(crosscheck.find("sparsity.prox_l1"))
    assert set(mistakes.MISTAKES) <= {t.name for t in crosscheck.targets()}


def test_statistics_are_large_enough_to_tell():
    assert N_OUT * N_IN >= 2**17


mpmath = pytest.importorskip("mpmath")


@pytest.mark.parametrize("x", [0.0, 0.25, -1.5, 3.0, 8.0, 2.0**-30])
def test_elementary_functions_have_fifty_digits(x):
    with mpmath.workdps(60):
        pairs = [
            (digits.evaluate(lambda x: digits.erf(x), {"x": x}), mpmath.erf(x)),
            (digits.evaluate(lambda x: digits.tanh(x), {"x": x}), mpmath.tanh(x)),
            (digits.evaluate(lambda x: digits.exp(x), {"x": x}), mpmath.exp(x)),
        ]
        assert all(float(ours) == float(theirs) for ours, theirs in pairs)
        assert abs(mpmath.mpf(str(digits.erf(Decimal(x)))) - mpmath.erf(x)) < mpmath.mpf(10) ** -26


@pytest.mark.parametrize(("k", "n"), [(0, 3), (1, 4), (2, 4), (3, 4), (1, 7), (5, 6), (-2, 9), (23, 12)])
def test_roots_of_unity(k, n):
    def parts(x):
        return np.array(digits.turn(k, n), dtype=object)

    with mpmath.workdps(60):
        cos, sin = digits.evaluate(parts, {"x": 0.0})
        angle = 2 * mpmath.pi * k / n
        assert abs(cos - float(mpmath.cos(angle))) < 1e-17 and abs(sin - float(mpmath.sin(angle))) < 1e-17
    if 4 * k % n == 0:
        assert {abs(cos), abs(sin)} == {0.0, 1.0}


def test_pi():
    with mpmath.workdps(60):
        assert abs(mpmath.mpf(str(digits.pi())) - mpmath.pi) < mpmath.mpf(10) ** -57
