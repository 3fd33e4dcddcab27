"""Runs a command and, when it fails, shows what it said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from airgap.errors import HostError

_LINES_SHOWN = 30


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Runs a command of the building machine and returns its standard output.

    Args:
        argv: The command; never a shell string.
        cwd: Its working folder.
        env: Variables added to this process's own.
        stdin: What it reads.

    Raises:
        HostError: The command is missing or failed; the last lines of its output are shown.
    """
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **env} if env else None,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        message = f"the lab needs the command {command[0]!r}, which this machine lacks"
        raise HostError(message) from error
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-_LINES_SHOWN:])
        message = f"{' '.join(command[:6])} failed with status {done.returncode}"
        raise HostError(message, meaning=said)
    return done.stdout
