"""What is shipped: the archives hold what they must and nothing else, and what is installed can be removed again."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import refimpl

ROOT = Path(__file__).parents[1]
NAME = f"refimpl-{refimpl.__version__}"


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A folder with the source archive and the wheel."""
    pytest.importorskip("hatchling")
    made = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(made)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return made


def test_the_source_archive_holds_code_tests_scripts_licence_and_readme(dist):
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "PKG-INFO", "tests/test_packaging.py"} <= names
    assert {name.split("/")[0] for name in names if "/" in name} == {"refimpl", "scripts", "tests"}
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "refimpl").rglob("*.py")} <= names


def test_the_wheel_holds_the_package_its_data_and_types_alone(dist):
    with zipfile.ZipFile(dist / f"{NAME}-py3-none-any.whl") as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names} == {"refimpl", f"{NAME}.dist-info"}
    assert {"refimpl/py.typed", "refimpl/report/page.css", f"{NAME}.dist-info/licenses/LICENSE"} <= names
    package = {name for name in names if name.startswith("refimpl/")}
    assert {Path(name).suffix for name in package} <= {".py", ".typed", ".css", ".js", ".txt", ".c"}, (
        "no compiled files"
    )
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "refimpl").rglob("*.py")} <= package


def test_kernels_of_an_installed_package_are_compiled_elsewhere():
    from refimpl.numerics.cache import Places

    names = [place.__name__ for place in Places._locator_classes]
    assert "UserProvided" in names[0] and "UserWide" in names[1] and "InTree" in names[-1]
