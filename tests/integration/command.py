"""Runs `airgap`: as a function, or as a process that can be killed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from airgap.cli.main import run

# The tool for the isolated host takes seconds to build, so that the session has one for all.
_MAIN = """
import os, pathlib
import airgap.cli.main, airgap.tool.build_pyz
tool = pathlib.Path(os.environ["KEPT_TOOL"]).read_bytes()
airgap.tool.build_pyz.build_tool = lambda hosts, *, progress: tool
airgap.cli.main.main()
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


def airgap(*arguments: str | Path) -> Outcome:
    """Runs the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Outcome(int(code), out.getvalue(), err.getvalue())


def started(tool: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """Starts the command as a process of its own; the caller waits for it.

    Args:
        tool: The file to carry as the tool for the isolated host.
        arguments: Those of the command.
    """
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _MAIN, *map(str, arguments)],
        env={**os.environ, "KEPT_TOOL": str(tool)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
