"""`airgap uninstall`: every step undone, in reverse."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import suppress

from airgap.errors import translate_os_errors
from airgap.isolated.context import Context
from airgap.isolated.state import receipts
from airgap.isolated.state.layout import State
from airgap.isolated.state.registry_tags import forget_tags
from airgap.isolated.steps import STEPS

_LOG = logging.getLogger(__name__)


def uninstall(
    context: Context, *, purge: bool, purge_pushed: bool, show: Callable[[str], None]
) -> None:
    """Take back what install did. Receipts stay, so that an older bundle is still recognised.

    Args:
        context: From `load_context`.
        purge: Forget receipts and settings too.
        purge_pushed: Delete what people pushed.
        show: Is told each step that was undone.

    Raises:
        HostError: A step cannot be undone; run the same command to continue.
    """
    state = context.state
    state.check_writable()
    with state.lock("airgap uninstall"):
        context.engine.check()
        for step in reversed(STEPS):
            with translate_os_errors(step.name):
                step.undo(context)
            context.changes.forget(step.name)
            _LOG.info("step %s is undone", step.name)
            show(step.name)
        with translate_os_errors("state"):
            _remove_state(state, purge=purge, purge_pushed=purge_pushed)


def _remove_state(state: State, *, purge: bool, purge_pushed: bool) -> None:
    """Remove the state; the receipt comes last, so that a killed command can continue."""
    secret = (state.secrets, state.nodes, state.joined)
    for folder in (state.config, state.replaced, *secret, state.root / "tool"):
        shutil.rmtree(folder, ignore_errors=True)
    (state.root / "settings.json").unlink(missing_ok=True)
    if purge_pushed and state.pushed.exists():
        shutil.rmtree(state.pushed)
    if not purge:
        receipts.write_receipt(state, "uninstalled")
        return
    forget_tags(state)
    for folder in (
        state.receipts,
        state.bundles,
        state.authority,
        *state.root.glob("receipts.*"),
    ):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (state.root / "lock", *state.root.glob("airgap.log*")):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # something of others is in it, or it is a disk of its own
        state.root.rmdir()
