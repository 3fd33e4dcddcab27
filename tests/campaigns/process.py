"""`airgap` as a process of its own that must come to an end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.integration.command import Outcome, started

_PATIENCE = 60.0
"""Seconds after which a run hangs."""


def run_to_end(tool: Path, arguments: Sequence[str | Path]) -> Outcome:
    """Runs the command.

    Args:
        tool: The file to carry as the tool for the isolated host.
        arguments: Those of the command.

    Raises:
        AssertionError: It hangs.
    """
    with started(tool, *arguments) as process:
        try:
            out, err = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise AssertionError(f"hangs: {process.communicate()[1]}") from error
    return Outcome(process.returncode, out, err)
