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

    def check(self, context: Context) -> CheckResult:
        """Ask both for their version, inside their containers."""
        for name in containers.BUILDERS:
            finding = containers.check_container(context, containers.builder_spec(context, name))
            if not finding.ok:
                return CheckResult(False, f"{name}: {finding.detail}")
            version = buildkit_version(context.engine, name)
        return CheckResult(True, version)

    def apply(self, context: Context) -> None:
        """Start those that are not well; an older container is replaced and its cache is kept."""
        for name in containers.BUILDERS:
            spec = containers.builder_spec(context, name)
            if not containers.check_container(context, spec).ok:
                containers.run_container(context, spec)
            wait_for_buildkit(context.engine, name)

    def undo(self, context: Context) -> None:
        """Remove the containers and their caches."""
        for name in containers.BUILDERS:
            context.engine.remove_container(name)
            context.engine.remove_volume(name)
