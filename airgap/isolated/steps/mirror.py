"""The mirror: a registry that serves what bundles brought, and that nobody can write to."""

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

    def check(self, work: Context) -> CheckResult:
        """Asks the mirror for every image; that of somebody else is the push step's."""
        if work.settings.registry_mirror:
            if work.engine.is_ours(containers.MIRROR):
                return CheckResult(False, f"{containers.MIRROR} is still there")
            return CheckResult(True, f"{RegistryMirror.of(work.settings)} is the mirror")
        finding = containers.check_container(work, containers.mirror_spec(work))
        if not finding.well:
            return finding
        for image in work.wanted.images.values():
            tags = work.wanted.tags_of(image)
            for repository in mirror_repositories(image.reference):
                own = image.reference.own_tag
                target = own if f"{repository}:{own}" in tags else image.digest
                served = served_digest(work.settings.mirror, repository, target)
                if served != image.digest:
                    name = image.reference.familiar
                    return CheckResult(False, f"{name} is served as {served or 'nothing'}")
        return CheckResult(True, f"{work.settings.mirror} serves {len(work.wanted.images)} images")

    def apply(self, work: Context) -> None:
        """Starts it, or removes it where somebody's registry takes its place."""
        if work.settings.registry_mirror:
            work.engine.remove_container(containers.MIRROR)
            return
        work.state.mirror.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        containers.run_container(work, containers.mirror_spec(work))
        wait_until_served(work.settings.mirror, work.engine, containers.MIRROR)

    def undo(self, work: Context) -> None:
        """Removes it; the storage is the seed step's."""
        work.engine.remove_container(containers.MIRROR)
