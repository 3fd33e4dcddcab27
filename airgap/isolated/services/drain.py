"""Let running builds finish before a part of the installation is replaced."""

from __future__ import annotations

from collections.abc import Sequence

from airgap.builder.ephemeral_containers import running_builds
from airgap.errors import HostError
from airgap.isolated.context import Context
from airgap.progress import format_count
from airgap.waiting import wait_until

_PATIENCE = 600.0
_PAUSE = 1.0


def let_builds_end(context: Context, builders: Sequence[str], what: str) -> None:
    """Wait until no build runs on this host, for ten minutes at most.

    Args:
        context: The context.
        builders: The containers where builds run.
        what: What is about to be replaced, for people.
    """

    def running() -> int:
        return sum(_count(context, name) for name in builders)

    count = running()
    if not count:
        return
    context.progress.message(
        f"waiting up to {_PATIENCE / 60:.0f} minutes for {format_count(count, 'build')} to finish "
        f"before replacing {what}"
    )
    if not wait_until(lambda: not running(), seconds=_PATIENCE, pause=_PAUSE):
        left = format_count(running(), "build")
        context.progress.message(f"replacing {what} now: {left} may fail; run them again")


def _count(context: Context, name: str) -> int:
    try:
        return running_builds(context.engine, name)
    except HostError:  # it does not run, so that nothing runs there
        return 0
