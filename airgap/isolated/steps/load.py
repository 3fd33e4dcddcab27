"""Loading into Docker the images that it must have itself, streamed from the mirror's storage."""

from __future__ import annotations

from airgap.bundle.contents import ImageEntry
from airgap.errors import HostError
from airgap.isolated.registry_mirror import RegistryMirror, fetch
from airgap.isolated.step import Finding, Step, Work
from airgap.oci.platform import native_platform
from airgap.store.check import problem_with
from airgap.store.export import export


class LoadStep(Step):
    """Docker has the images of registry, builder and emulator, and those named with --load."""

    name = "load"
    roles = ("registry", "builder")

    def check(self, work: Work) -> Finding:
        """Docker knows each image under its very id."""
        images = _images(work)
        for image in images:
            if not work.engine_id(image):
                return Finding(False, f"Docker has not {image.reference.familiar}")
        return Finding(True, f"{len(images)} images in Docker")

    def apply(self, work: Work) -> None:
        """Loads those that are missing."""
        for image in _images(work):
            if not work.engine_id(image):
                load_image(work, image)

    def undo(self, work: Work) -> None:
        """Removes the images that it loaded."""
        for name in work.changes.of(self.name):
            work.engine.remove_image(name)


def load_image(work: Work, image: ImageEntry, step: str = LoadStep.name) -> None:
    """Brings an image of the mirror into Docker's own store, as `docker load` does.

    Args:
        work: The context.
        image: What to load.
        step: Which step does it, and removes it again.

    Raises:
        HostError: Docker refuses it, or has another image afterwards.
        AirgapError: Somebody's registry holds the mirror, and does not give it.
    """
    name = image.reference.familiar
    mirror = RegistryMirror.of(work.settings)
    if mirror is not None and problem_with(work.state.mirror, image):
        fetch(work, mirror, image)
    if not work.engine.image_id(name):
        work.changes.add(step, name)
    work.progress.message(f"loading {name} into Docker")
    work.engine.load(name, export(work.state.mirror, image, [str(native_platform())]))
    if not work.engine_id(image):
        raise HostError(
            f"Docker has another image than {image.digest} under the name {name}",
            meaning="It was loaded, and is not what the bundle holds.",
        )


def _images(work: Work) -> list[ImageEntry]:
    roles = ["registry", "builder"]
    if work.wanted.emulated(native_platform()):
        roles.append("emulator")
    images = [work.wanted.role(role) for role in roles]
    # Those that an earlier install loaded are kept up to date.
    loaded = [name for name in work.changes.of(LoadStep.name) if work.wanted.has(name)]
    named = [work.wanted.image(name) for name in (*work.options.load, *loaded)]
    return list(dict.fromkeys(images + named))
