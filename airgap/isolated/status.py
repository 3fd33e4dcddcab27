"""`airgap status`: every step's check, and nothing else."""

from __future__ import annotations

import shlex
from contextlib import suppress
from datetime import UTC, datetime

from airgap.builder.engine import Engine
from airgap.errors import HostError
from airgap.isolated.context import Finding, Work, seen
from airgap.isolated.host.user import User
from airgap.isolated.nodes.health import RUNNING, node_states
from airgap.isolated.nodes.membership import joined
from airgap.isolated.nodes.registered import nodes
from airgap.isolated.services.containers import owners
from airgap.isolated.state import receipts
from airgap.isolated.state.changes import Changes
from airgap.isolated.state.layout import State
from airgap.isolated.state.rebuild_receipts import read_record
from airgap.isolated.steps import STEPS
from airgap.isolated.steps.base import look
from airgap.progress import Progress
from airgap.store.bundle_set import Wanted
from airgap.store.check import damaged_blobs


def standing_work(
    state: State, user: User, progress: Progress, *, unfinished: bool = False
) -> Work:
    """What commands after an install work with: what this host should be, by its receipts.

    Args:
        state: Where this host's state is.
        user: Who gave the command.
        progress: Sees what happens.
        unfinished: An install that did not end counts too.

    Raises:
        HostError: Nothing is installed here.
        TrustError: The receipts are broken, or gone.
    """
    record = read_record(state)
    bundles = receipts.installed(state, record, unfinished=unfinished)
    if not bundles and not (unfinished and state.root.exists()):
        begun = receipts.standing_receipts(record, unfinished=True)
        what, meaning, remedy = "nothing is installed", *_elsewhere(state)
        if begun:
            what = f"the install of {begun[-1].bundle} was not finished"
            meaning, remedy = "", "airgap install DIR"
        raise HostError(f"{what} here ({state.root})", meaning=meaning, remedy=remedy)
    return Work(
        state=state,
        wanted=Wanted.of(bundles),
        settings=state.settings(),
        engine=Engine(state.root),
        user=user,
        changes=Changes(state),
        progress=progress,
    )


def _elsewhere(state: State) -> tuple[str, str]:
    """What Docker's containers tell where the state is, if this is not the place; and a remedy."""
    roots: set[str] = set()
    with suppress(HostError):
        roots = owners(Engine(state.root))
    if str(state.root) in roots:
        return "Its containers are on this host: is the disk of that folder mounted?", ""
    if not roots:
        return "", "airgap install DIR"
    root = shlex.quote(min(roots))
    return f"This host was set up with --root {root}.", f"airgap --root {root} …"


def status(work: Work, *, deep: bool = False) -> dict[str, Finding]:
    """Step to what its check found.

    Args:
        work: From `standing_work`.
        deep: Hash every blob in storage too.
    """
    findings = {step.name: look(step, work) for step in STEPS}
    if nodes(work.state) or joined(work.state):
        findings["nodes"] = seen("nodes", lambda: _nodes(work))
    if deep:
        findings["storage"] = seen("storage", lambda: _storage(work))
    return findings


def _nodes(work: Work) -> Finding:
    """The nodes of this host's builder, or this host as one; what ends is renewed by hand."""
    problems, said = [], []
    now = datetime.now(UTC)
    for one in node_states(work.state, work.user):
        if one.until is not None and one.until <= now:
            problems.append(f"the certificate of {one.node.name} ended on {one.until:%F}")
        elif one.state != RUNNING:
            problems.append(f"{one.node.name} cannot be reached: {one.state}")
        else:
            until = f", certificate until {one.until:%F}" if one.until else ""
            said.append(f"{one.node.name} builds for {', '.join(one.node.platforms)}{until}")
    own = joined(work.state)
    if own and own.until and own.until <= now:
        problems.append(f"this node's certificate ended on {own.until:%F}")
    elif own:
        until = f", certificate until {own.until:%F}" if own.until else ""
        said.append(f"this host is the node {own.name} of another one{until}")
    return Finding(not problems, "; ".join(problems or said))


def _storage(work: Work) -> Finding:
    stores = (work.state.mirror, work.state.replay)
    damaged = [path for store in stores for path in damaged_blobs(store, work.progress)]
    if damaged:
        return Finding(False, f"{len(damaged)} blobs are damaged: sha256:{damaged[0].parent.name}")
    return Finding(True, "every blob is what its digest says")
