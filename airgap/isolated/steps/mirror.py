"""The mirror: a registry that serves what bundles included, and that nobody can write to."""

from __future__ import annotations

from airgap.isolated.context import CheckResult, Context
from airgap.isolated.host.registry_probe import served_digest, wait_until_served
from airgap.isolated.services import containers
from airgap.isolated.services.site_registry import RegistryMirror
from airgap.isolated.steps.base import Step
from airgap.store.layout import mirror_repositories


class MirrorStep(Step):
    """The container runs and serves every image under its digest."""

    name = "mirror"
    roles = ("registry",)

    def check(self, context: Context) -> CheckResult:
        """Ask the mirror for every image; the push step asks a site registry."""
        if context.settings.registry_mirror:
            if context.engine.is_ours(containers.MIRROR):
                return CheckResult(False, f"{containers.MIRROR} is still there")
            return CheckResult(True, f"{RegistryMirror.of(context.settings)} is the mirror")
        finding = containers.check_container(context, containers.mirror_spec(context))
        if not finding.ok:
            return finding
        for image in context.desired.images.values():
            tags = context.desired.tags_of(image)
            for repository in mirror_repositories(image.reference):
                own = image.reference.own_tag
                target = own if f"{repository}:{own}" in tags else image.digest
                served = served_digest(context.settings.mirror, repository, target)
                if served != image.digest:
                    name = image.reference.familiar
                    return CheckResult(False, f"{name} is served as {served or 'nothing'}")
        return CheckResult(
            True, f"{context.settings.mirror} serves {len(context.desired.images)} images"
        )

    def apply(self, context: Context) -> None:
        """Start it, or remove it where the site's registry takes its place."""
        if context.settings.registry_mirror:
            context.engine.remove_container(containers.MIRROR)
            return
        context.state.mirror.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        containers.run_container(context, containers.mirror_spec(context))
        wait_until_served(context.settings.mirror, context.engine, containers.MIRROR)

    def undo(self, context: Context) -> None:
        """Remove it; the storage is the seed step's."""
        context.engine.remove_container(containers.MIRROR)
