"""`airgap status`: every step's check, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

from airgap.isolated.context import CheckResult, Context, run_check
from airgap.isolated.nodes.health import RUNNING, node_states
from airgap.isolated.nodes.membership import joined
from airgap.isolated.nodes.registered import nodes
from airgap.isolated.steps import STEPS
from airgap.isolated.steps.base import check_step
from airgap.store.check import damaged_blobs


def status(context: Context, *, deep: bool = False) -> dict[str, CheckResult]:
    """Return what the check of each step saw, by its name.

    Args:
        context: From `load_context`.
        deep: Hash every blob in storage too.
    """
    findings = {step.name: check_step(step, context) for step in STEPS}
    if nodes(context.state) or joined(context.state):
        findings["nodes"] = run_check("nodes", lambda: _nodes(context))
    if deep:
        findings["storage"] = run_check("storage", lambda: _storage(context))
    return findings


def _nodes(context: Context) -> CheckResult:
    """Check the nodes of this builder, or this host as a node; certificates are renewed by hand."""
    problems, said = [], []
    now = datetime.now(UTC)
    for state in node_states(context.state, context.user):
        if state.until is not None and state.until <= now:
            problems.append(f"the certificate of {state.node.name} ended on {state.until:%F}")
        elif state.state != RUNNING:
            problems.append(f"{state.node.name} cannot be reached: {state.state}")
        else:
            until = f", certificate until {state.until:%F}" if state.until else ""
            said.append(f"{state.node.name} builds for {', '.join(state.node.platforms)}{until}")
    own = joined(context.state)
    if own and own.until and own.until <= now:
        problems.append(f"this node's certificate ended on {own.until:%F}")
    elif own:
        until = f", certificate until {own.until:%F}" if own.until else ""
        said.append(f"this host is the node {own.name} of another one{until}")
    return CheckResult(not problems, "; ".join(problems or said))


def _storage(context: Context) -> CheckResult:
    stores = (context.state.mirror, context.state.replay)
    damaged = [path for store in stores for path in damaged_blobs(store, context.progress)]
    if damaged:
        return CheckResult(
            False, f"{len(damaged)} blobs are damaged: sha256:{damaged[0].parent.name}"
        )
    return CheckResult(True, "every blob is what its digest says")
