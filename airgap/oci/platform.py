"""Platforms: `os/architecture[/variant]`, normalised as containerd does (`platforms` package)."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass

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
    ("arm", ""): "v7",
    ("arm", "5"): "v5",
    ("arm", "6"): "v6",
    ("arm", "7"): "v7",
    ("arm", "8"): "v8",
}
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
    """One platform. `variant` is empty for amd64's and arm64's usual one, `v7` for arm's."""

    os: str
    architecture: str
    variant: str = ""

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

    @classmethod
    def of(cls, os: str, architecture: str, variant: str = "") -> Platform:
        """A normalised platform from the fields of a descriptor or an image config."""
        alias, variant = architecture.lower(), variant.lower()
        architecture = _ARCHITECTURES.get(alias, alias)
        variant = _ALIAS_VARIANTS.get(alias, variant)
        variant = _VARIANTS.get((architecture, variant), variant)
        return cls(os.lower(), architecture, variant)


def native_platform() -> Platform:
    """What this machine runs without an emulator."""
    return Platform.of("linux", platform.machine())


def parse_platform(text: str) -> Platform:
    """Reads `linux/arm64`, `linux/arm/v7` and the aliases that Docker accepts.

    Raises:
        UsageError: `text` is not of that form.
    """
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(_PART.fullmatch(part) for part in parts):
        raise UsageError(
            f"{text[:80]!r} is not a platform",
            remedy="write os/architecture or os/architecture/variant, such as linux/arm64",
        )
    return Platform.of(*parts)
