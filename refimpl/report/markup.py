"""HTML by construction: text is escaped unless it is already `Markup`."""

from __future__ import annotations

from refimpl.numerics.text import escaped


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


VOID = {"meta", "input", "br", "link"}


def tag(name: str, /, *children: str | Markup | None, **attributes: str | bool | None) -> Markup:
    """An element; ``class_`` and ``for_`` lose their underscore, other underscores become hyphens.

    Children that are not Markup are escaped; None is left out. An attribute that is None or False is left
    out, one that is True stands without a value.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: str | Markup | None) -> Markup:
    """Children one after the other, escaped where they are plain text."""
    return Markup("".join(c if isinstance(c, Markup) else escaped(c) for c in children if c is not None))


def _attribute(key: str, value: str | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escaped(value)}"'
