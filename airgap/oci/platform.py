"""Platforms: `os/architecture[/variant]`, normalised and matched as containerd does.

The reference is containerd's `platforms` package (`database.go`, `compare.go`,
`platform_windows_compat.go`). Engines choose an entry of an index by its rules, so whoever asks
which entry serves a platform asks `preference`, and nobody compares platforms for equality.

>>> str(Platform.of("Linux", "aarch64", "v8")), str(parse_platform("linux/armhf"))
('linux/arm64', 'linux/arm/v7')
>>> host = parse_platform("linux/arm64")
>>> preference(host, parse_platform("linux/arm64"))
0
>>> preference(host, parse_platform("linux/arm/v7")) > 0
True
>>> preference(host, parse_platform("linux/amd64")) is None
True
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache

from airgap.errors import UsageError

_PART = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "i686": "386",
    "armhf": "arm",
    "armel": "arm",
}
_ALIAS_VARIANTS = {"i386": "", "i686": "", "armhf": "v7", "armel": "v6"}
_VARIANTS = {
    ("amd64", "v1"): "",
    ("arm64", "8"): "",
    ("arm64", "v8"): "",
    ("arm64", "v8.0"): "",
    ("arm64", "9"): "v9",
    ("arm64", "9.0"): "v9",
    ("arm64", "v9.0"): "v9",
    ("arm", ""): "v7",
    ("arm", "5"): "v5",
    ("arm", "6"): "v6",
    ("arm", "7"): "v7",
    ("arm", "8"): "v8",
}
_SYSTEMS = {"": "linux", "macos": "darwin"}
_ARM64_VERSION = re.compile(r"v([89])(?:\.([0-9]))?")
# The last minor version of each major one.
_ARM64_MINORS = {8: 9, 9: 7}
# More versions than there are of any machine.
_MOST_VERSIONS = 99
# Builds of Windows from which a host runs the images of the version before, too.
_WINDOWS_LTSC = (20348, 26100)
_WINDOWS_VERSION = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})(?:\..*)?", re.DOTALL)
# What Go knows (`go tool dist list`): the tools that make images are written in it.
_GO_SYSTEMS = (
    *("aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux"),
    *("netbsd", "openbsd", "plan9", "solaris", "wasip1", "windows"),
)
_GO_ARCHITECTURES = (
    *("386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle"),
    *("ppc64", "ppc64le", "riscv64", "s390x", "wasm"),
)
# uname -m, as a kernel (or qemu's user mode) prints it for each architecture.
_MACHINES = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "386": "i686",
    "arm": "armv7l",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """One platform.

    Attributes:
        os: The operating system.
        architecture: As Go names it.
        variant: Empty for amd64's and arm64's usual one, `v7` for arm's.
        os_version: Of Windows; not part of the text.
        os_features: What an image needs of the system; not part of the text.
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`linux/arm64` or `linux/arm/v7`."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def machine(self) -> str:
        """What `uname -m` prints on it; the architecture's name where that is not known."""
        return _MACHINES.get(self.architecture, self.architecture)

    @property
    def is_well_formed(self) -> bool:
        """Whether `parse_platform` reads its text back: a descriptor's fields may be anything."""
        parts = (self.os, self.architecture, *([self.variant] if self.variant else []))
        return all(_PART.fullmatch(part) for part in parts)

    @property
    def plain(self) -> Platform:
        """The platform without the version and features of its system."""
        return replace(self, os_version="", os_features=())

    @classmethod
    def of(
        cls,
        os: str,
        architecture: str,
        variant: str = "",
        os_version: str = "",
        os_features: tuple[str, ...] = (),
    ) -> Platform:
        """Return a normalised platform from the fields of a descriptor or an image config."""
        alias, variant, os = architecture.lower(), variant.lower(), os.lower()
        architecture = _ARCHITECTURES.get(alias, alias)
        variant = _ALIAS_VARIANTS.get(alias, variant)
        variant = _VARIANTS.get((architecture, variant), variant)
        features = tuple(sorted(set(os_features)))
        return cls(_SYSTEMS.get(os, os), architecture, variant, os_version, features)


def preference(host: Platform, offered: Platform) -> int | None:
    """Return how well an entry of an index serves a platform.

    Args:
        host: What is built for or run on.
        offered: What the entry states.

    Returns:
        0 for the platform itself, more for one that engines take only where nothing better is
        offered, None for one that they never take.
    """
    if offered.os != host.os or not _offers(host, offered):
        return None
    chain = _chain(host.architecture, host.variant)
    machine = (offered.architecture, offered.variant)
    return chain.index(machine) if machine in chain else None


@cache
def _chain(architecture: str, variant: str) -> tuple[tuple[str, str], ...]:
    """Return the machines whose programs a machine runs, the best first (`platformVector`)."""
    if architecture == "arm64":
        versions = _arm64_versions(variant or "v8")
        return (*versions, *_chain("arm", "v8")) if versions else ()
    found = [(architecture, variant)]
    number = _number(variant.removeprefix("v"))
    least = {"amd64": 1, "arm": 5}.get(architecture, number)
    earlier = (f"v{item}" for item in range(number - 1, least - 1, -1))
    found += ((architecture, _VARIANTS.get((architecture, item), item)) for item in earlier)
    if architecture == "amd64":
        found.append(("386", ""))
    return tuple(found)


def _arm64_versions(variant: str) -> list[tuple[str, str]]:
    """Return an arm64 version and all that it includes; nothing for one that does not exist."""
    found = _ARM64_VERSION.fullmatch(variant)
    major, minor = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    if minor > _ARM64_MINORS.get(major, -1):
        return []
    rows = {major: minor}
    if major == 9:  # noqa: PLR2004 - version 9.N includes 8 up to 8.(N + 5)
        rows[8] = min(minor + 5, _ARM64_MINORS[8])
    names = [f"v{row}.{item}" for row, most in rows.items() for item in range(most, -1, -1)]
    return [("arm64", _VARIANTS.get(("arm64", name), name)) for name in names]


def _number(text: str) -> int:
    """Return a version as a number; -1 if the text is not one."""
    number = int(text) if text.isascii() and text.isdigit() else -1
    return number if number <= _MOST_VERSIONS else -1


def _offers(host: Platform, offered: Platform) -> bool:
    """Return whether a system has the features that an image needs, and a version that runs it."""
    features = set(offered.os_features)
    if host.os == "windows":
        features.discard("win32k")
        if not _runs_version(host.os_version, offered.os_version):
            return False
    return features <= set(host.os_features)


def _runs_version(host: str, image: str) -> bool:
    """Return whether one Windows version runs images of another; true if none is stated."""
    here, there = _windows_version(host), _windows_version(image)
    if here == (0, 0, 0) or not image:
        return True
    if here[:2] != there[:2]:
        return False
    if here[2] < _WINDOWS_LTSC[0]:
        return here == there
    least = max((item for item in _WINDOWS_LTSC if item < here[2]), default=_WINDOWS_LTSC[0])
    return least <= there[2] <= here[2]


def _windows_version(text: str) -> tuple[int, int, int]:
    """Major, minor and build; zeros for what is no version."""
    found = _WINDOWS_VERSION.fullmatch(text)
    if found is None:
        return 0, 0, 0
    major, minor, build = (int(part) for part in found.groups())
    fits = major < 1 << 8 and minor < 1 << 8 and build < 1 << 16
    return (major, minor, build) if fits else (0, 0, 0)


def native_platform() -> Platform:
    """Return what this machine runs without an emulator."""
    return Platform.of("linux", platform.machine())


UNKNOWN = Platform("unknown", "unknown")
"""What BuildKit states for what is no image."""


def parse_platform(text: str) -> Platform:
    """Read `linux/arm64`, `linux/arm/v7` and the aliases that Docker accepts.

    Raises:
        UsageError: `text` is not of that form.
    """
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(_PART.fullmatch(part) for part in parts):
        raise UsageError(
            f"{text[:80]!r} is not a platform",
            remedy="write os/architecture or os/architecture/variant, such as linux/arm64",
        )
    os, architecture, variant = (*parts, "")[:3]
    return Platform.of(os, architecture, variant)


def parse_platforms(texts: Iterable[str]) -> tuple[Platform, ...]:
    """Read platforms that people wrote, separated by commas as for `docker buildx build`.

    Raises:
        UsageError: One is malformed, or of an unknown operating system or architecture.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    platforms = dict.fromkeys(parse_platform(name) for name in names)
    for chosen in platforms:
        for part, known in (chosen.os, _GO_SYSTEMS), (chosen.architecture, _GO_ARCHITECTURES):
            if part not in known:
                close = [str(chosen).replace(part, near) for near in get_close_matches(part, known)]
                remedy = f"did you mean {' or '.join(close)}?" if close else ""
                raise UsageError(f"no such platform: {str(chosen)!r}", remedy=remedy)
    return tuple(platforms)
