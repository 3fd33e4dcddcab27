"""The kernel's table of foreign program formats (Linux `admin-guide/binfmt-misc.rst`)."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from airgap import processes
from airgap.builder.binfmt_table import CONTROLS, TABLE, parse_entry
from airgap.errors import HostError
from airgap.isolated.host.system import is_root, last_lines
from airgap.oci.platform import Platform

_FILE_SYSTEMS = Path("/proc/filesystems")
_PREFIX = "airgap-"
# F: the kernel opens the emulator now, so it works in containers too. C: setuid programs work.
# P: the emulator is told argv[0]; whether it expects that depends on how it was built.
_FLAG_CHOICES = ("FPC", "FC")
_ARGUMENTS = ["a-name-of-its-own", "word"]
_SECONDS = 20


@dataclass(frozen=True, slots=True)
class _Format:
    """How programs of one architecture begin: ELF class and machine number (elf.h)."""

    qemu: str
    elf_class: int
    machine: int


_FORMATS = {
    "amd64": _Format("qemu-x86_64", 2, 0x3E),
    "arm64": _Format("qemu-aarch64", 2, 0xB7),
    "arm": _Format("qemu-arm", 1, 0x28),
    "riscv64": _Format("qemu-riscv64", 2, 0xF3),
}


def is_known(platform: Platform) -> bool:
    """Return whether there is a rule and a test program for a platform."""
    return platform.architecture in _FORMATS


def qemu_name(platform: Platform) -> str:
    """Return what the emulator's program is called."""
    return _FORMATS[platform.architecture].qemu


def check_table() -> None:
    """Make sure that the table is mounted, or can be; nothing is changed.

    Raises:
        HostError: This kernel has none.
    """
    if (TABLE / "register").exists() or "binfmt_misc" in _FILE_SYSTEMS.read_text().split():
        return
    command = ["modprobe", "--dry-run", "--quiet", "binfmt_misc"]
    with suppress(OSError):
        if processes.run(command, capture_output=True, check=False).returncode == 0:
            return
    raise HostError(
        "this kernel cannot run foreign programs: it has no binfmt_misc",
        meaning="Nothing was changed.",
        remedy="load the module: modprobe binfmt_misc",
    )


def mount_table() -> None:
    """Mount the table if it is not mounted.

    Raises:
        HostError: This kernel has none.
    """
    if (TABLE / "register").exists():
        return
    command = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(TABLE)]
    done = processes.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(
            f"this kernel cannot run foreign programs: {last_lines(done.stderr)}",
            remedy="load the module: modprobe binfmt_misc",
        )


def check_emulator(platform: Platform, scratch: Path) -> str:
    """Return what goes wrong when a program of this platform runs; empty if nothing does.

    It runs in a folder of its own as its root, as in a container that has no emulator inside.

    Args:
        platform: One that is known.
        scratch: A folder where programs may run; /tmp is often mounted noexec.
    """
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=scratch) as folder:
        program = Path(folder) / "probe"
        program.write_bytes(probe_program(platform))
        program.chmod(0o755)
        enter = "os.chroot(sys.argv[1]); os.chdir('/'); path = '/probe'"
        if not is_root():
            enter = "path = sys.argv[1] + '/probe'"
        script = f"import os, sys; {enter}; os.execv(path, sys.argv[2:])"
        command = [sys.executable, "-I", "-c", script, folder, *_ARGUMENTS]
        try:
            done = processes.run(
                command, capture_output=True, text=True, check=False, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired:
            return f"a test program did not end in {_SECONDS} seconds"
    if done.returncode != 0:
        return "programs do not run"
    machine, *arguments = done.stdout.splitlines() or [""]
    if arguments != _ARGUMENTS:
        return f"programs see the arguments {arguments} instead of {_ARGUMENTS}"
    return "" if is_machine_of(platform, machine) else f"programs run on {machine}"


def is_machine_of(platform: Platform, machine: str) -> bool:
    """Return whether a machine that uname calls so is one of the platform."""
    # Four characters: 32-bit arm calls itself armv7l or armv8l.
    return machine[:4] == platform.machine[:4]


def probe_program(platform: Platform) -> bytes:
    """Return a static program that prints its machine and arguments."""
    name = f"probe-{platform.architecture}"
    return resources.files("airgap.isolated").joinpath("programs", name).read_bytes()


def registered_by_us(platform: Platform) -> Path | None:
    """Return the emulator that airgap has registered for a platform, if it has."""
    try:
        shown = (TABLE / _entry(platform)).read_text()
    except OSError:
        return None
    found = re.search(r"^interpreter (.+)$", shown, re.M)
    return Path(found[1]) if found else None


def others(platform: Platform) -> list[str]:
    """Return who else has registered an emulator for a platform: `NAME (PROGRAM, flags F)`.

    Such an entry may name a program that is in no container, or lose argv[0]; what people run by
    hand (`multiarch/qemu-user-static --reset`) leaves just these.
    """
    found = []
    for path in sorted(TABLE.iterdir()) if TABLE.is_dir() else ():
        if path.name in CONTROLS or path.name.startswith(_PREFIX):
            continue
        entry = parse_entry(path.read_text())
        if entry is not None and entry.claims(probe_program(platform)):
            flags = f", flags {entry.flags}" if entry.flags else ", no flags"
            found.append(f"{path.name} ({entry.interpreter}{flags})")
    return found


def register(platform: Platform, qemu: Path, scratch: Path) -> str:
    """Register an emulator with the flags that it needs, and returns the rule.

    Args:
        platform: One that is known.
        qemu: The emulator: a static program, which the kernel holds open.
        scratch: As for `check_emulator`.

    Raises:
        HostError: Programs do not run with any.
    """
    problem = ""
    for flags in _FLAG_CHOICES:
        line = rule(platform, qemu, flags)
        _remove(_entry(platform))
        try:
            (TABLE / "register").write_text(line)
        except OSError as error:
            raise HostError(
                f"the kernel refuses the emulator for {platform}: {error.strerror}"
            ) from error
        problem = check_emulator(platform, scratch)
        if not problem:
            return line
    _remove(_entry(platform))
    raise HostError(
        f"{qemu.name} of the bundle does not run programs for {platform}: {problem}",
        remedy="install a bundle with another emulator image",
    )


def unregister_ours() -> None:
    """Remove every entry that airgap has registered."""
    for path in TABLE.glob(f"{_PREFIX}*") if TABLE.is_dir() else ():
        _remove(path.name)


def _entry(platform: Platform) -> str:
    return f"{_PREFIX}{platform.architecture}"


def rule(platform: Platform, qemu: Path, flags: str) -> str:
    """Return what registers an emulator, as the kernel reads it."""
    form = _FORMATS[platform.architecture]
    magic = bytes([0x7F, *b"ELF", form.elf_class, 1, 1, *bytes(9), 2, 0, form.machine, 0])
    mask = bytes([*b"\xff" * 7, 0, *b"\xff" * 8, 0xFE, *b"\xff" * 3])
    return f":{_entry(platform)}:M::{_escaped(magic)}:{_escaped(mask)}:{qemu}:{flags}"


def _escaped(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)


def _remove(entry: str) -> None:
    if (TABLE / entry).exists():
        (TABLE / entry).write_text("-1")  # the kernel's word for it
