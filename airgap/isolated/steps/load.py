"""Loading into Docker the images that it must have itself, streamed from the mirror's storage."""

from __future__ import annotations

from airgap.bundle.contents import ImageEntry
from airgap.errors import HostError, NotFoundError
from airgap.isolated.registry_mirror import RegistryMirror, fetch
from airgap.isolated.step import Finding, Step, Work
from airgap.oci.platform import Platform, native_platform
from airgap.store.check import problem_with
from airgap.store.export import export


class LoadStep(Step):
    """Docker has the images of registry, builder and emulator, and those named with --load."""

    name = "load"
    roles = ("registry", "builder")

    def check(self, work: Work) -> Finding:
        """Docker knows each image under its very id."""
        wanted = _wanted(work)
        for image, platform in wanted.items():
            if not work.engine_id(image, platform):
                return Finding(False, f"Docker has not {image.reference.familiar}")
        return Finding(True, f"{len(wanted)} images in Docker")

    def apply(self, work: Work) -> None:
        """Loads those that are missing."""
        for image, platform in _wanted(work).items():
            if not work.engine_id(image, platform):
                load_image(work, image, platform=platform)

    def undo(self, work: Work) -> None:
        """Removes the images that it loaded."""
        for name in work.changes.of(self.name):
            work.engine.remove_image(name)


def load_image(
    work: Work, image: ImageEntry, step: str = LoadStep.name, *, platform: Platform | None = None
) -> None:
    """Brings an image of the mirror into Docker's own store, as `docker load` does.

    Args:
        work: The context.
        image: What to load.
        step: Which step does it, and removes it again.
        platform: Which one, where Docker's store can hold but one: with containerd's image store
            it takes all of them. None for the one that it has, or else this host's.

    Raises:
        HostError: Docker refuses it, or has another image afterwards.
        NotFoundError: The image is not carried for that platform.
        AirgapError: Somebody's registry holds the mirror, and does not give it.
    """
    name = image.reference.familiar
    if platform is not None and str(platform) not in image.platforms:
        raise NotFoundError(
            f"the mirror has {name} not for {platform}",
            meaning=f"It has it for {', '.join(image.platforms)}.",
            remedy=f"bring a bundle with it: airgap bundle {name} --platform {platform} --no-roles",
        )
    mirror = RegistryMirror.of(work.settings)
    if mirror is not None and problem_with(work.state.mirror, image):
        fetch(work, mirror, image)
    had = work.engine.image_platform(name)
    if not had:
        work.changes.add(step, name)
    work.progress.message(f"loading {name} into Docker")
    preferred = [str(one) for one in (platform or had, native_platform()) if one]
    work.engine.load(name, export(work.state.mirror, image, preferred))
    if not work.engine_id(image, platform):
        raise HostError(
            f"Docker has another image than {image.digest} under the name {name}",
            meaning="It was loaded, and is not what the bundle holds.",
        )


def _wanted(work: Work) -> dict[ImageEntry, Platform | None]:
    """The images, and for which platform: our containers are this host's own."""
    roles = ["registry", "builder"]
    if work.wanted.emulated(native_platform()):
        roles.append("emulator")
    # Those that an earlier install loaded are kept up to date.
    loaded = [name for name in work.changes.of(LoadStep.name) if work.wanted.has(name)]
    named = [work.wanted.image(name) for name in (*work.options.load, *loaded)]
    return {
        **dict.fromkeys(named),
        **{work.wanted.role(role): native_platform() for role in roles},
    }
