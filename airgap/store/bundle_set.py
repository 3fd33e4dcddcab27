"""What this host should be, as it follows from the bundles that were installed: pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from airgap.bundle.contents import TOOL_NAME, Contents, FileEntry, ImageEntry, RecordingEntry
from airgap.errors import HostError, NotFoundError
from airgap.oci.platform import Platform, parse_platform
from airgap.oci.reference import Reference, parse_reference
from airgap.store.layout import mirror_name, mirror_repositories, mirror_tags
from airgap.store.tags import tags_of
from airgap.versions import version_in


@dataclass(frozen=True, slots=True)
class BundleSet:
    """The sum of the installed bundles; of two that say different things the later one counts.

    Attributes:
        images: Name in the mirror (see `mirror_name`) to image, with the platforms that any bundle
            has of its digest.
        roles: Role to the image that has it.
        tool: The newest program that a bundle has, and its version.
        recordings: Name to recording, in the order in which their bundles were made.
        tags: `REPOSITORY:TAG` in the mirror to the digest that it means.
        recorded: Name of each recording to when its bundle was made.
    """

    images: Mapping[str, ImageEntry]
    roles: Mapping[str, ImageEntry]
    tool: tuple[FileEntry, str] | None
    recordings: Mapping[str, RecordingEntry]
    tags: Mapping[str, str] = field(default_factory=dict)
    recorded: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, bundles: Sequence[Contents]) -> BundleSet:
        """Return what bundles, in the order of their install, come to."""
        images: dict[str, ImageEntry] = {}
        tags: dict[str, str] = {}
        roles: dict[str, ImageEntry] = {}
        included: dict[tuple[str, str], list[ImageEntry]] = {}
        for contents in bundles:
            tags |= tags_of(contents.images)
            for image in contents.images:
                images[mirror_name(image.reference)] = image
                roles |= dict.fromkeys(image.roles, image)
                included.setdefault(_place(image), []).append(image)
        recordings = _recordings(bundles)
        return cls(
            {name: _merged(image, included[_place(image)]) for name, image in images.items()},
            {role: _merged(image, included[_place(image)]) for role, image in roles.items()},
            _newest_tool(bundles),
            {name: recording for name, (_, recording) in recordings.items()},
            tags,
            {name: created for name, (created, _) in recordings.items()},
        )

    @property
    def hosts(self) -> list[str]:
        """The registry hosts that images come from."""
        return sorted({image.reference.host for image in self.images.values()})

    def role(self, role: str) -> ImageEntry:
        """Return the image for a role.

        Raises:
            HostError: No bundle included one.
        """
        if role not in self.roles:
            raise HostError(
                f"no installed bundle has an image for the role {role!r}",
                meaning="A bundle made with --no-roles adds images to an installation.",
                remedy="install a bundle made without --no-roles first, or: "
                "airgap install DIR --only tool,seed",
            )
        return self.roles[role]

    def tags_of(self, image: ImageEntry) -> list[str]:
        """Return the tags of an image that mean it; another name may have set one of them since."""
        own = mirror_tags(image.reference)
        return [tag for tag in own if self.tags.get(tag) == image.digest]

    def find(self, reference: Reference) -> ImageEntry | None:
        """Return the image that a reference means; None if no bundle has it.

        What is named by its digest is found whichever tag it has.
        """
        found = self.images.get(mirror_name(reference))
        if found is not None or not reference.digest:
            return found
        place = (mirror_repositories(reference)[0], reference.digest)
        return next((image for image in self.images.values() if _place(image) == place), None)

    def has(self, name: str) -> bool:
        """Return whether a bundle included the image that people mean by a name."""
        return self.find(parse_reference(name)) is not None

    def image(self, name: str) -> ImageEntry:
        """Return the image that people mean by a name.

        Raises:
            NotFoundError: No bundle included it.
            UsageError: That is no image reference.
        """
        reference = parse_reference(name)
        found = self.find(reference)
        if found is None:
            raise NotFoundError(
                f"no installed bundle has the image {reference}",
                remedy="see what is there: airgap status --json",
            )
        return found

    def emulated(self, native: Platform) -> list[Platform]:
        """Return the Linux platforms that people build for and the host cannot run by itself.

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


def _place(image: ImageEntry) -> tuple[str, str]:
    """Return where the mirror keeps an image: repository and digest."""
    return mirror_repositories(image.reference)[0], image.digest


def _merged(image: ImageEntry, same: Sequence[ImageEntry]) -> ImageEntry:
    """Return an image with everything that bundles say of its digest: platforms and roles."""
    platforms = dict.fromkeys(platform for item in same for platform in item.platforms)
    omitted = [platform for platform in image.omitted if platform not in platforms]
    is_base = any("base" in item.roles for item in same) and "base" not in image.roles
    roles = (*image.roles, "base") if is_base else image.roles
    return replace(image, platforms=tuple(platforms), omitted=tuple(omitted), roles=roles)


def _newest_tool(bundles: Sequence[Contents]) -> tuple[FileEntry, str] | None:
    """Return the program with the highest version; of several, that of the newest bundle."""
    ordered = sorted(bundles, key=lambda bundle: bundle.created)
    newest = max(reversed(ordered), key=lambda bundle: version_in(bundle.tool), default=None)
    if newest is None:
        return None
    return next(file for file in newest.files if file.name == TOOL_NAME), newest.tool


def _recordings(bundles: Sequence[Contents]) -> dict[str, tuple[str, RecordingEntry]]:
    """Of one name the last that was installed, in the order in which their bundles were made.

    Each comes with when its bundle was made.

    That order decides which of several answers to one request counts.
    """
    found: dict[str, tuple[str, RecordingEntry]] = {}
    for contents in bundles:
        for recording in contents.recordings:
            found.pop(recording.name, None)
            found[recording.name] = (contents.created, recording)
    return dict(sorted(found.items(), key=lambda item: item[1][0]))


def _runs(native: Platform, platform: Platform) -> bool:
    """Return whether a machine runs a platform's programs without an emulator."""
    if native.architecture == "amd64" and platform.architecture == "386":
        return True
    return native.architecture == platform.architecture
