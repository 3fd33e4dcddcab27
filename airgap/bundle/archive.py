"""`images.tar` and the images in it."""

from __future__ import annotations

from collections.abc import Mapping

from airgap.bundle import framing
from airgap.bundle.contents import Contents, ImageEntry, broken
from airgap.bundle.joined_tar import JoinedTar
from airgap.bundle.media import Media
from airgap.limits import LIMITS
from airgap.oci import manifest
from airgap.oci.manifest import Descriptor, Index, Manifest


class Archive(JoinedTar):
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

    def documents(self) -> dict[str, Manifest | Index]:
        """Digest to manifest or index, of all that the images reach and the bundle carries.

        Raises:
            IntegrityError: One is damaged, or the images and blobs do not fit each other.
        """
        found: dict[str, Manifest | Index] = {}
        reached: set[str] = set()
        for image in self.contents.images:
            self._read_document(image.digest, image.media_type, image.name, found)
            reached |= self._reach(image, found)
        unreached = [blob.digest for blob in self.contents.blobs if blob.digest not in reached]
        if unreached:
            raise broken(f"{unreached[0]} belongs to no image")
        return found

    def _read_document(
        self, digest: str, media_type: str, what: str, found: dict[str, Manifest | Index]
    ) -> None:
        if digest in found:
            if found[digest].media_type != media_type:
                raise broken(f"{digest} is said to be of two media types")
            return
        body = self.small_blob(digest, LIMITS.manifest_bytes)
        document = manifest.parse(body, media_type, what)
        found[digest] = document
        if isinstance(document, Index):
            for child in document.manifests:
                if child.digest in self.blobs and child.media_type in manifest.MANIFEST_TYPES:
                    self._check_carried(child, what)
                    self._read_document(child.digest, child.media_type, what, found)

    def _reach(self, image: ImageEntry, documents: Mapping[str, Manifest | Index]) -> set[str]:
        """All digests of an image, each checked to be carried with the size stated for it."""
        part = documents_of(image.digest, documents)
        reached = set(part)
        for document in part.values():
            for blob in document.blobs if isinstance(document, Manifest) else ():
                self._check_carried(blob, image.name)
                reached.add(blob.digest)
        self._check_platforms(image, documents)
        return reached

    def _check_carried(self, stated: Descriptor, what: str) -> None:
        entry = self.blobs.get(stated.digest)
        if entry is None or entry.size != stated.size:
            raise broken(f"{what} needs {stated.digest} of {stated.size} bytes")

    def _check_platforms(
        self, image: ImageEntry, documents: Mapping[str, Manifest | Index]
    ) -> None:
        """What the contents say that an image is made for is what its own documents say."""
        top = documents[image.digest]
        if isinstance(top, Index):
            carried = {str(platform) for platform in framing.manifests_of(top, documents)}
            omitted = {str(platform) for platform in top.platforms} - set(image.platforms)
        else:
            config = self.small_blob(top.config.digest, LIMITS.config_bytes)
            carried, omitted = {str(manifest.config_platform(config, image.name))}, set()
        if not set(image.platforms) <= carried:
            raise broken(f"{image.name} does not hold the platforms that are stated")
        if set(image.omitted) != omitted:
            raise broken(f"{image.name} does not leave out the platforms that are stated")

    def check_framing(self, documents: Mapping[str, Manifest | Index]) -> None:
        """Reads all framing and compares it with what the contents give.

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


def documents_of(
    digest: str, documents: Mapping[str, Manifest | Index]
) -> dict[str, Manifest | Index]:
    """Those of `documents` that an image has: its own, and its children if it is an index."""
    top = documents[digest]
    children = top.manifests if isinstance(top, Index) else ()
    reached = [digest, *(child.digest for child in children)]
    return {one: documents[one] for one in reached if one in documents}
