"""What commands after an install begin with."""

from __future__ import annotations

import shlex
from contextlib import suppress

from airgap.builder.engine import Engine
from airgap.errors import HostError
from airgap.isolated.context import Context
from airgap.isolated.host.user import User
from airgap.isolated.services.containers import owners
from airgap.isolated.state.changes import Changes
from airgap.isolated.state.layout import State
from airgap.isolated.state.rebuild_receipts import read_log
from airgap.progress import Progress
from airgap.store.bundle_set import BundleSet


def load_context(
    state: State, user: User, progress: Progress, *, unfinished: bool = False
) -> Context:
    """Return what commands after an install work with: what this host should be, by its receipts.

    Args:
        state: Where this host's state is.
        user: Who gave the command.
        progress: Sees what happens.
        unfinished: An install that did not end counts too.

    Raises:
        HostError: Nothing is installed here.
        TrustError: The receipts are broken, or gone.
    """
    log = read_log(state)
    bundles = log.installed(unfinished=unfinished)
    if not bundles and not (unfinished and state.root.exists()):
        begun = log.active(unfinished=True)
        what, meaning, remedy = "nothing is installed", *_elsewhere(state)
        if begun:
            what = f"the install of {begun[-1].bundle} was not finished"
            meaning, remedy = "", "airgap install DIR"
        raise HostError(f"{what} here ({state.root})", meaning=meaning, remedy=remedy)
    return Context(
        state=state,
        desired=BundleSet.of(bundles),
        settings=state.settings(),
        engine=Engine(state.root),
        user=user,
        changes=Changes(state),
        progress=progress,
    )


def _elsewhere(state: State) -> tuple[str, str]:
    """Return where containers say that the state is, if not here, and a remedy."""
    roots: set[str] = set()
    with suppress(HostError):
        roots = owners(Engine(state.root))
    if str(state.root) in roots:
        return "Its containers are on this host: is the disk of that folder mounted?", ""
    if not roots:
        return "", "airgap install DIR"
    root = shlex.quote(min(roots))
    return f"This host was set up with --root {root}.", f"airgap --root {root} …"
