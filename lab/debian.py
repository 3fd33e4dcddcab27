"""Debian root file systems and files from Debian packages, for any suite and architecture.

The archive is the one that this machine's own apt is set up with. Nothing on the machine changes:
no foreign architecture is added to dpkg, no source to apt.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from airgap.errors import HostError
from lab import binfmt
from lab.cache import cached
from lab.cleanup import removed_at_end
from lab.run import run

TRIXIE = "trixie"
BOOKWORM = "bookworm"

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def root_file_system(
    suite: str, *, arch: str = "amd64", variant: str = "minbase", include: Sequence[str] = ()
) -> Path:
    """A folder with an installed Debian.

    Args:
        suite: E.g. `trixie`.
        arch: A Debian architecture; a foreign one is installed under qemu.
        variant: What of Debian, as in mmdebstrap(1).
        include: Further packages.
    """

    def make(folder: Path) -> None:
        options = [f"--variant={variant}", *_included(include), *_without_documentation()]
        if arch == "arm64":
            with removed_at_end("emulator", binfmt.EMULATOR):
                binfmt.register_emulator()
                _mmdebstrap(suite, arch, folder, options)
        else:
            _mmdebstrap(suite, arch, folder, options)

    ingredients = [suite, arch, variant, *include, *_LEFT_OUT]
    return cached(f"debian {suite} {arch} {variant}", ingredients, make) / "root"


def unpacked(package: str, *, suite: str = BOOKWORM, arch: str = "amd64") -> Path:
    """A folder with the files of a package and of what it depends on, not installed."""

    def make(folder: Path) -> None:
        _mmdebstrap(suite, arch, folder, ["--variant=extract", f"--include={package}"])

    return cached(f"package {package} {suite} {arch}", [package, suite, arch], make) / "root"


def unpacked_system(*packages: str, suite: str = TRIXIE, arch: str = "amd64") -> Path:
    """A folder with the files of a minimal Debian and of further packages, nothing installed.

    No program of `arch` runs for it, so it takes seconds for any architecture; but what packages
    do when they are installed is not done, and apt knows of no package there.
    """
    included = ["--include=?essential", *_included(packages)]

    def make(folder: Path) -> None:
        _mmdebstrap(suite, arch, folder, ["--variant=extract", *included])

    name = f"debian {suite} {arch} with {packages[0]}"
    return cached(name, [suite, arch, *included], make) / "root"


def _mmdebstrap(suite: str, arch: str, folder: Path, options: Sequence[str]) -> None:
    source = f"deb [signed-by={_KEYRING}] {_archive()} {suite} main"
    target = folder / "root"
    run(
        [
            "mmdebstrap",
            "--mode=root",
            "--quiet",
            "--skip=check/empty",
            f"--architectures={arch}",
            *options,
            suite,
            target,
            source,
        ]
    )


def _included(packages: Sequence[str]) -> list[str]:
    return [f"--include={','.join(packages)}"] if packages else []


def _without_documentation() -> list[str]:
    return [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]


def sources(suite: str) -> str:
    """The content of a sources.list: the release, its updates and its security updates.

    Raises:
        HostError: The machine is not a Debian, or its apt names no archive for its release.
    """
    release, archives = _archives()
    lines = (
        f"deb [signed-by={_KEYRING}] {address} {name.replace(release, suite)} main\n"
        for name, address in archives.items()
    )
    return "".join(lines)


def _archive() -> str:
    """The address of the Debian archive in this machine's apt configuration."""
    release, archives = _archives()
    return archives[release]


def _archives() -> tuple[str, dict[str, str]]:
    """This machine's release, and its and its updates' addresses in apt's configuration.

    Raises:
        HostError: The machine is not a Debian, or its apt names no archive for its release.
    """
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    suites = (release, f"{release}-updates", f"{release}-security")
    fields = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    archives: dict[str, str] = {}
    for line in run(["apt-get", "indextargets", "--format", fields]).splitlines():
        address, suite, component = line.split()
        if suite in suites and component == "main":
            archives.setdefault(suite, address)
    if release in archives:
        return release, archives
    message = f"apt on this machine names no Debian archive for {release or 'its release'}"
    raise HostError(message, remedy="run the lab on Debian 12 or newer")
