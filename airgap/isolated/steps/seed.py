"""Seeding the mirror: the bundle's images in its storage, tags last.

Where a registry holds the mirror, only what Docker itself must have is copied in full. Of all
other images manifests and configs are: what the host is asked about them follows from these.
"""

from __future__ import annotations

import shutil
from contextlib import suppress

from airgap.bundle.contents import ImageEntry
from airgap.errors import AirgapError
from airgap.isolated.context import CheckResult, Context, OpenBundle
from airgap.isolated.services.site_registry import fetch, kept_as, kept_here, known_mirrors
from airgap.isolated.steps.base import Step
from airgap.store.check import check_image, missing_parts
from airgap.store.seed import seed, seed_documents


class SeedStep(Step):
    """Copies the images of the bundle into the storage that the mirror serves."""

    name = "seed"
    needs_docker = False

    def check(self, context: Context) -> CheckResult:
        """Check that every tag has its digest, and that every blob it needs is complete."""
        kept = set(kept_here(context))
        for image in context.desired.images.values():
            if problem := _problem(context, image, whole=image in kept):
                return CheckResult(False, problem)
        return CheckResult(True, f"{len(kept)} images")

    def apply(self, context: Context) -> None:
        """Read each blob once from the medium, and write it as its hash is computed.

        The tags of what other bundles included are set to what is in the storage: an install that
        did not end may have moved them.
        """
        kept, store = kept_here(context), context.state.mirror
        if context.bundle is not None:
            bring(context, context.bundle)
        # What earlier bundles pushed to a registry alone, and is to be here now.
        mirrors = known_mirrors(context)
        for image in kept:
            for mirror in mirrors:
                if _problem(context, image):
                    fetch(context, mirror, image)
        others = [image for image in kept if _problem(context, image)]
        whole = [image for image in others if _link(context, image)]
        tags = context.desired.tags_of
        store.set_tags({tag: image.digest for image in whole for tag in tags(image)})

    def undo(self, context: Context) -> None:
        """Delete the mirror's storage."""
        if context.state.mirror.root.exists():
            shutil.rmtree(context.state.mirror.root)


def bring(context: Context, bundle: OpenBundle) -> None:
    """Copy the images of a bundle. Tags that a newer bundle has moved are left alone."""
    archive, store, desired = bundle.archive, context.state.mirror, context.desired
    kept = {kept_as(image) for image in kept_here(context)}
    images = archive.contents.images
    elsewhere = [image for image in images if kept_as(image) not in kept]
    if not context.settings.registry_mirror:
        elsewhere = []
    whole = [image for image in images if image not in elsewhere]
    own = [image for image in whole if kept_as(image) in kept]
    tags = {tag: image.digest for image in own for tag in desired.tags_of(image)}
    seed(store, archive, context.progress, whole, tags)
    seed_documents(store, archive, elsewhere)


def _link(context: Context, image: ImageEntry) -> bool:
    """Make an image readable by digest, if it is whole; else the check names what it lacks."""
    store = context.state.mirror
    with suppress(AirgapError):
        store.link_image(image, store.manifests(image))
        return not missing_parts(store, image)
    return False


def _problem(context: Context, image: ImageEntry, *, whole: bool = True) -> str:
    """Return what is missing of an image; empty if nothing is."""
    try:
        tags = context.desired.tags_of(image)
        return check_image(context.state.mirror, image, whole=whole, tags=tags)
    except AirgapError as error:
        return error.message
