"""What this host should be, as it follows from the bundles that were installed: pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airgap.bundle.contents import TOOL_NAME, Contents, FileEntry, ImageEntry, RecordingEntry
from airgap.errors import HostError, NotFoundError
from airgap.oci.platform import Platform, parse_platform
from airgap.oci.reference import parse_reference


@dataclass(frozen=True, slots=True)
class Wanted:
    """The sum of the installed bundles; of two that say different things the later one counts.

    Attributes:
        images: Name to image.
        roles: Role to the image that has it.
        tool: The program that the last bundle brought, and its version.
        recordings: Name to recording, in the order of their install.
    """

    images: Mapping[str, ImageEntry]
    roles: Mapping[str, ImageEntry]
    tool: tuple[FileEntry, str] | None
    recordings: Mapping[str, RecordingEntry]

    @classmethod
    def of(cls, bundles: Sequence[Contents]) -> Wanted:
        """What bundles, in the order of their install, come to."""
        images: dict[str, ImageEntry] = {}
        roles: dict[str, ImageEntry] = {}
        recordings: dict[str, RecordingEntry] = {}
        tool = None
        for contents in bundles:
            for image in contents.images:
                images[image.name] = image
                roles |= dict.fromkeys(image.roles, image)
            for recording in contents.recordings:
                recordings.pop(recording.name, None)
                recordings[recording.name] = recording
            file = next(file for file in contents.files if file.name == TOOL_NAME)
            tool = (file, contents.tool)
        return cls(images, roles, tool, recordings)

    @property
    def hosts(self) -> list[str]:
        """The registry hosts that images come from."""
        return sorted({image.reference.host for image in self.images.values()})

    def role(self, role: str) -> ImageEntry:
        """The image for a role.

        Raises:
            HostError: No bundle brought one.
        """
        if role not in self.roles:
            raise HostError(
                f"no bundle has brought an image for the role {role!r}",
                meaning="A bundle made with --no-roles brings images to a host that is set up.",
                remedy="bring a bundle made without --no-roles first, or: "
                "airgap install DIR --only tool,seed",
            )
        return self.roles[role]

    def has(self, name: str) -> bool:
        """Whether a bundle brought the image that people mean by a name."""
        return str(parse_reference(name)) in self.images

    def image(self, name: str) -> ImageEntry:
        """The image that people mean by a name.

        Raises:
            NotFoundError: No bundle brought it.
            UsageError: That is no image reference.
        """
        full = str(parse_reference(name))
        if not self.has(name):
            raise NotFoundError(
                f"no installed bundle has the image {full}",
                remedy="see what is there: airgap status --json",
            )
        return self.images[full]

    def emulated(self, native: Platform) -> list[Platform]:
        """The Linux platforms that people build for and the host cannot run by itself.

        The images with another role count not: they are carried for the hosts, which run them.
        """
        platforms = {
            parse_platform(text)
            for image in self.images.values()
            if "base" in image.roles
            for text in image.platforms
        }
        return sorted(
            platform
            for platform in platforms
            if platform.os == "linux" and not _runs(native, platform)
        )


def _runs(native: Platform, platform: Platform) -> bool:
    """Whether a machine runs a platform's programs without an emulator."""
    if native.architecture == "amd64" and platform.architecture == "386":
        return True
    return native.architecture == platform.architecture
