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

    def check(self, work: Context) -> CheckResult:
        """Asks it."""
        finding = containers.check_container(work, containers.registry_spec(work))
        if not finding.well:
            return finding
        address = work.settings.registry
        if not is_served(address):
            return CheckResult(False, f"{address} does not answer")
        return CheckResult(True, f"{address} takes pushes")

    def apply(self, work: Context) -> None:
        """Starts it."""
        work.state.pushed.mkdir(mode=0o755, parents=True, exist_ok=True)
        containers.run_container(work, containers.registry_spec(work))
        wait_until_served(work.settings.registry, work.engine, containers.REGISTRY)

    def undo(self, work: Context) -> None:
        """Removes the container; what was pushed stays."""
        work.engine.remove_container(containers.REGISTRY)
