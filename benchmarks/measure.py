"""Measures commands: wall and CPU seconds, and peak memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from airgap.errors import HostError

Command = Sequence[str | Path]

_LAUNCHER = Path(__file__).with_name("launch.py")
_LINES_SHOWN = 15
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Measurement:
    """What commands took, with all processes that they waited for.

    Attributes:
        wall_seconds: From the start of the first to the end of the last.
        cpu_seconds: User and system time together.
        peak_bytes: The most memory that one process had (resident set size).
    """

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def measure(
    commands: Sequence[Command], folder: Path, variables: Mapping[str, str], *, sync: bool
) -> Measurement:
    """Runs commands one after another.

    Everything that waits to be written goes to disk before, so that nobody pays for others.

    Args:
        commands: What to run.
        folder: Where they run, and where their output and the report go.
        variables: Their whole environment.
        sync: Everything goes to disk afterwards too, and that counts.

    Raises:
        HostError: A command failed; the end of what it said is shown.
    """
    report, log = folder / "report.json", folder / "log"
    order = {
        "commands": [[str(part) for part in command] for command in commands],
        "report": str(report),
        "sync": sync,
    }
    os.sync()
    status = _run(json.dumps(order), log, variables)
    if status != 0:
        said = "\n".join(log.read_text(errors="replace").splitlines()[-_LINES_SHOWN:])
        name = Path(commands[0][0]).name
        raise HostError(f"{name} failed with status {status}", meaning=said)
    return Measurement(*json.loads(report.read_text()))


def _run(order: str, log: Path, variables: Mapping[str, str]) -> int:
    """Runs the launcher; it and all that it started end with this function, however that ends."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-I", "-S", _LAUNCHER],
            cwd=log.parent,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        ) as launcher,
    ):
        try:
            launcher.communicate(order)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(launcher.pid, signal.SIGKILL)
            raise
    return launcher.returncode


def warm(folder: Path) -> None:
    """Reads all files below a folder, so that no tool pays for a cold cache."""
    buffer = bytearray(_CHUNK)
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass


def bytes_below(folder: Path) -> int:
    """The sizes of all files below a folder, added up."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
