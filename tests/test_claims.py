"""The catalogue: every claim has the expected verdict, and every control is refuted.

``pytest -k 4.26`` runs the claims of one item.
"""

import re

import pytest

from refimpl.claims import all_claims, find, sound_claims
from refimpl.claims.claim import HOLDS, REFUTED

CATALOGUE = sound_claims()


@pytest.mark.parametrize("claim", CATALOGUE, ids=[claim.key for claim in CATALOGUE])
def test_verdict_is_the_expected_one(claim):
    result = claim.verify(examples=max(min(claim.examples, 12), claim.examples // 3))
    idle = [name for name, control in result.controls if control.verdict != REFUTED]
    outcome = result.outcome
    assert result.as_expected, f"{outcome}, controls not refuted: {idle}, {result.replay}"


@pytest.mark.parametrize("claim", CATALOGUE, ids=[claim.key for claim in CATALOGUE])
def test_claim_is_complete(claim):
    assert len(claim.statement) > 20
    assert claim.controls or claim.expected == REFUTED, "a check without a control may be one that cannot fail"
    assert claim.erratum is None or claim.erratum.severity in {"typo", "wrong constant", "missing hypothesis", "false"}
    assert (claim.reading == "as printed") or claim.expected == HOLDS


def test_keys_are_unique():
    keys = [claim.key for claim in CATALOGUE]
    assert sorted(key for key in keys if keys.count(key) > 1) == []


def test_every_erratum_comes_with_a_claim_that_holds():
    repaired = {claim.id for claim in CATALOGUE if claim.expected == HOLDS}
    assert sorted({claim.id for claim in CATALOGUE if claim.erratum} - repaired) == []


def test_find_by_number_and_by_name():
    assert {claim.id for claim in find("4.26")} == {"Theorem 4.26", "(4.26)"}
    claim = find("Theorem 4.26")[0]
    assert find(claim.name) == [claim]
    assert find("4.99") == []
    assert claim in all_claims()


def test_statements_speak_of_themselves():
    assert not [claim.key for claim in CATALOGUE if re.search(r"\b(TODO|FIXME|issue #?\d)\b", claim.statement)]
