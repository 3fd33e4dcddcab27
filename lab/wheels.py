"""Files from wheels of PyPI, for any architecture, by this machine's own pip."""

from __future__ import annotations

import sys
from pathlib import Path
from zipfile import ZipFile

from lab.cache import cached
from lab.run import run


def unpacked_wheel(requirement: str, *, tag: str = "any") -> Path:
    """A folder with the files of a wheel, without those of what it depends on.

    Args:
        requirement: With its version, e.g. `pip==26.3`.
        tag: The platform tag it is for, e.g. `manylinux2014_aarch64`.
    """

    def make(folder: Path) -> None:
        options = ["--no-deps", "--only-binary=:all:", f"--platform={tag}", requirement]
        run([sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder, *options])
        (wheel,) = folder.glob("*.whl")
        with ZipFile(wheel) as archive:
            archive.extractall(folder / "files")
        wheel.unlink()

    return cached(f"wheel {requirement} {tag}", [requirement, tag], make) / "files"
