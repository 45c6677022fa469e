"""Floor 0: the index of every numbered item of the chapter, in its order, in our own words."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """A numbered (or named) item.

    Attributes
    ----------
    id : "Theorem 4.26", "(4.19)", or "4.2.2 monotone" for a result the text states without a number.
    section : "4.3.4".
    title : a few words.
    says : what it says, one or two lines of our own.
    uses : ids of the items it rests on.
    """

    id: str
    section: str
    title: str
    says: str
    uses: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Definition, Example, Remark, Assumption, Proposition, Lemma, Theorem, Corollary, Equation or Result."""
        if self.id.startswith("("):
            return "Equation"
        return self.id.split()[0] if self.id[0].isalpha() else "Result"


ITEMS: tuple[Item, ...] = (
    Item("Example 4.12", "4.3.1", "Bregman distance of the squared norm", "D(a, b) = 1/2 |a - b|^2 for J = 1/2 |.|^2"),
)

NOT_CHECKED: dict[str, str] = {}


def find(query: str) -> list[Item]:
    """The items a query names: a full id, or a bare number such as "4.26" (then of every kind)."""
    wanted = " ".join(query.split()).casefold()
    exact = [item for item in ITEMS if item.id.casefold() == wanted]
    return exact or [item for item in ITEMS if _number(item.id) == wanted.strip("()")]


def _number(id: str) -> str | None:
    match = re.search(r"\d+(\.\d+)*[ab]?", id)
    return match.group(0) if match and not id[0].isdigit() else None
