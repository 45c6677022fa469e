"""Python source as HTML with comments, strings and keywords marked."""

import io
import keyword
import tokenize

from refimpl.report.markup import Markup, join, tag

STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_START", -1), getattr(tokenize, "FSTRING_MIDDLE", -1)}


def python(source: str) -> Markup:
    """The source, escaped, in a ``<pre><code>`` block; source that does not parse stays plain."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return tag("pre", tag("code", source))
    lines = source.splitlines(keepends=True)
    parts: list[str] = []
    row, column = 1, 0
    for token in tokens:
        kind = _kind(token)
        if kind:
            parts += [_between(lines, (row, column), token.start), tag("span", token.string, class_=kind)]
            row, column = token.end
    return tag("pre", tag("code", *parts, _between(lines, (row, column), (len(lines) + 1, 0))), tabindex="0")


def _kind(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.COMMENT:
        return "c"
    if token.type in STRINGS:
        return "s"
    return "k" if token.type == tokenize.NAME and keyword.iskeyword(token.string) else ""


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> Markup:
    """The text from (row, column) to (row, column), rows counted from 1."""
    (row, column), (last, stop) = start, end
    if row == last:
        return join(lines[row - 1][column:stop] if row <= len(lines) else "")
    middle = lines[row : last - 1]
    tail = lines[last - 1][:stop] if last <= len(lines) else ""
    return join(lines[row - 1][column:] if row <= len(lines) else "", *middle, tail)
