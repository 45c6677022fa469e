"""The last record of each claim, kept in the user's cache folder for ``refimpl show``.

The folder is ``REFIMPL_CACHE``, else ``refimpl`` in ``XDG_CACHE_HOME`` or ``~/.cache``. Nothing depends on it:
where it cannot be read or written, there is no last evidence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from refimpl.numerics.files import write_text

Record = Mapping[str, Any]
FIELDS = {"verdict", "as_expected", "cases", "sharpness", "controls", "relation", "residual", "tolerance", "replay"}
"""Without these, a record was written by somebody else, or long ago."""


def location() -> Path:
    """Where the records are kept."""
    base = os.environ.get("REFIMPL_CACHE")
    if base:
        return Path(base) / "evidence.json"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refimpl" / "evidence.json"


def remember(records: Mapping[str, Record]) -> None:
    """Keep records by claim key, beside those kept before."""
    with suppress(OSError):
        write_text(location(), json.dumps({**recall(), **records}))


def recall() -> dict[str, Record]:
    """The kept records by claim key."""
    with suppress(OSError, ValueError, RecursionError, AttributeError):
        kept = json.loads(location().read_text(encoding="utf-8"))
        return {key: record for key, record in kept.items() if record.keys() >= FIELDS}
    return {}
