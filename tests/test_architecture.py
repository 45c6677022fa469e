"""The house: imports go only downward, the package imports fast, every formula number and every text is in order."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import refimpl
from refimpl import chapter
from refimpl.report.source import marks

PACKAGE = Path(refimpl.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = {
    "": 0,  # the package itself
    "chapter": 0,
    "numerics": 0,
    "setting": 1,
    "robustness": 2,
    "sparsity": 2,
    "resolution": 2,
    "claims": 3,
    "crosscheck": 4,
    "data": 1,
    "experiments": 4,
    "report": 4,
    "cli": 5,
    "verify": 5,
    "__main__": 5,
}


def names(files):
    return [file.relative_to(PACKAGE).as_posix() for file in files]


def room(module: str) -> str:
    """ "sparsity" for refimpl.sparsity.bregman."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else ""


def imported(tree: ast.AST):
    """Every module of the package that a file imports anywhere, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "refimpl")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the floor"
            if (node.module or "").split(".")[0] == "refimpl":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_imports_go_only_downward(file):
    module = ".".join(("refimpl", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    here = room(module)
    for target in imported(ast.parse(file.read_text())):
        there = room(target)
        allowed = there == here or FLOORS[there] < FLOORS[here] or FLOORS[here] == FLOORS[there] == 5
        assert allowed, f"{module} (floor {FLOORS[here]}) imports {target} (floor {FLOORS[there]})"


def test_the_floors_are_those_of_the_house():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == set(FLOORS) - {""}


def test_the_import_check_rejects_an_upward_import():
    assert list(imported(ast.parse("def f():\n    from refimpl.report import page"))) == ["refimpl.report.page"]
    assert FLOORS[room("refimpl.report.page")] > FLOORS[room("refimpl.numerics.compare")]


@pytest.mark.parametrize("code", ["import refimpl", "import refimpl.cli; refimpl.cli.parser(['--help'])"])
def test_importing_the_package_loads_nothing_heavy(code):
    heavy = "{'numpy', 'scipy', 'numba', 'matplotlib', 'hypothesis'}"
    program = f"{code}\nimport sys\nprint(*({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_importing_the_sections_does_not_load_matplotlib():
    program = "import refimpl.setting, refimpl.sparsity, refimpl.robustness, refimpl.resolution, sys\n"
    program += "print('matplotlib' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "False"


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_every_formula_number_is_known(file):
    known = {item.id for item in chapter.ITEMS}
    found = [(number, id) for number, line in enumerate(file.read_text().splitlines(), 1) for id in marks(line)]
    assert [(number, id) for number, id in found if id not in known] == []


def test_marks_are_found_at_the_end_of_code_lines():
    assert marks("v -= tau * g  # (4.19a)") == ["(4.19a)"]
    assert marks("x = 1  # half of (4.5), and of (4.6)") == ["(4.5)", "(4.6)"]
    assert marks('"""Formula (4.5)."""') == []


REFERENCE = re.compile(
    r"\b(Definition|Example|Remark|Assumption|Proposition|Lemma|Theorem|Corollary)s? (\d(?:\.\d+)?)(?![\d.]*\d)"
)


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_every_item_that_the_code_mentions_exists(file):
    known = {item.id for item in chapter.ITEMS}
    mentioned = {" ".join(match) for match in REFERENCE.findall(file.read_text())}
    assert sorted(mentioned - known) == []


def public_definitions(file):
    tree = ast.parse(file.read_text())
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            if not any(".twin(" in ast.unparse(d) for d in node.decorator_list):  # its name is the mistake
                yield node
            if isinstance(node, ast.ClassDef):
                methods = (n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_"))
                yield from (n for n in methods if not any("overload" in ast.unparse(d) for d in n.decorator_list))


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_everything_public_has_a_docstring(file):
    assert ast.get_docstring(ast.parse(file.read_text())) or not file.read_text().strip()
    assert [node.name for node in public_definitions(file) if not ast.get_docstring(node)] == []
