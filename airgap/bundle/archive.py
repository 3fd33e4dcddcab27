"""`images.tar` and the images in it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from airgap.bundle import framing
from airgap.bundle.contents import Contents, ImageEntry, broken
from airgap.bundle.media import Media
from airgap.bundle.tar_reader import TarReader
from airgap.errors import HostError, IntegrityError
from airgap.limits import LIMITS
from airgap.oci import manifest
from airgap.oci.image_tree import carried_platforms, merge, omitted_platforms, read_tree
from airgap.oci.manifest import Descriptor, Index, Manifest, blobs_of


class Archive(TarReader):
    """`images.tar` of a bundle whose contents are trusted.

    Args:
        media: Where its volumes are.
        contents: What they belong to.

    Raises:
        IntegrityError: A volume is missing, or not as large as it should be.
        HostError: The medium cannot be read.
    """

    def __init__(self, media: Media, contents: Contents) -> None:
        super().__init__(media, contents, contents.volumes, contents.blobs)

    def manifests(self) -> dict[str, Manifest | Index]:
        """Return digest to manifest or index, of all that the images reach and the bundle carries.

        Raises:
            IntegrityError: One is damaged, or the images and blobs do not fit each other.
        """
        found: dict[str, Manifest | Index] = {}
        reached: set[str] = set()
        for image in self.contents.images:
            part = read_tree(image.digest, image.media_type, image.name, _Carried(self, image.name))
            self._check_platforms(image, part)
            reached |= self._reach(image, part)
            merge(found, part)
        unreached = [blob.digest for blob in self.contents.blobs if blob.digest not in reached]
        if unreached:
            raise broken(f"{unreached[0]} belongs to no image")
        return found

    def image_size(self, image: ImageEntry) -> int:
        """Return the size of an image's manifests and blobs, in bytes.

        Raises:
            IntegrityError: One is damaged or missing.
        """
        part = read_tree(image.digest, image.media_type, image.name, _Carried(self, image.name))
        return sum(self.blobs[digest].size for digest in self._reach(image, part))

    def _reach(self, image: ImageEntry, part: Mapping[str, Manifest | Index]) -> set[str]:
        """Return all digests of an image; check that the bundle has each in its stated size."""
        for document in part.values():
            for blob in document.blobs:
                self.check_carried(blob, image.name)
        return {*part, *blobs_of(part)}

    def check_carried(self, stated: Descriptor, what: str) -> None:
        """Make sure that a blob is carried with the size that is stated for it.

        Raises:
            IntegrityError: It is not.
        """
        entry = self.blobs.get(stated.digest)
        if entry is None or entry.size != stated.size:
            raise broken(f"{what} needs {stated.digest} of {stated.size} bytes")

    def _check_platforms(self, image: ImageEntry, part: Mapping[str, Manifest | Index]) -> None:
        """Check that an image's own documents state the platforms that the contents state."""
        top = part[image.digest]
        if top.media_type != image.media_type:
            raise broken(f"{image.name} says it is {top.media_type}, not {image.media_type}")
        if isinstance(top, Index):
            carried = carried_platforms(image.digest, part)
        else:
            config = self.small_blob(top.config.digest, LIMITS.config_bytes)
            stated = manifest.config_platform(config, image.name)
            carried = [str(stated)] if stated else []
        if not set(image.platforms).issubset(carried):
            raise broken(f"{image.name} does not hold the platforms that are stated")
        if set(image.omitted) != set(omitted_platforms(image.digest, part, image.platforms)):
            raise broken(f"{image.name} does not leave out the platforms that are stated")

    def check_framing(self, documents: Mapping[str, Manifest | Index]) -> None:
        """Read all framing and compare it with what the contents give.

        Args:
            documents: From `documents`.

        Raises:
            IntegrityError: It differs: another tool would read another tar.
        """
        contents = self.contents
        sizes = {image.digest: self.blobs[image.digest].size for image in contents.images}
        parts = (contents.images, documents, sizes, contents.host_platforms)
        head = framing.head(*parts, contents.created_seconds)
        older = framing.head(*parts, contents.created_seconds, tag_pins=True)
        if older != head and self.read(0, min(len(older), self.size)) == older:
            head = older
        self._check_framing(head)


def image_sizes(media: Media, contents: Contents) -> dict[str, int]:
    """Return the size of each image that is not damaged, in bytes; images may share blobs.

    Args:
        media: Where the bundle is.
        contents: What the bundle says it holds; not trusted.
    """
    sizes: dict[str, int] = {}
    with suppress(IntegrityError, HostError), Archive(media, contents) as archive:
        for image in contents.images:
            with suppress(IntegrityError):
                sizes[image.name] = archive.image_size(image)
    return sizes


@dataclass(frozen=True, slots=True)
class _Carried:
    """What a bundle holds of an image: see `tree.Holder`."""

    archive: Archive
    what: str

    def has(self, entry: Descriptor) -> bool:
        """Return whether it is carried, with the size that the index states."""
        if entry.digest not in self.archive.blobs:
            return False
        self.archive.check_carried(entry, self.what)
        return True

    def document(self, digest: str) -> bytes:
        return self.archive.small_blob(digest, LIMITS.manifest_bytes)

    def config(self, config: Descriptor) -> bytes:
        self.archive.check_carried(config, self.what)
        return self.archive.small_blob(config.digest, LIMITS.config_bytes)
