"""Serving other machines: mirror and registry a second time, with TLS and accounts.

Two more containers over the same storage: what this host itself uses stays as it is, plain HTTP on
loopback. The registry keeps nothing in memory, so that each sees at once what the other wrote.
"""

from __future__ import annotations

from airgap.isolated.context import CheckResult, Context
from airgap.isolated.host.registry_probe import wait_until_served, wants_account
from airgap.isolated.services import containers
from airgap.isolated.services.containers import MIRROR_TLS, REGISTRY_TLS
from airgap.isolated.state.accounts import count, prepare
from airgap.isolated.state.local_ca import (
    certificate_problem,
    certified_until,
    issue_server_certificate,
)
from airgap.isolated.steps.base import Step

_NAMES = (MIRROR_TLS, REGISTRY_TLS)


class ListenStep(Step):
    """Other machines reach mirror and registry at the address that was chosen, if one was."""

    name = "listen"
    roles = ("registry",)

    def check(self, context: Context) -> CheckResult:
        """Ask both as another machine would."""
        address, servers = context.settings.listen, containers.listening(context)
        if left := [
            name for name in _NAMES if name not in servers and context.engine.is_ours(name)
        ]:
            return CheckResult(False, f"{', '.join(left)} still there")
        if not address:
            return CheckResult(True, "this host alone is served")
        if problem := certificate_problem(context.state, address):
            return CheckResult(False, problem)
        for name, server in servers.items():
            finding = containers.check_container(context, containers.listening_spec(context, name))
            if not finding.ok:
                return CheckResult(False, f"{name}: {finding.detail}")
            if not wants_account(server.address, server.ca):
                return CheckResult(False, f"{server.address} does not answer with TLS")
        until, who = certified_until(context.state), count(context.state)
        return CheckResult(True, f"{address} serves {who}, certificate until {until:%F}")

    def apply(self, context: Context) -> None:
        """Make what is needed and start what is to listen, and remove what is not."""
        address, servers = context.settings.listen, containers.listening(context)
        for name in _NAMES:
            if name not in servers:
                context.engine.remove_container(name)
        if not address:
            return
        if certificate_problem(context.state, address):
            issue_server_certificate(context.state, address)
        prepare(context.state)
        for name, server in servers.items():
            containers.run_container(context, containers.listening_spec(context, name))
            wait_until_served(server.address, context.engine, name, server.ca)

    def undo(self, context: Context) -> None:
        """Remove the containers; accounts and CA stay."""
        for name in _NAMES:
            context.engine.remove_container(name)
