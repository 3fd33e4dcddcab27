"""The registry that people push to, apart from the mirror."""

from __future__ import annotations

from airgap.isolated.context import CheckResult, Context
from airgap.isolated.host.registry_probe import is_served, wait_until_served
from airgap.isolated.services import containers
from airgap.isolated.steps.base import Step


class RegistryStep(Step):
    """The container runs and answers."""

    name = "registry"
    roles = ("registry",)

    def check(self, context: Context) -> CheckResult:
        """Ask the registry for its API."""
        finding = containers.check_container(context, containers.registry_spec(context))
        if not finding.ok:
            return finding
        address = context.settings.registry
        if not is_served(address):
            return CheckResult(False, f"{address} does not answer")
        return CheckResult(True, f"{address} takes pushes")

    def apply(self, context: Context) -> None:
        """Start the registry."""
        context.state.pushed.mkdir(mode=0o755, parents=True, exist_ok=True)
        containers.run_container(context, containers.registry_spec(context))
        wait_until_served(context.settings.registry, context.engine, containers.REGISTRY)

    def undo(self, context: Context) -> None:
        """Remove the container; what was pushed stays."""
        context.engine.remove_container(containers.REGISTRY)
