"""What npm downloads for a web service of a usual size, as a registry of files on a site."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import requests

from lab.cache import cached
from lab.run import run

PACKAGE_JSON = Path(__file__).with_name("service.json")
"""What the service itself names."""

_ABBREVIATED = {"Accept": "application/vnd.npm.install-v1+json"}
"""What npm asks for, too."""


def write_registry(site: Path, url: str) -> None:
    """Writes the registry's documents into a site's folder `npm`, and packages into `packages`.

    Args:
        site: The site's folder.
        url: The site's URL, which is in the documents.
    """
    folder = _packages()
    shutil.copytree(folder / "packages", site / "packages")
    for path in (folder / "documents").iterdir():
        document = json.loads(path.read_text())
        name = document["name"]
        for version, package in document["versions"].items():
            package["dist"]["tarball"] = f"{url}/packages/{_file_name(name, version)}"
        target = site / "npm" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(document, separators=(",", ":")))


def _file_name(name: str, version: str) -> str:
    """How `npm pack` names the file of a package."""
    return f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"


def _packages() -> Path:
    """The packages, and the registry's documents on them, as they are when these are fetched."""

    def make(folder: Path) -> None:
        shutil.copy(PACKAGE_JSON, folder / "package.json")
        run(["npm", "install", "--package-lock-only", "--ignore-scripts"], cwd=folder)
        locked = json.loads((folder / "package-lock.json").read_text())["packages"]
        packages = {
            (path.rpartition("node_modules/")[2], package["version"])
            for path, package in locked.items()
            if path
        }
        (folder / "packages").mkdir()
        specs = [f"{name}@{version}" for name, version in sorted(packages)]
        run(["npm", "pack", "--silent", *specs], cwd=folder / "packages")
        _write_documents(folder / "documents", sorted({name for name, _ in packages}))

    return cached("packages of a web service", [PACKAGE_JSON.read_text()], make)


def _write_documents(folder: Path, names: list[str]) -> None:
    folder.mkdir()
    registry = run(["npm", "config", "get", "registry"]).strip().rstrip("/")
    with requests.Session() as session:
        for name in names:
            answer = session.get(f"{registry}/{name}", headers=_ABBREVIATED, timeout=60)
            answer.raise_for_status()
            (folder / f"{name.replace('/', '+')}.json").write_bytes(answer.content)
