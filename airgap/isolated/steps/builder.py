"""The builders: BuildKit in containers of its own, that every user of this host shares."""

from __future__ import annotations

from airgap.builder.ephemeral_containers import buildkit_version, wait_for_buildkit
from airgap.isolated.context import CheckResult, Context
from airgap.isolated.services import containers
from airgap.isolated.steps.base import Step


class BuilderStep(Step):
    """BuildKit runs with our configuration and answers: for ordinary builds, and for recordings."""

    name = "builder"
    roles = ("builder",)

    def check(self, work: Context) -> CheckResult:
        """Asks both for their version, inside their containers."""
        for name in containers.BUILDERS:
            finding = containers.check_container(work, containers.builder_spec(work, name))
            if not finding.well:
                return CheckResult(False, f"{name}: {finding.detail}")
            version = buildkit_version(work.engine, name)
        return CheckResult(True, version)

    def apply(self, work: Context) -> None:
        """Starts those that are not well; an older container is replaced and its cache is kept."""
        for name in containers.BUILDERS:
            spec = containers.builder_spec(work, name)
            if not containers.check_container(work, spec).well:
                containers.run_container(work, spec)
            wait_for_buildkit(work.engine, name)

    def undo(self, work: Context) -> None:
        """Removes the containers and their caches."""
        for name in containers.BUILDERS:
            work.engine.remove_container(name)
            work.engine.remove_volume(name)
