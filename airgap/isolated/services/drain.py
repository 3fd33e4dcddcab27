"""Builds that run while a part of the set-up is about to be replaced: they may end first."""

from __future__ import annotations

import time
from collections.abc import Sequence

from airgap.builder.ephemeral_containers import running_builds
from airgap.errors import HostError
from airgap.isolated.context import Context

_PATIENCE = 600.0
_PAUSE = 1.0


def let_builds_end(context: Context, builders: Sequence[str], what: str) -> None:
    """Waits until no build runs on this host, in all for ten minutes of a command.

    Args:
        context: The context.
        builders: The containers where builds run.
        what: What is about to be replaced, for people.
    """
    deadline = context.deadlines.setdefault("builds", time.monotonic() + _PATIENCE)
    said = False
    while count := sum(_count(context, name) for name in builders):
        builds = "1 build" if count == 1 else f"{count} builds"
        if time.monotonic() > deadline:
            context.progress.message(
                f"{what} is replaced now: {builds} may fail, and can be given again"
            )
            return
        if not said:
            context.progress.message(
                f"{what} is replaced once {builds} ended, after 10 minutes at most"
            )
            said = True
        time.sleep(_PAUSE)


def _count(context: Context, name: str) -> int:
    try:
        return running_builds(context.engine, name)
    except HostError:  # it does not run, so that nothing runs there
        return 0
