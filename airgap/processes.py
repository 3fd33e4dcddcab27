"""Running other programs, so that the log has each one and how it ended."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

__all__ = ["ended", "run"]

_LOG = logging.getLogger(__name__)

if TYPE_CHECKING:
    from subprocess import run
else:

    def run(argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:  # noqa: ANN401
        """Run a program as `subprocess.run` does, and logs it."""
        done = subprocess.run(argv, **options)  # noqa: PLW1510 - it is in the options
        ended(argv, done.returncode)
        return done


def ended(argv: Sequence[str], status: int) -> None:
    """Log a program that has ended."""
    _LOG.info("ran %s: exit status %d", [*argv], status)
