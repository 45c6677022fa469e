"""The mutants of a file: every formula broken in one place.

A mutant changes one operator, comparison, constant, sign, transpose or built-in inside the body of a function.
Error messages, annotations, the arguments of the validation helpers and ``__repr__`` are left alone.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SWAPS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
NAMES = {"max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum", "sin": "cos", "cos": "sin"}
NAMES |= {"argmax": "argmin", "argmin": "argmax", "floor": "ceil", "ceil": "floor", "zeros": "ones", "any": "all"}
UNTOUCHED = (ast.Raise, ast.JoinedStr, ast.Assert, ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Mutant:
    """One change: in which function (``start``: its first line), where, and what it does."""

    file: str
    line: int
    start: int
    function: str
    change: str
    source: str

    @property
    def key(self) -> str:
        """A name that does not depend on line numbers."""
        return f"{self.file}:{self.function}: {self.change}"


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of a file; equal changes within a function are told apart by a number."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    file, found, times = str(path.relative_to(ROOT)), [], Counter[str]()
    for name, function in _functions(tree):
        start = min([function.lineno, *(d.lineno for d in function.decorator_list)])
        for statement in [s for s in function.body if not _is_left_alone(s)]:
            for line, change, source in _below(tree, statement):
                times[name + change] += 1
                number = f" (#{times[name + change]})" if times[name + change] > 1 else ""
                found.append(Mutant(file, line, start, name, change + number, source))
    return found


def _functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions and methods with their names; a nested function belongs to the one around it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{child.name}.")
        elif isinstance(child, ast.FunctionDef) and child.name not in ("__repr__", "__str__"):
            yield prefix + child.name, child


def _below(tree: ast.Module, parent: ast.AST) -> Iterator[tuple[int, str, str]]:
    for field, value in ast.iter_fields(parent):
        children = value if isinstance(value, list) else [value]
        for i, child in enumerate(children):
            if not isinstance(child, ast.AST) or field in ("annotation", "returns") or _is_left_alone(child):
                continue
            for changed in _variants(child):
                new = [*children[:i], changed, *children[i + 1 :]] if isinstance(value, list) else changed
                shown = parent if isinstance(parent, ast.expr) else child
                before = ast.unparse(shown)
                setattr(parent, field, new)
                after = ast.unparse(parent if shown is parent else changed)
                source = ast.unparse(tree)
                setattr(parent, field, value)
                yield getattr(child, "lineno", 0), f"{before} -> {after}", source
            if not _is_any_length(parent, child):
                yield from _below(tree, child)


def _is_left_alone(node: ast.AST) -> bool:
    """Messages, and calls of the validation helpers: bad-input tests cover these."""
    call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return isinstance(node, UNTOUCHED) or (call and ast.unparse(node.func.value) in ("validate", "warnings"))


def _is_any_length(parent: ast.AST, node: ast.AST) -> bool:
    """The -1 of reshape(-1): NumPy takes any negative number there for "whatever is left"."""
    return isinstance(parent, ast.Call) and ast.unparse(parent.func).endswith("reshape") and ast.unparse(node) == "-1"


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    """The changed forms of one node."""
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in SWAPS:
        yield _with(node, op=SWAPS[type(node.op)]())
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield _with(node, ops=[SWAPS[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        yield node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield _with(node, value=node.value + 1)
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield _with(node, id=NAMES[node.id])
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield _with(node, attr=NAMES[node.attr])
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield node.value


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
