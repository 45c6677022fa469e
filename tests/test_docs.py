"""The README does what it says: its Python runs, its commands print what it shows; every public name is documented."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import refimpl
from refimpl import claims, crosscheck, resolution, robustness, setting, sparsity
from refimpl.claims import claim as claim_module

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```(\w+)[ ]?(\w*)\n(.*?)^```$", README.read_text(encoding="utf-8"), re.S | re.M)
PACKAGES = (setting, robustness, sparsity, resolution, claims, crosscheck)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files that the README tells its readers to save."""
    made = tmp_path_factory.mktemp("readme")
    for _, _, text in BLOCKS:
        if text.startswith("# file: "):
            (made / text.split()[2]).write_text(text)
    return made


def test_the_python_of_the_readme_runs():
    known = list(claim_module.REGISTRY)
    names = {"__name__": "readme"}
    try:
        for language, _, text in BLOCKS:
            if language == "python" and not text.startswith("# file: "):
                exec(compile(text, str(README), "exec", dont_inherit=True), names)
    finally:
        claim_module.REGISTRY[:] = known


@pytest.mark.parametrize(("needs", "text"), [block[1:] for block in BLOCKS if block[0] == "console"])
def test_commands_print_what_the_readme_shows(needs, text, folder):
    if needs:
        pytest.importorskip(needs)
    command, _, shown = text.partition("\n")
    assert command.startswith("$ refimpl ")
    environment = os.environ | {"COLUMNS": "200", "REFIMPL_CACHE": str(folder / "cache")}
    line = "exec " + command.replace("$ refimpl", f"'{sys.executable}' -m refimpl", 1)
    done = subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    pattern = ".*".join(map(re.escape, re.split(r"\n?\.\.\.\n?| \.\.\. | \.\.\.", shown.strip())))
    assert re.search(pattern, done.stdout, re.S), done.stdout


def test_recipes_are_short():
    recipes = README.read_text(encoding="utf-8").split("## How to add")[1].split("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```$", recipes, re.S | re.M)
    assert len(blocks) == 4
    assert all(len(block.splitlines()) < 30 for block in blocks)


def test_the_two_commands_follow_their_markers():
    text = README.read_text(encoding="utf-8")
    assert re.search(r"<!-- main -->\n```sh\npython3 -m venv .*refimpl verify\n```", text)
    assert re.search(r"<!-- tests -->\n```sh\npython3 -m venv .*pytest\n```", text)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
def test_every_public_name_is_documented(package):
    assert package.__doc__
    for name in package.__all__:
        value = getattr(package, name)
        assert inspect.getdoc(value), f"{package.__name__}.{name} has no docstring"
        members = vars(value).items() if inspect.isclass(value) else ()
        for method, function in members:
            if not method.startswith("_") and inspect.isfunction(function):
                assert inspect.getdoc(getattr(value, method)), f"{package.__name__}.{name}.{method} has no docstring"


SNIPPET = """
import numpy as np
from refimpl import __version__, claims, crosscheck, data, experiments, resolution, robustness, setting, sparsity
from refimpl.claims import Result, verify
from refimpl.crosscheck import assert_agrees
from refimpl.resolution import SpectralConv, resize
from refimpl.robustness import Attack, lipschitz_report, pgd, train_clip
from refimpl.setting import CrossEntropy, Dense, Network, empirical_risk
from refimpl.sparsity import L1, LinBreg

f = Network([Dense(2, 1)])
theta: np.ndarray = f.init(rng=0)
x, y = np.ones((3, 2)), np.zeros(3, int)
risk: float = empirical_risk(f, CrossEntropy(), theta, x, y)
optimizer = LinBreg(L1(0.1), step=0.1)
after: np.ndarray = optimizer.step(optimizer.init(theta), theta).theta
bound: float = lipschitz_report(f, theta, x).upper.value
trained: np.ndarray = train_clip(f, theta, x, y, epochs=1).theta
larger: np.ndarray = resize(np.ones((2, 3)), (4, 6))
version: str = __version__
wrong: str = empirical_risk(f, CrossEntropy(), theta, x, y)
"""


def test_types_reach_the_user(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(SNIPPET)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    wrong = len(SNIPPET.splitlines())
    assert re.findall(r"(user.py:\d+): error: .*\[(.*)\]", done.stdout) == [(f"user.py:{wrong}", "assignment")], (
        done.stdout
    )


def test_the_citation_names_this_version():
    assert f"version = {{{refimpl.__version__}}}" in README.read_text(encoding="utf-8")
    assert f"**{refimpl.__version__}**" in README.read_text(encoding="utf-8").split("## Changes")[1]


def test_the_errata_are_counted():
    from refimpl.claims import sound_claims

    counted = re.search(r"lists the (\d+) places where the text errs", README.read_text(encoding="utf8"))
    assert counted is not None
    assert int(counted[1]) == sum(claim.erratum is not None for claim in sound_claims())
