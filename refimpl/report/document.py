"""The JSON document of a run, and what follows from its records: coverage and errata.

Schema of ``refimpl verify --json FILE``::

    version    of refimpl                      seconds    wall clock of the run
    seed       of the search                   broken     room -> why its checks are missing (normally {})
    claims     one record a claim, in the chapter's order:
      id, reading, section, title, statement     check: name of the Python function; key: unique name
      verdict    "holds" | "refuted" | "vacuous" | "inconclusive"
      expected   "holds" | "refuted"; as_expected: true | false
      cases      instances evaluated; vacuous_cases: those that missed a hypothesis
      relation   "identity" | "member" | "at most" | "decays" | "exact"
      residual   the worst, in units of eps * scale; tolerance: the k it is held against
      sharpness  largest lhs / rhs or null; attained: whether it reaches 1 up to 64 eps
      extremal   the instance of that ratio, as Python keyword arguments, or null
      witness    the smallest instance that fails, as Python keyword arguments, or null
      controls   [{name, verdict, cases, excess, witness, error}]: all must be "refuted"
      erratum    null or {printed, corrected, severity}
      ladder     dtype -> residual; points: [h, error] of a fitted rate; trace: lhs / rhs or residual by case
      note, error, seed, examples, replay (a shell line), seconds
    coverage   items; counts "checked", "used", "not checked"; reasons: id -> reason; unaccounted: [id]

Numbers outside JSON's range are the texts "inf", "-inf" and "nan".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import refimpl
from refimpl import chapter

Record = Mapping[str, Any]
Document = Mapping[str, Any]


def document(
    records: Sequence[Record], ids: set[str], seconds: float, seed: int, broken: Mapping[str, str]
) -> Document:
    """The document of a run; ``ids`` are the items of all claims there are, run or not."""
    return {
        "version": refimpl.__version__,
        "seed": seed,
        "seconds": round(seconds, 2),
        "broken": dict(broken),
        "claims": list(records),
        "coverage": coverage(ids),
    }


def coverage(checked: set[str]) -> dict[str, Any]:
    """How each item of the chapter is accounted for, given the ids that claims check."""
    used = chapter.rests_on(checked) - checked
    excused = set(chapter.NOT_CHECKED) - checked - used
    left = [item.id for item in chapter.ITEMS if item.id not in checked | used | excused]
    return {
        "items": len(chapter.ITEMS),
        "checked": len(checked),
        "used": len(used),
        "not checked": len(excused),
        "reasons": {id: chapter.NOT_CHECKED[id] for id in chapter.NOT_CHECKED if id in excused},
        "unaccounted": left,
    }


def errata(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The errata demonstrated by records: printed readings that were refuted, with their witness."""
    return [_erratum(record) for record in records if record["erratum"] and record["verdict"] == "refuted"]


def _erratum(record: Record) -> dict[str, Any]:
    named = {key: record[key] for key in ("id", "section", "title", "check")}
    witness = record["witness"] or record["note"] or f"{record['check']}()"  # a check without arguments
    return {**named, **record["erratum"], "witness": witness, "note": record["note"], "replay": record["replay"]}


def to_json(data: Any) -> str:
    """Strict JSON, readable, with a final newline."""
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
