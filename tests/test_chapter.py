"""The index of the chapter: complete, acyclic, searchable, and every item accounted for."""

import re

import pytest

from refimpl import chapter
from refimpl.claims import broken_rooms, sound_claims

NUMBERED = {
    "Definition": ["4.9", "4.10", "4.11", "4.13"],
    "Example": ["4.2", "4.3", "4.7", "4.12", "4.15", "4.16", "4.18"],
    "Remark": ["4.1", "4.4", "4.5", "4.6", "4.8", "4.14", "4.17", "4.20", "4.24", "4.25"],
    "Assumption": ["1", "2", "3", "4.19", "4.21", "4.22", "4.23"],
    "Proposition": ["4.1", "4.2", "4.3", "4.4", "4.5"],
    "Lemma": ["4.29", "4.30"],
    "Theorem": ["4.26", "4.27", "4.28"],
    "Corollary": ["4.31"],
}


def test_ids_are_unique():
    assert len({item.id for item in chapter.ITEMS}) == len(chapter.ITEMS)


@pytest.mark.parametrize("kind", NUMBERED)
def test_every_numbered_item_is_there(kind):
    assert {item.id for item in chapter.ITEMS if item.kind == kind} == {f"{kind} {n}" for n in NUMBERED[kind]}


def test_every_equation_is_there():
    lettered = {"(4.15a)", "(4.15b)", "(4.19a)", "(4.19b)"}
    equations = {item.id for item in chapter.ITEMS if item.kind == "Equation"}
    assert equations == {f"(4.{n})" for n in range(1, 39)} | lettered


def test_sections_never_go_back():
    sections = [[int(n) for n in item.section.split(".")] for item in chapter.ITEMS]
    assert sections == sorted(sections)


@pytest.mark.parametrize("kind", ["Definition", "Example", "Remark", "Theorem", "Lemma", "Corollary", "Equation"])
def test_numbers_of_a_kind_never_go_back(kind):
    numbers = [int(re.search(r"4\.(\d+)", item.id).group(1)) for item in chapter.ITEMS if item.kind == kind]
    assert numbers == sorted(numbers)


def test_dependencies_exist_and_have_no_cycle():
    for item in chapter.ITEMS:
        assert all(chapter.get(use) for use in item.uses)
        assert item.id not in chapter.rests_on({item.id})


def test_used_by_is_the_other_direction():
    assert "Corollary 4.31" in chapter.used_by("Lemma 4.29")
    assert "Lemma 4.29" in chapter.rests_on({"Corollary 4.31"})


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("4.26", ["Theorem 4.26", "(4.26)"]),
        ("theorem  4.26", ["Theorem 4.26"]),
        ("(4.19)", ["(4.19)"]),
        ("4.19a", ["(4.19a)"]),
        ("4.2.2 monotone", ["4.2.2 monotone in lambda"]),
        ("Assumption 1", ["Assumption 1"]),
        ("4.99", []),
        ("", []),
    ],
)
def test_find(query, ids):
    assert {item.id for item in chapter.find(query)} == set(ids)


def test_near_matches_name_what_was_meant():
    assert chapter.near_matches("theorm 4.26")[0] == "Theorem 4.26"
    assert "4.2.2 monotone in lambda" in chapter.near_matches("monotone in lambda")


def test_in_section_includes_subsections():
    assert {item.section for item in chapter.in_section("4.3")} >= {"4.3", "4.3.1", "4.3.5"}
    assert not chapter.in_section("4.31")


def test_every_item_is_accounted_for():
    checked = {claim.id for claim in sound_claims()}
    used = chapter.rests_on(checked)
    left = [item.id for item in chapter.ITEMS if item.id not in checked | used | set(chapter.NOT_CHECKED)]
    assert left == []


def test_excuses_are_not_needed_where_there_is_a_check():
    checked = {claim.id for claim in sound_claims()}
    assert sorted(checked & set(chapter.NOT_CHECKED)) == []
    assert all(chapter.get(id) and reason for id, reason in chapter.NOT_CHECKED.items())


def test_every_room_of_claims_loads():
    assert broken_rooms() == {}


def test_every_claim_is_about_a_known_item():
    known = {item.id for item in chapter.ITEMS}
    assert sorted({claim.id for claim in sound_claims()} - known) == []
