"""What a wheel and a source distribution hold: all that they need, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "STYLE.md",
}
# What hatchling adds to a source distribution.
ADDED = {".gitignore", "PKG-INFO", "pyproject.toml"}
# What use of a checkout leaves in it.
LEFTOVERS = (
    "airgap/__pycache__/left.cpython-311.pyc",
    "scripts/programs/__pycache__/left.cpython-311.pyc",
    "tests/lab/cache/left",
    ".venv/left",
    "dist/left",
)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and a source distribution of a checkout that was used."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("airgap", "bundles", "scripts"):
        shutil.copytree(ROOT / name, checkout / name)
    for name in (*DOCUMENTS, ".gitignore", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout / name)
    for name in LEFTOVERS:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("left")
    built = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(built)]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    return built


def files_below(*folders: str) -> set[str]:
    """The files of the tree, without what Python leaves there."""
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in paths if "__pycache__" not in path.parts}


def test_a_wheel_holds_the_package_its_command_and_the_licence(distributions: Path) -> None:
    [wheel] = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entries = archive.read(next(name for name in names if name.endswith("entry_points.txt")))
    package = {name for name in names if ".dist-info/" not in name}
    assert package == files_below("airgap") | {f"airgap/{name}" for name in files_below("bundles")}
    assert {name.partition(".dist-info/")[2] for name in names - package} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }
    assert b"airgap = airgap.cli.start:main" in entries


def test_a_source_distribution_holds_no_tests_and_nothing_that_was_left(
    distributions: Path,
) -> None:
    [archive] = distributions.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    code = files_below("airgap", "bundles", "scripts/programs") | {"scripts/build-programs"}
    assert names == code | DOCUMENTS | ADDED


def test_committed_programs_come_with_both(distributions: Path) -> None:
    programs = {name for name in files_below("airgap") if "/programs/" in name}
    assert programs
    [wheel] = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert programs <= set(archive.namelist())
        empty = [name for name in programs if not archive.getinfo(name).file_size]
    assert empty == []
