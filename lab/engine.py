"""What isolated hosts are made of: a Debian, and a Docker Engine 29 laid over it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import debian
from lab.cache import cached
from lab.parts import ENGINE_PARTS, program

TINI = Path("/usr/bin/tini-static")
"""What Docker calls docker-init: it reaps, and ends with what it runs."""

_PACKAGES = ("iproute2", "iptables", "mount", "openssl", "procps", "python3")
_ARM64_PACKAGES = sorted((*_PACKAGES, "docker-cli", "kmod", "openssh-server"))
"""An arm64 machine has a kernel of its own, so it loads modules; ssh is the way to it."""

_PASSWD = """root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
_apt:x:42:65534::/nonexistent:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
alice:x:1000:1000:Alice:/home/alice:/bin/bash
"""
_GROUPS = {"alice": "alice:x:1000:", "docker": "docker:x:999:alice"}


def lower_folders(suite: str, further: Sequence[str] = ()) -> list[Path]:
    """Folders that overlayfs lays over each other, the uppermost first.

    Args:
        suite: `trixie` (Python 3.13) or `bookworm` (Python 3.11).
        further: Packages of Debian beside those that all hosts have.
    """
    packages = [*_PACKAGES, *further]
    if suite == debian.TRIXIE:
        packages.append("docker-cli")
    system = debian.root_file_system(suite, variant="essential", include=packages)
    binaries = programs()
    if suite != debian.TRIXIE:  # which knows no package with the client alone
        binaries["docker"] = client()
    return [_engine(f"engine for {suite}", system, binaries), system]


def arm64_folders() -> list[Path]:
    """The same for a Debian 13 on arm64, whose packages are unpacked and not installed."""
    system = debian.unpacked_system(*_ARM64_PACKAGES, arch="arm64")
    binaries = {name: program(name, "arm64") for name in ENGINE_PARTS}
    binaries["docker-init"] = debian.unpacked("tini", arch="arm64") / "usr" / "bin" / "tini-static"
    return [_engine("engine for arm64", system, binaries), system]


def programs() -> dict[str, Path]:
    """The programs of Docker Engine: their names, and where each one is."""
    return {name: program(name) for name in ENGINE_PARTS} | {"docker-init": TINI}


def client() -> Path:
    """The docker command."""
    return debian.unpacked("docker-cli", suite=debian.TRIXIE) / "usr" / "bin" / "docker"


def _engine(what: str, system: Path, binaries: Mapping[str, Path]) -> Path:
    """A folder with an Engine's programs and the accounts of those who use it."""

    def make(folder: Path) -> None:
        folder.chmod(0o755)
        target = folder / "usr" / "bin"
        target.mkdir(parents=True)
        for name, source in binaries.items():
            shutil.copy2(source, target / name)
        _write_accounts(system, folder)

    made_from = [f"{name} {source}" for name, source in binaries.items()]
    return cached(what, [*made_from, _PASSWD, *_GROUPS.values(), str(system)], make)


def _write_accounts(system: Path, folder: Path) -> None:
    """Adds a user without privileges, alice, who may use Docker."""
    (folder / "etc").mkdir()
    groups = (system / "usr/share/base-passwd/group.master").read_text().splitlines()
    (folder / "etc" / "group").write_text("\n".join([*groups, *_GROUPS.values(), ""]))
    (folder / "etc" / "passwd").write_text(_PASSWD)
    home = folder / "home" / "alice"
    home.mkdir(parents=True)
    shutil.chown(home, 1000, 1000)
