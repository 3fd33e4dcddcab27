"""A process whose kernel refuses a system call, as some file systems do; with seccomp."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

# The numbers of system calls, from the kernel's headers for each machine.
_NUMBERS = {
    "x86_64": {"fchmod": 91, "fchown": 93, "flock": 73, "fsync": 74},
    "aarch64": {"fchmod": 52, "fchown": 55, "flock": 32, "fsync": 82},
}
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
# Load the number; if it is not the one, jump over the refusal; refuse; allow.
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_REFUSE, _ALLOW = 0x00050000, 0x7FFF0000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def refuse(call: str, error: int) -> None:
    """Has the kernel refuse a system call to this process, for good."""
    number = _NUMBERS[os.uname().machine][call]
    code = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, 0),
            (_JUMP_IF_EQUAL, 0, 1, number),
            (_RETURN, 0, 0, _REFUSE | error),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    buffer = ctypes.create_string_buffer(code)
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SECCOMP, _FILTER, ctypes.byref(program))):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "seccomp")


def run_refusing(
    call: str, error: int, program: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Runs a Python program in a folder, to which the kernel refuses a system call."""
    root = Path(__file__).parent.parent
    head = f"import sys\nsys.path.insert(0, {str(root)!r})\n"
    head += f"from tests.refusing import refuse\nrefuse({call!r}, {error})\n"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", head + textwrap.dedent(program)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
