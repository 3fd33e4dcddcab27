"""What pip downloads for a Python service of a usual size, as an index of packages on a site."""

from __future__ import annotations

import html
import shutil
import sys
from hashlib import sha256
from pathlib import Path

from lab.cache import cached
from lab.run import run

REQUIREMENTS = Path(__file__).with_name("service.txt")
"""Every package with its version."""

_FOR = ("--python-version=3.13", "--implementation=cp", "--only-binary=:all:", "--no-deps")
_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")


def write_index(site: Path) -> None:
    """Writes the wheels into a site's folder `wheels`, and the index into `simple` (PEP 503)."""
    shutil.copytree(_wheels(), site / "wheels")
    for wheel in (site / "wheels").iterdir():
        project = site / "simple" / wheel.name.partition("-")[0].lower().replace("_", "-")
        project.mkdir(parents=True)
        name, digest = html.escape(wheel.name), sha256(wheel.read_bytes()).hexdigest()
        link = f'<a href="/wheels/{name}#sha256={digest}">{name}</a>'
        (project / "index.html").write_text(f"<!DOCTYPE html>\n{link}\n")


def _wheels() -> Path:
    def make(folder: Path) -> None:
        command: list[str | Path] = [sys.executable, "-m", "pip", "download", "--quiet", *_FOR]
        command += [f"--platform={platform}" for platform in _PLATFORMS]
        run([*command, "--dest", folder, "--requirement", REQUIREMENTS])

    return cached("wheels of a service", [REQUIREMENTS.read_text(), *_PLATFORMS], make)
