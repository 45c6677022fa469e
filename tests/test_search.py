"""The engine behind the verdicts, on tiny claims whose truth is known."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import strategies as st

from refimpl.claims import draw
from refimpl.claims.claim import (
    HOLDS,
    INCONCLUSIVE,
    REFUTED,
    VACUOUS,
    Claim,
    Erratum,
    all_of,
    at_most,
    decays,
    equal,
    exactly,
    identity,
    member,
    vacuous,
)
from refimpl.claims.literal import arguments, literal, parse
from refimpl.claims.runner import number, record
from refimpl.claims.search import ATTAINED

PAIR = {"x": draw.arrays(3), "y": draw.arrays(3)}


def made(body, given=None, **options):
    """A claim that is not in the catalogue."""
    return Claim("Example 4.12", options.pop("reading", "as printed"), body, given or {}, **options)


def cauchy_schwarz(x, y):
    """<x, y> <= |x| |y|"""
    return at_most(x @ y, np.linalg.norm(x) * np.linalg.norm(y))


def bounded_sum(x):
    """sum x <= 3, which is false"""
    return at_most(np.sum(x), 3.0)


def test_a_true_claim_holds_and_the_search_finds_its_extremal_instance():
    outcome = made(cauchy_schwarz, PAIR).verify(examples=200).outcome
    assert outcome.verdict == HOLDS
    assert outcome.sharpness > 0.99
    x, y = outcome.sharpest["x"], outcome.sharpest["y"]
    assert x @ y == pytest.approx(outcome.sharpness * np.linalg.norm(x) * np.linalg.norm(y))


def test_target_reaches_violations_that_chance_misses():
    def narrow(x):
        """x^2 <= 15.9^2 on [-16, 16]: violated on less than one percent of the interval"""
        return at_most(x * x, 15.9**2)

    assert made(narrow, {"x": draw.dyadic(-16, 16, 8)}).verify(examples=150).verdict == REFUTED


def test_a_false_claim_is_refuted_and_its_witness_shrunk():
    outcome = made(bounded_sum, {"x": draw.arrays(3)}).verify().outcome
    assert outcome.verdict == REFUTED
    assert np.sum(outcome.witness["x"]) > 3
    assert np.count_nonzero(outcome.witness["x"]) == 1, "one entry suffices, so the others shrink to 0"
    assert np.sum(outcome.witness["x"]) == 3 + 1 / 16, "the least sum above 3 on the dyadic grid"


def test_listed_cases_come_first():
    case = {"x": np.array([4.0, 0, 0])}
    outcome = made(bounded_sum, {"x": draw.arrays(3)}, cases=[case]).verify().outcome
    assert (outcome.verdict, outcome.cases) == (REFUTED, 1)
    assert outcome.witness == case


def test_a_claim_without_instances_is_checked_once():
    assert made(lambda: exactly(2 + 2 == 4)).verify().outcome.cases == 1
    assert made(lambda: exactly(2 + 2 == 5)).verify().verdict == REFUTED


def test_a_control_that_is_not_refuted_makes_the_claim_vacuous():
    claim = made(cauchy_schwarz, PAIR)
    claim.without("nothing at all", x=draw.arrays(3, 0, 1))
    result = claim.verify(examples=20)
    assert (result.outcome.verdict, result.verdict, result.as_expected) == (HOLDS, VACUOUS, False)


def test_a_wrong_twin_is_refuted():
    claim = made(cauchy_schwarz, PAIR)

    @claim.twin("half the bound")
    def too_small(x, y):
        return at_most(x @ y, 0.5 * np.linalg.norm(x) * np.linalg.norm(y))

    result = claim.verify()
    assert result.verdict == HOLDS
    assert [(name, control.verdict) for name, control in result.controls] == [("half the bound", REFUTED)]


def test_controls_are_searched_in_full_however_few_examples_are_asked_for():
    claim = made(lambda x: at_most(x, 4), {"x": draw.dyadic()}, examples=200)
    claim.without("x <= 4", x=draw.dyadic(0, 4.0625))
    assert claim.verify(examples=1).verdict == HOLDS


def test_a_control_inherits_the_cases_of_its_claim_only_as_a_twin():
    claim = made(bounded_sum, {"x": draw.arrays(2, 0, 1)}, cases=[{"x": np.array([1.0, 2.0])}])
    claim.without("entries below 1", x=draw.arrays(2, 2, 4))
    claim.twin("any body")(bounded_sum)
    assert [len(control.cases) for control in claim.controls] == [0, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("relation", [lambda v: equal(v, 1.0), lambda v: at_most(v, 1.0), lambda v: member(v)])
def test_nan_and_inf_are_refuted(bad, relation):
    assert made(lambda: relation(bad)).verify().verdict == REFUTED
    assert made(lambda: all_of(exactly(True), relation(bad), exactly(True))).verify().verdict == REFUTED


def test_nan_on_the_larger_side_is_refuted():
    assert made(lambda: at_most(0.0, np.nan)).verify().verdict == REFUTED


def test_an_exception_is_inconclusive_and_keeps_its_instance():
    def breaks(n):
        return exactly(1 // (n - 3) < 10)

    result = made(breaks, {"n": st.integers(0, 5)}).verify()
    assert result.verdict == INCONCLUSIVE
    assert result.outcome.error == "ZeroDivisionError: integer division or modulo by zero"
    assert result.outcome.witness == {"n": 3}


def test_a_broken_control_does_not_count_as_refuted():
    claim = made(cauchy_schwarz, PAIR)

    @claim.twin("raises")
    def raises(x, y):
        raise RuntimeError("no")

    result = claim.verify(examples=5)
    assert result.verdict == VACUOUS
    assert result.controls[0][1].error == "RuntimeError: no"


def test_only_vacuous_instances_make_the_claim_vacuous():
    outcome = made(lambda x: vacuous("x is not 7"), {"x": draw.dyadic()}).verify(examples=5).outcome
    assert (outcome.verdict, outcome.skipped) == (VACUOUS, "x is not 7")


def test_unsatisfiable_strategies_are_inconclusive():
    result = made(lambda x: exactly(True), {"x": st.integers().filter(lambda _: False)}).verify(examples=5)
    assert result.verdict == INCONCLUSIVE


def test_the_same_seed_repeats_and_another_seed_differs():
    claim = made(cauchy_schwarz, PAIR)
    first, again, other = (claim.verify(examples=30, seed=seed).outcome for seed in (1, 1, 2))
    assert first.trace == again.trace
    assert literal(first.sharpest) == literal(again.sharpest)
    assert first.trace != other.trace


REPEAT = """
import sys
{preamble}
from refimpl.claims import draw
from refimpl.claims.claim import Claim, at_most
claim = Claim("(4.1)", "as printed", lambda n: at_most(n, 1e9), {{"n": draw.seeds()}})
print(claim.verify(examples=400, seed=3).outcome.trace)
"""


def test_results_do_not_depend_on_the_modules_loaded_so_far():
    outputs = set()
    for preamble in (
        "",
        "import refimpl.setting, refimpl.sparsity, refimpl.report.table",
        "sys.setrecursionlimit(5000)",
    ):
        program = REPEAT.format(preamble=preamble)
        environment = os.environ | {"PYTHONHASHSEED": str(len(outputs))}
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_fixed_values_replace_strategies_and_leave_out_cases_and_controls():
    def product(a, b):
        """a b <= 4"""
        return at_most(a * b, 4.0)

    claim = made(product, {"a": draw.dyadic(0, 2), "b": draw.dyadic(0, 2)}, cases=[{"a": 9.0, "b": 9.0}])
    claim.without("b <= 2", b=draw.dyadic(3, 4))
    result = claim.verify(fixed={"a": 1.5, "other": 3})
    assert (result.verdict, result.controls, result.fixed) == (HOLDS, [], {"a": 1.5})
    assert claim.verify(fixed={"a": 100.0}).verdict == REFUTED
    assert "--set 'a=1.5'" in result.replay


def test_a_false_statement_may_hold_at_the_readers_numbers():
    false = made(lambda a: at_most(a, 1.0), {"a": draw.dyadic(0, 2)}, erratum=Erratum("a", "b", "false"))
    assert false.verify().as_expected
    assert (
        not made(lambda a: at_most(a, 3.0), {"a": draw.dyadic(0, 2)}, erratum=Erratum("a", "b", "false"))
        .verify()
        .as_expected
    )
    assert false.verify(fixed={"a": 0.5}).as_expected


def test_a_near_miss_fails_on_the_ladder_and_a_true_identity_stays_flat():
    x = np.array([0.5, 1.25, -3.0])

    def sides(offset):
        return lambda dtype: (np.sum(x.astype(dtype)) + dtype(offset), x.astype(dtype) @ np.ones(3, dtype))

    exact = made(lambda: identity(sides(0))).verify()
    near = made(lambda: identity(sides(1e-10))).verify()
    assert exact.verdict == HOLDS
    assert set(exact.outcome.ladder) >= {"float32", "float64"}
    assert near.verdict == REFUTED, "1e-10 hides in float32 but not in float64"


def test_decay_compares_the_fitted_order():
    h = np.array([1, 0.5, 0.25, 0.125])
    right = decays(h, h**2, order=2, slack=0.1)
    assert right.holds
    assert right.points == tuple(zip(h, h**2))
    assert not decays(h, h, order=2, slack=0.1).holds


def test_sharpness_is_attained_up_to_64_eps():
    assert made(lambda: at_most(1.0, 1.0)).verify().outcome.attained
    assert made(lambda: at_most(1 - 1e-15, 1.0)).verify().outcome.attained
    assert not made(lambda: at_most(1 - 1e-9, 1.0)).verify().outcome.attained
    assert 1 - 2e-14 < ATTAINED < 1


def test_all_of_lets_the_worst_part_speak():
    assert all_of(equal(1.0, 1.0), exactly(False, "here"), equal(2.0, 2.0)).note == "here"
    assert all_of(at_most(1.0, 2.0), at_most(3.0, 4.0)).sharpness == 0.75


def test_records_are_strict_json():
    claim = made(lambda: exactly(False), erratum=Erratum("printed", "corrected", "typo"))
    plain = record(claim.verify())
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["residual"] == "inf"
    assert [number(v) for v in (None, np.nan, -np.inf, 0.123456789)] == [None, "nan", "-inf", 0.123457]


VALUES = [
    np.array([0.5, -np.inf, np.nan]),
    np.array([[1.0, 2.0]], dtype=np.float32),
    np.zeros((0, 3)),
    np.array([1, 2]),
    np.array([1 + 2j]),
    (1.5, np.array([2.0])),
    (1,),
    {"a": [1, 2.5], "b": None},
    np.float64(0.1),
    "text",
    True,
]


@pytest.mark.parametrize("value", VALUES, ids=map(repr, VALUES))
def test_literals_can_be_pasted(value):
    again = eval(literal(value), {"np": np})
    np.testing.assert_equal(again, value)
    assert getattr(again, "dtype", None) == getattr(value, "dtype", getattr(again, "dtype", None))


def test_literals_show_no_addresses():
    class Shape:
        pass

    assert literal(Shape()) == "Shape()"
    assert literal(test_literals_show_no_addresses) == "test_literals_show_no_addresses"


def test_arguments_can_be_pasted_into_a_call():
    text = arguments({"x": np.array([1.0]), "tau": 0.5})
    assert text == "x=np.array([1.0]), tau=0.5"
    assert eval(f"dict({text})", {"np": np})["tau"] == 0.5


@pytest.mark.parametrize(
    ("text", "value"), [("0.25", 0.25), ("1/3", 1 / 3), (" 7 ", 7), ("'l1'", "l1"), ("1e-3", 1e-3)]
)
def test_settings_are_read(text, value):
    assert parse(text) == value


def test_a_list_of_numbers_is_an_array():
    np.testing.assert_array_equal(parse("[1, 2.5]"), np.array([1.0, 2.5]))


@pytest.mark.parametrize("text", ["x", "1/0", "", "__import__('os')", "1 +"])
def test_other_settings_are_refused(text):
    with pytest.raises(ValueError, match="is not a number"):
        parse(text)
