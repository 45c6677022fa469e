"""Every public name of the four sections names its source, the shapes of its arrays, and what it raises."""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

from refimpl import chapter, resolution, robustness, setting, sparsity
from refimpl.numerics import validate

NAMES = [(package, name) for package in (setting, robustness, sparsity, resolution) for name in package.__all__]
IDS = [f"{package.__name__.removeprefix('refimpl.')}.{name}" for package, name in NAMES]

SHORT = {"Def": "Definition", "Ex": "Example", "Rem": "Remark", "Prop": "Proposition", "Cor": "Corollary"}
ITEM = re.compile(rf"\b({'|'.join(SHORT)}|{'|'.join(SHORT.values())}|Assumption|Lemma|Theorem) (\d(?:\.\d+)?)\b")
PAPER = re.compile(r"\b[A-Z][a-z]+(?: et al\.| and [A-Z]\w+|, [A-Z]\w+)* (?:19|20)\d\d\b")
SECTIONS = {item.section for item in chapter.ITEMS} | {"4.2.3"}  # the experiments of 4.2.3 are no numbered item

SIZE = r"(?:\.\.\.|[A-Z](?:_\w+)?(?: // 2 \+ 1)?|\d+|[a-z]|\|T\||[a-z]+_(?:in|out)|kh|kw|batch|rows|columns|channels)"
SHAPE = re.compile(
    rf"\({SIZE}(?:,|(?:, {SIZE})+)\)|\({SIZE}\)|any shape|(?:of|the|same) shape|entrywise|a vector\b|scalar"
)


def cited(doc):
    """The items and sections of the chapter that a docstring names."""
    items = re.findall(r"\(4\.\d+[a-z]?\)", doc)
    items += [f"{SHORT.get(kind, kind)} {number}" for kind, number in ITEM.findall(doc)]
    items += [f"4.2.1 Algorithm {number}" for number in re.findall(r"\bAlgorithms? (\d)\b", doc)]
    return items, re.findall(r"\bSection (4(?:\.\d)*)", doc)


def without_shape(function):
    """The array arguments whose shape no sentence of the docstring tells (theta of a network has the network's)."""
    sentences = re.split(r"\n|(?<=\.) ", inspect.getdoc(function) or "")
    parameters = inspect.signature(function).parameters
    for name, parameter in parameters.items():
        annotation = str(parameter.annotation)
        if "ndarray" not in annotation or "Callable" in annotation or (name == "theta" and "network" in parameters):
            continue
        if not any(re.search(rf"\b{name}\b", sentence) and SHAPE.search(sentence) for sentence in sentences):
            yield name


def may_raise(function, seen):
    """Whether a function, or one that it calls by name, raises ValueError or checks an argument."""
    function = inspect.unwrap(function)
    if function in seen or not inspect.isfunction(function) or not function.__module__.startswith("refimpl"):
        return False
    seen.add(function)
    source = textwrap.dedent(inspect.getsource(function))
    if re.search(r"raise ValueError|validate\.(?!array\b)\w+\(", source):
        return True
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    called = [function.__globals__.get(name.id) for name in calls if isinstance(name, ast.Name)]
    return any(may_raise(each, seen) for each in called if inspect.isfunction(each))


def functions(value):
    """A function itself; of a class its checks at construction and its public methods."""
    if not inspect.isclass(value):
        return [value]
    checks = ("__init__", "__post_init__", "__call__")
    own = [f for name, f in vars(value).items() if inspect.isfunction(f) and (name in checks or name[0] != "_")]
    return [function for function in own if not function.__code__.co_filename.startswith("<")]  # made by dataclass


def says_what_it_raises(value):
    docs = [inspect.getdoc(each) or "" for each in (value, *functions(value))]
    return any(re.search(r"Raises|ValueError|errors as", doc) for doc in docs)


@pytest.mark.parametrize(("package", "name"), NAMES, ids=IDS)
def test_the_source_is_named_and_exists(package, name):
    doc = inspect.getdoc(getattr(package, name)) or ""
    items, sections = cited(doc)
    assert items or sections or PAPER.search(doc), "no item of the chapter and no paper"
    assert set(items) <= {item.id for item in chapter.ITEMS}
    assert all(any(known.startswith(section) for known in SECTIONS) for section in sections), sections


@pytest.mark.parametrize(("package", "name"), NAMES, ids=IDS)
def test_shapes_of_array_arguments_are_told(package, name):
    value = getattr(package, name)
    if inspect.isfunction(value):
        assert list(without_shape(value)) == []


@pytest.mark.parametrize(("package", "name"), NAMES, ids=IDS)
def test_what_raises_says_so(package, name):
    value = getattr(package, name)
    assert says_what_it_raises(value) or not any(may_raise(each, set()) for each in functions(value))


def _bare(x: np.ndarray) -> np.ndarray:
    """x, of 4 or 5 kinds (see the text), v > 0."""
    return validate.real_array("x", x)


def _told(x: np.ndarray) -> np.ndarray:
    """The x of (4.21) and Ex 4.16, (B, ...). Raises ValueError for others."""
    return validate.real_array("x", x)


def test_the_checks_reject_a_docstring_that_says_nothing():
    bare, told = inspect.getdoc(_bare), inspect.getdoc(_told)
    assert cited(bare) == ([], []) and not PAPER.search(bare)
    assert cited(told) == (["(4.21)", "Example 4.16"], [])
    assert list(without_shape(_bare)) == ["x"] and list(without_shape(_told)) == []
    _bare.__module__ = "refimpl.made_up"
    assert may_raise(_bare, set()) and not says_what_it_raises(_bare) and says_what_it_raises(_told)


def identifiers(package):
    """Every name that the code of a package defines or takes."""
    for file in Path(package.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            yield from (value for key in ("id", "arg", "name") if isinstance(value := getattr(node, key, None), str))


@pytest.mark.parametrize("package", (setting, robustness, sparsity, resolution), ids=lambda p: p.__name__)
def test_symbols_of_the_text_are_listed_with_names_that_the_code_has(package):
    bar, head, _, *rows, end = inspect.getdoc(package).splitlines()[2:]
    columns = [(found.start(), found.end()) for found in re.finditer("=+", bar)]
    symbol, code, meaning = ([row[a:b].strip() for row in (head, *rows)] for a, b in columns)
    assert (symbol[0], code[0], meaning[0], end) == ("text", "code", "meaning", bar)
    assert len(rows) > 10 and all(symbol) and all(meaning)
    assert {name for cell in code[1:] for name in cell.split(", ")} <= set(identifiers(package))
