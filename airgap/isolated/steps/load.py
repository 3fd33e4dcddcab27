"""Loading into Docker the images that it must have itself, streamed from the mirror's storage."""

from __future__ import annotations

from airgap.bundle.contents import ImageEntry
from airgap.errors import HostError, NotFoundError
from airgap.isolated.context import CheckResult, Context
from airgap.isolated.services import docker_images
from airgap.isolated.services.site_registry import RegistryMirror, fetch
from airgap.isolated.steps.base import Step
from airgap.oci.platform import Platform, native_platform
from airgap.store.check import check_image
from airgap.store.export import export


class LoadStep(Step):
    """Docker has the images of registry, builder and emulator, and those named with --load."""

    name = "load"
    roles = ("registry", "builder")

    def check(self, context: Context) -> CheckResult:
        """Check that Docker has each image under its id."""
        images = _images(context)
        for image, platform in images.items():
            if not context.engine_id(image, platform):
                return CheckResult(False, f"Docker does not have {image.reference.familiar}")
        return CheckResult(True, f"{len(images)} images in Docker")

    def apply(self, context: Context) -> None:
        """Load those that are missing."""
        for image, platform in _images(context).items():
            bring_image(context, image, platform)

    def undo(self, context: Context) -> None:
        """Remove the images that it loaded."""
        docker_images.unload_all(context)


def bring_image(context: Context, image: ImageEntry, platform: Platform | None) -> None:
    """Load an image, unless Docker has it.

    Args:
        context: The context.
        image: What to load.
        platform: For which one Docker must have it; None if any will do. With containerd's image
            store Docker has all of them, with the classic store one.

    Raises:
        HostError: As for `load_image`.
        NotFoundError: No bundle included it for that platform.
    """
    if platform is not None and not image.serves(platform):
        name = image.reference.familiar
        raise NotFoundError(
            f"no installed bundle has {name} for {platform}",
            meaning=f"It is here for {', '.join(image.platforms)}.",
            remedy=f"include it: airgap bundle {name} --platform {platform} --no-roles",
        )
    if not context.engine_id(image, platform):
        load_image(context, image, platform)


def load_image(context: Context, image: ImageEntry, platform: Platform | None) -> None:
    """Copy an image of the mirror into Docker's own store, as `docker load` does.

    Args:
        context: The context.
        image: What to load.
        platform: The one to load where Docker's store can hold but one; None for the one that an
            image of that name has there, or else this host's.

    Raises:
        HostError: Docker refuses it, or has another image afterwards.
        AirgapError: The site's registry holds the mirror, and does not give it.
    """
    name = image.reference.familiar
    mirror = RegistryMirror.of(context.settings)
    tags = context.desired.tags_of(image)
    if mirror is not None and check_image(context.state.mirror, image, tags=tags):
        fetch(context, mirror, image)
    had = context.engine.image_platform(name)
    docker_images.record_loaded(context, image)
    context.progress.message(f"loading {name} into Docker")
    images = [item for item in (platform or had, native_platform()) if item]
    preferred = [chosen for item in images if (chosen := image.chosen_for(item))]
    context.engine.load(name, export(context.state.mirror, image, preferred))
    if not context.engine_id(image, platform):
        raise HostError(
            f"Docker has another image than {image.digest} under the name {name}",
            meaning="It was loaded, and is not what the bundle holds.",
        )
    docker_images.drop_unneeded(context)


def _images(context: Context) -> dict[ImageEntry, Platform | None]:
    """Return the images, and for which platform: our containers are this host's own."""
    roles = ["registry", "builder"]
    if context.desired.emulated(native_platform()):
        roles.append("emulator")
    # Those that an earlier install loaded are kept up to date.
    earlier = [name for name in docker_images.names(context) if context.desired.has(name)]
    named = [context.desired.image(name) for name in (*context.options.load, *earlier)]
    return {
        **dict.fromkeys(named),
        **{context.desired.role(role): native_platform() for role in roles},
    }
