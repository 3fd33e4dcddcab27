"""Which programs the kernel runs: its own, and those in its table of foreign program formats.

The table is described in Linux `admin-guide/binfmt-misc.rst`, the start of a program in elf(5).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from airgap import processes
from airgap.oci.platform import Platform

TABLE = Path("/proc/sys/fs/binfmt_misc")
CONTROLS = ("register", "status")

# ELF class (1: 32 bits, 2: 64 bits), byte order (1: little, 2: big) and machine number (elf.h).
_PROGRAMS = {
    "386": (1, 1, 3),
    "amd64": (2, 1, 0x3E),
    "arm": (1, 1, 0x28),
    "arm64": (2, 1, 0xB7),
    "loong64": (2, 1, 0x102),
    "mips64": (2, 2, 8),
    "mips64le": (2, 1, 8),
    "ppc64le": (2, 1, 0x15),
    "riscv64": (2, 1, 0xF3),
    "s390x": (2, 2, 0x16),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the table that is in use, and knows programs by their first bytes."""

    interpreter: str
    flags: str
    offset: int
    magic: bytes
    mask: bytes

    def claims(self, program: bytes) -> bool:
        """Return whether a program is one of those that the kernel has it run."""
        start = program[self.offset : self.offset + len(self.magic)]
        if len(start) < len(self.magic):
            return False
        bits = zip(start, self.magic, self.mask or b"\xff" * len(self.magic), strict=True)
        return all(byte & bit == expected & bit for byte, expected, bit in bits)


def parse_entry(shown: str) -> Entry | None:
    """Read what the kernel shows of an entry; None if it is off, or goes by a file's name."""
    state, *lines = shown.splitlines() or [""]
    facts = dict(line.split(" ", 1) for line in lines if " " in line)
    if state != "enabled" or "magic" not in facts:
        return None
    return Entry(
        facts["interpreter"],
        facts.get("flags:", "").strip(),
        int(facts["offset"]),
        bytes.fromhex(facts["magic"]),
        bytes.fromhex(facts.get("mask", "")),
    )


def foreign_architectures(platforms: Iterable[Platform], native: Platform) -> list[str]:
    """Return the architectures whose programs this machine does not run without an emulator.

    Args:
        platforms: What is to run.
        native: What this machine is.
    """
    return sorted({platform.architecture for platform in platforms if not _runs(native, platform)})


def not_registered(architectures: Iterable[str], table: Path = TABLE) -> list[str]:
    """Return the architectures for whose programs no entry of the kernel's table is in use.

    Args:
        architectures: Foreign ones.
        table: Where the kernel shows its table.
    """
    entries = []
    for path in sorted(table.iterdir()) if table.is_dir() else ():
        with suppress(OSError):  # removed in the meantime
            entries.append(None if path.name in CONTROLS else parse_entry(path.read_text()))
    used = [entry for entry in entries if entry is not None]
    return [
        architecture
        for architecture in architectures
        if not any(entry.claims(_start_of(architecture)) for entry in used)
    ]


def _start_of(architecture: str) -> bytes:
    """Return the first bytes of a program; empty, which no entry claims, if they are not known."""
    if architecture not in _PROGRAMS:
        return b""
    size, order, machine = _PROGRAMS[architecture]
    ident = bytes([0x7F, *b"ELF", size, order, 1, *bytes(9)])
    return ident + struct.pack("<HHI" if order == 1 else ">HHI", 2, machine, 1) + bytes(40)


def _runs(native: Platform, other: Platform) -> bool:
    """Return whether the machine itself runs programs of another platform."""
    pair = native.architecture, other.architecture
    if pair == ("arm64", "arm"):
        # Not every 64-bit processor runs these; the kernel knows (personality(2)).
        with suppress(OSError):
            return processes.run(["setarch", "linux32", "true"], check=False).returncode == 0
    return native.architecture == other.architecture or pair == ("amd64", "386")
