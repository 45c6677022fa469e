"""Text of unknown origin, on a page or a terminal: nothing in it acts, everything in it is seen."""

import re
from html import escape
from typing import Any

_ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Controls, direction marks and broken surrogates as what a Python literal shows, such as ``\u202e``."""
    return _ACTING.sub(lambda found: ascii(found[0])[1:-1], text)


def escaped(value: Any) -> str:
    """The text of a value for HTML, between tags and in quoted attributes."""
    return escape(visible(str(value)))


def one_line(value: Any) -> str:
    """The text of a value for a message: one line of at most 500 characters."""
    text = " ".join(visible(str(value)).split())
    return text if len(text) <= 500 else text[:497] + "..."
