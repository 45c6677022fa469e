"""Floor 3: every numbered statement of the chapter as an executable check.

>>> find("4.26")
[Claim("Theorem 4.26", ...), ...]
>>> find("4.26")[0].verify(examples=100, seed=0).verdict
'holds'
"""

import importlib

from refimpl.claims.claim import REGISTRY, Claim, Erratum, Evidence
from refimpl.claims.search import Result, verify

__all__ = ["Claim", "Erratum", "Evidence", "Result", "all_claims", "find", "verify"]

_ROOMS = (
    "setting",
    "robustness",
    "convex_analysis",
    "linearized_bregman",
    "convergence",
    "sparse_training",
    "fourier",
    "operators",
)


def all_claims() -> list[Claim]:
    """Every claim, in the order of the chapter."""
    from refimpl import chapter

    for room in _ROOMS:
        importlib.import_module(f"refimpl.claims.{room}")
    order = {item.id: i for i, item in enumerate(chapter.ITEMS)}
    return sorted(REGISTRY, key=lambda c: order.get(c.id, len(order)))


def find(query: str) -> list[Claim]:
    """The claims of an item: "4.26", "Theorem 4.26", "(4.19)" or the name of a check."""
    from refimpl import chapter

    ids = {item.id for item in chapter.find(query)}
    return [c for c in all_claims() if c.id in ids or c.name == query]
