"""`airgap rollback`: back to what this host was before its last bundle, without any medium."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from airgap.errors import HostError
from airgap.isolated.checks import preconditions
from airgap.isolated.commands.apply import Outcome, apply_steps
from airgap.isolated.context import Context
from airgap.isolated.state.receipts import ReceiptLog, retract
from airgap.isolated.steps import STEPS
from airgap.store.bundle_set import BundleSet


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback came to.

    Attributes:
        from_bundle: `NAME-SERIAL` of the bundle that does not count any more.
        to_bundle: That which is the last one now.
        outcomes: Of the steps.
    """

    from_bundle: str
    to_bundle: str
    outcomes: Sequence[Outcome]


def rollback(context: Context, show: Callable[[Outcome], None]) -> RolledBack:
    """Undo the last bundle: tags, images in Docker, emulator, builder. The tool stays.

    That is one whose install did not end, if there is such a one.

    What only that bundle included stays in the mirror's storage until `airgap prune`.

    Args:
        context: From `load_context`.
        show: Is given each step's outcome as soon as it is known.

    Raises:
        HostError: There is no bundle before it, or a step failed; run the same command to continue.
        TrustError: The receipts are broken.
    """
    with context.state.lock("airgap rollback"):
        log = ReceiptLog.read(context.state)
        active = log.active(unfinished=True)
        if not active:
            raise HostError(f"nothing is installed here ({context.state.root})")
        last = active[-1]
        undone = log.rolled_back(last)
        before = undone.active()
        if not before:
            raise HostError(
                f"{last.bundle} is the only bundle of this host",
                meaning="There is none before it to go back to.",
                remedy="airgap uninstall takes back what it did",
            )
        context = replace(context, desired=BundleSet.of(undone.installed()))
        preconditions.check_host(context, STEPS)
        outcomes = apply_steps(context, STEPS, show)
        # Last: if it was stopped before, the same command continues and undoes no further bundle.
        retract(context.state, "rolled back", last)
    return RolledBack(last.bundle, before[-1].bundle, outcomes)
